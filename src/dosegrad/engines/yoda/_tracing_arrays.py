"""What the tracing kernel and its plain twin are given: bundles of arrays, nothing else."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array

__all__ = ["Entries", "Lines", "Scene"]


class Scene(NamedTuple):
    """Voxels that lines cross.

    ``density`` (n_voxels,), g/cm3, and ``material`` (n_voxels,) of each; ``shape`` (z, y, x);
    ``outside_density`` and ``outside_material`` of what surrounds them, 0 g/cm3 for vacuum.
    """

    density: Array
    material: NDArray[np.int32]
    shape: NDArray[np.int64]
    outside_density: float
    outside_material: int


class Lines(NamedTuple):
    """Lines in steps of equal length.

    ``start`` (lines, 3): (z, y, x), voxels, counted from the grid's first face; ``direction``
    (lines, 3): voxels per mm. ``step``: length, mm; ``n_steps`` of each line; ``most``: mass
    depth, g/cm2, after which nothing matters.
    """

    start: Array
    direction: Array
    step: float
    n_steps: int
    most: float


class Entries(NamedTuple):
    """What lines cross, (lines, most entries) each, of which ``used`` (lines,) are in use.

    ``step``, ``material``, and ``mass``, the mass depth in g/cm2.
    """

    step: NDArray[np.int32]
    material: NDArray[np.int32]
    mass: Array
    used: NDArray[np.int64]
