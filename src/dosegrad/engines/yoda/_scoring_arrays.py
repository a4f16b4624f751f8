"""What the scoring kernels and their plain twins are given: bundles of arrays, nothing else."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array

__all__ = ["FINE", "Edges", "Pencils", "Profiles", "Voxels"]

#: Nodes of a profile per step of the march. Compiled into the kernels.
FINE: Final = 2


class Edges(NamedTuple):
    """Sums along paths up to the edges of their steps, (paths, steps + 1).

    ``deposit``, MeV; ``mass``, g/cm2; ``let``: deposit times LET.
    """

    deposit: Array
    mass: Array
    let: Array


class Voxels(NamedTuple):
    """The grid on which dose is scored: ``shape`` and ``spacing`` (z, y, x), mm."""

    shape: NDArray[np.int64]
    spacing: Array


class Pencils(NamedTuple):
    """Beamlets as straight lines; vectors (n, 3) are (z, y, x) along the axes of the grid.

    ``origin``: where the profile begins, mm from the centre of the first voxel; ``axis``,
    ``across_x``, ``across_y``: unit vectors along the beamlet and across; ``weight`` (n,);
    ``profile`` (n,).
    """

    origin: Array
    axis: Array
    across_x: Array
    across_y: Array
    weight: Array
    profile: NDArray[np.int32]


class Profiles(NamedTuple):
    """What beamlets deposit along their axis, at equal steps.

    ``step``: of the nodes, mm. ``values`` (profiles, nodes, 4): dose on the axis, Gy per 10^6
    particles, the two factors of the squared distances across in the exponent, 1/mm2, and LET,
    keV/µm. ``blur`` (2,): variances of a voxel across along x and y, mm2, which the factors hold.
    ``reach`` (profiles, 2): length in use, mm, and largest radius, mm.
    ``farthest``: exponent at which a beamlet ends.
    """

    step: float
    values: Array
    blur: Array
    reach: Array
    farthest: float
