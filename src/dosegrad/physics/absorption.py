r"""Nonelastic nuclear absorption of protons, by Tripathi's semi-empirical cross section.

.. math:: \sigma_R = \pi r_0^2 (A_P^{1/3} + A_T^{1/3} + \delta_E)^2 (1 - R_c B / E_{cm})

with :math:`r_0` = 1.1 fm, :math:`A_P` = 1, and (S the mass-asymmetry term, C_E transparency)

.. math:: \delta_E = 1.85 S + 0.16 S / E_{cm}^{1/3} - C_E + 0.91 (A_T - 2 Z_T)/A_T, \quad
          C_E = D (1 - e^{-E/40}) - 0.292\, e^{-E/792} \cos(0.229 E^{0.453})

The special cases for protons are those of the authors' program: :math:`D = 2.05 - 0.05 /
(1 + e^{(250 - E)/75})`, less an extra term at low energy for Mg and Ca (Ar likewise), and a Coulomb
factor :math:`R_c` of 3.5 for carbon, A/7 for mass numbers 13 to 16, 1.8 for Mg, 1.3 for Ca.
Hydrogen has no nonelastic channel below the pion threshold.

Source: Tripathi, Cucinotta and Wilson, NASA TP-3621 (1997) [Tripathi1997]_; charge radii
de Vries 1987.
"""

from __future__ import annotations

from math import pi
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array
from dosegrad.errors import unknown_name
from dosegrad.physics.constants import AVOGADRO, PROTON_MASS
from dosegrad.physics.materials import ELEMENTS, WATER, Material

__all__ = ["mass_absorption", "nonelastic_cross_section"]

_NUCLEON_MASS: Final = 931.494  # MeV per unit of mass number
_RADIUS_FM: Final = 1.1
_PROTON_RMS_FM: Final = 0.85
_MILLIBARN_CM2: Final = 1e-27

# Mass number of the commonest isotope and root mean square charge radius in fm.
_NUCLEI: Final = {
    "C": (12, 2.471),
    "N": (14, 2.548),
    "O": (16, 2.699),
    "F": (19, 2.898),
    "Na": (23, 2.993),
    "Mg": (24, 3.057),
    "Al": (27, 3.061),
    "P": (31, 3.189),
    "S": (32, 3.261),
    "Cl": (35, 3.365),
    "Ar": (40, 3.427),
    "K": (39, 3.435),
    "Ca": (40, 3.478),
    "Ti": (48, 3.592),
}
# Height, middle and width (MeV) of the extra low-energy term of D.
_EXTRA_D: Final = {"Mg": (3.0, 20.0, 10.0), "Ar": (2.0, 20.0, 10.0), "Ca": (1.0, 40.0, 10.0)}
_COULOMB_FACTOR: Final = {"C": 3.5, "N": 2.0, "O": 16 / 7, "Mg": 1.8, "Ca": 1.3}


def nonelastic_cross_section(energy: ArrayLike, symbol: str) -> Array:
    """Nonelastic cross section of protons on one nucleus, mb, same shape as ``energy``.

    Parameters
    ----------
    energy
        Kinetic energy, MeV; 0 gives 0.
    symbol
        Element, by its chemical symbol.

    Raises
    ------
    UnknownNameError
        If the element is not in the tables.

    Examples
    --------
    >>> round(float(nonelastic_cross_section(100.0, "O")))
    308
    """
    energies = np.asarray(energy, dtype=float)
    if symbol == "H":
        return np.zeros_like(energies)
    if symbol not in _NUCLEI:
        raise unknown_name("nucleus", symbol, ("H", *_NUCLEI))
    mass, rms = _NUCLEI[symbol]
    charge = ELEMENTS[symbol].charge
    moving = np.maximum(energies, 1e-3)
    centre = _centre_of_mass_energy(moving, mass)
    cube = mass ** (1 / 3)
    reach = 1.29 * (_PROTON_RMS_FM + rms) + 1.2 * (1.0 + cube) / centre ** (1 / 3)
    barrier = _COULOMB_FACTOR.get(symbol, 1.0) * 1.44 * charge / reach
    asymmetry = cube / (1.0 + cube)
    growth = 1.85 * asymmetry + 0.16 * asymmetry / centre ** (1 / 3) - _transparency(moving, symbol)
    growth += 0.91 * (mass - 2 * charge) / mass
    area = 10.0 * pi * _RADIUS_FM**2 * (1.0 + cube + growth) ** 2  # 1 fm2 is 10 mb
    return np.asarray(area * np.maximum(1.0 - barrier / centre, 0.0))


def mass_absorption(energy: ArrayLike, material: Material = WATER) -> Array:
    """Probability of nonelastic absorption per mass depth, cm2/g, same shape as ``energy``.

    Examples
    --------
    >>> round(float(mass_absorption(100.0)), 4)
    0.0103
    """
    energies = np.asarray(energy, dtype=float)
    total = np.zeros_like(energies)
    for element, fraction in material.composition:
        section = nonelastic_cross_section(energies, element.symbol)
        total += fraction * AVOGADRO / element.mass * _MILLIBARN_CM2 * section
    return total


def _transparency(energies: Array, symbol: str) -> Array:
    """C_E of the module's equation."""
    strength = 2.05 - 0.05 / (1.0 + np.exp((250.0 - energies) / 75.0))
    if symbol in _EXTRA_D:
        height, middle, width = _EXTRA_D[symbol]
        strength = 2.05 - height / (1.0 + np.exp((energies - middle) / width))
    wave = 0.292 * np.exp(-energies / 792.0) * np.cos(0.229 * energies**0.453)
    return np.asarray(strength * (1.0 - np.exp(-energies / 40.0)) - wave)


def _centre_of_mass_energy(energies: Array, mass: int) -> Array:
    """Kinetic energy in the centre of mass, MeV."""
    target = mass * _NUCLEON_MASS
    square = (PROTON_MASS + target) ** 2 + 2.0 * target * energies
    return np.asarray(np.sqrt(square) - PROTON_MASS - target)
