"""What the loops over moving spots are given: a bundle of arrays, nothing else."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["SpotField"]


class SpotField(NamedTuple):
    """Voxels of one beam in tiles of its isocentre plane, and what a spot of each layer does.

    ``us``, ``vs`` (n,): voxels projected to the isocentre plane, mm; tile by tile, and within a
    tile by depth. ``heads`` (n_tiles + 1,): where tiles begin. ``boxes`` (n_tiles, 4): lowest and
    highest u, lowest and highest v. ``stops`` (n_layers, n_tiles): number of voxels of a tile that
    a layer reaches in depth, and ``reaches`` (n_layers, n_tiles): farthest that one of them may
    lie from a spot, mm. ``gaussians`` (n_layers, n, 2 k): dose on the
    axis of each of k Gaussians, Gy per 10^6 particles, and half its inverse variance in the
    isocentre plane, 1/mm2. ``limits`` (n_layers, n): squared distance at which the window has
    closed, mm2.
    """

    us: NDArray[np.float64]
    vs: NDArray[np.float64]
    heads: NDArray[np.int64]
    boxes: NDArray[np.float64]
    stops: NDArray[np.int64]
    reaches: NDArray[np.float64]
    gaussians: NDArray[np.floating[Any]]
    limits: NDArray[np.floating[Any]]
