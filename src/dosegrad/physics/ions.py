r"""Ions in matter: stopping power, range, straggling and scattering, from those of protons.

At equal energy per nucleon ions and protons have the same speed, so

.. math:: S(E/u) = \left(\frac{Z_\text{eff}}{Z_\text{eff,p}}\right)^2 S_p(E/u), \quad
          Z_\text{eff} = Z\,(1 - \exp(-125\,\beta\,Z^{-2/3}))

with Barkas's effective charge, that of the proton in the denominator because tables of protons
contain their own. Above 300 MeV/u, where those tables end, the stopping power follows Bethe's
formula, joined there. With A nucleons the range is

.. math:: R(E/u) = \int_0^E \frac{A\,dE'}{S(E')},

its straggling relative to the range is that of protons over :math:`\sqrt{A}`, and multiple
scattering gives :math:`(Z/A)^2` times their angular variance per path.

Sources: Barkas 1963 [Barkas1963]_; range straggling of protons [Bortfeld1997]_; the scaling laws
as in Schardt, Elsässer and Schulz-Ertner 2010 [Schardt2010]_.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline

from dosegrad.arrays import Array
from dosegrad.errors import EnergyError
from dosegrad.physics.scattering import mass_scattering_power
from dosegrad.physics.stopping import HIGHEST_ENERGY, bethe_stopping_power, mass_stopping_power
from dosegrad.units import CM_PER_MM, MM_PER_CM

__all__ = [
    "HIGHEST_ION_ENERGY",
    "IONS",
    "NUCLEON_MASS",
    "Ion",
    "beta_of",
    "effective_charge",
    "energy_of_ion_range",
    "ion_range",
    "ion_scattering_power",
    "ion_stopping_power",
    "momentum_per_nucleon",
    "range_straggling",
]

#: Rest energy per nucleon of bound nuclei, MeV: the atomic mass unit.
NUCLEON_MASS: Final = 931.494
#: Highest energy per nucleon of the tables, MeV/u.
HIGHEST_ION_ENERGY: Final = 700.0
_LOWEST: Final = 0.025  # MeV/u, where tables of range start
_KNOTS: Final = 2001


@dataclass(frozen=True, slots=True)
class Ion:
    """A nucleus.

    Parameters
    ----------
    name
        Symbol with mass number.
    charge
        Protons in it.
    nucleons
        Mass number.
    radius
        Root mean square charge radius, fm [DeVries1987]_.
    """

    name: str
    charge: int
    nucleons: int
    radius: float


#: Ions by name, lightest first.
IONS: Final[dict[str, Ion]] = {
    name: Ion(name, charge, nucleons, radius)
    for name, charge, nucleons, radius in (
        ("1H", 1, 1, 0.85),
        ("2H", 1, 2, 2.095),
        ("3H", 1, 3, 1.755),
        ("3He", 2, 3, 1.959),
        ("4He", 2, 4, 1.676),
        ("6Li", 3, 6, 2.54),
        ("7Li", 3, 7, 2.41),
        ("7Be", 4, 7, 2.52),
        ("9Be", 4, 9, 2.519),
        ("10B", 5, 10, 2.45),
        ("11B", 5, 11, 2.42),
        ("10C", 6, 10, 2.47),
        ("11C", 6, 11, 2.47),
        ("12C", 6, 12, 2.471),
        ("16O", 8, 16, 2.699),
    )
}


def beta_of(energy: ArrayLike) -> Array:
    """Speed over that of light of a nucleus of ``energy`` MeV/u."""
    gamma = 1.0 + np.asarray(energy, dtype=float) / NUCLEON_MASS
    return np.asarray(np.sqrt(1.0 - 1.0 / gamma**2))


def momentum_per_nucleon(energy: ArrayLike) -> Array:
    """Momentum of a nucleus of ``energy`` MeV/u, MeV/c per nucleon."""
    kinetic = np.asarray(energy, dtype=float)
    return np.asarray(np.sqrt(kinetic * (kinetic + 2.0 * NUCLEON_MASS)))


def effective_charge(energy: ArrayLike, charge: int) -> Array:
    """Barkas's effective charge of an ion of ``energy`` MeV/u.

    Examples
    --------
    >>> round(float(effective_charge(400.0, 6)), 3), round(float(effective_charge(1.0, 6)), 3)
    (6.0, 4.96)
    """
    reach = 125.0 * beta_of(energy) * charge ** (-2.0 / 3.0)
    return np.asarray(charge * -np.expm1(-reach))


def ion_stopping_power(energy: ArrayLike, ion: Ion) -> Array:
    """Mass stopping power of water, MeV cm2/g (a tenth of it is keV/µm), as ``energy`` MeV/u.

    Raises
    ------
    EnergyError
        If an energy is not above 0 and up to 700 MeV/u.

    Examples
    --------
    >>> round(float(ion_stopping_power(400.0, IONS["12C"])), 1)
    109.1
    """
    energies = _checked(energy)
    slow = mass_stopping_power(np.minimum(energies, HIGHEST_ENERGY))
    fast = np.maximum(energies, HIGHEST_ENERGY)
    joined = bethe_stopping_power(fast) / bethe_stopping_power(np.array(HIGHEST_ENERGY))
    charges = effective_charge(energies, ion.charge) / effective_charge(energies, 1)
    return np.asarray(slow * joined * charges**2)


def ion_range(energy: ArrayLike, ion: Ion) -> Array:
    """Range in water in continuous slowing down, mm, as ``energy`` MeV/u.

    Examples
    --------
    >>> round(float(ion_range(300.0, IONS["12C"])), 1)
    171.5
    """
    energies = _checked(energy)
    low, table, _ = _range_tables(ion)
    short = low * (energies / _LOWEST)
    long = np.exp(table(np.log(np.maximum(energies, _LOWEST))))
    return np.asarray(np.where(energies < _LOWEST, short, long))


def energy_of_ion_range(distance: ArrayLike, ion: Ion) -> Array:
    """Energy, MeV/u, of an ion whose range in water is ``distance`` mm; 0 where not positive.

    Raises
    ------
    EnergyError
        If a range is longer than that of 700 MeV/u.

    Examples
    --------
    >>> carbon = IONS["12C"]
    >>> round(float(energy_of_ion_range(ion_range(187.3, carbon), carbon)), 4)
    187.3
    """
    ranges = np.asarray(distance, dtype=float)
    low, table, inverse = _range_tables(ion)
    highest = float(np.exp(table(log(HIGHEST_ION_ENERGY))))
    if (ranges > highest * (1 + 1e-9)).any():
        raise EnergyError(
            f"range {ranges.max():.1f} mm of {ion.name} in water is beyond the tables, which end "
            f"at {HIGHEST_ION_ENERGY:g} MeV/u ({highest:.1f} mm); ask for a shorter one."
        )
    short = _LOWEST * np.maximum(ranges, 0.0) / low
    long = np.exp(inverse(np.log(np.clip(ranges, low, highest))))
    return np.asarray(np.where(ranges < low, short, long))


def range_straggling(distance: ArrayLike, ion: Ion) -> Array:
    r"""Standard deviation of the range of ions of mean range ``distance`` mm, mm.

    .. math:: \sigma = 0.012\,\mathrm{cm}\,(R / \mathrm{cm})^{0.935} / \sqrt{A}

    Examples
    --------
    >>> round(float(range_straggling(172.0, IONS["12C"])), 2)
    0.5
    """
    ranges = np.asarray(distance, dtype=float)
    protons = 0.12 * (ranges / MM_PER_CM) ** 0.935
    return np.asarray(protons / np.sqrt(ion.nucleons))


def ion_scattering_power(energy: ArrayLike, ion: Ion, *, initial_energy: float) -> Array:
    """Variance of the projected angle gained per depth in water, rad2/mm, as ``energy`` MeV/u.

    Gottschalk's differential Molière power of protons of the same speed times (Z/A)^2.
    ``initial_energy``, MeV/u, is that before the first scatterer.
    """
    energies = np.minimum(np.asarray(energy, dtype=float), initial_energy)
    protons = mass_scattering_power(energies, initial_energy=initial_energy)
    return np.asarray((ion.charge / ion.nucleons) ** 2 * protons * CM_PER_MM)


def _checked(energy: ArrayLike) -> Array:
    energies = np.asarray(energy, dtype=float)
    if not ((energies > 0) & (energies <= HIGHEST_ION_ENERGY * (1 + 1e-9))).all():
        raise EnergyError(
            f"ion energy {np.min(energies):g} to {np.max(energies):g} MeV/u is outside the tables "
            f"(above 0 to {HIGHEST_ION_ENERGY:g} MeV/u); ask within them."
        )
    return energies


@lru_cache(maxsize=32)
def _range_tables(ion: Ion) -> tuple[float, Any, Any]:
    """Range at the lowest energy, mm, and splines of ln R by ln E and of ln E by ln R.

    Below the lowest energy, 0.025 MeV/u, the range is taken as proportional to the energy: it is
    below half a micrometre there.
    """
    logs = np.linspace(log(_LOWEST), log(HIGHEST_ION_ENERGY), _KNOTS)
    energies = np.exp(logs)
    per_log = ion.nucleons * energies / ion_stopping_power(energies, ion) * MM_PER_CM
    ranges = per_log[0] + CubicSpline(logs, per_log).antiderivative()(logs)
    rising = CubicSpline(logs, np.log(ranges))
    return float(per_log[0]), rising, CubicSpline(np.log(ranges), logs)
