"""How often primaries leave the beam by nuclear interactions, in any material.

In water the rates of :mod:`dosegrad.physics.nuclear` count: nonelastic events, elastic scattering
on hydrogen and on oxygen. Other materials scale each channel: nonelastic events by Tripathi's cross
sections, elastic scattering on hydrogen by its mass fraction, that on heavier nuclei by the mass
fraction of these and their mass number to the power -1/3, as areas per gram go.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.physics.absorption import mass_absorption
from dosegrad.physics.materials import WATER, Material
from dosegrad.physics.nuclear import WaterRates, water_rates
from dosegrad.units import MM_PER_CM

__all__ = ["CHANNELS", "channel_rates", "mass_removal"]

_SLOW: Final = 15.0  # MeV, below which elastic scattering is left out more and more

#: Channels in the order of :func:`channel_rates`.
CHANNELS: Final = ("nonelastic", "hydrogen", "oxygen")


@lru_cache(maxsize=1)
def _water() -> WaterRates:
    return water_rates()


def channel_rates(energies: Array, material: Material = WATER) -> Array:
    """Events per mass depth of each channel, cm2/g, shape (3, n), at energies (n,), MeV."""
    rates = _water()
    per_mm = (rates.nonelastic, rates.hydrogen, rates.oxygen)
    water = np.stack([np.interp(energies, rates.energies, r) for r in per_mm]) * MM_PER_CM
    # Elastic events of slow protons move next to nothing anywhere.
    water[1:] *= np.minimum(energies / _SLOW, 1.0)
    if material is WATER:
        return np.asarray(water)
    own, reference = mass_absorption(energies, material), mass_absorption(energies)
    nonelastic = np.where(reference > 1e-6, own / np.maximum(reference, 1e-6), 1.0)
    hydrogen = material.fractions.get("H", 0.0) / WATER.fractions["H"]
    heavier = _heavier(material) / _heavier(WATER)
    scale = np.stack([nonelastic, np.full_like(own, hydrogen), np.full_like(own, heavier)])
    return np.asarray(water * scale)


def mass_removal(energies: Array, material: Material = WATER) -> Array:
    """Probability per mass depth that a primary has a nuclear event, cm2/g, (n,)."""
    return np.asarray(channel_rates(energies, material).sum(axis=0))


def _heavier(material: Material) -> float:
    """Elastic cross section per gram of all but hydrogen, up to a factor: A^(2/3) / A."""
    return sum(float(w * e.mass ** (-1 / 3)) for e, w in material.composition if e.symbol != "H")
