"""Plain twins of ``_pair_kernels``, with the same signatures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, IntArray
from dosegrad.influence import _products_reference as single

__all__ = ["forward_pair", "pullback_pair"]


def forward_pair(
    indptr: IntArray,
    columns: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    x: Array,
    out: Array,
) -> None:
    """``out`` (2, n_rows) = the matrices of values ``first`` and ``second`` times ``x``."""
    for values, product in zip((first, second), out, strict=True):
        single.forward(indptr, columns, values, x, product)


def pullback_pair(
    indptr: IntArray,
    columns: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    g: Array,
    edges: IntArray,
    partial: Array,
) -> None:
    """``partial`` (n_blocks, n_columns): both transposed matrices times ``g``, added."""
    partial[:] = 0.0
    for values, factors in zip((first, second), g, strict=True):
        part = np.empty_like(partial)
        single.pullback(indptr, columns, values, factors, edges, part)
        partial += part
