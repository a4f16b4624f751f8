"""What the loops over layers of movable energy are given: a bundle of arrays, nothing else."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["RangeTables"]


class RangeTables(NamedTuple):
    """What a spot of each layer does in each tile of a beam, as a function of depth.

    ``depths`` (n,): water-equivalent depth of the voxels of a
    :class:`~dosegrad.influence._spot_arrays.SpotField`, mm, and ``scales`` (n,): squared size at
    the voxel relative to the isocentre plane. ``starts`` (n_tiles + 1,): first node of each tile,
    ``firsts`` (n_tiles,): its depth, mm; further ones follow at ``step`` mm. ``ends`` (n_layers,):
    depth from which on the tables of the machine are constant. ``values`` (n_layers, n_nodes,
    2 k + 1): height and steepness of each of k Gaussians, and the squared reach, before scaling.
    """

    depths: NDArray[np.float64]
    scales: NDArray[np.float64]
    starts: NDArray[np.int64]
    firsts: NDArray[np.float64]
    step: float
    ends: NDArray[np.float64]
    values: NDArray[np.float64]
