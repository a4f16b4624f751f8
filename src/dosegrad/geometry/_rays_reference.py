"""Plain rays: Siddon's sorted crossings; the specification of ``_rays_kernels``.

Source: Siddon 1985, Med. Phys. 12, 252 [Siddon1985]_. Unlike there, the voxels of a ray inside a
plane are settled: a voxel owns its lower faces and not its upper ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, BoolArray
from dosegrad.geometry.grid import Grid

#: A ray that moves less than this along an axis, in voxels, counts as parallel to its planes.
PARALLEL = 1e-12
#: Crossings closer than this, as part of the ray, are one crossing: several planes in one point.
SAME_POINT = 1e-14
#: Chords shorter than this part of the ray neither end nor begin a crossing of a mask.
SLIVER = 1e-12


def trace(grid: Grid, start: Array, end: Array) -> tuple[Array, NDArray[np.int64]]:
    """Crossings ``alpha`` (m + 1,) of a ray with the grid's planes and the voxels (m,) between.

    Both are empty if the ray misses the grid or has no length.
    """
    nothing = np.empty(0), np.empty(0, dtype=np.int64)
    u = grid.to_index(start) + 0.5
    d = grid.to_index(end) + 0.5 - u
    shape = np.asarray(grid.shape)
    moving = np.abs(d) >= PARALLEL
    beside = ~moving & ((u < 0) | (u >= shape))
    if beside.any() or not moving.any():
        return nothing
    low, high = -u[moving] / d[moving], (shape - u)[moving] / d[moving]
    first = max(0.0, float(np.minimum(low, high).max()))
    last = min(1.0, float(np.maximum(low, high).min()))
    if first >= last:
        return nothing
    planes = [(np.arange(shape[k] + 1) - u[k]) / d[k] for k in np.flatnonzero(moving)]
    alphas = np.concatenate(planes)
    alphas = np.sort(alphas[(alphas > first) & (alphas < last)])
    alphas = np.concatenate([[first], alphas, [last]])
    apart = np.diff(alphas) > SAME_POINT
    alphas = np.append(alphas[:-1][apart], last)
    middle = (alphas[:-1] + alphas[1:]) / 2
    cells = np.floor(u + middle[:, None] * np.where(moving, d, 0.0)).astype(np.int64)
    cells = np.clip(cells, 0, shape - 1)
    voxels: NDArray[np.int64] = np.ravel_multi_index(tuple(cells.T), grid.shape).astype(np.int64)
    return alphas, voxels


def path_integrals(grid: Grid, values: Array, starts: Array, ends: Array) -> Array:
    """Integrals (n,) of ``values`` along rays, mm; see :func:`dosegrad.geometry.rays`."""
    result = np.zeros(len(ends))
    for ray, (start, end) in enumerate(zip(np.broadcast_to(starts, ends.shape), ends, strict=True)):
        alphas, voxels = trace(grid, start, end)
        if voxels.size:
            length = np.linalg.norm(end - start)
            result[ray] = length * (np.diff(alphas) @ values.ravel()[voxels])
    return result


def crossings(
    grid: Grid, mask: BoolArray, starts: Array, ends: Array
) -> tuple[NDArray[np.int64], Array, Array]:
    """Offsets (n + 1,) and the parameters at which rays enter and leave a mask."""
    entries: list[float] = []
    exits: list[float] = []
    offsets = [0]
    for start, end in zip(np.broadcast_to(starts, ends.shape), ends, strict=True):
        alphas, voxels = trace(grid, start, end)
        long_enough = np.diff(alphas) > SLIVER
        begins, final = alphas[:-1][long_enough], alphas[-1:]
        inside = np.concatenate([[False], mask.ravel()[voxels[long_enough]], [False]])
        changes = np.concatenate([begins, final])[np.flatnonzero(np.diff(inside))]
        entries.extend(changes[0::2])
        exits.extend(changes[1::2])
        offsets.append(len(entries))
    return np.array(offsets, dtype=np.int64), np.array(entries), np.array(exits)
