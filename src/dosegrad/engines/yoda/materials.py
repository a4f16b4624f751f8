r"""What protons of a residual range meet in each material, relative to water.

Residual ranges are those in water. Tables hold, per material and range,

* :math:`\kappa = (S/\rho)_m / (S/\rho)_w`, stopping power relative to water's,
* :math:`\Sigma_a/\rho`, the probability of nuclear absorption, cm2/g,
* :math:`(\Sigma_{tr}/\rho)_m / (\Sigma_{tr}/\rho)_w`, scattering relative to water's,

and per material the straggling relative to water's, :math:`(Z/A)_m / (Z/A)_w`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np

from dosegrad.arrays import Array, readonly
from dosegrad.physics.materials import WATER, Material
from dosegrad.physics.scattering import ScatteringModel, mass_scattering_power
from dosegrad.physics.stopping import (
    WATER_I_VALUE,
    energy_of_range,
    mass_stopping_power,
    range_in_water,
)

__all__ = ["KAPPA", "REMOVAL", "SCATTERING", "MaterialTables", "Removal", "material_tables"]

#: Probability per mass depth, cm2/g, that a proton of some energies, MeV, leaves the beam.
Removal: TypeAlias = Callable[[Array, Material], Array]

#: Position of the quantities in :attr:`MaterialTables.values`.
KAPPA, REMOVAL, SCATTERING = 0, 1, 2

#: Step of the residual range, mm.
_STEP: Final = 0.1
_LOWEST: Final = 0.02  # MeV, below which ratios stay as they are
_HIGHEST: Final = 299.0  # MeV


@dataclass(frozen=True, slots=True, eq=False)
class MaterialTables:
    """Tables of some materials against residual range.

    Parameters
    ----------
    materials
        In the order in which paths count them.
    values
        (materials, ranges, 3): stopping power ratio, absorption, scattering ratio.
    straggling
        Relative to water's, (materials,).
    step
        Between the ranges, mm; the first is 0.
    """

    materials: tuple[Material, ...]
    values: Array
    straggling: Array
    step: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", readonly(self.values))
        object.__setattr__(self, "straggling", readonly(self.straggling))

    def __repr__(self) -> str:
        return f"MaterialTables({', '.join(m.name for m in self.materials)})"

    def at(self, material: int, quantity: int, residual: Array) -> Array:
        """Values of one quantity at residual ranges, mm."""
        ranges = self.step * np.arange(self.values.shape[1])
        return np.asarray(np.interp(residual, ranges, self.values[material, :, quantity]))


def material_tables(
    materials: Sequence[Material],
    *,
    removal: Removal | None,
    water_i_value: float = WATER_I_VALUE,
    scattering: ScatteringModel = "differential-moliere",
) -> MaterialTables:
    """Tables of ``materials``, whose nuclei take protons out of the beam as ``removal`` says."""
    rows = [_row(m, removal, water_i_value, scattering) for m in materials]
    return MaterialTables(
        tuple(materials),
        np.stack(rows),
        np.array([m.z_over_a / WATER.z_over_a for m in materials]),
        _STEP,
    )


@lru_cache(maxsize=256)
def _row(
    material: Material,
    removal: Removal | None,
    water_i_value: float,
    scattering: ScatteringModel,
) -> Array:
    """Values (ranges, 3) of one material."""
    longest = float(range_in_water(_HIGHEST, water_i_value=water_i_value))
    ranges = _STEP * np.arange(int(longest / _STEP))
    energies = np.maximum(energy_of_range(ranges, water_i_value=water_i_value), _LOWEST)
    water = mass_stopping_power(energies, water_i_value=water_i_value)
    kappa = mass_stopping_power(energies, material, water_i_value=water_i_value) / water
    removed = np.zeros_like(energies) if removal is None else removal(energies, material)
    removed[0] = 0.0  # what has stopped stays
    # The history term of the differential model cancels in the ratio.
    powers = [
        mass_scattering_power(energies, m, initial_energy=_HIGHEST, model=scattering)
        for m in (material, WATER)
    ]
    return readonly(np.stack([kappa, removed, powers[0] / powers[1]], axis=1))
