"""Compiled filling and measuring of polygons; `_contour_reference` is the specification.

All kernels take edges (n, 4) as (u_low, v_low, u_high, v_high), mm, with v_low < v_high; edges of
plane p are rows ``starts[p]`` to ``starts[p + 1]``.
"""

from __future__ import annotations

import math

import numpy as np

from dosegrad.arrays import Array, BoolArray
from dosegrad.compiled import kernel

__all__ = ["bucket_edges", "even_odd_area", "fill_slices", "points_inside"]


@kernel
def fill_slices(
    edges: Array,
    starts: np.ndarray,
    plane_of_slice: np.ndarray,
    lattice: Array,
    tolerance: float,
    inside: BoolArray,
) -> None:
    """Even-odd fill of ``inside`` (slices, v, u), whose centres ``lattice`` gives.

    ``lattice`` is (first u, step u, first v, step v), mm. Each edge toggles, in each row that it
    crosses, the first centre that is not left of it; a running exclusive-or along the row then
    gives the parity.
    """
    u_first, u_step, v_first, v_step = lattice[0], lattice[1], lattice[2], lattice[3]
    n_slices, n_v, n_u = inside.shape
    for s in range(n_slices):
        p = plane_of_slice[s]
        if p < 0:
            continue
        top, bottom = n_v, 0
        for e in range(starts[p], starts[p + 1]):
            u_low, v_low, u_high, v_high = edges[e, 0], edges[e, 1], edges[e, 2], edges[e, 3]
            first = math.ceil(min(max((v_low - tolerance - v_first) / v_step, 0.0), float(n_v)))
            last = math.ceil(min(max((v_high - tolerance - v_first) / v_step, 0.0), float(n_v)))
            slope = (u_high - u_low) / (v_high - v_low)
            left, right = min(u_low, u_high), max(u_low, u_high)
            for r in range(first, last):
                u = u_low + (v_first + r * v_step - v_low) * slope
                u = min(max(u, left), right)
                column = (u - tolerance - u_first) / u_step
                if column <= n_u - 1:
                    c = math.ceil(max(column, 0.0))
                    inside[s, r, c] = not inside[s, r, c]
            if first < last:
                top, bottom = min(top, first), max(bottom, last)
        for r in range(top, bottom):
            state = False
            for c in range(n_u):
                state ^= inside[s, r, c]
                inside[s, r, c] = state


@kernel
def bucket_edges(
    edges: Array, starts: np.ndarray, low: Array, step: Array, n_buckets: int
) -> tuple[np.ndarray, np.ndarray]:
    """Edges that touch each of ``n_buckets`` bands of v in each plane, as (pointers, edges).

    ``low`` and ``step`` (planes,) are the bottom of the first band and the height of a band.
    """
    n_planes = starts.size - 1
    pointers = np.zeros(n_planes * n_buckets + 1, dtype=np.int64)
    for p in range(n_planes):
        for e in range(starts[p], starts[p + 1]):
            first = min(max(int((edges[e, 1] - low[p]) / step[p]) - 1, 0), n_buckets - 1)
            last = min(max(int((edges[e, 3] - low[p]) / step[p]) + 1, 0), n_buckets - 1)
            for b in range(first, last + 1):
                pointers[p * n_buckets + b + 1] += 1
    for b in range(n_planes * n_buckets):
        pointers[b + 1] += pointers[b]
    members = np.empty(pointers[-1], dtype=np.int64)
    filled = pointers[:-1].copy()
    for p in range(n_planes):
        for e in range(starts[p], starts[p + 1]):
            first = min(max(int((edges[e, 1] - low[p]) / step[p]) - 1, 0), n_buckets - 1)
            last = min(max(int((edges[e, 3] - low[p]) / step[p]) + 1, 0), n_buckets - 1)
            for b in range(first, last + 1):
                members[filled[p * n_buckets + b]] = e
                filled[p * n_buckets + b] += 1
    return pointers, members


@kernel
def points_inside(
    points: Array,
    plane: np.ndarray,
    edges: Array,
    pointers: np.ndarray,
    members: np.ndarray,
    low: Array,
    step: Array,
    n_buckets: int,
    tolerance: float,
    inside: BoolArray,
) -> None:
    """Even-odd test of ``points`` (n, 2), (u, v) mm, against the polygons of their ``plane``."""
    for i in range(plane.size):
        p = plane[i]
        inside[i] = False
        if p < 0:
            continue
        u, v = points[i, 0], points[i, 1]
        band = (v - low[p]) / step[p]
        if band < -1.0 or band > n_buckets + 1.0:
            continue
        b = p * n_buckets + min(max(int(band), 0), n_buckets - 1)
        state = False
        for m in range(pointers[b], pointers[b + 1]):
            e = members[m]
            u_low, v_low, u_high, v_high = edges[e, 0], edges[e, 1], edges[e, 2], edges[e, 3]
            if v < v_low - tolerance or v >= v_high - tolerance:
                continue
            crossing = u_low + (v - v_low) * ((u_high - u_low) / (v_high - v_low))
            crossing = min(max(crossing, min(u_low, u_high)), max(u_low, u_high))
            state ^= crossing - tolerance <= u
        inside[i] = state


@kernel
def even_odd_area(edges: Array, events: Array, crossings: Array) -> tuple[float, int]:
    """Area, mm2, where an odd number of ``edges`` lies to the left, and the crossings found.

    ``edges`` ascend by v_low and ``events`` hold every v of an end point, ascending. Between two
    events the section is linear in v if no edges cross, so its middle gives the exact area.
    Heights where neighbours do cross are written into ``crossings``: add them to the events and
    call again.
    """
    n = edges.shape[0]
    active = np.empty(n, dtype=np.int64)
    x = np.empty(n, dtype=np.float64)
    n_active, following, n_crossings = 0, 0, 0
    area = 0.0
    for i in range(events.size - 1):
        low, high = events[i], events[i + 1]
        middle = 0.5 * (low + high)
        kept = 0
        for a in range(n_active):
            if edges[active[a], 3] > low:
                active[kept] = active[a]
                kept += 1
        n_active = kept
        while following < n and edges[following, 1] <= low:
            active[n_active] = following
            n_active += 1
            following += 1
        for a in range(n_active):  # insertion sort: the order hardly changes between strips
            e = active[a]
            slope = (edges[e, 2] - edges[e, 0]) / (edges[e, 3] - edges[e, 1])
            value = edges[e, 0] + (middle - edges[e, 1]) * slope
            b = a
            while b > 0 and x[b - 1] > value:
                x[b], active[b] = x[b - 1], active[b - 1]
                b -= 1
            x[b], active[b] = value, e
        for a in range(0, n_active - 1, 2):
            area += (x[a + 1] - x[a]) * (high - low)
        for a in range(n_active - 1):
            e, f = active[a], active[a + 1]
            slope_e = (edges[e, 2] - edges[e, 0]) / (edges[e, 3] - edges[e, 1])
            slope_f = (edges[f, 2] - edges[f, 0]) / (edges[f, 3] - edges[f, 1])
            half = 0.5 * (high - low)
            apart = x[a + 1] - x[a]
            change = (slope_f - slope_e) * half
            if abs(change) > apart + 1e-9 and n_crossings < crossings.size:
                crossings[n_crossings] = middle - half * apart / change
                n_crossings += 1
    return area, n_crossings
