r"""Multiple Coulomb scattering of protons: growth of the angular variance with depth.

The transport cross section :math:`\Sigma_{tr}` is the variance of the *projected* angle gained per
depth, :math:`d\langle\theta_x^2\rangle/dz`. Four models:

``"differential-moliere"``
    Gottschalk's differential Molière power, which depends on the history of the proton through
    its initial :math:`p_1 v_1` [Gottschalk2010]_:
    :math:`T = f_\text{dM}(pv, p_1 v_1)\,(15\,\mathrm{MeV}/pv)^2 / X_S`.
``"moliere"``, ``"born"``
    Rutherford's cross section, screened with Molière's or Born's angle, with nuclear form factor
    and electrons:

    .. math:: \Sigma_{tr}/\rho = \sum_i w_i \frac{N_A}{A_i} 2 \pi
              \left(\frac{\alpha \hbar c}{p v}\right)^2 [Z^2 I(x_N) + Z I(x_e)], \quad
              I(x) = \ln(1 + 2x/\chi_a^2) - 1 + \frac{1}{1 + 2x/\chi_a^2}
``"paper"``
    As ``"moliere"`` but to the largest angle for point nuclei, without electrons, as in
    [Burlacu2024]_.

Screening: :math:`\chi_a^2 = \chi_0^2 (1.13 + 3.76 (\alpha Z/\beta)^2)` (Molière) or
:math:`\chi_0^2` (Born), :math:`\chi_0 = \hbar / (p\, 0.8853\, a_0 Z^{-1/3})`.
"""

from __future__ import annotations

from functools import lru_cache
from math import log, pi
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array
from dosegrad.errors import EnergyError, unknown_name
from dosegrad.physics.constants import (
    AVOGADRO,
    BOHR_RADIUS_CM,
    ELECTRON_MASS,
    FINE_STRUCTURE,
    HBAR_C_MEV_CM,
    PROTON_MASS,
)
from dosegrad.physics.materials import WATER, Element, Material
from dosegrad.physics.stopping import beta_squared, momentum_velocity

__all__ = ["ScatteringModel", "mass_scattering_power", "scattering_length"]

ScatteringModel = Literal["differential-moliere", "moliere", "born", "paper"]

#: Mass scattering length of water, g/cm2, that [Gottschalk2010]_ gives; other materials scale.
_WATER_SCATTERING_LENGTH: Final = 46.88
_CM_PER_FM: Final = 1e-13


def mass_scattering_power(
    energy: ArrayLike,
    material: Material = WATER,
    *,
    initial_energy: ArrayLike | None = None,
    model: ScatteringModel = "differential-moliere",
) -> Array:
    """Variance of the projected angle gained per mass depth, rad2 cm2/g.

    Parameters
    ----------
    energy
        Energy of the proton, MeV, any shape.
    material
        What is crossed.
    initial_energy
        Energy before the first scatterer, MeV; only ``"differential-moliere"`` asks for it.
    model
        One of those in the module's description.

    Raises
    ------
    UnknownNameError
        If there is no such model.
    EnergyError
        If the differential model has no initial energy, or one below ``energy``.
    """
    if model not in get_args(ScatteringModel):
        raise unknown_name("scattering model", model, get_args(ScatteringModel))
    energies = np.asarray(energy, dtype=float)
    if model == "differential-moliere":
        return _differential_moliere(energies, material, initial_energy)
    total = np.zeros_like(energies)
    for element, fraction in material.composition:
        total += fraction * AVOGADRO / element.mass * _transport_section(energies, element, model)
    return total


@lru_cache(maxsize=128)
def scattering_length(material: Material) -> float:
    r"""Mass scattering length :math:`\rho X_S`, g/cm2 [Gottschalk2010]_.

    .. math:: 1/(\rho X_S) \propto \sum w Z^2/A\,[2 \ln(33219 (A Z)^{-1/3}) - 1]

    normalised to water's 46.88 g/cm2.
    """
    return _WATER_SCATTERING_LENGTH * _inverse_length(WATER) / _inverse_length(material)


def _inverse_length(material: Material) -> float:
    return sum(
        w * e.charge**2 / e.mass * (2.0 * log(33219.0 * (e.mass * e.charge) ** (-1 / 3)) - 1.0)
        for e, w in material.composition
    )


def _differential_moliere(
    energies: Array, material: Material, initial_energy: ArrayLike | None
) -> Array:
    if initial_energy is None or (np.asarray(initial_energy) < energies * (1 - 1e-12)).any():
        raise EnergyError(
            f"scattering 'differential-moliere' needs the energy before the first scatterer, not "
            f"below the present one, and got initial_energy={initial_energy!r}; give it, or "
            f"choose model='moliere'."
        )
    now = momentum_velocity(energies)
    first = momentum_velocity(initial_energy)
    # At the surface the logarithm diverges; the factor is meant to vanish there.
    lost = np.log10(np.maximum(1.0 - (now / first) ** 2, 1e-12))
    logarithm = np.log10(now)
    factor = 0.5244 + 0.1975 * lost + 0.2320 * logarithm - 0.0098 * logarithm * lost
    power = np.maximum(factor, 0.0) * (15.0 / now) ** 2 / scattering_length(material)
    return np.asarray(power)


def _transport_section(energies: Array, element: Element, model: ScatteringModel) -> Array:
    """Transport cross section of one atom, cm2."""
    beta = np.sqrt(beta_squared(energies))
    product = momentum_velocity(energies)
    momentum = product / beta
    z = element.charge
    screening = HBAR_C_MEV_CM / (momentum * 0.8853 * BOHR_RADIUS_CM * z ** (-1 / 3))
    angle2 = screening**2
    if model != "born":
        angle2 = angle2 * (1.13 + 3.76 * (FINE_STRUCTURE * z / beta) ** 2)
    rutherford = 2.0 * pi * (FINE_STRUCTURE * HBAR_C_MEV_CM / product) ** 2
    if model == "paper":
        return np.asarray(rutherford * z**2 * _screened(2.0, angle2))
    radius = 0.84 if z == 1 else 1.2 * element.mass ** (1 / 3)
    nuclear = np.minimum(2.0, 0.5 * (HBAR_C_MEV_CM / (momentum * radius * _CM_PER_FM)) ** 2)
    electronic = 0.5 * (ELECTRON_MASS / PROTON_MASS) ** 2
    both = z**2 * _screened(nuclear, angle2) + z * _screened(electronic, angle2)
    return np.asarray(rutherford * both)


def _screened(largest: ArrayLike, angle2: Array) -> Array:
    """I(x) of the module's equation, x = ``largest``, chi_a^2 = ``angle2``."""
    ratio = 1.0 + 2.0 * np.asarray(largest) / angle2
    return np.asarray(np.log(ratio) - 1.0 + 1.0 / ratio)
