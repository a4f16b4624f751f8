"""Compilation of kernels: one place that names Numba and its settings.

Only ``_kernels`` modules import this one, so that importing dosegrad loads no compiler. Kernels
are cached on disk, release the interpreter lock, and keep IEEE arithmetic: ``fastmath`` makes
gathers several times slower on common processors and breaks agreement with the plain twins.

OpenMP's threads would turn in circles for about 10 ms after each parallel loop, on the CPU time of
whoever runs the serial part between two loops. They are told to sleep instead, through the
environment of this process and before the first loop loads them, unless the user has chosen.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba import prange

__all__ = ["kernel", "parallel_kernel", "prange", "thread_count"]

F = TypeVar("F", bound=Callable[..., Any])

if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
    os.environ["OMP_WAIT_POLICY"] = "passive"


def kernel(function: F) -> F:
    """``function`` compiled for one thread."""
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def parallel_kernel(function: F) -> F:
    """``function`` compiled with its ``prange`` loops spread over threads."""
    jit = numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
    return cast(F, jit(function))


def thread_count() -> int:
    """Number of threads that parallel kernels use."""
    return int(numba.get_num_threads())
