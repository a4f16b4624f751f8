"""Constants of nature, in MeV, cm and g where the tables of the field use them.

Values are CODATA 2018 [Tiesinga2021]_ and the Review of Particle Physics (for the Bethe factor).
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "AVOGADRO",
    "BETHE_FACTOR",
    "BOHR_RADIUS_CM",
    "ELECTRON_MASS",
    "FINE_STRUCTURE",
    "HBAR_C_MEV_CM",
    "PROTON_MASS",
]

#: Rest energy of the electron, MeV.
ELECTRON_MASS: Final = 0.51099895
#: Rest energy of the proton, MeV.
PROTON_MASS: Final = 938.27208816
#: Fine structure constant.
FINE_STRUCTURE: Final = 1.0 / 137.035999084
#: Reduced Planck constant times the speed of light, MeV cm.
HBAR_C_MEV_CM: Final = 1.973269804e-11
#: Bohr radius, cm.
BOHR_RADIUS_CM: Final = 5.29177210903e-9
#: Avogadro constant, 1/mol.
AVOGADRO: Final = 6.02214076e23
#: 4 pi N_A r_e^2 m_e c^2, MeV cm2/mol: the factor in front of Bethe's formula.
BETHE_FACTOR: Final = 0.307075
