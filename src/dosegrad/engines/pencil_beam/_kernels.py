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
from dosegrad.engines.pencil_beam._arrays import (
    BLOCK,
    FIRST_GAUSSIAN,
    Biology,
    Rays,
    Scene,
    Tables,
)

__all__ = ["add_dose", "count_entries", "fill_entries"]

#: exp(-n / 8); beyond the end it is below 2e-18 and counts as nothing.
_EXPONENTIALS = np.exp(-np.arange(328) / 8.0)
_FARTHEST = 40.0
HALF_PER_PI = 0.5 / np.pi

Array1: TypeAlias = NDArray[np.float64]
Array2: TypeAlias = NDArray[np.float64]
Places1: TypeAlias = NDArray[np.int32]
Places: TypeAlias = NDArray[np.int32]
Floats: TypeAlias = NDArray[np.float32]

ONE = np.uint64(1)
#: Voxels that have become too deep are dropped once every so many columns.
_SIEVE_EVERY = 4


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
def _on_axis(profile: Array1, stations: Array1, distance: float) -> float:
    """Depth on a ray at a distance along it, linear between its stations."""
    place = (distance - stations[0]) / stations[1]
    place = min(max(place, 0.0), profile.size - 1.000001)
    first = int(place)
    return float(profile[first] + (place - first) * (profile[first + 1] - profile[first]))


@kernel
def _near(scene: Scene, rays: Rays, ray: int, found: Array2, places: Places) -> int:
    """Number of voxels in reach of a ray.

    Their squared distances and depths become the rows of ``found`` (2, n), their rows in the
    matrix and their buckets those of ``places``.
    """
    x, y = rays.axes[ray, 0], rays.axes[ray, 1]
    ux, uy, uz = rays.axes[ray, 2], rays.axes[ray, 3], rays.axes[ray, 4]
    thickness, bound = rays.axes[ray, 5], rays.bounds[ray]
    start, rate, step = rays.lattice[0], rays.lattice[1], rays.lattice[2]
    envelope, profile = rays.envelopes[ray], rays.profiles[ray]
    widest = bound * bound
    r2s, depths, rows, buckets = found[0], found[1], places[0], places[1]
    n = 0
    for block in range(scene.blocks.shape[0]):
        if _misses(scene, block, x, y, bound):
            continue
        for voxel in range(block * BLOCK, min((block + 1) * BLOCK, scene.depths.size)):
            px, py = scene.points[voxel, 0] - x, scene.points[voxel, 1] - y
            pz = scene.points[voxel, 2]
            cx, cy, cz = py * uz - pz * uy, pz * ux - px * uz, px * uy - py * ux
            r2 = cx * cx + cy * cy + cz * cz
            if r2 > widest:
                continue
            if profile.size == 0:
                depth = scene.depths[voxel] + thickness
            else:
                at_ray = px * ux + py * uy + pz * uz
                depth = _on_axis(profile, rays.stations, at_ray) + thickness
            bucket = max((depth - start) * rate, 0.0)
            at = int(bucket * step)
            if at < envelope.size and r2 <= envelope[at]:
                r2s[n], depths[n], rows[n], buckets[n] = r2, depth, scene.rows[voxel], int(bucket)
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
def _shallower(found: Array2, places: Places, n: int, end: float) -> int:
    """Number of the first ``n`` voxels not deeper than ``end``; they move up in their order."""
    r2s, depths, rows, buckets = found[0], found[1], places[0], places[1]
    left = 0
    for i in range(n):
        depth = depths[i]
        r2s[left], depths[left] = r2s[i], depth
        rows[left], buckets[left] = rows[i], buckets[i]
        left += depth <= end
    return left


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
def _knot_of(
    depth: float, bucket: int, knot_depths: Array1, bucket_knots: Places1, most: int
) -> np.uint64:
    """Last knot at or before a depth, by its bucket, which holds at most ``most`` knots.

    Unsigned, so that no look-up tests its sign.
    """
    last = np.uint64(knot_depths.size - 1)
    knot = np.uint64(bucket_knots[np.uint64(min(bucket, bucket_knots.size - 1))])
    knot += np.uint64(knot_depths[knot + ONE] <= depth)
    if most > 1:
        while knot < last and knot_depths[knot + ONE] <= depth:
            knot += ONE
    return knot


@kernel
def _count(
    found: Array2,
    places: Places,
    left: int,
    knot_depths: Array1,
    bucket_knots: Places1,
    most: int,
    reach: Array2,
) -> int:
    """Number of the first ``left`` voxels that a column reaches."""
    r2s, depths, buckets = found[0], found[1], places[1]
    end = knot_depths[knot_depths.size - 1]
    n = 0
    for i in range(left):
        knot = _knot_of(depths[i], buckets[i], knot_depths, bucket_knots, most)
        behind = max(depths[i] - knot_depths[knot], 0.0)
        n += (r2s[i] <= reach[knot, 0] + behind * reach[knot, 1]) & (depths[i] <= end)
    return n


@kernel
def _pick(
    found: Array2,
    places: Places,
    left: int,
    knot_depths: Array1,
    bucket_knots: Places1,
    most: int,
    reach: Array2,
    picked: Places,
    work: Array2,
) -> int:
    """Number of the first ``left`` voxels that a column reaches.

    Their rows and knots become the rows of ``picked``, their squared distances and mm behind the
    knots the first of ``work``. In the first loop every voxel is written and only those in reach
    are kept, so that nothing hangs on a branch that the processor cannot foresee.
    """
    r2s, depths, rows, buckets = found[0], found[1], places[0], places[1]
    numbers, knots, r2_in, behinds = picked[0], picked[1], work[0], work[1]
    end = knot_depths[knot_depths.size - 1]
    n = 0
    for i in range(left):
        depth = depths[i]
        knot = _knot_of(depth, buckets[i], knot_depths, bucket_knots, most)
        behind = max(depth - knot_depths[knot], 0.0)
        numbers[n], knots[n] = i, knot
        n += (r2s[i] <= reach[knot, 0] + behind * reach[knot, 1]) & (depth <= end)
    for m in range(n):
        at = np.uint64(numbers[m])
        r2_in[m] = r2s[at]
        behinds[m] = max(depths[at] - knot_depths[np.uint64(knots[m])], 0.0)
        numbers[m] = rows[at]
    return n


@kernel
def _next_column(
    rays: Rays,
    tables: Tables,
    number: int,
    found: Array2,
    places: Places,
    left: int,
    reach: Array2,
    picked: Places,
    work: Array2,
) -> tuple[int, int]:
    """Numbers of voxels that this column and the ray's next ones may reach, and that it reaches.

    ``number`` is the place in ``rays.columns``. Which voxels they are is written unless
    ``picked`` is empty.
    """
    column = rays.columns[number]
    energy = rays.energies[column]
    depths = tables.depths[tables.starts[energy] : tables.starts[energy + 1]]
    if number % _SIEVE_EVERY == 0:
        left = _shallower(found, places, left, depths[depths.size - 1])
    _mix_reach(tables, rays, column, reach)
    buckets = tables.buckets[tables.bucket_starts[energy] : tables.bucket_starts[energy + 1]]
    most = tables.most_in_bucket
    if picked.shape[1] > 0:
        n = _pick(found, places, left, depths, buckets, most, reach, picked, work)
    else:
        n = _count(found, places, left, depths, buckets, most, reach)
    return left, n


@kernel
def _add_gaussian(
    values: Array2, at: int, knots: NDArray[np.int32], variance: float, work: Array2
) -> None:
    """Add one Gaussian, up to 2 pi, to the last row of ``work``."""
    r2, behinds, sum_, spreads, shares = work[0], work[1], work[2], work[3], work[4]
    for n in range(knots.size):
        knot, behind = np.uint64(knots[n]), behinds[n]
        sigma = values[knot, at] + behind * values[knot, at + 1]
        spreads[n] = variance + sigma * sigma
        shares[n] = values[knot, at + 2] + behind * values[knot, at + 3]
    # apart from the look-ups, so that vector units can take it
    for n in range(knots.size):
        inverse = 1.0 / spreads[n]
        sum_[n] += shares[n] * inverse * decay(0.5 * r2[n] * inverse)


@kernel
def _doses(
    values: Array2, knots: NDArray[np.int32], variance: float, factor: float, work: Array2
) -> Array1:
    """Dose of a column in the voxels picked, Gy per 10^6 particles, times ``factor``.

    ``work`` (5, n) holds squared distances and mm behind the knots, and is room to compute in.
    """
    behinds, sum_, doses = work[1], work[2], work[3]
    sum_[: knots.size] = 0.0
    for k in range((values.shape[1] - FIRST_GAUSSIAN) >> 2):
        _add_gaussian(values, FIRST_GAUSSIAN + 4 * k, knots, variance, work)
    for n in range(knots.size):
        knot = np.uint64(knots[n])
        doses[n] = values[knot, 0] + behinds[n] * values[knot, 1]
    for n in range(knots.size):
        doses[n] *= sum_[n] * (factor * HALF_PER_PI)
    result: Array1 = doses[: knots.size]
    return result


@kernel
def _fill_let(
    values: Array2, knots: Places1, behinds: Array1, doses: Array1, let_dose: Floats
) -> None:
    """LET times dose, keV/µm Gy, of the voxels of a column."""
    for m in range(knots.size):
        let = values[knots[m], 2] + behinds[m] * values[knots[m], 3]
        let_dose[m] = doses[m] * let


@kernel
def _fill_biology(
    biology: Biology,
    start: int,
    rows: Places1,
    knots: Places1,
    behinds: Array1,
    doses: Array1,
    alpha_dose: Floats,
    sqrt_beta_dose: Floats,
) -> None:
    """Alpha times dose and the root of beta times dose of the voxels of a column.

    ``start`` is the first knot of the column's energy.
    """
    tables = biology.tables
    for m in range(knots.size):
        knot, at, behind = start + knots[m], 4 * biology.tissue[rows[m]], behinds[m]
        alpha = tables[knot, at] + behind * tables[knot, at + 1]
        beta = tables[knot, at + 2] + behind * tables[knot, at + 3]
        alpha_dose[m] = alpha * doses[m]
        sqrt_beta_dose[m] = np.sqrt(beta) * doses[m]


@parallel_kernel
def count_entries(
    scene: Scene, rays: Rays, tables: Tables, first: int, last: int, counts: NDArray[np.int64]
) -> None:
    """Number of entries of each column on the rays from ``first`` to before ``last``."""
    for ray in prange(first, last):
        room = _room(scene, rays, ray)
        found, places = np.empty((2, room)), np.empty((2, room), dtype=np.int32)
        picked, work = np.empty((2, 0), dtype=np.int32), np.empty((5, 0))
        reach = np.empty((tables.most_knots, 2))
        left = _near(scene, rays, ray, found, places)
        for i in range(rays.offsets[ray], rays.offsets[ray + 1]):
            column = rays.columns[i]
            left, n = _next_column(rays, tables, i, found, places, left, reach, picked, work)
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
    dose: Floats,
    let_dose: Floats,
    biology: Biology,
    alpha_dose: Floats,
    sqrt_beta_dose: Floats,
) -> None:
    """Rows and values of the columns on some rays, into the arrays of the whole matrix.

    ``heads`` (n_columns,): where the entries of each column begin. ``let_dose`` is left alone if
    it has no element, ``alpha_dose`` and ``sqrt_beta_dose`` if ``alpha_dose`` has none.
    """
    for ray in prange(first, last):
        room = _room(scene, rays, ray)
        found, places = np.empty((2, room)), np.empty((2, room), dtype=np.int32)
        picked, work = np.empty((2, room), dtype=np.int32), np.empty((5, room))
        reach = np.empty((tables.most_knots, 2))
        left = _near(scene, rays, ray, found, places)
        for i in range(rays.offsets[ray], rays.offsets[ray + 1]):
            column = rays.columns[i]
            left, n = _next_column(rays, tables, i, found, places, left, reach, picked, work)
            energy, at = rays.energies[column], heads[column]
            values = tables.values[tables.starts[energy] : tables.starts[energy + 1]]
            knots = picked[1, :n]
            doses = _doses(values, knots, rays.variances[column], factor, work)
            indices[at : at + n] = picked[0, :n]
            dose[at : at + n] = doses
            part = slice(at, at + n)
            if let_dose.size > 0:
                _fill_let(values, knots, work[1, :n], doses, let_dose[part])
            if alpha_dose.size > 0:
                _fill_biology(
                    *(biology, tables.starts[energy], picked[0, :n], knots, work[1, :n], doses),
                    *(alpha_dose[part], sqrt_beta_dose[part]),
                )


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
        found, places = np.empty((2, room)), np.empty((2, room), dtype=np.int32)
        picked, work = np.empty((2, room), dtype=np.int32), np.empty((5, room))
        reach = np.empty((tables.most_knots, 2))
        for ray in range(first, last):
            left = _near(part, rays, ray, found, places)
            for i in range(rays.offsets[ray], rays.offsets[ray + 1]):
                column = rays.columns[i]
                if weights[column] == 0.0 or left == 0:
                    continue
                left, n = _next_column(rays, tables, i, found, places, left, reach, picked, work)
                energy = rays.energies[column]
                values = tables.values[tables.starts[energy] : tables.starts[energy + 1]]
                weight, variance = weights[column], rays.variances[column]
                doses = _doses(values, picked[1, :n], variance, weight, work)
                for m in range(n):
                    dose[picked[0, m]] += doses[m]
