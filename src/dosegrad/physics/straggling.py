r"""Energy-loss straggling of protons.

.. math:: T/\rho = 2 \pi N_A r_e^2 (m_e c^2)^2\, 2\, \frac{Z}{A}\, \gamma^2 (1 - \beta^2/2)
          = 0.1569\,\frac{Z}{A}\,\gamma^2 (1 - \beta^2/2)\ \mathrm{MeV^2\,cm^2/g}

Bohr's variance with the relativistic largest transfer, the second moment of the loss in the
Fokker-Planck equation.

Source: Burlacu, Lathouwers and Perkó 2024 [Burlacu2024]_, after Rossi.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array
from dosegrad.physics.constants import BETHE_FACTOR, ELECTRON_MASS, PROTON_MASS
from dosegrad.physics.materials import WATER, Material
from dosegrad.physics.stopping import beta_squared

__all__ = ["mass_straggling"]


def mass_straggling(energy: ArrayLike, material: Material = WATER) -> Array:
    """Variance of the energy loss per mass depth, MeV2 cm2/g, same shape as ``energy`` in MeV.

    Examples
    --------
    >>> round(float(mass_straggling(100.0)), 4)
    0.0969
    """
    gamma = 1.0 + np.asarray(energy, dtype=float) / PROTON_MASS
    spread = gamma**2 * (1.0 - 0.5 * beta_squared(energy))
    return np.asarray(BETHE_FACTOR * ELECTRON_MASS * material.z_over_a * spread)
