"""Plain twins of ``_coordinate_kernels``, with the same signatures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, IntArray

__all__ = ["potential_and_slopes", "step_along", "sweep", "take_rows"]

#: A level below this share of a ramp's offset is rounding of 0.
_ROUNDING = 1e-12


def take_rows(
    indptr: IntArray,
    rows: NDArray[Any],
    values: NDArray[Any],
    place: IntArray,
    out_indptr: IntArray,
    out_rows: NDArray[Any],
    out_values: NDArray[Any],
) -> None:
    """Rows with ``place`` >= 0: counted into ``out_indptr`` first, filled in if there is room."""
    picked = place[rows]
    before = np.concatenate([[0], np.cumsum(picked >= 0)])
    out_indptr[:] = before[indptr]
    if out_rows.size:
        out_rows[:] = picked[picked >= 0]
        out_values[:] = values[picked >= 0]


def potential_and_slopes(
    dose: Array,
    classes: NDArray[np.uint8],
    starts: IntArray,
    ramps: Array,
    lines: Array,
    slopes: Array,
    pieces: Array,
) -> float:
    """Sum of the voxels' potentials; slopes and pieces of each."""
    total = 0.0
    for row, d in enumerate(dose):
        mine = ramps[starts[classes[row]] : starts[classes[row] + 1]]
        inside = np.clip(d, mine[:, 0], mine[:, 1])
        level = mine[:, 2] * inside + mine[:, 3]
        total += float(np.sum(0.5 * mine[:, 2] * inside**2 + mine[:, 3] * inside))
        total += float(np.sum(level * (d - inside)))
        bend, offset = lines[row] if lines.size else (0.0, 0.0)
        total += float((0.5 * bend * d + offset) * d)
        slopes[row] = level.sum() + bend * d + offset
        pieces[row] = _piece(d, mine)
        pieces[row, [0, 3]] += bend
    return total


def _piece(dose: float, ramps: Array) -> tuple[float, float, float, float]:
    """Curvature and ends of the straight piece that a dose is on; the curvature to step with."""
    ends = ramps[:, :2].ravel()
    inside = (ramps[:, 0] <= dose) & (dose < ramps[:, 1])
    below = max(ends[ends <= dose], default=-np.inf)
    above = min(ends[ends > dose], default=np.inf)
    bend = float(ramps[inside, 2].sum())
    to_step = bend
    for low, high, slope, offset in ramps[~inside]:
        level = slope * np.clip(dose, low, high) + offset
        if abs(level) > _ROUNDING * abs(offset) and slope > 0:
            to_step += level / (dose + offset / slope)
    return bend, below, above, to_step


def sweep(
    indptr: IntArray,
    rows: NDArray[Any],
    values: NDArray[Any],
    columns: IntArray,
    prices: Array,
    classes: NDArray[np.uint8],
    starts: IntArray,
    ramps: Array,
    lines: Array,
    least: float,
    measure: bool,
    curvatures: Array,
    dose: Array,
    slopes: Array,
    pieces: Array,
    weights: Array,
) -> None:
    """One Newton step for each of ``columns`` in turn, none of the ``weights`` below zero."""
    for column in columns:
        part = slice(indptr[column], indptr[column + 1])
        mine, values_here = rows[part], values[part].astype(float)
        if measure:
            curvatures[column] = float(values_here**2 @ pieces[mine, 3])
        gradient = prices[column] + float(values_here @ slopes[mine])
        step = max(-gradient / max(curvatures[column], least), -weights[column])
        weights[column] += step
        dose[mine] += step * values_here
        potential_and_slopes(dose, classes, starts, ramps, lines, slopes, pieces)


def step_along(
    indptr: IntArray,
    rows: NDArray[Any],
    values: NDArray[Any],
    part: float,
    last_weights: Array,
    last_dose: Array,
    weights: Array,
    dose: Array,
) -> None:
    """Go on by ``part`` of the way from the last weights and dose, which become the present."""
    for last, now in ((last_weights, weights), (last_dose, dose)):
        ahead = now + part * (now - last)
        last[:], now[:] = now.copy(), ahead
    for column in np.flatnonzero(weights < 0):
        mine = slice(indptr[column], indptr[column + 1])
        np.subtract.at(dose, rows[mine], weights[column] * values[mine].astype(float))
        weights[column] = 0.0
