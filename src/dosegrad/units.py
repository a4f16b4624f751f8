"""Conversions between the units of files and those of the code (mm, MeV, Gy, g/cm3).

A bare name anywhere in dosegrad is in the units of the table in CONTRIBUTING.md; numbers in
other units are converted here, once, when they enter or leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from dosegrad.errors import PlanError

__all__ = [
    "CM_PER_MM",
    "FWHM_PER_SIGMA",
    "GY_PER_MEV_CM2_PER_G_PER_MM2",
    "J_PER_MEV",
    "MM_PER_CM",
    "PARTICLES_PER_WEIGHT",
    "QUANTITIES",
    "Quantity",
    "whole_fractions",
]

MM_PER_CM: Final = 10.0
CM_PER_MM: Final = 0.1

#: Elementary charge in C (exact since the 2019 SI), hence joule per MeV.
J_PER_MEV: Final = 1.602176634e-13

#: One unit of spot weight is a million particles.
PARTICLES_PER_WEIGHT: Final = 1e6

#: Dose in Gy of 10^6 particles whose integral depth dose is 1 MeV cm2/g each and whose lateral
#: density is 1 per mm2: 1e6 x 1.602e-13 J x (100 mm2/cm2) x (1000 g/kg).
GY_PER_MEV_CM2_PER_G_PER_MM2: Final = PARTICLES_PER_WEIGHT * J_PER_MEV * 1e2 * 1e3

#: Full width at half maximum of a Gaussian of unit standard deviation, 2 sqrt(2 ln 2).
FWHM_PER_SIGMA: Final = 2.3548200450309493


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a map of dose may hold instead of dose.

    Parameters
    ----------
    label
        As the axis of a picture says it.
    unit
        Unit of its values; doses and effects are those of the whole course.
    """

    label: str
    unit: str


#: Name -> what it is.
QUANTITIES: Final[Mapping[str, Quantity]] = MappingProxyType(
    {
        "dose": Quantity("dose", "Gy"),
        "rbe_dose": Quantity("RBE-weighted dose", "Gy (RBE)"),
        "effect": Quantity("effect", ""),
        "bed": Quantity("biologically effective dose", "Gy"),
        "eqd2": Quantity("equieffective dose at 2 Gy a fraction", "Gy"),
        "let": Quantity("dose-averaged LET", "keV/µm"),
        "let_dose": Quantity("LET times dose", "keV/µm Gy"),
        "rbe": Quantity("RBE", ""),
    }
)


def whole_fractions(fractions: object) -> int:
    """The number of fractions of a course.

    Raises
    ------
    PlanError
        If it is no whole number from 1.
    """
    number = fractions if isinstance(fractions, (int, float, np.number)) else np.nan
    if isinstance(fractions, bool) or not 1 <= number < np.inf or number != int(number):
        raise PlanError(
            f"a course of {fractions!r} fractions is not possible; give a whole number from 1."
        )
    return int(number)
