r"""Nuclear reactions of ions in water: how often, and which fragments fly on.

**How often.** Tripathi's universal reaction cross section for two nuclei,

.. math:: \sigma_R = \pi r_0^2 (A_P^{1/3} + A_T^{1/3} + \delta_E)^2 (1 - B / E_{cm}), \quad
          \delta_E = 1.85 S + \frac{0.16 S}{E_{cm}^{1/3}} - C_E
          + 0.91 \frac{(A_T - 2 Z_T) Z_P}{A_T A_P}

with :math:`r_0` = 1.1 fm, :math:`S = A_P^{1/3} A_T^{1/3} / (A_P^{1/3} + A_T^{1/3})`,
:math:`C_E = D (1 - e^{-E/40}) - 0.292\, e^{-E/792} \cos(0.229 E^{0.453})` and
:math:`B = 1.44 Z_P Z_T / R`, :math:`R = 1.29 (r_P + r_T) + 1.2 (A_P^{1/3} + A_T^{1/3}) /
E_{cm}^{1/3}`. D is 1.75 times the densities of the two nuclei over twice carbon's, 2.05 where one
is a proton, and for helium :math:`2.2 - 0.008 A_T + 1.8 \cdot 10^{-5} A_T^2 - 0.3 / (1 +
e^{(120 - E)/50})` as refitted to measurements at 70 to 220 MeV/u [Horst2019]_; a third of it for
lithium. On hydrogen the roles are exchanged. Carbon on carbon comes out as measured [Kox1987]_.

**Which fragments.** Mean numbers per reaction in water, the same at all energies, in
:data:`FRAGMENTS`: for carbon after the partial cross sections and build-up of Schall 1996,
Golovchenko 2002, Zeitlin 2007 and Haettner 2013, for helium after Rovituso 2017, rounded, shared
among isotopes by hand, and completed so that charge is conserved. Lighter projectiles break up as
carbon does, without what is heavier than themselves.

**How fast.** Fragments keep the projectile's speed, spread by the momentum of the nucleons that
left [Goldhaber1974]_, in each direction with

.. math:: \sigma_p^2 = \sigma_0^2 \frac{A_F (A_P - A_F)}{A_P - 1}, \quad \sigma_0 = 90\,
          \mathrm{MeV}/c.

Binding energy and the energy that the struck nucleus takes are paid by the free nucleons.

Sources: [Tripathi1996]_, [Schall1996]_, [Golovchenko2002]_, [Zeitlin2007]_, [Haettner2013]_,
[Rovituso2017]_.
"""

from __future__ import annotations

from functools import lru_cache
from math import pi
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array
from dosegrad.physics.constants import AVOGADRO
from dosegrad.physics.ions import IONS, NUCLEON_MASS, Ion, momentum_per_nucleon
from dosegrad.physics.materials import WATER
from dosegrad.units import CM_PER_MM

__all__ = [
    "BINDING_PER_REACTION",
    "FRAGMENTS",
    "LARGEST_LOCAL_SHARE",
    "LOCAL_ENERGY",
    "angular_variance",
    "fragment_yields",
    "local_energy",
    "momentum_spread",
    "reaction_cross_section",
    "reaction_rate",
]

#: Mean number of each fragment per reaction of carbon and of helium in water.
FRAGMENTS: Final = MappingProxyType(
    {
        "12C": MappingProxyType(
            {
                "11C": 0.09, "10C": 0.01, "11B": 0.11, "10B": 0.07, "9Be": 0.03, "7Be": 0.05,
                "7Li": 0.05, "6Li": 0.06, "4He": 0.80, "3He": 0.18, "3H": 0.17, "2H": 0.40,
                "1H": 1.32,
            }
        ),
        "4He": MappingProxyType({"3He": 0.25, "3H": 0.30, "2H": 0.35, "1H": 0.85}),
    }
)  # fmt: skip
#: Energy that breaking the projectile up costs, MeV.
BINDING_PER_REACTION: Final = 25.0
#: Energy that the struck nucleus takes from the projectile and leaves on the spot, MeV per reaction
#: (fitted), at most this share of the projectile's.
LOCAL_ENERGY: Final = 30.0
LARGEST_LOCAL_SHARE: Final = 0.1

_RADIUS_FM: Final = 1.1
_REDUCED_WIDTH: Final = 90.0  # MeV/c, of a nucleon's momentum
_MILLIBARN_CM2: Final = 1e-27
_TARGETS: Final = {"H": "1H", "O": "16O"}
_SLOWEST: Final = 1.0  # MeV/u, below which nothing reacts


def reaction_cross_section(energy: ArrayLike, projectile: Ion, target: Ion) -> Array:
    """Reaction cross section, mb, same shape as ``energy`` in MeV/u.

    Examples
    --------
    >>> carbon, oxygen = IONS["12C"], IONS["16O"]
    >>> round(float(reaction_cross_section(200.0, carbon, oxygen)))
    983
    """
    if target.nucleons < projectile.nucleons and target.nucleons == 1:
        projectile, target = target, projectile
    energies = np.maximum(np.asarray(energy, dtype=float), _SLOWEST)
    centre = _centre_of_mass_energy(energies, projectile, target)
    cubes = projectile.nucleons ** (1 / 3), target.nucleons ** (1 / 3)
    asymmetry = cubes[0] * cubes[1] / sum(cubes)
    reach = 1.29 * (projectile.radius + target.radius) + 1.2 * sum(cubes) / centre ** (1 / 3)
    barrier = 1.44 * projectile.charge * target.charge / reach
    excess = target.nucleons - 2 * target.charge
    growth = (
        1.85 * asymmetry
        + 0.16 * asymmetry / centre ** (1 / 3)
        - _transparency(energies, projectile, target)
        + 0.91 * excess * projectile.charge / (target.nucleons * projectile.nucleons)
    )
    area = 10.0 * pi * _RADIUS_FM**2 * (sum(cubes) + growth) ** 2  # 1 fm2 is 10 mb
    section = area * np.maximum(1.0 - barrier / centre, 0.0)
    return np.asarray(np.where(np.asarray(energy) < _SLOWEST, 0.0, section))


def reaction_rate(energy: ArrayLike, projectile: Ion) -> Array:
    """Reactions per mm of water, same shape as ``energy`` in MeV/u.

    Free protons react with oxygen only.

    Examples
    --------
    >>> round(1.0 / float(reaction_rate(200.0, IONS["12C"])))
    213
    """
    total = np.zeros_like(np.asarray(energy, dtype=float))
    for element, fraction in WATER.composition:
        target = IONS[_TARGETS[element.symbol]]
        if projectile.nucleons == 1 and target.nucleons == 1:
            continue
        nuclei = fraction * AVOGADRO / element.mass * _MILLIBARN_CM2 * CM_PER_MM
        total = total + nuclei * reaction_cross_section(energy, projectile, target)
    return np.asarray(total)


@lru_cache(maxsize=32)
def fragment_yields(projectile: str) -> dict[str, float]:
    """Mean number of each fragment per reaction, by name; charges add up to the projectile's.

    Examples
    --------
    >>> yields = fragment_yields("10B")
    >>> round(sum(n * IONS[name].charge for name, n in yields.items()), 12)
    5.0
    """
    ion = IONS[projectile]
    if ion.nucleons <= 3:
        return {} if ion.nucleons == 1 else {"1H": float(ion.charge)}
    table = FRAGMENTS["4He" if ion.charge == 2 else "12C"]
    kept = {
        name: n
        for name, n in table.items()
        if IONS[name].charge <= ion.charge and IONS[name].nucleons < ion.nucleons
    }
    scale = ion.charge / sum(n * IONS[name].charge for name, n in kept.items())
    return {name: n * scale for name, n in kept.items()}


def local_energy(energy: ArrayLike, projectile: Ion) -> Array:
    """Energy that a reaction of an ion of ``energy`` MeV/u leaves on the spot, MeV."""
    share = LARGEST_LOCAL_SHARE * projectile.nucleons * np.asarray(energy, dtype=float)
    return np.asarray(np.minimum(LOCAL_ENERGY, share))


def momentum_spread(fragment: Ion, projectile: Ion) -> float:
    """Standard deviation of each component of a fragment's momentum, MeV/c [Goldhaber1974]_."""
    left = projectile.nucleons - fragment.nucleons
    return float(
        _REDUCED_WIDTH * np.sqrt(fragment.nucleons * left / max(projectile.nucleons - 1, 1))
    )


def _transparency(energies: Array, projectile: Ion, target: Ion) -> Array:
    """C_E of the module's equation."""
    carbon = 2.0 * _density(IONS["12C"])
    strength: Array | float = 1.75 * (_density(projectile) + _density(target)) / carbon
    if projectile.nucleons == 1:
        strength = 2.05
    elif projectile.charge == 2 and projectile.nucleons == 4:
        fall = 0.3 / (1.0 + np.exp((120.0 - energies) / 50.0))
        strength = 2.2 - 8e-3 * target.nucleons + 1.8e-5 * target.nucleons**2 - fall
    elif projectile.charge == 3:
        strength = strength / 3.0
    wave = 0.292 * np.exp(-energies / 792.0) * np.cos(0.229 * energies**0.453)
    return np.asarray(strength * (1.0 - np.exp(-energies / 40.0)) - wave)


def _density(ion: Ion) -> float:
    """Nucleons per volume of a sphere of 1.29 times the root mean square radius, 1/fm3."""
    return float(ion.nucleons / (4.0 / 3.0 * pi * (1.29 * ion.radius) ** 3))


def _centre_of_mass_energy(energies: Array, projectile: Ion, target: Ion) -> Array:
    """Kinetic energy in the centre of mass, MeV."""
    a, b = projectile.nucleons * NUCLEON_MASS, target.nucleons * NUCLEON_MASS
    square = (a + b) ** 2 + 2.0 * b * projectile.nucleons * energies
    return np.asarray(np.sqrt(square) - a - b)


def angular_variance(energy: ArrayLike, fragment: Ion, projectile: Ion) -> Array:
    """Variance of the projected angle of a fragment of ``energy`` MeV/u, rad2.

    Capped at that of a fragment of 10 MeV/u, where angles are no longer small.
    """
    momentum = fragment.nucleons * momentum_per_nucleon(np.maximum(energy, 10.0))
    return np.asarray((momentum_spread(fragment, projectile) / momentum) ** 2)
