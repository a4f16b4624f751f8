r"""Stopping power and range of protons.

Water follows PSTAR, as a Chebyshev series in :math:`\ln E` fitted to its table (largest error
0.09 %, ranges within 0.01 %). Other materials, and water with another mean excitation energy, are
scaled by a ratio of Bethe's formula :math:`B`, frozen below 2 MeV:

.. math:: S_m(E) = S_\text{PSTAR}(E)\, B_m(E) / B_\text{water, 75 eV}(E)

so that fits and shell terms of water cancel. ``water_i_value`` moves water alone: the other
materials keep their own mean excitation energy.

References: ICRU 49 [ICRU49]_; PSTAR [PSTAR]_; shell correction Barkas and Berger 1964.
"""

from __future__ import annotations

from functools import lru_cache
from math import log
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline

from dosegrad.arrays import Array
from dosegrad.errors import EnergyError
from dosegrad.physics.constants import BETHE_FACTOR, ELECTRON_MASS, FINE_STRUCTURE, PROTON_MASS
from dosegrad.physics.materials import WATER, Material
from dosegrad.units import MM_PER_CM

__all__ = [
    "HIGHEST_ENERGY",
    "WATER_I_VALUE",
    "beta_squared",
    "bethe_stopping_power",
    "csda_range",
    "energy_of_range",
    "mass_stopping_power",
    "momentum_velocity",
    "range_in_water",
]

#: Mean excitation energy of water in ICRU 49 and PSTAR, eV.
WATER_I_VALUE: Final = 75.0
#: Highest energy of the tables, MeV.
HIGHEST_ENERGY: Final = 300.0

_LOWEST: Final = 0.1  # MeV, where the series starts
_FROZEN_BELOW: Final = 2.0  # MeV, below which ratios of Bethe's formula stay as they are
_SHELL_LIMIT: Final = 7.9  # MeV, below which the shell correction is only scaled
# CSDA range of PSTAR at 0.1 MeV, g/cm2; S falls below as the power of E that gives this range.
_LOWEST_RANGE: Final = 1.607e-4

_WATER_SERIES: Final = np.array(
    [
        4.14791,
        -2.856553,
        -0.157281,
        0.118881,
        -0.007854,
        0.0143,
        -0.000574,
        -0.00134,
        0.000782,
        0.000534,
        -0.001577,
        0.001273,
        -0.000823,
    ]
)


def beta_squared(energy: ArrayLike) -> Array:
    """Speed squared over that of light, of a proton of ``energy`` MeV."""
    gamma = 1.0 + np.asarray(energy, dtype=float) / PROTON_MASS
    return np.asarray(1.0 - 1.0 / gamma**2)


def momentum_velocity(energy: ArrayLike) -> Array:
    """Product p v of a proton of ``energy`` MeV, in MeV."""
    kinetic = np.asarray(energy, dtype=float)
    return np.asarray(kinetic * (kinetic + 2.0 * PROTON_MASS) / (kinetic + PROTON_MASS))


def mass_stopping_power(
    energy: ArrayLike, material: Material = WATER, *, water_i_value: float = WATER_I_VALUE
) -> Array:
    r"""Electronic and nuclear mass stopping power, MeV cm2/g, same shape as ``energy``.

    Parameters
    ----------
    energy
        Kinetic energy, MeV, above 0 and up to 300.
    material
        What is crossed.
    water_i_value
        Mean excitation energy of water, eV, where ``material`` is ``WATER``; 75 as in ICRU 49,
        78 as in Geant4 and MCsquare. Other materials keep their own.

    Raises
    ------
    EnergyError
        If an energy is not in that interval.

    Examples
    --------
    >>> round(float(mass_stopping_power(100.0)), 3)
    7.291
    """
    energies = _checked(energy)
    water = _water_series(energies)
    i_value = water_i_value if material is WATER else material.i_value
    if material is WATER and i_value == WATER_I_VALUE:
        return water
    at = np.maximum(energies, _FROZEN_BELOW)
    return np.asarray(water * _bethe(at, material, i_value) / _bethe(at, WATER, WATER_I_VALUE))


def bethe_stopping_power(energy: ArrayLike, material: Material = WATER) -> Array:
    """Mass stopping power by Bethe's formula alone, MeV cm2/g, for ``energy`` of 2 MeV and more.

    With shell and Bloch corrections and no upper limit; tables above the reach of PSTAR's series
    are joined to it.
    """
    return _bethe(np.asarray(energy, dtype=float), material, material.i_value)


def csda_range(
    energy: ArrayLike, material: Material = WATER, *, water_i_value: float = WATER_I_VALUE
) -> Array:
    """Range in ``material`` at its nominal density in continuous slowing down, mm.

    Parameters and errors as for :func:`mass_stopping_power`; same shape as ``energy``.
    """
    energies = _checked(energy)
    low, table, _ = _range_tables(material, water_i_value)
    mass_range = np.where(
        energies < _LOWEST,
        low * (energies / _LOWEST) ** (1.0 - _low_power(low, material, water_i_value)),
        np.exp(table(np.log(np.maximum(energies, _LOWEST)))),
    )
    return np.asarray(mass_range * MM_PER_CM / material.density)


def range_in_water(energy: ArrayLike, *, water_i_value: float = WATER_I_VALUE) -> Array:
    """Range in water in continuous slowing down, mm, same shape as ``energy`` in MeV.

    Examples
    --------
    >>> round(float(range_in_water(150.0)), 2)
    157.74
    """
    return csda_range(energy, WATER, water_i_value=water_i_value)


def energy_of_range(distance: ArrayLike, *, water_i_value: float = WATER_I_VALUE) -> Array:
    """Energy, MeV, whose range in water is ``distance`` mm; 0 where that is not positive.

    Raises
    ------
    EnergyError
        If a range is longer than that of 300 MeV.

    Examples
    --------
    >>> round(float(energy_of_range(range_in_water(97.3))), 6)
    97.3
    """
    mass_range = np.asarray(distance, dtype=float) / MM_PER_CM
    low, table, inverse = _range_tables(WATER, water_i_value)
    highest = float(np.exp(table(log(HIGHEST_ENERGY))))
    if (mass_range > highest * (1 + 1e-9)).any():
        raise EnergyError(
            f"range {mass_range.max() * MM_PER_CM:.1f} mm in water is beyond the tables, which "
            f"end at {HIGHEST_ENERGY:g} MeV ({highest * MM_PER_CM:.1f} mm); ask for a shorter one."
        )
    power = 1.0 - _low_power(low, WATER, water_i_value)
    short = _LOWEST * (np.maximum(mass_range, 0.0) / low) ** (1.0 / power)
    long = np.exp(inverse(np.log(np.clip(mass_range, low, highest))))
    return np.asarray(np.where(mass_range < low, short, long))


def _checked(energy: ArrayLike) -> Array:
    energies = np.asarray(energy, dtype=float)
    if not ((energies > 0) & (energies <= HIGHEST_ENERGY * (1 + 1e-9))).all():
        raise EnergyError(
            f"proton energy {np.min(energies):g} to {np.max(energies):g} MeV is outside the tables "
            f"(above 0 to {HIGHEST_ENERGY:g} MeV); ask within them."
        )
    return energies


def _water_series(energies: Array) -> Array:
    """PSTAR's mass stopping power of water, continued below 0.1 MeV by a power of the energy."""
    span = log(HIGHEST_ENERGY) - log(_LOWEST)
    at = np.clip(energies, _LOWEST, HIGHEST_ENERGY)
    x = (2.0 * np.log(at) - log(_LOWEST) - log(HIGHEST_ENERGY)) / span
    series = np.exp(np.polynomial.chebyshev.chebval(x, _WATER_SERIES))
    slow = np.minimum(energies / _LOWEST, 1.0)
    first = np.exp(np.polynomial.chebyshev.chebval(-1.0, _WATER_SERIES))
    return np.asarray(series * slow ** (1.0 - _LOWEST / (first * _LOWEST_RANGE)))


def _low_power(low: float, material: Material, water_i_value: float) -> float:
    """Power of the energy with which S falls below 0.1 MeV, from S and the range there."""
    stopping = float(mass_stopping_power(_LOWEST, material, water_i_value=water_i_value))
    return 1.0 - _LOWEST / (stopping * low)


def _bethe(energies: Array, material: Material, i_value: float) -> Array:
    """Bethe's formula with shell and Bloch corrections, MeV cm2/g, for ``energies`` >= 2 MeV."""
    gamma = 1.0 + energies / PROTON_MASS
    beta2 = beta_squared(energies)
    mass_ratio = ELECTRON_MASS / PROTON_MASS
    kinematic = 2.0 * ELECTRON_MASS * beta2 * gamma**2
    largest_transfer = kinematic / (1.0 + 2.0 * gamma * mass_ratio + mass_ratio**2)
    logarithm = 0.5 * np.log(kinematic * largest_transfer / (i_value * 1e-6) ** 2)
    y2 = FINE_STRUCTURE**2 / beta2
    bloch = y2 * (1.202 - y2 * (1.042 - 0.855 * y2 + 0.343 * y2**2))
    bracket = logarithm - beta2 - _shell(energies, material) - bloch
    return np.asarray(BETHE_FACTOR * material.z_over_a / beta2 * bracket)


def _shell(energies: Array, material: Material) -> Array:
    """Shell correction per electron by Bragg additivity over the elements."""
    at = np.maximum(energies, _SHELL_LIMIT)
    gamma = 1.0 + at / PROTON_MASS
    inverse = 1.0 / (beta_squared(at) * gamma**2)
    second = (0.422377 * inverse + 0.0304043 * inverse**2 - 0.00038106 * inverse**3) * 1e-6
    third = (3.858019 * inverse - 0.1667989 * inverse**2 + 0.00157955 * inverse**3) * 1e-9
    total = np.zeros_like(at)
    for element, fraction in material.composition:
        i_value = element.i_value
        total += fraction / element.mass * (second * i_value**2 + third * i_value**3)
    slow = np.minimum(energies, _SHELL_LIMIT)
    fade = np.log(slow / 2.0) / log(_SHELL_LIMIT / 2.0)
    return np.asarray(total / material.z_over_a * fade)


@lru_cache(maxsize=128)
def _range_tables(material: Material, water_i_value: float) -> tuple[float, Any, Any]:
    """Range at 0.1 MeV, g/cm2, and splines of ln R by ln E and of ln E by ln R."""
    logs = np.linspace(log(_LOWEST), log(HIGHEST_ENERGY), 1601)
    energies = np.exp(logs)
    stopping = mass_stopping_power(energies, material, water_i_value=water_i_value)
    low = _LOWEST_RANGE * float(_water_series(energies[:1])[0] / stopping[0])
    ranges = low + CubicSpline(logs, energies / stopping).antiderivative()(logs)
    return low, CubicSpline(logs, np.log(ranges)), CubicSpline(np.log(ranges), logs)
