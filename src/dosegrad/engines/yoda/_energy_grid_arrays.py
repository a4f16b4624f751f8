"""Arrays that the energy grid's kernels and their plain twins take."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array

__all__ = [
    "A21",
    "B1",
    "B2",
    "FEWEST",
    "GAMMA",
    "Operators",
    "Paths",
    "Record",
    "Scratch",
    "rows_of",
]

#: Three-stage, stiffly accurate SDIRK of order 3 [Alexander1977]_: diagonal, and the weights.
GAMMA: Final = 0.43586652150845899942
A21: Final = 0.5 * (1.0 - GAMMA)
B1: Final = -(6.0 * GAMMA**2 - 16.0 * GAMMA + 1.0) / 4.0
B2: Final = (6.0 * GAMMA**2 - 20.0 * GAMMA + 5.0) / 4.0

#: Protons per primary below which a spectrum no longer has averages.
FEWEST: Final = 1e-5

#: Position of the functionals in ``Operators.rows``.
NUMBER, ENERGY, STOPPING, STOPPING_SQUARED = range(4)


class Operators(NamedTuple):
    """Everything that depends on energy alone; masses and depths in g/cm2, energies in MeV.

    ``blocks`` (materials, groups, 3, 3, 3): rate of change of a group's coefficients by those of
    the group below, itself, and the group above. ``rows`` (4, groups, 3): functionals of a state
    that give its number, energy, and first two moments of the stopping power of water;
    ``absorbed`` (materials, groups, 3): energy of the protons that nuclei absorb per depth;
    ``scattering`` (families, materials, groups, 3): scattering power times number.
    ``ranges`` (materials, groups + 1): CSDA ranges at the edges; ``longest`` (families,
    materials): longest depth step; ``occupied``: mean P0 from which a group counts as occupied;
    ``margin``: further groups on both sides of the window.
    """

    blocks: Array
    rows: Array
    absorbed: Array
    scattering: Array
    ranges: Array
    longest: Array
    occupied: float
    margin: int


class Paths(NamedTuple):
    """What beamlets meet: family (beamlets,), material and depth (beamlets, steps), g/cm2."""

    family: NDArray[np.int32]
    material: NDArray[np.int32]
    depth: Array


class Record(NamedTuple):
    """What a march leaves: one row per beamlet, one column per step.

    ``lost``: energy that the primaries lose, MeV; ``absorbed``: energy of those that nuclei
    absorb, MeV; ``scattering``: mean mass scattering power, rad2 cm2/g; ``let``: dose-averaged
    stopping power of water, MeV cm2/g; ``number`` (beamlets, steps + 1): protons at the edges;
    ``windows`` (beamlets, steps, 2): first group and the one after the last; ``states``
    (beamlets, steps + 1 or 1, groups, 3): coefficients at each edge or the newest alone.
    """

    lost: Array
    absorbed: Array
    scattering: Array
    let: Array
    number: Array
    windows: NDArray[np.int32]
    states: Array


class Scratch(NamedTuple):
    """Room for the kernels, made once per beamlet.

    ``starts`` (parts, groups, 3) and ``stages`` (parts, 3, groups, 3) of the substeps that are
    kept; ``factors`` (3, groups, 3, 3); ``work`` (3, groups, 3) and ``source`` (groups, 3) of the
    adjoint; ``block`` (3, 3).
    """

    starts: Array
    stages: Array
    factors: Array
    work: Array
    source: Array
    block: Array


def rows_of(operators: Operators, paths: Paths, beamlet: int, step: int) -> tuple[Array, Array]:
    """Functionals of absorbed energy and scattering that hold for one step of one beamlet."""
    material = paths.material[beamlet, step]
    family = paths.family[beamlet]
    return operators.absorbed[material], operators.scattering[family, material]
