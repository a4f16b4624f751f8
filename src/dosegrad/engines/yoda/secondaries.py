r"""Dose of protons that had a nuclear event, along beamlets in heterogeneous media.

In water, :mod:`dosegrad.engines.yoda.water_depth_dose` says what such protons deposit at which
depth and how far from the axis. At each depth that distribution is written as a sum of Gaussians of
fixed variances; the narrowest, of none, stays with the primaries, and the others make the halo.
Along a beamlet they are looked up at its water-equivalent depth and scaled by the protons that
were lost up to there over those that water would have lost. Its widths stay those in water: scaling
them by the length of what was crossed made doses in a thorax worse, not better.

LET is that of protons, those from nuclear events included: protons that follow the beam or are
thrown out of nuclei with the LET of their energy, evaporated ones, which stop where they are, with
the mean over their way. What heavier fragments deposit counts with the mean LET of the protons at
that depth, so that it changes no dose-averaged LET.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import ive

from dosegrad.arrays import Array, readonly
from dosegrad.engines.yoda._march_arrays import Slowing
from dosegrad.engines.yoda.range_frame import WaterTables
from dosegrad.engines.yoda.water_depth_dose import RADII, DepthDose, depth_dose
from dosegrad.physics.bortfeld import range_straggling
from dosegrad.physics.nuclear import EVAPORATED_ENERGY
from dosegrad.physics.stopping import mass_stopping_power, range_in_water
from dosegrad.units import CM_PER_MM

__all__ = [
    "HALO_VARIANCES",
    "Secondaries",
    "WaterSecondaries",
    "secondaries_along",
    "water_secondaries",
]

#: Variances that the Gaussians of the halo add to that of the primaries, in water, mm2.
HALO_VARIANCES: Final = (5.0, 20.0, 60.0, 150.0, 400.0)

_PLACES: Final = np.arange(0.5, 50.0)  # distances from the axis at which Gaussians are fitted, mm
_SPOT: Final = 12.0  # variance of a spot with which they are, mm2
_OUTERMOST: Final = 95.0  # mm, of the open ring
# Energies for which tables are made, MeV; the others lie between. Their energy spread is a typical
# one, which protons after nuclear events have forgotten.
_LADDER_FROM: Final = 10.0
_LADDER_STEP: Final = 15.0
_TYPICAL_STD: Final = 0.008
_STEPS: Final = 90  # intervals of depth
_FAR: Final = 1.08  # of the range, where tables end, plus five standard deviations


@dataclass(frozen=True, slots=True, eq=False)
class WaterSecondaries:
    """Protons after nuclear events in water, per primary, at the edges of a depth grid (n,).

    Parameters
    ----------
    depth
        mm.
    core
        Energy deposited up to each depth next to the primaries, MeV.
    halo
        Likewise in each Gaussian of :data:`HALO_VARIANCES`, shape (Gaussians, n).
    core_let, halo_let
        Dose-averaged LET of protons next to the primaries and in the halo, keV/µm.
    """

    depth: Array
    core: Array
    halo: Array
    core_let: Array
    halo_let: Array

    def __post_init__(self) -> None:
        for name in ("depth", "core", "halo", "core_let", "halo_let"):
            object.__setattr__(self, name, readonly(getattr(self, name)))


@dataclass(frozen=True, slots=True, eq=False)
class Secondaries:
    """Protons after nuclear events along paths, (paths, steps).

    ``core`` and ``halo`` (Gaussians, paths, steps): energy deposited in each step, MeV per
    primary; ``core_let`` and ``halo_let``: dose-averaged LET of each, keV/µm.
    """

    core: Array
    halo: Array
    core_let: Array
    halo_let: Array

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> Secondaries:
        """Nothing along paths and steps of that number."""
        halo = np.zeros((len(HALO_VARIANCES), *shape))
        return cls(np.zeros(shape), halo, np.zeros(shape), np.zeros(shape))


def water_secondaries(energy: float, water_i_value: float) -> WaterSecondaries:
    """Tables of one energy, MeV, between those of a ladder, at the same share of the range."""
    place = max(energy - _LADDER_FROM, 0.0) / _LADDER_STEP
    lower = int(place)
    share = place - lower
    full = float(range_in_water(energy, water_i_value=water_i_value))
    parts = []
    for number, weight in ((lower, 1.0 - share), (lower + 1, share)):
        rung = _LADDER_FROM + _LADDER_STEP * number
        if weight > 0.0:
            table = _on_ladder(rung, water_i_value)
            reach = float(range_in_water(rung, water_i_value=water_i_value))
            parts.append((weight, table, full / reach))
    depth = parts[0][1].depth * parts[0][2]
    names = ("core", "halo", "core_let", "halo_let")
    return WaterSecondaries(depth, *(_mixed(parts, depth, name) for name in names))


def _mixed(parts: list[tuple[float, WaterSecondaries, float]], depth: Array, name: str) -> Array:
    """Weighted sum of one quantity of some tables, their depths scaled, at ``depth``."""
    total = np.zeros(getattr(parts[0][1], name).shape)
    for weight, table, scale in parts:
        rows = np.atleast_2d(getattr(table, name))
        moved = np.stack([np.interp(depth, table.depth * scale, row) for row in rows])
        total += weight * moved.reshape(total.shape)
    return total


@lru_cache(maxsize=64)
def _on_ladder(energy: float, water_i_value: float) -> WaterSecondaries:
    """Tables of one energy of the ladder, MeV."""
    energy_std = _TYPICAL_STD * energy
    full = float(range_in_water(energy, water_i_value=water_i_value))
    width = float(range_straggling(full)) + 0.02 * full * energy_std / max(energy * 0.02, 1e-9)
    end = _FAR * full + 5.0 * min(width, 0.2 * full)
    # Steps shrink towards the end of range, where the beam does what it does fastest.
    edges = end * (1.0 - (1.0 - np.linspace(0.0, 1.0, _STEPS + 1)) ** 1.3)
    result = depth_dose(
        energy, edges, energy_std=energy_std, tables=WaterTables(water_i_value), angles="spread"
    )
    parts = result.secondaries
    dose = np.sum([p.deposit for p in parts], axis=0)
    rings = np.sum([p.deposit[:, None] * p.radial for p in parts], axis=0)
    shares = np.stack([_as_gaussians(row) for row in rings], axis=1)
    halo_let = np.sum([p.deposit * p.let for p in parts], axis=0) / np.where(dose > 0, dose, 1.0)
    core_let = _core_let(result, shares[0] * dose, halo_let, water_i_value)
    middle = 0.5 * (edges[1:] + edges[:-1])
    return WaterSecondaries(
        depth=edges,
        core=_summed(shares[0] * dose + result.local),
        halo=_summed(shares[1:] * dose),
        core_let=np.interp(edges, middle, core_let),
        halo_let=np.interp(edges, middle, halo_let),
    )


def _core_let(result: DepthDose, followed: Array, let: Array, water_i_value: float) -> Array:
    """LET of what stays next to the primaries; protons of ``let`` have deposited ``followed``."""
    evaporated = result.evaporated * _evaporated_let(water_i_value)
    parts = (result.primary, *result.secondaries)
    protons = np.sum([p.deposit for p in parts], axis=0) + result.evaporated
    weighted = np.sum([p.deposit * p.let for p in parts], axis=0) + evaporated
    mean = weighted / np.where(protons > 0, protons, 1.0)
    fragments = (result.local - result.evaporated) * mean
    total = followed + result.local
    return np.asarray((followed * let + evaporated + fragments) / np.where(total > 0, total, 1.0))


@lru_cache(maxsize=4)
def _evaporated_let(water_i_value: float) -> float:
    """Mean LET of an evaporated proton on its way to rest, weighted with dose, keV/µm."""
    energies = EVAPORATED_ENERGY * (np.arange(2000) + 0.5) / 2000
    stopping = mass_stopping_power(energies, water_i_value=water_i_value)
    return float(stopping.mean()) * CM_PER_MM  # MeV/mm is keV/µm


def _as_gaussians(rings: Array) -> Array:
    """Shares, core first, of Gaussians that together look like dose in rings, (Gaussians + 1,)."""
    total = rings.sum()
    if not total > 0:
        return np.asarray(np.eye(1, len(HALO_VARIANCES) + 1)[0])
    bounds = np.array(RADII)
    middle = np.append(np.sqrt(0.5 * (bounds[1:] ** 2 + bounds[:-1] ** 2)), _OUTERMOST)
    # Both sides are smeared by a narrow spot, whose Gaussian turns a ring into a Bessel function.
    place = _PLACES[:, None]
    smeared = np.exp(-0.5 * (place - middle) ** 2 / _SPOT) * ive(0, place * middle / _SPOT) / _SPOT
    target = smeared @ (rings / total)
    variances = _SPOT + np.array((0.0, *HALO_VARIANCES))
    basis = np.exp(-0.5 * place**2 / variances) / variances
    weight = 1.0 / (target + 1e-3 * target.max())
    shares, _ = nnls(basis * weight[:, None], target * weight)
    return np.asarray(shares / shares.sum())


def _summed(values: Array) -> Array:
    """Sums up to each edge along the last axis."""
    first = np.zeros((*values.shape[:-1], 1))
    return np.asarray(np.concatenate([first, np.cumsum(values, axis=-1)], axis=-1))


def secondaries_along(
    table: WaterSecondaries, slowing: Slowing, rows: NDArray[np.intp], number: Array
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
    """
    depth = slowing.depth[rows]
    in_water = number[:, 1:] * np.exp(np.cumsum(slowing.excess[rows], axis=1))
    lost, expected = 1.0 - number[:, 1:], 1.0 - in_water
    scale = np.where(expected > 1e-6, lost / np.maximum(expected, 1e-6), 1.0)
    middle = 0.5 * (depth[:, 1:] + depth[:, :-1])
    return Secondaries(
        core=scale * np.diff(np.interp(depth, table.depth, table.core), axis=1),
        halo=np.stack(
            [scale * np.diff(np.interp(depth, table.depth, h), axis=1) for h in table.halo]
        ),
        core_let=np.interp(middle, table.depth, table.core_let),
        halo_let=np.interp(middle, table.depth, table.halo_let),
    )
