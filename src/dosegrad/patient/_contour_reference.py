"""Plain twins of the contour kernels: no shortcuts, so `points_inside` needs no buckets."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from dosegrad.arrays import Array, BoolArray

__all__ = ["even_odd_area", "fill_slices", "points_inside"]


def fill_slices(
    edges: Array,
    starts: np.ndarray,
    plane_of_slice: np.ndarray,
    lattice: Array,
    tolerance: float,
    inside: BoolArray,
) -> None:
    """Even-odd test of every centre of ``inside`` (slices, v, u)."""
    u_first, u_step, v_first, v_step = lattice
    u = u_first + u_step * np.arange(inside.shape[2])
    for s, p in enumerate(plane_of_slice):
        for r in range(inside.shape[1]):
            row = np.column_stack([u, np.full(u.size, v_first + r * v_step)])
            plane = np.full(u.size, p)
            inside[s, r] = points_inside(row, plane, edges, starts, tolerance)


def points_inside(
    points: Array, plane: np.ndarray, edges: Array, starts: np.ndarray, tolerance: float
) -> BoolArray:
    """Whether an odd number of edges of its plane lies to the left of each point, bool (n,)."""
    inside = np.zeros(plane.size, dtype=bool)
    for i, p in enumerate(plane):
        if p < 0:
            continue
        u, v = points[i]
        u_low, v_low, u_high, v_high = edges[starts[p] : starts[p + 1]].T
        at_height = (v_low - tolerance <= v) & (v < v_high - tolerance)
        crossing = u_low + (v - v_low) * ((u_high - u_low) / (v_high - v_low))
        crossing = np.clip(crossing, np.minimum(u_low, u_high), np.maximum(u_low, u_high))
        inside[i] = np.count_nonzero(at_height & (crossing - tolerance <= u)) % 2 == 1
    return inside


def even_odd_area(edges: Array, events: Array, crossings: Array) -> tuple[float, int]:
    """Area, mm2, by the middle of each strip between ``events``; writes crossings of neighbours."""
    area, n_crossings = 0.0, 0
    for low, high in pairwise(events):
        middle, half = (low + high) / 2, (high - low) / 2
        u_low, v_low, u_high, v_high = edges[(edges[:, 1] <= low) & (edges[:, 3] > low)].T
        slope = (u_high - u_low) / (v_high - v_low)
        x = u_low + (middle - v_low) * slope
        order = np.argsort(x, kind="stable")
        x, slope = x[order], slope[order]
        area += float(np.sum(x[1::2] - x[: 2 * (x.size // 2) : 2]) * (high - low))
        for apart, change in zip(np.diff(x), np.diff(slope) * half, strict=True):
            if abs(change) > apart + 1e-9 and n_crossings < crossings.size:
                crossings[n_crossings] = middle - half * apart / change
                n_crossings += 1
    return area, n_crossings
