"""Compiled loops for bixels of one width on a lattice; ``_lattice_reference`` is the plain twin.

Voxels are the outer loop here, bixels the inner one: seen from a voxel, the nodes of all bixels of
a row lie one after another in the lattice's table, with the same weights between nodes. Voxels are
walked in runs that own their share of every column, so that threads never write to the same place.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dosegrad.compiled import kernel, parallel_kernel, prange
from dosegrad.engines.photon_kernel._arrays import Lattice, Scene

__all__ = ["count_runs", "fill_runs"]

#: Bixels that are computed together, whether they are in reach or not.
LANES = 8


@kernel
def _row(place: float, across: float, reach: float, spacing: float, n: int) -> tuple[int, int]:
    """First bixel of a row in reach of a voxel, and the one behind the last.

    The voxel lies ``place`` from the row's first bixel, and ``across`` from the row, mm.
    """
    square = reach * reach - across * across
    if square < 0.0:
        return 0, 0
    half = math.sqrt(square)
    first = max(math.ceil((place - half) / spacing), 0)
    return first, max(min(math.floor((place + half) / spacing) + 1, n), first)


@parallel_kernel
def count_runs(
    scene: Scene, lattice: Lattice, length: int, first: int, last: int, counts: NDArray[np.int64]
) -> None:
    """Entries (n_runs, rows * columns) of each bixel in runs ``first`` to before ``last``.

    A run has ``length`` voxels, the last one what is left.
    """
    nx, ny, spacing = lattice.columns, lattice.rows, lattice.spacing
    for run in prange(first, last):
        changes = np.zeros((ny, nx + 1), dtype=np.int64)
        for voxel in range(run * length, min((run + 1) * length, scene.rows.size)):
            scale = -lattice.sad / scene.points[voxel, 2]
            x = scene.points[voxel, 0] * scale - lattice.low[0]
            y = scene.points[voxel, 1] * scale - lattice.low[1]
            for j in range(ny):
                begin, end = _row(x, y - j * spacing, lattice.reach, spacing, nx)
                changes[j, begin] += 1
                changes[j, end] -= 1
        for j in range(ny):
            total = 0
            for i in range(nx):
                total += changes[j, i]
                counts[run, j * nx + i] = total


@kernel
def _doses(
    table: NDArray[np.float32],
    corners: tuple[int, int, int, int],
    width: int,
    weights: NDArray[np.float32],
    n: int,
    doses: NDArray[np.float32],
) -> None:
    """Dose of at least ``n`` bixels of a row in a voxel, from three components at four nodes."""
    total = (n + LANES - 1) // LANES * LANES
    for corner in range(4):
        at = corners[corner]
        t0 = table[at : at + total]
        t1 = table[at + width : at + width + total]
        t2 = table[at + 2 * width : at + 2 * width + total]
        w0, w1, w2 = weights[3 * corner], weights[3 * corner + 1], weights[3 * corner + 2]
        if corner == 0:
            for i in range(total):
                doses[i] = w0 * t0[i] + w1 * t1[i] + w2 * t2[i]
        else:
            for i in range(total):
                doses[i] += w0 * t0[i] + w1 * t1[i] + w2 * t2[i]


@kernel
def _seen_from(
    scene: Scene,
    lattice: Lattice,
    voxel: int,
    weights: NDArray[np.float32],
    place: NDArray[np.float64],
) -> int:
    """Where in the table a voxel finds the lattice's first bixel.

    ``weights`` (12,): of three components at four nodes. ``place`` (2,): x and y of the voxel in
    the isocentre plane from the first bixel, mm.
    """
    steps, width = lattice.steps, lattice.width
    middle = lattice.middle + lattice.shift / lattice.raster
    scale = -lattice.sad / scene.points[voxel, 2]
    x = scene.points[voxel, 0] * scale - lattice.low[0]
    y = scene.points[voxel, 1] * scale - lattice.low[1]
    fx, fy = x / lattice.raster + middle, y / lattice.raster + middle
    i, j = math.floor(fx), math.floor(fy)
    fx -= i
    fy -= j
    for k in range(3):
        factor = scene.factors[voxel, k]
        weights[k] = factor * (1.0 - fy) * (1.0 - fx)
        weights[3 + k] = factor * (1.0 - fy) * fx
        weights[6 + k] = factor * fy * (1.0 - fx)
        weights[9 + k] = factor * fy * fx
    place[0], place[1] = x, y
    cell_x, cell_y = i // steps, j // steps
    phase = (j - cell_y * steps) * (steps + 1) + i - cell_x * steps
    return int((phase * lattice.cells + cell_y) * 3 * width + lattice.cells - 1 - cell_x)


@parallel_kernel
def fill_runs(
    scene: Scene,
    lattice: Lattice,
    length: int,
    first: int,
    last: int,
    heads: NDArray[np.int64],
    indices: NDArray[np.int32],
    dose: NDArray[np.float32],
) -> None:
    """Rows and values of runs of ``length`` voxels, ``first`` to before ``last``.

    They go where ``heads`` (n_runs, rows * columns) says, which moves on; negative: no bixel. Rows
    of bixels are taken one after another, so that few places are written to at a time.
    """
    nx, spacing, reach = lattice.columns, lattice.spacing, lattice.reach
    right = 3 * lattice.cells * lattice.width  # from a phase to the next
    lower = (lattice.steps + 1) * right
    for run in prange(first, last):
        begin = run * length
        n = min(length, scene.rows.size - begin)
        weights, places = np.empty((n, 12), np.float32), np.empty((n, 2))
        starts = np.empty(n, np.int64)
        for k in range(n):
            starts[k] = _seen_from(scene, lattice, begin + k, weights[k], places[k])
        found = np.empty(nx + LANES, np.float32)
        for row in range(lattice.rows):
            mine = heads[run, row * nx : (row + 1) * nx]
            scales = lattice.scales[row * nx : (row + 1) * nx]
            for k in range(n):
                across = places[k, 1] - row * spacing
                low, high = _row(places[k, 0], across, reach, spacing, nx)
                if high == low:
                    continue
                at = starts[k] - 3 * row * lattice.width + low
                corners = (at, at + right, at + lower, at + lower + right)
                _doses(lattice.table, corners, lattice.width, weights[k], high - low, found)
                for i in range(high - low):
                    head = mine[low + i]
                    if head >= 0:
                        indices[head] = scene.rows[begin + k]
                        dose[head] = found[i] * scales[low + i]
                        mine[low + i] = head + 1
