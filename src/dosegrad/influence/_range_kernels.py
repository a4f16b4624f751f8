"""Compiled loops over layers of movable energy; ``_range_reference`` has the same in NumPy."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dosegrad.compiled import kernel, parallel_kernel, prange
from dosegrad.influence._range_arrays import RangeTables
from dosegrad.influence._spot_arrays import SpotField

__all__ = ["gather_ranges", "shift_layers"]

#: Part of the squared reach at which the window begins to close. As in ``_spot_reference``.
OPEN_UP_TO = 0.6


@parallel_kernel
def shift_layers(
    field: SpotField,
    tables: RangeTables,
    shifts: NDArray[np.float64],
    gaussians: NDArray[np.float64],
    limits: NDArray[np.float64],
    slopes: NDArray[np.float64],
) -> None:
    """Fill ``gaussians``, ``limits`` and ``slopes`` of a field for shifted layers."""
    last = tables.values.shape[2] - 1
    for layer in prange(shifts.size):
        for tile in range(field.stops.shape[1]):
            begin, end = tables.starts[tile], tables.starts[tile + 1]
            for i in range(field.heads[tile], field.heads[tile] + field.stops[layer, tile]):
                depth = tables.depths[i] - shifts[layer]
                is_inside = depth < tables.ends[layer]
                place = (min(depth, tables.ends[layer]) - tables.firsts[tile]) / tables.step
                m = min(max(math.floor(place), 1), end - begin - 3)
                f, at = place - m, begin + m
                for k in range(last + 1):
                    a, b = tables.values[layer, at - 1, k], tables.values[layer, at, k]
                    c, d = tables.values[layer, at + 1, k], tables.values[layer, at + 2, k]
                    second, third = 2 * a - 5 * b + 4 * c - d, 3 * (b - c) + d - a
                    value = b + 0.5 * f * (c - a + f * (second + f * third))
                    slope = 0.5 * (c - a) + f * (second + 1.5 * f * third)
                    scale = 1.0
                    if k == last:
                        scale = 1.0 / tables.scales[i]
                        limits[layer, i] = value * scale
                    else:
                        if k % 2 == 1:
                            scale = tables.scales[i]
                        gaussians[layer, i, k] = value * scale
                    slopes[layer, i, k] = -slope / tables.step * scale if is_inside else 0.0


@kernel
def _by_shift(
    field: SpotField, slopes: NDArray[np.float64], layer: int, i: int, r2: float
) -> float:
    """Derivative of a spot's dose by the shift of its layer, in a voxel within its reach."""
    sums, bent = 0.0, 0.0
    n = field.gaussians.shape[2] >> 1
    for k in range(n):
        height, steepness = field.gaussians[layer, i, 2 * k], field.gaussians[layer, i, 2 * k + 1]
        fall = math.exp(-steepness * r2)
        sums += height * fall
        bent += (slopes[layer, i, 2 * k] - height * slopes[layer, i, 2 * k + 1] * r2) * fall
    limit = float(field.limits[layer, i])
    width = limit * (1.0 - OPEN_UP_TO)
    s = min(max((limit - r2) / width, 0.0), 1.0)
    opening = 6.0 * s * (1.0 - s) * r2 / (limit * width)
    return float(bent * s * s * (3.0 - 2.0 * s) + sums * opening * slopes[layer, i, 2 * n])


@parallel_kernel
def gather_ranges(
    field: SpotField,
    slopes: NDArray[np.float64],
    layers: NDArray[np.int64],
    spots: NDArray[np.float64],
    g: NDArray[np.float64],
    n_blocks: int,
    out: NDArray[np.float64],
) -> None:
    """Derivative (n_spots,) by the shift of each spot's layer, given that by dose, ``g`` (n,)."""
    for block in prange(n_blocks):
        for j in range(block, spots.shape[0], n_blocks):
            x, y, layer, total = spots[j, 1], spots[j, 2], layers[j], 0.0
            for tile in range(field.boxes.shape[0]):
                du = max(field.boxes[tile, 0] - x, 0.0, x - field.boxes[tile, 1])
                dv = max(field.boxes[tile, 2] - y, 0.0, y - field.boxes[tile, 3])
                if du * du + dv * dv >= field.reaches[layer, tile] ** 2:
                    continue
                for i in range(field.heads[tile], field.heads[tile] + field.stops[layer, tile]):
                    r2 = (field.us[i] - x) ** 2 + (field.vs[i] - y) ** 2
                    if r2 < field.limits[layer, i] and g[i] != 0.0:
                        total += g[i] * _by_shift(field, slopes, layer, i, r2)
            out[j] = spots[j, 0] * total
