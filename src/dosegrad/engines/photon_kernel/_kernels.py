"""Compiled loops of the photon engine; ``_reference`` holds the same in plain NumPy.

Voxels are met in ascending order, block by block, so that the rows of a column come out sorted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dosegrad.compiled import kernel, parallel_kernel, prange
from dosegrad.engines.photon_kernel._arrays import BLOCK, Bixels, FieldMap, Profiles, Scene

__all__ = ["add_dose", "add_field", "count_entries", "fill_entries", "find_maxima"]

ONE = np.uint64(1)


@kernel
def _misses(scene: Scene, block: int, x: float, y: float, bound: float) -> bool:
    """Whether a block lies farther from (x, y) than ``bound`` in the isocentre plane."""
    dx = max(scene.blocks[block, 0] - x, 0.0, x - scene.blocks[block, 1])
    dy = max(scene.blocks[block, 2] - y, 0.0, y - scene.blocks[block, 3])
    return bool(dx * dx + dy * dy > bound * bound)


@kernel
def _near(
    scene: Scene,
    bixels: Bixels,
    column: int,
    blocks: tuple[int, int],
    places: NDArray[np.int32],
    lateral: NDArray[np.float64],
) -> int:
    """Number of voxels within the radius of a column, of blocks from ... to before ...

    Their numbers go to ``places``, their positions from the axis to the rows of ``lateral``
    (2, n), mm. Every voxel is written and only those in reach are kept.
    """
    x, y, bound = bixels.centres[column, 0], bixels.centres[column, 1], bixels.bounds[column]
    widest = bixels.reaches[column] * bixels.reaches[column]
    a0, a1, a2 = bixels.frames[column, 0], bixels.frames[column, 1], bixels.frames[column, 2]
    b0, b1, b2 = bixels.frames[column, 3], bixels.frames[column, 4], bixels.frames[column, 5]
    c0, c1, c2 = bixels.frames[column, 6], bixels.frames[column, 7], bixels.frames[column, 8]
    us, vs = lateral[0], lateral[1]
    n = 0
    for block in range(blocks[0], blocks[1]):
        if _misses(scene, block, x, y, bound):
            continue
        for voxel in range(block * BLOCK, min((block + 1) * BLOCK, scene.rows.size)):
            px, py, pz = scene.points[voxel, 0], scene.points[voxel, 1], scene.points[voxel, 2]
            scale = 1.0 / (c0 * px + c1 * py + c2 * pz)
            u = (a0 * px + a1 * py + a2 * pz) * scale
            v = (b0 * px + b1 * py + b2 * pz) * scale
            places[n], us[n], vs[n] = voxel, u, v
            n += u * u + v * v <= widest
    return n


@kernel
def _room(scene: Scene, bixels: Bixels, column: int) -> int:
    """Most voxels that a column may meet."""
    n = 1
    for block in range(scene.blocks.shape[0]):
        x, y = bixels.centres[column, 0], bixels.centres[column, 1]
        if not _misses(scene, block, x, y, bixels.bounds[column]):
            n += BLOCK
    return n


@kernel
def _doses(
    scene: Scene,
    bixels: Bixels,
    profiles: Profiles,
    column: int,
    n: int,
    places: NDArray[np.int32],
    lateral: NDArray[np.float64],
    doses: NDArray[np.float64],
) -> None:
    """Dose of a column in ``n`` voxels, Gy per unit weight, bilinear between nodes."""
    kind, scale = bixels.kinds[column], bixels.scales[column]
    start, side, first = profiles.starts[kind], profiles.sides[kind], profiles.first[kind]
    rate, values, factors = 1.0 / profiles.raster, profiles.values, scene.factors
    step = np.uint64(side)
    for k in range(n):
        voxel = np.uint64(places[k])  # unsigned, so that no look-up tests its sign
        x, y = lateral[0, k] + profiles.shift, lateral[1, k] + profiles.shift
        if profiles.mirrored:
            x, y = abs(x), abs(y)
        fx, fy = max(x * rate - first, 0.0), max(y * rate - first, 0.0)
        i, j = min(int(fx), side - 2), min(int(fy), side - 2)
        fx -= i
        fy -= j
        at = np.uint64(start + j * side + i)
        right, below = at + ONE, at + step
        beyond = below + ONE
        w00, w01 = (1.0 - fy) * (1.0 - fx), (1.0 - fy) * fx
        w10, w11 = fy * (1.0 - fx), fy * fx
        dose = 0.0
        for component in range(factors.shape[1]):
            factor = factors[voxel, component]
            if factor == 0.0:
                continue
            dose += factor * (
                w00 * values[at, component]
                + w01 * values[right, component]
                + w10 * values[below, component]
                + w11 * values[beyond, component]
            )
        doses[k] = scale * dose


@kernel
def _keep(n: int, floor: float, places: NDArray[np.int32], doses: NDArray[np.float64]) -> int:
    """Number of the first ``n`` voxels whose dose is at least ``floor``; they move up."""
    left = 0
    for k in range(n):
        dose = doses[k]
        places[left], doses[left] = places[k], dose
        left += dose >= floor
    return left


@parallel_kernel
def find_maxima(
    scene: Scene,
    bixels: Bixels,
    profiles: Profiles,
    first: int,
    last: int,
    maxima: NDArray[np.float64],
) -> None:
    """Highest dose of each of the columns from ``first`` to before ``last``, Gy per weight."""
    for column in prange(first, last):
        room = _room(scene, bixels, column)
        places, lateral = np.empty(room, dtype=np.int32), np.empty((2, room))
        doses = np.empty(room)
        n = _near(scene, bixels, column, (0, scene.blocks.shape[0]), places, lateral)
        _doses(scene, bixels, profiles, column, n, places, lateral, doses)
        highest = 0.0
        for k in range(n):
            highest = max(highest, doses[k])
        maxima[column] = highest


@parallel_kernel
def count_entries(
    scene: Scene,
    bixels: Bixels,
    profiles: Profiles,
    first: int,
    last: int,
    counts: NDArray[np.int64],
) -> None:
    """Number of entries of each of the columns from ``first`` to before ``last``."""
    for column in prange(first, last):
        room = _room(scene, bixels, column)
        places, lateral = np.empty(room, dtype=np.int32), np.empty((2, room))
        n = _near(scene, bixels, column, (0, scene.blocks.shape[0]), places, lateral)
        if bixels.floors[column] > -np.inf:
            doses = np.empty(room)
            _doses(scene, bixels, profiles, column, n, places, lateral, doses)
            n = _keep(n, bixels.floors[column], places, doses)
        counts[column] = n


@parallel_kernel
def fill_entries(
    scene: Scene,
    bixels: Bixels,
    profiles: Profiles,
    first: int,
    last: int,
    heads: NDArray[np.int64],
    indices: NDArray[np.int32],
    dose: NDArray[np.float32],
) -> None:
    """Rows and values of some columns, into the arrays of the whole matrix from ``heads`` on."""
    for column in prange(first, last):
        room = _room(scene, bixels, column)
        places, lateral = np.empty(room, dtype=np.int32), np.empty((2, room))
        doses = np.empty(room)
        n = _near(scene, bixels, column, (0, scene.blocks.shape[0]), places, lateral)
        _doses(scene, bixels, profiles, column, n, places, lateral, doses)
        if bixels.floors[column] > -np.inf:
            n = _keep(n, bixels.floors[column], places, doses)
        at = heads[column]
        for k in range(n):
            indices[at + k] = scene.rows[places[k]]
            dose[at + k] = doses[k]


@parallel_kernel
def add_dose(
    scene: Scene,
    bixels: Bixels,
    profiles: Profiles,
    weights: NDArray[np.float64],
    parts: NDArray[np.int64],
    first: int,
    last: int,
    dose: NDArray[np.float64],
) -> None:
    """Dose (n_rows,) of the columns ``first`` to before ``last``, added to all voxels.

    ``parts`` (n + 1,): blocks at which the parts of the scene begin that are worked on side by
    side. Each part owns its voxels.
    """
    for number in prange(parts.size - 1):
        begin, end = parts[number], parts[number + 1]
        room = (end - begin) * BLOCK + 1
        places, lateral = np.empty(room, dtype=np.int32), np.empty((2, room))
        doses = np.empty(room)
        for column in range(first, last):
            if weights[column] == 0.0:
                continue
            n = _near(scene, bixels, column, (begin, end), places, lateral)
            _doses(scene, bixels, profiles, column, n, places, lateral, doses)
            n = _keep(n, bixels.floors[column], places, doses)
            for k in range(n):
                dose[scene.rows[places[k]]] += weights[column] * doses[k]


@parallel_kernel
def add_field(scene: Scene, field: FieldMap, sad: float, dose: NDArray[np.float64]) -> None:
    """Dose (n_rows,) of a whole field, added to all voxels within its map; bilinear."""
    ny, nx = field.values.shape[0], field.values.shape[1]
    cosine, sine = field.turn[0], field.turn[1]
    for voxel in prange(scene.rows.size):
        scale = -sad / scene.points[voxel, 2]
        gx, gy = scene.points[voxel, 0] * scale, scene.points[voxel, 1] * scale
        fx = (gx * cosine + gy * sine - field.low[0]) / field.raster
        fy = (gy * cosine - gx * sine - field.low[1]) / field.raster
        if fx < 0.0 or fy < 0.0 or fx > nx - 1 or fy > ny - 1:
            continue
        i, j = min(int(fx), nx - 2), min(int(fy), ny - 2)
        fx -= i
        fy -= j
        found = 0.0
        for k in range(field.values.shape[2]):
            if scene.factors[voxel, k] == 0.0:
                continue
            upper = (1.0 - fx) * field.values[j, i, k] + fx * field.values[j, i + 1, k]
            lower = (1.0 - fx) * field.values[j + 1, i, k] + fx * field.values[j + 1, i + 1, k]
            found += scene.factors[voxel, k] * ((1.0 - fy) * upper + fy * lower)
        dose[scene.rows[voxel]] += found
