r"""Nuclear interactions of protons in water: how often, and what comes out.

Three channels, each a rate per depth and a small table of outgoing protons:

nonelastic on oxygen
    Rate: Tripathi's cross section, raised linearly by up to 12 % from 80 to 180 MeV, towards the
    evaluation of ICRU 63. Outgoing protons: flat spectrum up to :math:`E - Q` (Q = 12 MeV, the
    binding of the struck proton), half of the incident energy together, and a forward cone
    :math:`\cos\theta = x^{0.35}` at the share :math:`x` of :math:`E - Q` (free protons at rest
    would give the power 1/2). A tenth of the incident energy stays where it is, as fragments,
    recoils and evaporated protons. For comparison, at 150 MeV protons carry 57 % and fragments and
    recoils 6.5 % [Seltzer1993]_. The rest leaves as neutrons and gammas or is binding energy.
elastic on hydrogen
    Rate: the free proton-proton cross section of Charagi and Gupta [Charagi1990]_. Two protons
    leave at right angles with energies :math:`xE` and :math:`(1 - x)E`, x uniform (isotropic in
    the centre of mass), :math:`\cos\theta = \sqrt{x}`.
elastic on oxygen
    Rate: a smooth curve near the neutron elastic cross section of oxygen. Momentum transfers fall
    as :math:`\exp(-b\,t)`; the recoil stays where it is.

*Fitted numbers.* The two energy shares, the forward power, the 12 % rise, the slope b and the
elastic curve were adjusted by hand until depth doses and lateral profiles of MCsquare at 150 and
230 MeV agreed; 70 and 100 MeV were not used. They belong to this model as a whole and are no
measurement of any one of them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array
from dosegrad.physics.absorption import nonelastic_cross_section
from dosegrad.physics.constants import AVOGADRO
from dosegrad.physics.materials import WATER
from dosegrad.physics.stopping import beta_squared
from dosegrad.units import CM_PER_MM

__all__ = [
    "BINDING",
    "ELASTIC_SLOPE",
    "EVAPORATED_ENERGY",
    "EVAPORATED_SHARE",
    "FORWARD_POWER",
    "LOCAL_SHARE",
    "OXYGEN_MASS",
    "PROTON_SHARE",
    "WaterRates",
    "proton_proton_cross_section",
    "water_rates",
]

#: Energy that freeing the struck proton of oxygen costs, MeV.
BINDING: Final = 12.0
#: Share of the incident energy that protons carry away from a nonelastic event (fitted).
PROTON_SHARE: Final = 0.50
#: Power of the share x of the energy that gives the cosine of their angle (fitted).
FORWARD_POWER: Final = 0.35
#: Share of the incident energy that fragments and evaporated protons deposit on the spot (fitted).
LOCAL_SHARE: Final = 0.10
#: Part of that, also of the incident energy, that is of evaporated protons: what LOCAL_SHARE has
#: above the 6.5 % of fragments and recoils at 150 MeV [Seltzer1993]_. Only LET needs it.
EVAPORATED_SHARE: Final = 0.035
#: Energy-weighted mean energy of evaporated protons, MeV: a temperature near 2 MeV above the
#: Coulomb barrier (chosen).
EVAPORATED_ENERGY: Final = 6.0
#: Slope b of elastic scattering on oxygen, 1/GeV2 (fitted).
ELASTIC_SLOPE: Final = 65.0
#: Rest energy of oxygen-16, MeV.
OXYGEN_MASS: Final = 15.995 * 931.494

_MILLIBARN_CM2: Final = 1e-27
_RISE: Final = 0.12  # of the nonelastic cross section, from _RISE_FROM over _RISE_SPAN (fitted)
_RISE_FROM: Final = 80.0
_RISE_SPAN: Final = 100.0
# Elastic cross section of oxygen, mb, against energy, MeV; log-log in between (fitted).
_ELASTIC_ENERGIES: Final = (10.0, 20.0, 30.0, 50.0, 70.0, 100.0, 150.0, 200.0, 250.0)
_ELASTIC_SECTIONS: Final = (900.0, 800.0, 650.0, 450.0, 350.0, 260.0, 150.0, 103.0, 80.0)
_SLOWEST: Final = 10.0  # MeV, below which elastic cross sections stay as they are


class WaterRates:
    """Interactions per mm in water against energy, MeV, all of shape (n,)."""

    __slots__ = ("energies", "hydrogen", "nonelastic", "oxygen")

    def __init__(self, energies: Array) -> None:
        self.energies = energies
        per_mm = {
            element.symbol: fraction * AVOGADRO / element.mass * _MILLIBARN_CM2 * CM_PER_MM
            for element, fraction in WATER.composition
        }
        rise = 1.0 + _RISE * np.clip((energies - _RISE_FROM) / _RISE_SPAN, 0.0, 1.0)
        self.nonelastic = per_mm["O"] * rise * nonelastic_cross_section(energies, "O")
        self.hydrogen = per_mm["H"] * proton_proton_cross_section(energies)
        self.oxygen = per_mm["O"] * _elastic_oxygen(energies)

    @property
    def total(self) -> Array:
        """All three together, 1/mm."""
        return np.asarray(self.nonelastic + self.hydrogen + self.oxygen)


def water_rates() -> WaterRates:
    """Rates from 0 to 290 MeV in steps of 0.1 MeV."""
    return WaterRates(np.linspace(0.0, 290.0, 2901))


def proton_proton_cross_section(energy: ArrayLike) -> Array:
    r"""Elastic cross section of protons on protons, mb [Charagi1990]_.

    .. math:: \sigma = 13.73 - 15.04/\beta + 8.76/\beta^2 + 68.67\,\beta^4

    for 10 MeV to 1 GeV; below 10 MeV the value there.
    """
    beta = np.sqrt(beta_squared(np.maximum(energy, _SLOWEST)))
    return np.asarray(13.73 - 15.04 / beta + 8.76 / beta**2 + 68.67 * beta**4)


def _elastic_oxygen(energies: Array) -> Array:
    at = np.log(np.maximum(energies, _SLOWEST))
    return np.asarray(np.exp(np.interp(at, np.log(_ELASTIC_ENERGIES), np.log(_ELASTIC_SECTIONS))))
