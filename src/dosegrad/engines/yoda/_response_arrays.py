"""What the kernels of responses and their plain twins are given: bundles of arrays."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, Float32Array

__all__ = ["ENERGY", "EXCESS", "HALOS", "NUMBER", "POWER", "Bank", "Course", "Lateral", "Rays"]

#: Columns of ``Bank.values``: energy that primaries carry and nuclei have not yet taken, MeV;
#: primaries; what was absorbed beyond water; scattering per mass of water, rad2 cm2/g, of the
#: interval that begins there.
ENERGY, NUMBER, EXCESS, POWER = 0, 1, 2, 3

#: Gaussians of the halo. Compiled into the kernels.
HALOS: Final = 5


class Course(NamedTuple):
    """What all beamlets of one beam share.

    ``full`` (families,): range of the mean energy, mm; ``power`` (families, ranges): scattering
    power of water at the residual ranges of the materials, rad2 cm2/g; ``widest``: angular
    variance beyond which paths get no longer; ``water``, ``air``: their numbers among the
    materials; ``step``: length of the steps, mm; ``half``: half a voxel in steps; ``to_water``:
    whether dose is that to water.
    """

    full: Array
    power: Array
    widest: float
    water: int
    air: int
    step: float
    half: float
    to_water: bool


class Bank(NamedTuple):
    """Solves against water-equivalent depth, and protons after nuclear events in water.

    ``first`` (solves + 1,): where each begins; ``depth`` (n,), mm, rising within a solve, and
    ``middle`` (n,) of the intervals that begin there; ``values`` (n, 4). ``halo_depth``
    (families, m), mm, and ``halo`` (families, m, 6): energy deposited up to there, MeV, next to
    the primaries and in each Gaussian; no rows where nuclear interactions are left out.
    """

    first: NDArray[np.int64]
    depth: Array
    middle: Array
    values: Array
    halo_depth: Array
    halo: Array


class Rays(NamedTuple):
    """Beamlets, those of a spot one after another.

    ``first`` (spots + 1,): the first beamlet of each spot; ``family``, ``solve`` (beamlets,):
    beam quality, and the solve that is read; ``wide`` (beamlets,): of the spot's protons, that
    count for its halo; ``shifter``, ``air`` (beamlets,): mass depth of water and air before the
    grid, g/cm2.
    """

    first: NDArray[np.int64]
    family: NDArray[np.int32]
    solve: NDArray[np.int32]
    wide: Array
    shifter: Array
    air: Array


class Lateral(NamedTuple):
    """What doses on the axes of pencils do to responses: the pulled-back scoring.

    Pencils are the beamlets and then the Gaussians of each spot's halo. ``first`` (pencils + 1,):
    where each begins; ``node`` (pencils,): number of its first node. ``values`` (n, 1 + 4 r): the
    variance that scattering added there in the planning CT, mm2, and for each response the factor
    of the laterally integrated dose at a node, and by how much it grows with the variance at the
    node before, there, and behind.
    """

    first: NDArray[np.int64]
    node: NDArray[np.int32]
    values: Float32Array
