"""Look-up of convolved fluence in plain NumPy: the specification of ``_aperture_kernels``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dosegrad.influence._aperture_arrays import Look

__all__ = ["gather", "scatter"]


def corners(look: Look) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Nodes (n, 4) around each voxel and their bilinear weights."""
    fx, fy = look.shares.T
    nodes = look.nodes[:, None] + np.array([0, 1, look.side, look.side + 1])
    weights = np.stack([(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx], axis=1)
    return nodes, weights


def gather(look: Look, maps: NDArray[np.float64], dose: NDArray[np.float64]) -> None:
    """Add to ``dose`` what voxels find in ``maps`` (n_nodes, 3), bilinear."""
    nodes, weights = corners(look)
    found = np.einsum("nc,ncm,nm->n", weights, maps[nodes], look.factors)
    np.add.at(dose, look.rows, found)


def scatter(look: Look, slopes: NDArray[np.float64], partial: NDArray[np.float64]) -> None:
    """Add derivatives by dose ``slopes`` to those by maps, all in the first block."""
    nodes, weights = corners(look)
    values = (slopes[look.rows, None] * look.factors)[:, None, :] * weights[:, :, None]
    np.add.at(partial[0], nodes, values)
