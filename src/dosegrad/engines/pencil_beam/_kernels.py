"""Compiled loops of the pencil beam; ``_reference`` holds the same in plain NumPy.

All kernels walk the rays of one beam. Along each ray they meet the voxels in ascending order,
block by block, so that the rows of a column come out sorted without a sort and without scratch.
"""

from __future__ import annotations

from math import exp, pi

import numpy as np
from numpy.typing import NDArray

from dosegrad.compiled import kernel, parallel_kernel, prange
from dosegrad.engines.pencil_beam._arrays import BLOCK, Rays, Scene, Tables

__all__ = ["add_dose", "count_entries", "fill_entries"]


@kernel
def _misses(scene: Scene, block: int, x: float, y: float, bound: float) -> bool:
    """Whether a block lies farther from (x, y) than ``bound`` in the isocentre plane."""
    box = scene.blocks[block]
    dx = max(box[0] - x, 0.0, x - box[1])
    dy = max(box[2] - y, 0.0, y - box[3])
    return bool(dx * dx + dy * dy > bound * bound)


@kernel
def _squared_distance(scene: Scene, voxel: int, axis: NDArray[np.float64]) -> float:
    """Squared distance of a voxel from a ray, perpendicular to it, mm2."""
    px = scene.points[voxel, 0] - axis[0]
    py = scene.points[voxel, 1] - axis[1]
    pz = scene.points[voxel, 2]
    cx = py * axis[4] - pz * axis[3]
    cy = pz * axis[2] - px * axis[4]
    cz = px * axis[3] - py * axis[2]
    return float(cx * cx + cy * cy + cz * cz)


@kernel
def _knot_before(tables: Tables, energy: int, depth: float) -> int:
    """Knot at or before a depth inside the table of an energy."""
    first = tables.starts[energy]
    last = tables.starts[energy + 1] - 1
    bucket = int((depth - tables.knots[first, 0]) * tables.bucket_rates[energy])
    knot = tables.buckets[tables.bucket_starts[energy] + bucket]
    while knot > first and tables.knots[knot, 0] > depth:
        knot -= 1
    while knot < last - 1 and tables.knots[knot + 1, 0] <= depth:
        knot += 1
    return int(knot)


@kernel
def _place(tables: Tables, rays: Rays, column: int, depth: float, r2: float) -> tuple[int, float]:
    """Knot and share of the next knot at a depth; knot -1 where the column does not reach."""
    energy = rays.energies[column]
    first = tables.starts[energy]
    last = tables.starts[energy + 1] - 1
    if r2 > rays.limits[column] or depth > tables.knots[last, 0]:
        return -1, 0.0
    depth = max(depth, tables.knots[first, 0])
    knot = _knot_before(tables, energy, depth)
    low = tables.knots[knot, 0]
    share = (depth - low) / (tables.knots[knot + 1, 0] - low)
    near = rays.reaches[column, 0] + knot - first
    far = rays.reaches[column, 1] + knot - first
    a = tables.reach[near] + share * (tables.reach[near + 1] - tables.reach[near])
    b = tables.reach[far] + share * (tables.reach[far + 1] - tables.reach[far])
    if r2 > a + rays.shares[column] * (b - a):
        return -1, 0.0
    return knot, share


@kernel
def _dose(tables: Tables, knot: int, share: float, r2: float, variance: float) -> float:
    """Dose of one column in one voxel, Gy per 10^6 particles, without the cut-off's factor."""
    low = tables.knots[knot]
    high = tables.knots[knot + 1]
    n_gaussians = (low.size - 3) // 2
    lateral = 0.0
    for k in range(n_gaussians):
        sigma = low[3 + k] + share * (high[3 + k] - low[3 + k])
        weight_at = 3 + n_gaussians + k
        weight = low[weight_at] + share * (high[weight_at] - low[weight_at])
        spread = variance + sigma * sigma
        lateral += weight * exp(-0.5 * r2 / spread) / spread
    return float((low[1] + share * (high[1] - low[1])) * lateral / (2.0 * pi))


@kernel
def _walk_count(
    scene: Scene, rays: Rays, tables: Tables, ray: int, counts: NDArray[np.int64]
) -> None:
    """Add the entries of one ray's columns to ``counts``."""
    axis = rays.axes[ray]
    for block in range(scene.blocks.shape[0]):
        if _misses(scene, block, axis[0], axis[1], rays.bounds[ray]):
            continue
        for voxel in range(block * BLOCK, min((block + 1) * BLOCK, scene.depths.size)):
            r2 = _squared_distance(scene, voxel, axis)
            depth = scene.depths[voxel] + axis[5]
            for i in range(rays.offsets[ray], rays.offsets[ray + 1]):
                column = rays.columns[i]
                knot, _ = _place(tables, rays, column, depth, r2)
                if knot >= 0:
                    counts[column] += 1


@parallel_kernel
def count_entries(
    scene: Scene, rays: Rays, tables: Tables, first: int, last: int, counts: NDArray[np.int64]
) -> None:
    """Number of entries of each column on the rays from ``first`` to before ``last``."""
    for ray in prange(first, last):
        _walk_count(scene, rays, tables, ray, counts)


@kernel
def _walk_fill(
    scene: Scene,
    rays: Rays,
    tables: Tables,
    factor: float,
    ray: int,
    heads: NDArray[np.int64],
    indices: NDArray[np.int32],
    dose: NDArray[np.float32],
    let_dose: NDArray[np.float32],
) -> None:
    """Write the entries of one ray's columns; ``heads`` tells where each one goes on."""
    axis = rays.axes[ray]
    for block in range(scene.blocks.shape[0]):
        if _misses(scene, block, axis[0], axis[1], rays.bounds[ray]):
            continue
        for voxel in range(block * BLOCK, min((block + 1) * BLOCK, scene.depths.size)):
            r2 = _squared_distance(scene, voxel, axis)
            depth = scene.depths[voxel] + axis[5]
            for i in range(rays.offsets[ray], rays.offsets[ray + 1]):
                column = rays.columns[i]
                knot, share = _place(tables, rays, column, depth, r2)
                if knot < 0:
                    continue
                value = factor * _dose(tables, knot, share, r2, rays.variances[column])
                at = heads[column]
                heads[column] = at + 1
                indices[at] = voxel
                dose[at] = value
                if let_dose.size > 0:
                    low = tables.knots[knot, 2]
                    let_dose[at] = value * (low + share * (tables.knots[knot + 1, 2] - low))


@parallel_kernel
def fill_entries(
    scene: Scene,
    rays: Rays,
    tables: Tables,
    factor: float,
    first: int,
    last: int,
    heads: NDArray[np.int64],
    indices: NDArray[np.int32],
    dose: NDArray[np.float32],
    let_dose: NDArray[np.float32],
) -> None:
    """Rows and values of the columns on some rays, into the arrays of the whole matrix.

    ``heads`` (n_columns,): where the entries of each column begin; moved to their end.
    ``let_dose`` is left alone if it has no element.
    """
    for ray in prange(first, last):
        _walk_fill(scene, rays, tables, factor, ray, heads, indices, dose, let_dose)


@kernel
def _add_block(
    scene: Scene,
    rays: Rays,
    tables: Tables,
    weights: NDArray[np.float64],
    block: int,
    dose: NDArray[np.float64],
) -> None:
    """Add the dose of all columns to the voxels of one block."""
    for ray in range(rays.bounds.size):
        axis = rays.axes[ray]
        if _misses(scene, block, axis[0], axis[1], rays.bounds[ray]):
            continue
        for voxel in range(block * BLOCK, min((block + 1) * BLOCK, scene.depths.size)):
            r2 = _squared_distance(scene, voxel, axis)
            depth = scene.depths[voxel] + axis[5]
            for i in range(rays.offsets[ray], rays.offsets[ray + 1]):
                column = rays.columns[i]
                if weights[column] == 0.0:
                    continue
                knot, share = _place(tables, rays, column, depth, r2)
                if knot >= 0:
                    variance = rays.variances[column]
                    dose[voxel] += weights[column] * _dose(tables, knot, share, r2, variance)


@parallel_kernel
def add_dose(
    scene: Scene,
    rays: Rays,
    tables: Tables,
    weights: NDArray[np.float64],
    first: int,
    last: int,
    dose: NDArray[np.float64],
) -> None:
    """Dose (n_voxels,) of all columns, added to blocks ``first`` to before ``last``."""
    for block in prange(first, last):
        _add_block(scene, rays, tables, weights, block, dose)
