"""Best radii, weights and spreads of the rings of a scheme.

Sequential quadratic programming with the analytic gradient. The mismatch falls over ten orders of
magnitude on the way, so it is scaled to one by its last value and solved again until it no longer
falls.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from scipy.optimize import Bounds, minimize

from dosegrad.arrays import Array
from dosegrad.engines.yoda._splitting_objective import Rings
from dosegrad.errors import SettingsError

__all__ = ["SMALLEST_SPREAD", "solve_rings"]

#: Smallest spread of a beamlet, in standard deviations of the spot.
SMALLEST_SPREAD: Final = 0.3
_MOST_ROUNDS: Final = 12
_FEASIBLE: Final = 1e-6


def solve_rings(
    counts: tuple[int, ...], largest_spread: float, largest_radius: float
) -> tuple[Array, float]:
    """Radius, weight of one beamlet and spread of each ring (3, rings), and the mismatch J.

    Weights sum to one and the second moment is the spot's; radii and spreads do not fall outwards.

    Raises
    ------
    SettingsError
        If no such rings exist within the bounds.
    """
    rings = Rings(counts)
    bounds, constraints = _bounds(counts, largest_spread, largest_radius), _constraints(counts)
    point = _start(counts, largest_spread, largest_radius)
    best = rings.value_and_gradient(*point.reshape(3, -1))[0]
    for _ in range(_MOST_ROUNDS):
        point, found = _minimise(rings, point, 1.0 / best, bounds, constraints)
        feasible = np.abs(constraints[0]["fun"](point)).max() < _FEASIBLE
        if feasible and found > 0.7 * best:
            break
        best = max(found, 1e-14)
    if not feasible:
        raise SettingsError(
            f"rings of {counts} beamlets with spreads up to {largest_spread:g} and radii up to "
            f"{largest_radius:g} cannot have the spot's second moment; allow larger ones."
        )
    solved = _exact(point.reshape(3, -1), np.array(counts, dtype=float))
    return solved, rings.value_and_gradient(*solved)[0]


def _exact(point: Array, number: Array) -> Array:
    """Radii, weights and spreads with both sums right to round-off, not just to tolerance."""
    radius, weight, spread = point
    weight = weight / (number @ weight)
    scale = np.sqrt((number * weight) @ (spread**2 + 0.5 * radius**2))
    return np.stack([radius / scale, weight, spread / scale])


def _minimise(
    rings: Rings, start: Array, scale: float, bounds: Bounds, constraints: list[dict[str, Any]]
) -> tuple[Array, float]:
    """One round from ``start``, with the mismatch times ``scale``."""

    def objective(point: Array) -> tuple[float, Array]:
        value, gradient = rings.value_and_gradient(*point.reshape(3, -1))
        return scale * value, scale * gradient.ravel()

    result = minimize(
        objective,
        start,
        jac=True,
        method="SLSQP",
        bounds=bounds,
        constraints=constraints,
        options={"maxiter": 500, "ftol": 1e-7},
    )
    return np.clip(result.x, bounds.lb, bounds.ub), float(result.fun / scale)


def _start(counts: tuple[int, ...], largest_spread: float, largest_radius: float) -> Array:
    """Evenly spaced rings with the weights of a Gaussian."""
    first = 0.0 if counts[0] == 1 else 0.15 * largest_radius
    radius = np.linspace(first, 0.95 * largest_radius, len(counts))
    spread = min(0.6, 0.9 * largest_spread)
    weight = np.exp(-0.5 * radius**2 / (1.0 - spread**2))
    weight /= weight @ np.array(counts, float)
    return np.concatenate([radius, weight, np.full(len(counts), spread)])


def _bounds(counts: tuple[int, ...], largest_spread: float, largest_radius: float) -> Bounds:
    n = len(counts)
    low = np.concatenate([np.zeros(2 * n), np.full(n, SMALLEST_SPREAD)])
    high = np.concatenate([np.full(n, largest_radius), np.ones(n), np.full(n, largest_spread)])
    if counts[0] == 1:
        high[0] = 0.0
    return Bounds(low, high)


def _constraints(counts: tuple[int, ...]) -> list[dict[str, Any]]:
    """Sum of weights and second moment; order of radii and of spreads."""
    n = len(counts)
    number = np.array(counts, dtype=float)
    sums = np.concatenate([np.zeros(n), number, np.zeros(n)])

    def moments(point: Array) -> Array:
        r, w, s = point.reshape(3, n)
        return np.array([sums @ point - 1.0, (number * w) @ (s**2 + 0.5 * r**2) - 1.0])

    def moment_slopes(point: Array) -> Array:
        r, w, s = point.reshape(3, n)
        second = [number * w * r, number * (s**2 + 0.5 * r**2), 2.0 * number * w * s]
        return np.stack([sums, np.concatenate(second)])

    equal = {"type": "eq", "fun": moments, "jac": moment_slopes}
    if n == 1:
        return [equal]
    steps = np.diff(np.eye(n), axis=0)
    nothing = np.zeros_like(steps)
    order = np.block([[steps, nothing, nothing], [nothing, nothing, steps]])
    return [equal, {"type": "ineq", "fun": lambda p: order @ p, "jac": lambda p: order}]
