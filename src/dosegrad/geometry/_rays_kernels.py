"""Compiled marching of rays through a grid; the plain twin is ``_rays_reference``.

Along a ray, position in units of voxels is ``u = u0 + alpha d`` with voxel ``i`` between the planes
``i`` and ``i + 1``. The next crossing of each axis is computed from the number of its plane,
``alpha = (plane - u0) / d``, never by adding steps, so errors do not grow along the ray.
Source: Siddon 1985, Med. Phys. 12, 252 [Siddon1985]_; the march without sorting is that of
Amanatides and Woo 1987, Eurographics 87, 3 [Amanatides1987]_.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, BoolArray
from dosegrad.compiled import kernel, parallel_kernel, prange

Vector: TypeAlias = tuple[float, float, float]
Axis: TypeAlias = tuple[float, float, float, float, float]

#: A ray that moves less than this along an axis, in voxels, counts as parallel to its planes.
PARALLEL = 1e-12
#: Chords shorter than this part of the ray neither end nor begin a crossing.
SLIVER = 1e-12

# Rays are dealt in blocks to lanes and lanes to threads, so that a slow end of the list is shared.
_LANES = 64
_BLOCK = 128


@kernel
def _index_of(point: Array, frame: Array, axis: int) -> float:
    """Position of a point along one grid axis in voxels, counted from the grid's first face."""
    local = (
        (point[0] - frame[0, 0]) * frame[1 + axis, 0]
        + (point[1] - frame[0, 1]) * frame[1 + axis, 1]
        + (point[2] - frame[0, 2]) * frame[1 + axis, 2]
    )
    return float(local / frame[4, axis] + 0.5)


@kernel
def _span(u: float, d: float, low: float, high: float) -> tuple[float, float]:
    """Parameters at which a ray enters and leaves the slab between two planes."""
    if abs(d) < PARALLEL:
        if low <= u < high:
            return -np.inf, np.inf
        return np.inf, -np.inf
    at_low = (low - u) * (1.0 / d)
    at_high = (high - u) * (1.0 / d)
    if d > 0.0:
        return at_low, at_high
    return at_high, at_low


@kernel
def _first(u: float, d: float, alpha: float, low: float, high: float) -> Axis:
    """First voxel of a ray along one axis, plane ahead, step of planes, 1/d and next crossing."""
    if abs(d) < PARALLEL:
        return math.floor(u), 0.0, 0.0, 0.0, np.inf
    voxel = min(max(math.floor(u + alpha * d), low), high - 1.0)
    inverse = 1.0 / d
    if d > 0.0:
        return voxel, voxel + 1.0, 1.0, inverse, (voxel + 1.0 - u) * inverse
    return voxel, voxel, -1.0, inverse, (voxel - u) * inverse


@kernel
def _limits(u: Vector, d: Vector, box: Array) -> tuple[float, float]:
    """Parameters at which a ray enters and leaves the box; equal if it misses it."""
    in_x, out_x = _span(u[0], d[0], box[0, 0], box[1, 0])
    in_y, out_y = _span(u[1], d[1], box[0, 1], box[1, 1])
    in_z, out_z = _span(u[2], d[2], box[0, 2], box[1, 2])
    at = max(0.0, in_x, in_y, in_z)
    last = min(1.0, out_x, out_y, out_z)
    if at >= last or max(abs(d[0]), abs(d[1]), abs(d[2])) < PARALLEL:
        return 0.0, 0.0
    return at, last


@kernel
def _line(frame: Array, start: Array, end: Array) -> tuple[Vector, Vector]:
    """Start of a ray and its whole way, (x, y, z) in voxels along the grid's axes."""
    x, y, z = _index_of(start, frame, 0), _index_of(start, frame, 1), _index_of(start, frame, 2)
    dx = _index_of(end, frame, 0) - x
    dy = _index_of(end, frame, 1) - y
    dz = _index_of(end, frame, 2) - z
    return (x, y, z), (dx, dy, dz)


@kernel
def _integral(
    values: Array, shape: Array, frame: Array, box: Array, start: Array, end: Array
) -> float:
    """Sum of chord length times value along one ray, mm."""
    u, d = _line(frame, start, end)
    at, last = _limits(u, d, box)
    if at >= last:
        return 0.0
    ix, plane_x, step_x, inverse_x, next_x = _first(u[0], d[0], at, box[0, 0], box[1, 0])
    iy, plane_y, step_y, inverse_y, next_y = _first(u[1], d[1], at, box[0, 1], box[1, 1])
    iz, plane_z, step_z, inverse_z, next_z = _first(u[2], d[2], at, box[0, 2], box[1, 2])
    row, slab = int(shape[0]), int(shape[0]) * int(shape[1])
    voxel = int(ix) + row * int(iy) + slab * int(iz)
    jump_x, jump_y, jump_z = int(step_x), row * int(step_y), slab * int(step_z)
    total = 0.0
    while True:
        leave = min(next_x, next_y, next_z)
        if leave >= last:
            break
        if leave > at:
            total += (leave - at) * values[voxel]
            at = leave
        if next_x == leave:
            voxel += jump_x
            plane_x += step_x
            next_x = (plane_x - u[0]) * inverse_x
        elif next_y == leave:
            voxel += jump_y
            plane_y += step_y
            next_y = (plane_y - u[1]) * inverse_y
        else:
            voxel += jump_z
            plane_z += step_z
            next_z = (plane_z - u[2]) * inverse_z
    total += (last - at) * values[voxel]
    dx, dy, dz = end[0] - start[0], end[1] - start[1], end[2] - start[2]
    return float(total * math.sqrt(dx * dx + dy * dy + dz * dz))


@parallel_kernel
def path_integrals(
    values: Array, shape: Array, frame: Array, box: Array, starts: Array, ends: Array, out: Array
) -> None:
    """Integrals (n,) of flat ``values`` along rays; one row of ``starts`` serves all rays."""
    n = out.size
    common = starts.shape[0] == 1
    for lane in prange(_LANES):
        for block in range(lane * _BLOCK, n, _LANES * _BLOCK):
            for ray in range(block, min(block + _BLOCK, n)):
                start = starts[0 if common else ray]
                out[ray] = _integral(values, shape, frame, box, start, ends[ray])


@kernel
def _scan(
    mask: BoolArray,
    shape: Array,
    frame: Array,
    box: Array,
    start: Array,
    end: Array,
    intervals: Array,
) -> int:
    """Number of intervals of one ray inside the mask; ``intervals`` (k, 2) are written if k > 0."""
    u, d = _line(frame, start, end)
    at, last = _limits(u, d, box)
    if at >= last:
        return 0
    ix, plane_x, step_x, inverse_x, next_x = _first(u[0], d[0], at, box[0, 0], box[1, 0])
    iy, plane_y, step_y, inverse_y, next_y = _first(u[1], d[1], at, box[0, 1], box[1, 1])
    iz, plane_z, step_z, inverse_z, next_z = _first(u[2], d[2], at, box[0, 2], box[1, 2])
    row, slab = int(shape[0]), int(shape[0]) * int(shape[1])
    voxel = int(ix) + row * int(iy) + slab * int(iz)
    jump_x, jump_y, jump_z = int(step_x), row * int(step_y), slab * int(step_z)
    edges = 0
    write = intervals.shape[0] > 0
    while True:
        leave = min(next_x, next_y, next_z)
        if min(leave, last) - at > SLIVER and mask[voxel] != (edges % 2 == 1):
            if write:
                intervals[edges // 2, edges % 2] = at
            edges += 1
        if leave >= last:
            break
        at = max(at, leave)
        if next_x == leave:
            voxel += jump_x
            plane_x += step_x
            next_x = (plane_x - u[0]) * inverse_x
        elif next_y == leave:
            voxel += jump_y
            plane_y += step_y
            next_y = (plane_y - u[1]) * inverse_y
        else:
            voxel += jump_z
            plane_z += step_z
            next_z = (plane_z - u[2]) * inverse_z
    if edges % 2 == 1 and write:
        intervals[edges // 2, 1] = last
    return (edges + 1) // 2


@parallel_kernel
def crossings(
    mask: BoolArray,
    shape: Array,
    frame: Array,
    box: Array,
    starts: Array,
    ends: Array,
    offsets: NDArray[np.int64],
    intervals: Array,
) -> None:
    """Intervals (m, 2) of rays inside a mask, those of ray i from row ``offsets[i]`` on.

    Where ``intervals`` is empty the number of those of ray i is written to ``offsets[i + 1]``.
    """
    n = ends.shape[0]
    common = starts.shape[0] == 1
    count_only = intervals.shape[0] == 0
    for lane in prange(_LANES):
        for block in range(lane * _BLOCK, n, _LANES * _BLOCK):
            for ray in range(block, min(block + _BLOCK, n)):
                start = starts[0 if common else ray]
                if count_only:
                    found = _scan(mask, shape, frame, box, start, ends[ray], intervals)
                    offsets[ray + 1] = found
                elif offsets[ray + 1] > offsets[ray]:
                    part = intervals[offsets[ray] : offsets[ray + 1]]
                    _scan(mask, shape, frame, box, start, ends[ray], part)
