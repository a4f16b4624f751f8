r"""Phase space of a spot where it leaves the machine: energy, and position and angle per axis.

Where a machine has no table of it, the spot in air at several distances gives it: with air's
scattering power :math:`t` the variance of position at the distance d behind the nozzle is

.. math:: \sigma^2(d) = A_2 + 2 A_1 d + A_0 d^2 + t d^3 / 3

and A_2, A_1, A_0 are those that fit best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from dosegrad.arrays import Array, readonly
from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.machine.particle import ParticleMachine
from dosegrad.physics.materials import AIR
from dosegrad.physics.scattering import mass_scattering_power
from dosegrad.units import CM_PER_MM

__all__ = ["PhaseSpace", "phase_space"]

_SLOWER: Final = 0.99  # share of the energy at which air scatters


@dataclass(frozen=True, slots=True, eq=False)
class PhaseSpace:
    """A spot in the plane ``distance`` mm before the isocentre.

    Parameters
    ----------
    energy, energy_std
        Mean and standard deviation of the energy, MeV.
    distance
        From the plane to the isocentre, mm; positive upstream.
    variance, covariance, angular
        Variance of position (mm2), covariance with the angle (mm rad) and variance of the angle
        (rad2) along x and y of the gantry, shape (2,) each, about the spot's axis.
    in_air
        Whether the beam then travels through air; else through vacuum.
    """

    energy: float
    energy_std: float
    distance: float
    variance: Array
    covariance: Array
    angular: Array
    in_air: bool

    def __post_init__(self) -> None:
        for name in ("variance", "covariance", "angular"):
            object.__setattr__(self, name, readonly(getattr(self, name)))


def phase_space(machine: ParticleMachine, energy: float) -> PhaseSpace:
    """Phase space of a spot of nominal ``energy`` MeV.

    Raises
    ------
    EnergyError
        If the energy is none of the machine's.
    """
    data = machine.at_energy(energy)
    if machine.ideal is not None:
        ideal = machine.ideal
        position = np.full(2, ideal.spot_sigma**2)
        angle = np.full(2, np.radians(ideal.divergence) ** 2)
        return PhaseSpace(energy, ideal.energy_std, 0.0, position, np.zeros(2), angle, False)
    if machine.phase_space.size:
        row = machine.phase_space[int(np.argmin(np.abs(machine.energies - energy)))]
        a2, a1, a0 = row[2:].reshape(3, 2)
        distance = machine.nozzle_distance
        return PhaseSpace(float(row[0]), float(row[1]), distance, a2, a1, a0, True)
    a2, a1, a0 = (np.full(2, moment) for moment in _fitted(data))
    return PhaseSpace(data.energy, data.energy_spread, machine.nozzle_distance, a2, a1, a0, True)


def _fitted(data: PencilBeamData) -> Array:
    """A_2, A_1 and A_0 at the nozzle exit that give the spot in air."""
    distance = data.focus_distance
    sigma2 = data.focus_sigma**2
    power = mass_scattering_power(_SLOWER * data.energy, AIR, initial_energy=data.energy)
    scattered = float(power) * AIR.density * CM_PER_MM * distance**3 / 3.0
    if distance.size < 3:
        return np.array([float(np.interp(0.0, distance, sigma2)), 0.0, 0.0])
    scale = max(float(distance.max()), 1.0)
    columns = np.stack([np.ones_like(distance), 2.0 * distance / scale, (distance / scale) ** 2])
    solution, *_ = np.linalg.lstsq(columns.T, sigma2 - scattered, rcond=None)
    variance, covariance, angular = solution / np.array([1.0, scale, scale**2])
    if variance <= 0.0:
        return np.array([float(sigma2[0]), 0.0, 0.0])
    # A beam of no less than no emittance.
    return np.array([variance, covariance, max(angular, covariance**2 / variance)])
