"""Loops over a lattice of bixels in plain NumPy: the specification of ``_lattice_kernels``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, BoolArray
from dosegrad.engines.photon_kernel._arrays import Lattice, Scene

__all__ = ["count_runs", "fill_runs"]


def _in_reach(scene: Scene, lattice: Lattice, voxels: slice) -> tuple[Array, Array, BoolArray]:
    """Distances along x and y (n, rows * columns) from bixels, mm, and which are in reach."""
    projected = scene.points[voxels, :2] * (-lattice.sad / scene.points[voxels, 2:])
    row, column = np.divmod(np.arange(lattice.rows * lattice.columns), lattice.columns)
    x = projected[:, :1] - (lattice.low[0] + column * lattice.spacing)
    y = projected[:, 1:] - (lattice.low[1] + row * lattice.spacing)
    return x, y, x**2 + y**2 <= lattice.reach**2


def _nodes(lattice: Lattice) -> Array:
    """The convolved bixel (n, n, 3), (y, x, component), from the table."""
    steps, cells = lattice.steps, lattice.cells
    table = lattice.table.reshape(steps + 1, steps + 1, cells, 3, lattice.width)
    forward = table[:steps, :steps, :, :, cells - 1 :: -1][..., :cells]
    n = steps * cells
    return forward.transpose(2, 0, 4, 1, 3).reshape(n, n, 3).astype(float)


def count_runs(
    scene: Scene, lattice: Lattice, length: int, first: int, last: int, counts: NDArray[np.int64]
) -> None:
    """Entries (n_runs, rows * columns) of each bixel in runs ``first`` to before ``last``."""
    for run in range(first, last):
        near = _in_reach(scene, lattice, slice(run * length, (run + 1) * length))[2]
        counts[run] = near.sum(axis=0)


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
    r"""Rows and values of runs of ``length`` voxels, ``first`` to before ``last``.

    .. math:: D = \Psi \sum_k f_k [F * G * K_k](x, y)

    with the convolved bixel between nodes bilinear.
    """
    nodes = _nodes(lattice)
    for run in range(first, last):
        voxels = slice(run * length, min((run + 1) * length, scene.rows.size))
        x, y, near = _in_reach(scene, lattice, voxels)
        for place in np.flatnonzero(heads[run] >= 0):
            found = np.flatnonzero(near[:, place])
            fx = (x[found, place] + lattice.shift) / lattice.raster + lattice.middle
            fy = (y[found, place] + lattice.shift) / lattice.raster + lattice.middle
            i, j = np.floor(fx).astype(int), np.floor(fy).astype(int)
            fx, fy = (fx - i)[:, None], (fy - j)[:, None]
            upper = (1.0 - fx) * nodes[j, i] + fx * nodes[j, i + 1]
            lower = (1.0 - fx) * nodes[j + 1, i] + fx * nodes[j + 1, i + 1]
            convolved = (1.0 - fy) * upper + fy * lower
            head = int(heads[run, place])
            part = slice(head, head + found.size)
            indices[part] = scene.rows[voxels][found]
            dose[part] = lattice.scales[place] * (scene.factors[voxels][found] * convolved).sum(1)
            heads[run, place] = head + found.size
