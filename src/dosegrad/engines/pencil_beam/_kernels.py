"""Compiled loops of the pencil beam; ``_reference`` holds the same in plain NumPy.

Along each ray the voxels are met in ascending order, block by block, so that the rows of a column
come out sorted without a sort. What all columns of a ray share (distance, depth, place in the
lattice of buckets) is worked out once for each voxel.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dosegrad.compiled import kernel, parallel_kernel, prange
from dosegrad.engines.pencil_beam._arrays import BLOCK, FIRST_GAUSSIAN, Rays, Scene, Tables

__all__ = ["add_dose", "count_entries", "fill_entries"]

#: exp(-n / 8); beyond the end it is below 2e-18 and counts as nothing.
_EXPONENTIALS = np.exp(-np.arange(328) / 8.0)
_FARTHEST = 40.0
HALF_PER_PI = 0.5 / np.pi

Array1: TypeAlias = NDArray[np.float64]
Array2: TypeAlias = NDArray[np.float64]


@kernel
def decay(x: float) -> float:
    """The function exp(-x) of x >= 0, to 1e-10 of its value: a table and five Taylor terms."""
    if x > _FARTHEST:
        return 0.0
    n = int(8.0 * x + 0.5)
    f = 0.125 * n - x
    series = 1.0 + f * (1.0 + f * (0.5 + f * (1 / 6 + f * (1 / 24 + f * (1 / 120)))))
    return float(_EXPONENTIALS[n] * series)


@kernel
def _misses(scene: Scene, block: int, x: float, y: float, bound: float) -> bool:
    """Whether a block lies farther from (x, y) than ``bound`` in the isocentre plane."""
    dx = max(scene.blocks[block, 0] - x, 0.0, x - scene.blocks[block, 1])
    dy = max(scene.blocks[block, 2] - y, 0.0, y - scene.blocks[block, 3])
    return bool(dx * dx + dy * dy > bound * bound)


@kernel
def _near(scene: Scene, rays: Rays, ray: int, found: Array2, places: NDArray[np.int32]) -> int:
    """Number of voxels in reach of a ray.

    Their squared distance and depth go into ``found`` (n, 2), row and bucket into ``places``.
    """
    x, y = rays.axes[ray, 0], rays.axes[ray, 1]
    ux, uy, uz = rays.axes[ray, 2], rays.axes[ray, 3], rays.axes[ray, 4]
    thickness, bound = rays.axes[ray, 5], rays.bounds[ray]
    start, rate, step = rays.lattice[0], rays.lattice[1], rays.lattice[2]
    envelope = rays.envelopes[ray]
    widest = bound * bound
    n = 0
    for block in range(scene.blocks.shape[0]):
        if _misses(scene, block, x, y, bound):
            continue
        for voxel in range(block * BLOCK, min((block + 1) * BLOCK, scene.depths.size)):
            px, py, pz = (
                scene.points[voxel, 0] - x,
                scene.points[voxel, 1] - y,
                scene.points[voxel, 2],
            )
            cx, cy, cz = py * uz - pz * uy, pz * ux - px * uz, px * uy - py * ux
            r2 = cx * cx + cy * cy + cz * cz
            if r2 > widest:
                continue
            depth = scene.depths[voxel] + thickness
            bucket = max((depth - start) * rate, 0.0)
            at = int(bucket * step)
            if at < envelope.size and r2 <= envelope[at]:
                found[n, 0], found[n, 1] = r2, depth
                places[n, 0], places[n, 1] = scene.rows[voxel], int(bucket)
                n += 1
    return n


@kernel
def _room(scene: Scene, rays: Rays, ray: int) -> int:
    """Most voxels that a ray may meet."""
    n = 1
    for block in range(scene.blocks.shape[0]):
        if not _misses(scene, block, rays.axes[ray, 0], rays.axes[ray, 1], rays.bounds[ray]):
            n += BLOCK
    return n


@kernel
def _shallower(found: Array2, places: NDArray[np.int32], end: float) -> int:
    """Number of voxels not deeper than ``end``, which move to the front in their order."""
    n = 0
    for i in range(found.shape[0]):
        r2, depth, row, bucket = found[i, 0], found[i, 1], places[i, 0], places[i, 1]
        found[n, 0], found[n, 1] = r2, depth
        places[n, 0], places[n, 1] = row, bucket
        n += depth <= end
    return n


@kernel
def _mix_reach(tables: Tables, rays: Rays, column: int, reach: Array2) -> None:
    """Squared reach of a column and its slope at the knots of its energy, mm2."""
    energy, share = rays.energies[column], rays.shares[column]
    near, far = rays.reaches[column, 0], rays.reaches[column, 1]
    for knot in range(tables.starts[energy + 1] - tables.starts[energy]):
        for k in range(2):
            a, b = tables.reach[near + knot, k], tables.reach[far + knot, k]
            reach[knot, k] = a + share * (b - a)


@kernel
def _pick(
    found: Array2,
    places: NDArray[np.int32],
    depths: Array1,
    buckets: NDArray[np.int32],
    reach: Array2,
    picked: NDArray[np.int32],
    behinds: Array1,
) -> int:
    """Number of voxels near a ray that a column reaches; which, their knots, mm behind those.

    Every voxel is written and only those in reach are kept, so that nothing hangs on a branch
    that the processor cannot foresee. A bucket seldom holds more than one knot.
    """
    last = depths.size - 1
    n = 0
    for i in range(found.shape[0]):
        depth = found[i, 1]
        knot = int(buckets[places[i, 1]])
        knot += depths[knot + 1] <= depth
        while knot < last and depths[knot + 1] <= depth:
            knot += 1
        behind = max(depth - depths[knot], 0.0)
        picked[n, 0], picked[n, 1] = i, knot
        behinds[n] = behind
        n += found[i, 0] <= reach[knot, 0] + behind * reach[knot, 1]
    return n


@kernel
def _add_gaussian(r2: Array1, sigma: Array1, share: Array1, variance: float, sum_: Array1) -> None:
    """Add one Gaussian, up to 2 pi; a loop without look-ups, which vector units can take."""
    for n in range(r2.size):
        inverse = 1.0 / (variance + sigma[n] * sigma[n])
        sum_[n] += share[n] * inverse * decay(0.5 * r2[n] * inverse)


@kernel
def _doses(
    found: Array2,
    picked: NDArray[np.int32],
    behinds: Array1,
    values: Array2,
    variance: float,
    work: Array2,
) -> Array1:
    """Dose of a column in the voxels picked, Gy per 10^6 particles, without the cut-off's factor.

    ``work`` (5, n) is room to compute in; the result is its first row.
    """
    dose: Array1 = work[0]
    r2, sum_, sigma, share = work[1], work[2], work[3], work[4]
    for n in range(dose.size):
        knot, behind = picked[n, 1], behinds[n]
        r2[n] = found[picked[n, 0], 0]
        dose[n] = (values[knot, 0] + behind * values[knot, 1]) * HALF_PER_PI
        sum_[n] = 0.0
    for k in range((values.shape[1] - FIRST_GAUSSIAN) >> 2):
        at = FIRST_GAUSSIAN + 4 * k
        for n in range(dose.size):
            knot, behind = picked[n, 1], behinds[n]
            sigma[n] = values[knot, at] + behind * values[knot, at + 1]
            share[n] = values[knot, at + 2] + behind * values[knot, at + 3]
        _add_gaussian(r2, sigma, share, variance, sum_)
    for n in range(dose.size):
        dose[n] *= sum_[n]
    return dose


@kernel
def _next_column(
    rays: Rays,
    tables: Tables,
    column: int,
    found: Array2,
    places: NDArray[np.int32],
    reach: Array2,
    picked: NDArray[np.int32],
    behinds: Array1,
) -> tuple[int, int]:
    """Numbers of voxels that this column and the ray's next ones may reach, and that it reaches."""
    energy = rays.energies[column]
    depths = tables.depths[tables.starts[energy] : tables.starts[energy + 1]]
    left = _shallower(found, places, depths[depths.size - 1])
    _mix_reach(tables, rays, column, reach)
    buckets = tables.buckets[tables.bucket_starts[energy] : tables.bucket_starts[energy + 1]]
    n = _pick(found[:left], places[:left], depths, buckets, reach, picked, behinds)
    return left, n


@parallel_kernel
def count_entries(
    scene: Scene, rays: Rays, tables: Tables, first: int, last: int, counts: NDArray[np.int64]
) -> None:
    """Number of entries of each column on the rays from ``first`` to before ``last``."""
    for ray in prange(first, last):
        room = _room(scene, rays, ray)
        found, places = np.empty((room, 2)), np.empty((room, 2), dtype=np.int32)
        picked, behinds = np.empty((room, 2), dtype=np.int32), np.empty(room)
        reach = np.empty((tables.most_knots, 2))
        left = _near(scene, rays, ray, found, places)
        for i in range(rays.offsets[ray], rays.offsets[ray + 1]):
            column = rays.columns[i]
            left, n = _next_column(
                rays, tables, column, found[:left], places[:left], reach, picked, behinds
            )
            counts[column] = n


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

    ``heads`` (n_columns,): where the entries of each column begin. ``let_dose`` is left alone if
    it has no element.
    """
    for ray in prange(first, last):
        room = _room(scene, rays, ray)
        found, places = np.empty((room, 2)), np.empty((room, 2), dtype=np.int32)
        picked, behinds = np.empty((room, 2), dtype=np.int32), np.empty(room)
        reach, work = np.empty((tables.most_knots, 2)), np.empty((5, room))
        left = _near(scene, rays, ray, found, places)
        for i in range(rays.offsets[ray], rays.offsets[ray + 1]):
            column = rays.columns[i]
            left, n = _next_column(
                rays, tables, column, found[:left], places[:left], reach, picked, behinds
            )
            energy, at = rays.energies[column], heads[column]
            values = tables.values[tables.starts[energy] : tables.starts[energy + 1]]
            doses = _doses(found, picked[:n], behinds, values, rays.variances[column], work[:, :n])
            for m in range(n):
                indices[at + m] = places[picked[m, 0], 0]
                dose[at + m] = factor * doses[m]
            if let_dose.size > 0:
                for m in range(n):
                    knot = picked[m, 1]
                    let = values[knot, 2] + behinds[m] * values[knot, 3]
                    let_dose[at + m] = factor * doses[m] * let


@kernel
def _part_of(scene: Scene, first: int, last: int) -> Scene:
    """Blocks ``first`` to before ``last`` of a scene."""
    begin, end = first * BLOCK, min(last * BLOCK, scene.depths.size)
    return Scene(
        scene.points[begin:end],
        scene.depths[begin:end],
        scene.rows[begin:end],
        scene.blocks[first:last],
    )


@parallel_kernel
def add_dose(
    scene: Scene,
    rays: Rays,
    tables: Tables,
    weights: Array1,
    parts: NDArray[np.int64],
    first: int,
    last: int,
    dose: Array1,
) -> None:
    """Dose (n_rows,) of the rays ``first`` to before ``last``, added to all voxels.

    ``parts`` (n + 1,): blocks at which the parts of the scene begin that are worked on side by
    side. Each part owns its voxels.
    """
    for number in prange(parts.size - 1):
        part = _part_of(scene, parts[number], parts[number + 1])
        room = part.depths.size + 1
        found, places = np.empty((room, 2)), np.empty((room, 2), dtype=np.int32)
        picked, behinds = np.empty((room, 2), dtype=np.int32), np.empty(room)
        reach, work = np.empty((tables.most_knots, 2)), np.empty((5, room))
        for ray in range(first, last):
            left = _near(part, rays, ray, found, places)
            for i in range(rays.offsets[ray], rays.offsets[ray + 1]):
                column = rays.columns[i]
                if weights[column] == 0.0 or left == 0:
                    continue
                left, n = _next_column(
                    rays, tables, column, found[:left], places[:left], reach, picked, behinds
                )
                energy = rays.energies[column]
                values = tables.values[tables.starts[energy] : tables.starts[energy + 1]]
                doses = _doses(
                    found, picked[:n], behinds, values, rays.variances[column], work[:, :n]
                )
                for m in range(n):
                    dose[places[picked[m, 0], 0]] += weights[column] * doses[m]
