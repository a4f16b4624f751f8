r"""Specific energy that ions give to small sites, from an amorphous track structure.

Dose about a track after Kiefer and Chatterjee: a core of radius :math:`R_c = 0.0116\,\beta` µm,
and a penumbra out to :math:`R_p = 0.0616\,E^{1.7}` µm (E in MeV/u) where

.. math:: D_p(r) = K_p / r^2, \quad K_p = 1.25 \cdot 10^{-4}\,(Z_\text{eff}/\beta)^2\
          \mathrm{Gy\,µm^2},

the core taking what is left of the LET, evenly. A site (domain) is a cylinder of water of radius
:math:`r_d` along the track at distance b from it; z(b) is its mean dose. Overkill is a saturation
of z in the microdosimetric kinetic model:

.. math:: z_s^2 = z_0^2 (1 - e^{-z^2/z_0^2}), \quad
          z_0 = \frac{(R_n/r_d)^2}{\sqrt{\beta_x (1 + (R_n/r_d)^2)}}, \quad
          z^*_{1D} = \frac{\int z_s^2(b)\, b\, db}{\int z(b)\, b\, db}

with the radius :math:`R_n` of the cell nucleus. Then :math:`\alpha = \alpha_0 + \beta_x z^*_{1D}`
at low dose.

Sources: Kiefer and Straaten 1986, Chatterjee and Schaefer 1976 as put together by Kase 2008
[Kase2008]_; radii and averaging of Inaniwa 2010 [Inaniwa2010]_: 0.32 and 3.9 µm.
"""

from __future__ import annotations

from functools import lru_cache
from math import pi
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array
from dosegrad.physics.ions import IONS, beta_of, effective_charge, ion_stopping_power

__all__ = [
    "DOMAIN_RADIUS",
    "NUCLEUS_RADIUS",
    "domain_dose",
    "saturated_specific_energy",
    "saturation_dose",
]

#: Radius of the domain, µm [Inaniwa2010]_.
DOMAIN_RADIUS: Final = 0.32
#: Radius of the cell nucleus, µm [Inaniwa2010]_.
NUCLEUS_RADIUS: Final = 3.9

_GY_UM2_PER_KEV_UM: Final = 0.1602177  # dose of 1 keV/µm spread over 1 µm2 of water
_KEV_UM_PER_MEV_CM2_G: Final = 0.1
_SHELLS: Final = 1200
_LOWEST, _HIGHEST = 0.1, 700.0  # MeV/u, ends of the table
_KNOTS: Final = 90
# One of several isotopes of each charge: at equal speed their tracks are the same.
_ISOTOPES: Final = {1: "1H", 2: "4He", 3: "7Li", 4: "9Be", 5: "11B", 6: "12C"}


def domain_dose(distance: Array, energy: float, charge: int) -> Array:
    """Mean dose (n,), Gy, of a domain at each distance (n,), µm, from a track.

    Parameters
    ----------
    distance
        From the track to the axis of the domain, µm.
    energy
        Of the ion, MeV/u.
    charge
        Of its nucleus, 1 to 6.
    """
    shells, middle = _shells(energy)
    return np.asarray(_shares(distance, middle) @ _shell_energies(shells, energy, charge))


def saturation_dose(beta: float) -> float:
    """The saturation parameter z_0, Gy, of a tissue of ``beta`` 1/Gy2.

    Examples
    --------
    >>> round(saturation_dose(0.05), 1)
    54.3
    """
    ratio = (NUCLEUS_RADIUS / DOMAIN_RADIUS) ** 2
    return float(ratio / np.sqrt(beta * (1.0 + ratio)))


def saturated_specific_energy(energy: ArrayLike, charge: int, beta: float) -> Array:
    """z*_1D, Gy, same shape as ``energy``: saturation-corrected, dose-averaged, per event.

    Parameters
    ----------
    energy
        MeV/u; below 0.1 the value there.
    charge
        Of the nucleus, 1 to 6.
    beta
        Of the tissue, 1/Gy2.

    Examples
    --------
    >>> round(float(saturated_specific_energy(50.0, 6, 0.0615)), 1)
    12.8
    """
    knots = np.geomspace(_LOWEST, _HIGHEST, _KNOTS)
    at = np.log(np.clip(np.asarray(energy, dtype=float), _LOWEST, _HIGHEST))
    table = _specific_energies(charge, beta)
    return np.asarray(np.exp(np.interp(at, np.log(knots), np.log(table))))


@lru_cache(maxsize=64)
def _specific_energies(charge: int, beta: float) -> Array:
    """z*_1D at the knots of energy."""
    knots = np.geomspace(_LOWEST, _HIGHEST, _KNOTS)
    limit = saturation_dose(beta)
    return np.array([_specific_energy(float(e), charge, limit) for e in knots])


def _specific_energy(energy: float, charge: int, limit: float) -> float:
    b, doses = _site_doses(energy)
    z = doses[:, charge - 1]
    saturated = -(limit**2) * np.expm1(-((z / limit) ** 2))
    return float(np.trapezoid(saturated * b, b) / np.trapezoid(z * b, b))


@lru_cache(maxsize=128)
def _site_doses(energy: float) -> tuple[Array, Array]:
    """Distances (n,), µm, fine about the rim, and mean doses there (n, charges), Gy."""
    farthest = _radii(energy)[1] + DOMAIN_RADIUS
    rim = DOMAIN_RADIUS * np.linspace(0.9, 1.1, 101)
    b = np.union1d(rim[rim < farthest], np.concatenate([[0.0], np.geomspace(1e-4, farthest, 300)]))
    shells, middle = _shells(energy)
    energies = np.column_stack([_shell_energies(shells, energy, z) for z in _ISOTOPES])
    return b, np.asarray(_shares(b, middle) @ energies)


def _shells(energy: float) -> tuple[Array, Array]:
    """Outer and middle radii (n,), µm, of shells about a track."""
    core, penumbra = _radii(energy)
    edges = np.geomspace(0.2 * core, penumbra, _SHELLS)
    middle = np.concatenate([[0.1 * core], np.sqrt(edges[1:] * edges[:-1])])
    return edges, middle


def _shares(distance: Array, middle: Array) -> Array:
    """Share (n, shells) of each shell inside a domain at each distance, per µm2 of domain."""
    b = np.reshape(np.maximum(distance, 1e-9), (-1, 1))
    cosine = (b**2 + middle**2 - DOMAIN_RADIUS**2) / (2.0 * b * middle)
    return np.asarray(np.arccos(np.clip(cosine, -1.0, 1.0)) / (pi**2 * DOMAIN_RADIUS**2))


def _shell_energies(edges: Array, energy: float, charge: int) -> Array:
    """Energy (n,) in each shell per track length over the density, Gy µm2."""
    return np.diff(_enclosed(edges, energy, charge), prepend=0.0)


def _radii(energy: float) -> tuple[float, float]:
    """Radii of core and penumbra, µm; a penumbra is no smaller than twice its core."""
    core = 0.0116 * float(beta_of(energy))
    return core, max(0.0616 * energy**1.7, 2.0 * core)


def _enclosed(radius: Array, energy: float, charge: int) -> Array:
    """Energy per track length inside ``radius`` over the density, Gy µm2."""
    core, penumbra = _radii(energy)
    ion = IONS[_ISOTOPES[charge]]
    let = float(ion_stopping_power(energy, ion)) * _KEV_UM_PER_MEV_CM2_G
    strength = 1.25e-4 * float(effective_charge(energy, charge) / beta_of(energy)) ** 2
    total = _GY_UM2_PER_KEV_UM * let
    in_core = total - 2.0 * pi * strength * np.log(penumbra / core)
    inside = in_core * np.minimum(radius / core, 1.0) ** 2
    outside = 2.0 * pi * strength * np.log(np.maximum(radius, core) / core)
    return np.asarray(inside + outside)
