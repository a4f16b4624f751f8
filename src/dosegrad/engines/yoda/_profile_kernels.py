"""Compiled profiles of beamlets; ``_profile_reference`` holds them in plain NumPy."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.compiled import kernel, parallel_kernel, prange
from dosegrad.engines.yoda._scoring_arrays import FINE, Edges

__all__ = ["fill_profiles"]


@kernel
def _at(row: Array, place: float) -> float:
    """Value between the edges of steps, flat outside."""
    inside = min(max(place, 0.0), row.size - 1.0)
    index = min(int(inside), row.size - 2)
    return float(row[index] + (inside - index) * (row[index + 1] - row[index]))


@kernel
def _fill(
    edges: Edges,
    path: int,
    variance: Array,
    shape: tuple[float, float, float],
    limits: tuple[float, float, float, float],
    values: Array,
    reach: Array,
) -> None:
    """One profile (nodes, 4), and its length and largest radius in use, mm."""
    half, blur_x, blur_y = shape
    scale, farthest, negligible, step = limits
    largest = 0.0
    for node in range(values.shape[0]):
        place = node / FINE
        low, high = place - half, place + half
        mass = _at(edges.mass[path], high) - _at(edges.mass[path], low)
        deposit = _at(edges.deposit[path], high) - _at(edges.deposit[path], low)
        x, y = _at(variance[0], place) + blur_x, _at(variance[1], place) + blur_y
        if mass > 0.0:
            values[node, 0] = scale * deposit / mass / sqrt(x * y)
        if deposit > 0.0:
            let = _at(edges.let[path], high) - _at(edges.let[path], low)
            values[node, 3] = let / deposit
        values[node, 1], values[node, 2] = 0.5 / x, 0.5 / y
        largest = max(largest, values[node, 0])
    last, widest = 0, 0.0
    for node in range(values.shape[0]):
        if values[node, 0] > negligible * largest:
            last = node
            widest = max(widest, 0.5 / min(values[node, 1], values[node, 2]))
    reach[0], reach[1] = last * step / FINE, sqrt(2.0 * farthest * widest)


@parallel_kernel
def fill_profiles(
    edges: Edges,
    path: NDArray[np.int64],
    variance: Array,
    shape: tuple[float, float, float],
    limits: tuple[float, float, float, float],
    values: Array,
    reach: Array,
) -> None:
    """Fill ``values`` (profiles, nodes, 4) and ``reach`` (profiles, 2) of ``Profiles``.

    ``variance`` (profiles, 2, steps + 1) at the edges, mm2; ``shape``: half the width of a voxel
    in steps, and its variances across; ``limits``: factor of the dose on the axis, exponent where
    beamlets end, share of the largest dose that is negligible, and length of a step, mm.
    """
    for profile in prange(path.size):
        _fill(
            edges, path[profile], variance[profile], shape, limits, values[profile], reach[profile]
        )
