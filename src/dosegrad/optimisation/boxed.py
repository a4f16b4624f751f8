"""Descent of a smooth function between bounds, followed iteration by iteration."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from dosegrad.arrays import Array
from dosegrad.errors import PlanError
from dosegrad.optimisation.solvers.protocols import Function

__all__ = ["minimise_between"]

#: Past steps that shape the next one.
_MEMORY: Final = 30
#: Iterations over which the decrease of the objective counts.
_PATIENCE: Final = 10


def minimise_between(
    function: Function,
    start: Array,
    *,
    low: Array,
    high: Array,
    scale: Array,
    max_iterations: int,
    tolerance: float,
    tell: Callable[[float], None],
    memory: int = _MEMORY,
) -> Array:
    """The best variables (n,) between ``low`` and ``high`` that L-BFGS-B finds from ``start``.

    Variables whose bounds are equal stay. It ends after ``max_iterations``, or once ten of them
    lowered the objective by less than ``tolerance`` of itself.

    Parameters
    ----------
    function
        Objective and derivative.
    start, low, high
        Variables to begin with, and their bounds (n,).
    scale
        Typical change of each variable (n,).
    max_iterations, tolerance
        When to end.
    tell
        Called with the objective after each iteration.
    memory
        Past steps that shape the next one.
    """
    free = high > low
    if not free.any():
        return np.clip(start, low, high)
    variables = np.clip(start, low, high)

    def scaled(part: Array) -> tuple[float, Array]:
        variables[free] = part * scale[free]
        value, slope = function(variables)
        if not np.isfinite(value):
            raise PlanError(
                f"the objective became {value}; check weights and doses of the objectives."
            )
        return value, slope[free] * scale[free]

    seen: list[float] = []

    def follow(intermediate_result: OptimizeResult) -> None:
        value = float(intermediate_result.fun)
        seen.append(value)
        tell(value)
        if len(seen) > _PATIENCE and seen[-1 - _PATIENCE] - value <= tolerance * abs(value):
            raise StopIteration

    limits: Any = import_module("threadpoolctl").threadpool_limits
    with limits(1, user_api="blas"):
        result = minimize(
            *(scaled, variables[free] / scale[free]),
            jac=True,
            method="L-BFGS-B",
            bounds=np.column_stack([low[free] / scale[free], high[free] / scale[free]]),
            callback=follow,
            options={
                "maxcor": memory,
                "maxiter": max_iterations,
                "maxfun": 20 * max_iterations,
                "ftol": 0.0,
                "gtol": 0.0,
            },
        )
    variables[free] = result.x * scale[free]
    return np.clip(variables, low, high)
