"""Values of a volume at points, and volumes carried from one grid to another."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import map_coordinates

from dosegrad.arrays import Array, Volume
from dosegrad.geometry.grid import Grid

__all__ = ["interpolate"]


def interpolate(grid: Grid, values: Volume, points: ArrayLike, *, outside: float = 0.0) -> Array:
    """Trilinear values (...) of a volume at ``points`` (..., 3), (x, y, z) mm.

    Points farther than half a voxel outside the grid's voxel centres get ``outside``; those in
    the outermost half voxel take the value at the nearest centre.
    """
    indices = grid.to_index(points)
    last = np.asarray(grid.shape) - 1.0
    within = ((indices >= -0.5 - 1e-9) & (indices <= last + 0.5 + 1e-9)).all(axis=-1)
    inner = np.clip(indices, 0.0, last)
    found = map_coordinates(
        values, inner.reshape(-1, 3).T, order=1, mode="nearest", output=np.float64
    )
    result: Array = np.where(within, found.reshape(inner.shape[:-1]), outside)
    return result
