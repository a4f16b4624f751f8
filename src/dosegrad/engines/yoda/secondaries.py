r"""Dose of protons that had a nuclear event, along beamlets in heterogeneous media.

In water, :mod:`dosegrad.engines.yoda.water_depth_dose` says what such protons deposit at which
depth and how far from the axis; as with the machine data of this project a part of it stays with
the core, and a halo has a Gaussian of its own that holds the second and fourth moments. Along a
beamlet they are looked up at its water-equivalent depth and scaled by the protons that were lost
up to there over those that water would have lost. The halo's width is scaled by the length over
which the last 30 mm of water stretch, so that it widens in lung.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from dosegrad.arrays import Array, readonly
from dosegrad.engines.yoda._march_arrays import Slowing
from dosegrad.engines.yoda.range_frame import WaterTables
from dosegrad.engines.yoda.water_depth_dose import depth_dose, two_gaussians
from dosegrad.physics.bortfeld import range_straggling
from dosegrad.physics.stopping import range_in_water

__all__ = ["Secondaries", "WaterSecondaries", "secondaries_along", "water_secondaries"]

_STEPS: Final = 90  # intervals of depth
_FAR: Final = 1.08  # of the range, where tables end, plus five standard deviations
_MEMORY: Final = 30.0  # mm of water over which protons of the halo spread
_STRETCH: Final = (0.5, 6.0)  # least and most length of 1 mm of water, mm


@dataclass(frozen=True, slots=True, eq=False)
class WaterSecondaries:
    """Protons after nuclear events in water, per primary, at the edges of a depth grid, all (n,).

    Parameters
    ----------
    depth
        mm.
    core, halo
        Energy deposited up to each depth, MeV, next to the primaries and in the halo.
    variance
        That the halo adds to that of the primaries, in one direction, mm2.
    let
        Dose-averaged LET, keV/µm.
    """

    depth: Array
    core: Array
    halo: Array
    variance: Array
    let: Array

    def __post_init__(self) -> None:
        for name in ("depth", "core", "halo", "variance", "let"):
            object.__setattr__(self, name, readonly(getattr(self, name)))


@dataclass(frozen=True, slots=True, eq=False)
class Secondaries:
    """Protons after nuclear events along paths; all (paths, steps).

    ``core`` and ``halo``: energy deposited in each step, MeV per primary; ``variance``: what the
    halo adds to that of the primaries, mm2; ``let``: dose-averaged LET, keV/µm.
    """

    core: Array
    halo: Array
    variance: Array
    let: Array


@lru_cache(maxsize=512)
def water_secondaries(energy: float, energy_std: float, water_i_value: float) -> WaterSecondaries:
    """Tables of one beam quality, mean energy and standard deviation in MeV."""
    full = float(range_in_water(energy, water_i_value=water_i_value))
    width = float(range_straggling(full)) + 0.02 * full * energy_std / max(energy * 0.02, 1e-9)
    end = _FAR * full + 5.0 * min(width, 0.2 * full)
    # Steps shrink towards the end of range, where the beam does what it does fastest.
    edges = end * (1.0 - (1.0 - np.linspace(0.0, 1.0, _STEPS + 1)) ** 1.3)
    result = depth_dose(
        energy, edges, energy_std=energy_std, tables=WaterTables(water_i_value)
    )
    variances, weights = two_gaussians(result)
    total = result.deposit
    halo = weights[1] * total
    core = total - result.primary.deposit - halo
    parts = result.secondaries
    dose = np.sum([p.deposit for p in parts], axis=0)
    let = np.sum([p.deposit * p.let for p in parts], axis=0) / np.where(dose > 0, dose, 1.0)
    middle = 0.5 * (edges[1:] + edges[:-1])
    return WaterSecondaries(
        depth=edges,
        core=_summed(core),
        halo=_summed(halo),
        variance=np.interp(edges, middle, variances[1] - variances[0]),
        let=np.interp(edges, middle, let),
    )


def _summed(values: Array) -> Array:
    return np.concatenate([[0.0], np.cumsum(values)])


def secondaries_along(
    table: WaterSecondaries, slowing: Slowing, rows: Array, number: Array, step: float
) -> Secondaries:
    """Secondaries along the paths in ``rows`` that one beam quality takes.

    Parameters
    ----------
    table
        Of the beam quality.
    slowing
        Of all paths.
    rows
        Paths of this quality.
    number
        Primaries left at the edges of the steps (rows, steps + 1).
    step
        Length of the steps, mm.
    """
    depth = slowing.depth[rows]
    in_water = number[:, 1:] * np.exp(np.cumsum(slowing.excess[rows], axis=1))
    lost, expected = 1.0 - number[:, 1:], 1.0 - in_water
    scale = np.where(expected > 1e-6, lost / np.maximum(expected, 1e-6), 1.0)
    middle = 0.5 * (depth[:, 1:] + depth[:, :-1])
    return Secondaries(
        core=scale * np.diff(np.interp(depth, table.depth, table.core), axis=1),
        halo=scale * np.diff(np.interp(depth, table.depth, table.halo), axis=1),
        variance=np.interp(middle, table.depth, table.variance) * _stretch(depth, step) ** 2,
        let=np.interp(middle, table.depth, table.let),
    )


def _stretch(depth: Array, step: float) -> Array:
    """Length over water-equivalent thickness of what lies before each step, (paths, steps)."""
    length = step * np.maximum(np.arange(depth.shape[1]) - 1.0, 0.0)  # step 0 has none
    out = np.ones((depth.shape[0], depth.shape[1] - 1))
    for row, place in zip(out, depth, strict=True):
        rising = np.maximum.accumulate(place + 1e-9 * np.arange(place.size))
        before = np.maximum(rising[1:] - _MEMORY, rising[min(1, rising.size - 1)])
        start = np.interp(before, rising, length)
        thickness = rising[1:] - before
        known = thickness > 1.0
        row[known] = ((length[1:] - start) / np.where(known, thickness, 1.0))[known]
    return np.clip(out, *_STRETCH)
