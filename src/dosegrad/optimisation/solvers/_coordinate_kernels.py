"""Compiled coordinate descent on functions of dose that are sums over voxels.

Twins in ``_coordinate_reference``. The slope of each voxel is a sum of ramps that its class has:
``slope * clip(dose, low, high) + offset``, with the curvature ``slope`` between ``low`` and
``high``; and of a line of its own where it has one, ``curvature * dose + offset``. Between two such
bounds the slope is straight, the piece, of which each voxel keeps curvature and ends: a dose that
stays on its piece moves the slope by the curvature alone.

Steps are taken with another curvature, that of a parabola which touches each ramp's potential and
is nowhere below it: a ramp's level over the distance from where it is zero. So a step from the flat
part of a ramp does not jump over the bend.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, IntArray
from dosegrad.compiled import kernel

__all__ = ["potential_and_slopes", "step_along", "sweep", "take_rows"]

#: A level below this share of a ramp's offset is rounding of 0.
_ROUNDING = 1e-12


@kernel
def take_rows(
    indptr: IntArray,
    rows: IntArray,
    values: NDArray[Any],
    place: IntArray,
    out_indptr: IntArray,
    out_rows: NDArray[Any],
    out_values: NDArray[Any],
) -> None:
    """Rows with ``place`` >= 0 of a column-compressed matrix.

    Counts into ``out_indptr`` (n_columns + 1,) int64 where ``out_rows`` is empty, else fills.
    """
    at = 0
    for column in range(indptr.size - 1):
        if out_rows.size:
            out_indptr[column] = at
        for k in range(indptr[column], indptr[column + 1]):
            row = place[rows[k]]
            if row >= 0:
                if out_rows.size:
                    out_rows[at] = row
                    out_values[at] = values[k]
                at += 1
        if not out_rows.size:
            out_indptr[column + 1] = at


@kernel
def potential_and_slopes(
    dose: Array,
    classes: NDArray[np.uint8],
    starts: IntArray,
    ramps: Array,
    lines: Array,
    slopes: Array,
    pieces: Array,
) -> float:
    """Sum of the voxels' potentials; ``slopes`` (n_rows,) and ``pieces`` (n_rows, 4) are set.

    ``ramps`` (n_ramps, 4) hold low, high, slope and offset; class c has ``starts[c]`` to
    ``starts[c + 1]``. ``lines`` (n_rows, 2) hold curvature and offset of each voxel's own line, or
    are of shape (0, 2) where none has one. Pieces hold curvature, lower and upper end, and the
    curvature to step with.
    """
    total = 0.0
    for row in range(dose.size):
        d = dose[row]
        c = classes[row]
        for r in range(starts[c], starts[c + 1]):
            inside = min(max(d, ramps[r, 0]), ramps[r, 1])
            level = ramps[r, 2] * inside + ramps[r, 3]
            total += 0.5 * ramps[r, 2] * inside * inside + ramps[r, 3] * inside
            total += level * (d - inside)
        if lines.size:
            total += (0.5 * lines[row, 0] * d + lines[row, 1]) * d
        slopes[row] = _slope(d, row, c, starts, ramps, lines, pieces[row])
    return total


@kernel
def _slope(
    dose: float,
    row: int,
    number: int,
    starts: IntArray,
    ramps: Array,
    lines: Array,
    piece: Array,
) -> float:
    """Slope at a dose of a voxel in a class; ``piece`` (4,) becomes the one that the dose is on."""
    slope = 0.0
    curvature = 0.0
    if lines.size:
        curvature = lines[row, 0]
        slope = curvature * dose + lines[row, 1]
    to_step = curvature
    below = -np.inf
    above = np.inf
    for r in range(starts[number], starts[number + 1]):
        low = ramps[r, 0]
        high = ramps[r, 1]
        level = ramps[r, 2] * min(max(dose, low), high) + ramps[r, 3]
        slope += level
        if low <= dose < high:
            to_step += ramps[r, 2]
        elif abs(level) > _ROUNDING * abs(ramps[r, 3]) and ramps[r, 2] > 0.0:
            to_step += level / (dose + ramps[r, 3] / ramps[r, 2])
        if dose < low:
            above = min(above, low)
        elif dose < high:
            curvature += ramps[r, 2]
            below = max(below, low)
            above = min(above, high)
        else:
            below = max(below, high)
    piece[0] = curvature
    piece[1] = below
    piece[2] = above
    piece[3] = to_step
    return slope


@kernel
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
    """One Newton step for each of ``columns`` in turn, none of the ``weights`` below zero.

    ``prices`` (n_columns,) is the part of the gradient that does not depend on dose. Each
    column's curvature is taken from ``curvatures`` (n_columns,), after it was put there if
    ``measure``; it counts as ``least`` at least. Dose, slopes, pieces and weights are kept up to
    date.
    """
    for number in range(columns.size):
        column = columns[number]
        start = np.uint64(indptr[column])
        stop = np.uint64(indptr[column + 1])
        if measure:
            bend = 0.0
            k = start
            while k < stop:
                value = np.float64(values[k])
                bend += value * value * pieces[rows[k], 3]
                k += np.uint64(1)
            curvatures[column] = bend
        first = prices[column]
        second = 0.0
        k = start
        whole = start + ((stop - start) & ~np.uint64(1))
        while k < whole:
            first += values[k] * slopes[rows[k]]
            second += values[k + np.uint64(1)] * slopes[rows[k + np.uint64(1)]]
            k += np.uint64(2)
        if k < stop:
            first += values[k] * slopes[rows[k]]
        step = -(first + second) / max(curvatures[column], least)
        step = max(step, -weights[column])
        if step != 0.0:
            weights[column] += step
            k = start
            while k < stop:
                row = rows[k]
                change = step * values[k]
                d = dose[row] + change
                dose[row] = d
                if pieces[row, 1] <= d < pieces[row, 2]:
                    slopes[row] += change * pieces[row, 0]
                else:
                    slopes[row] = _slope(d, row, classes[row], starts, ramps, lines, pieces[row])
                k += np.uint64(1)


@kernel
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
    """Go on by ``part`` of the way from the last weights and dose, which become the present ones.

    Weights that would turn negative become 0, and the dose follows.
    """
    for row in range(dose.size):
        now = dose[row]
        dose[row] = now + part * (now - last_dose[row])
        last_dose[row] = now
    for column in range(weights.size):
        now = weights[column]
        ahead = now + part * (now - last_weights[column])
        last_weights[column] = now
        if ahead < 0.0:
            for k in range(np.uint64(indptr[column]), np.uint64(indptr[column + 1])):
                dose[rows[k]] -= ahead * values[k]
            ahead = 0.0
        weights[column] = ahead
