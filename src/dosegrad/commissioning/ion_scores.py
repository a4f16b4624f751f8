"""What ions leave behind while they slow down: energy, and its products with LET and z*.

Everything is a running integral over the residual range, so that what a step leaves is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.physics.ion_reactions import reaction_rate
from dosegrad.physics.ions import (
    Ion,
    energy_of_ion_range,
    ion_range,
    ion_scattering_power,
    ion_stopping_power,
)
from dosegrad.physics.track_structure import saturated_specific_energy

__all__ = ["N_FIXED_SCORES", "RunningScores", "Species", "local_scores"]

#: Energy, and energy times LET, come before the products with specific energies.
N_FIXED_SCORES: Final = 2
_KEV_UM_PER_MEV_CM2_G: Final = 0.1
_KNOTS: Final = 1500
_LOWEST: Final = 0.02  # MeV/u, of the tables of running integrals
#: Struck nuclei: LET, keV/µm, and the helium ion, MeV/u, whose specific energy stands for them.
_LOCAL_LET: Final = 30.0
_LOCAL_CHARGE, _LOCAL_ENERGY = 2, 5.0


@dataclass(frozen=True, slots=True, eq=False)
class RunningScores:
    """Integrals from the end of range: energy, MeV, energy times LET and times each z*.

    ``ranges`` (n,), mm, from 0; ``values`` (scores, n).
    """

    ranges: Array
    values: Array

    @classmethod
    def of(cls, ion: Ion, highest: float, betas: Sequence[float]) -> RunningScores:
        """Those of an ion up to ``highest`` MeV/u for tissues of these beta, 1/Gy2."""
        energies = np.concatenate([[0.0], np.geomspace(_LOWEST, highest, _KNOTS)])
        middle = 0.5 * (energies[1:] + energies[:-1])
        steps = ion.nucleons * np.diff(energies)
        let = ion_stopping_power(middle, ion) * _KEV_UM_PER_MEV_CM2_G
        specific = [saturated_specific_energy(middle, ion.charge, b) for b in betas]
        weights = [np.ones_like(middle), let, *specific]
        values = np.cumsum(steps * np.array(weights), axis=1)
        ranges = np.concatenate([[0.0], ion_range(energies[1:], ion)])
        return cls(ranges, np.concatenate([np.zeros((len(weights), 1)), values], axis=1))

    def at(self, distance: Array) -> Array:
        """Integrals (scores, n) up to residual ranges (n,), mm; 0 where negative."""
        place = np.maximum(distance, 0.0)
        return np.array([np.interp(place, self.ranges, v) for v in self.values])


@dataclass(frozen=True, slots=True, eq=False)
class Species:
    """One fragment on its grid of residual range, cell i from i to i + 1 steps.

    ``energies`` (n,), MeV/u, and ``kinetic``, MeV, at the middle of cells; ``scores`` (scores, n)
    left in one step; ``rate`` of reactions and ``scattering`` power, per mm.
    """

    ion: Ion
    step: float
    energies: Array
    kinetic: Array
    scores: Array
    rate: Array
    scattering: Array

    @classmethod
    def of(cls, ion: Ion, highest: float, step: float, betas: Sequence[float]) -> Species:
        """Grid up to ``highest`` MeV/u with cells of ``step`` mm."""
        running = RunningScores.of(ion, highest, betas)
        n = int(running.ranges[-1] / step)
        middle = np.linspace(0.5 * step, (n - 0.5) * step, n)
        energies = np.minimum(energy_of_ion_range(middle, ion), highest)
        integrals = running.at(middle)
        return cls(
            ion=ion,
            step=step,
            energies=energies,
            kinetic=integrals[0],
            scores=integrals - running.at(middle - step),
            rate=reaction_rate(energies, ion),
            scattering=ion_scattering_power(np.maximum(energies, 1.0), ion, initial_energy=highest),
        )

    def place(self, energies: Array) -> Array:
        """Cell, with its fraction, of ions of these energies, MeV/u."""
        return np.asarray(ion_range(np.maximum(energies, 1e-3), self.ion) / self.step - 0.5)


def local_scores(energy: float, betas: Sequence[float]) -> Array:
    """Scores (scores,) of energy, MeV, that struck nuclei leave on the spot."""
    specific = [
        float(saturated_specific_energy(_LOCAL_ENERGY, _LOCAL_CHARGE, beta)) for beta in betas
    ]
    return energy * np.array([1.0, _LOCAL_LET, *specific])
