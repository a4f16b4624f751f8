"""What the marching kernels and their plain twins are given: bundles of arrays, nothing else."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array

__all__ = [
    "A21", "B1", "B2", "FACE_DIFFUSION", "FACE_DRIFT", "FEWEST", "GAMMA", "OPERATOR", "ROWS",
    "Families", "Layers", "Media", "Record", "Slowing",
]  # fmt: skip

#: Three-stage, stiffly accurate SDIRK of order 3 [Alexander1977]_: diagonal, and the weights.
GAMMA: Final = 0.43586652150845899942
A21: Final = 0.5 * (1.0 - GAMMA)
B1: Final = -(6.0 * GAMMA**2 - 16.0 * GAMMA + 1.0) / 4.0
B2: Final = (6.0 * GAMMA**2 - 20.0 * GAMMA + 5.0) / 4.0

_PENALTY: Final = 6.0  # of the interior penalty method
#: Protons per primary below which a spectrum no longer has averages.
FEWEST: Final = 1e-5

#: Columns of ``Families.operator``: drift times slopes of P1 (3) and P2 (3), diffusion times
#: slopes squared (11, 12, 22), then drift and diffusion at the lower edge of the group.
OPERATOR: Final = 11
#: Columns of ``Families.rows``, three each: energy, stopping power, protons that move, scattering
#: power, protons above 1 MeV, stopping power squared.
ROWS: Final = 18

# P0, P1, P2 at a face and their slopes times the width, seen from the group below and above; the
# jump is below minus above.
_VALUES: Final = np.array([[1.0, 1.0, 1.0], [1.0, -1.0, 1.0]])
_SLOPES: Final = np.array([[0.0, 2.0, 6.0], [0.0, 2.0, -6.0]])
_SIGNS: Final = np.array([1.0, -1.0])

#: What a face adds to group a (0 below, 1 above) from group b, (a, b, 3, 3): drift from the
#: upwind group, and diffusion over the width.
FACE_DRIFT: Final = np.einsum("a,ai,bj->abij", _SIGNS, _VALUES, _VALUES)
FACE_DIFFUSION: Final = (
    0.5 * np.einsum("a,ai,bj->abij", _SIGNS, _VALUES, _SLOPES)
    + 0.5 * np.einsum("b,ai,bj->abij", _SIGNS, _SLOPES, _VALUES)
    - _PENALTY * np.einsum("a,b,ai,bj->abij", _SIGNS, _SIGNS, _VALUES, _VALUES)
)


class Media(NamedTuple):
    """Materials against residual range.

    ``values`` (materials, ranges, 3): stopping power relative to water, absorption in cm2/g,
    scattering relative to water; ``straggling`` (materials,) relative to water; ``step`` of the
    ranges, mm.
    """

    values: Array
    straggling: Array
    step: float


class Families(NamedTuple):
    """Beam qualities; lengths in mm.

    ``full`` (families,): range of the mean energy; ``low``: lowest edge of the window; ``width``
    of a group. ``first`` (families + 1,): where the tables of each begin. Row p of a family
    belongs to a group whose lower edge has the residual range ``width (p / parts - 1)``:
    ``operator`` (rows, 11) and ``rows`` (rows, 18). ``initial`` (families, groups, 3):
    coefficients at the start.
    """

    full: Array
    low: Array
    width: Array
    first: NDArray[np.int64]
    parts: int
    operator: Array
    rows: Array
    initial: Array


class Layers(NamedTuple):
    """What beamlets cross, step by step of equal length.

    ``family`` (paths,); ``offsets`` (paths + 1,) into the entries; ``step``, ``material``,
    ``mass`` (entries,): of each material in each step its mass depth, g/cm2, steps ascending;
    ``n_steps`` of every path.
    """

    family: NDArray[np.int32]
    offsets: NDArray[np.int64]
    step: NDArray[np.int32]
    material: NDArray[np.int32]
    mass: Array
    n_steps: int


class Record(NamedTuple):
    """What a march leaves: one row per path, one column per step.

    ``lost``: energy that the primaries lose, MeV; ``absorbed``: energy of those that nuclei
    absorb, MeV; ``scattered``: variance of the projected angle gained, rad2; ``let``:
    dose-averaged LET in water, MeV/mm; ``number`` and ``depth`` (paths, steps + 1): protons and
    water-equivalent depth, mm, at the edges.
    """

    lost: Array
    absorbed: Array
    scattered: Array
    let: Array
    number: Array
    depth: Array


class Slowing(NamedTuple):
    """What the mean proton meets along paths.

    ``depth`` (paths, steps + 1): water-equivalent depth at the edges, mm; ``mass`` (entries,):
    mass depth of each entry of the layers along the scattered path, g/cm2; ``removal`` and
    ``excess`` (paths, steps): probability of nuclear absorption, and how much of it is beyond
    that in as much water; ``scattering`` (paths, steps): mass depth of water that scatters as
    much, g/cm2; ``water`` (paths, steps): that of water that stops as much along the axis, g/cm2.
    """

    depth: Array
    mass: Array
    removal: Array
    excess: Array
    scattering: Array
    water: Array
