"""What beams travel through: density, stopping power ratio and material on the dose grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Volume, readonly
from dosegrad.errors import PatientError
from dosegrad.geometry.grid import Grid

__all__ = ["Medium"]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Medium:
    """What beams travel through, on the dose grid; engines see this and never HU.

    Parameters
    ----------
    grid
        The dose grid.
    density
        Mass density (z, y, x), g/cm3.
    stopping_power_ratio
        Proton stopping power relative to water (z, y, x).
    electron_density
        Electron density relative to water (z, y, x).
    material
        Index (z, y, x), int16, into ``materials``.
    materials
        Names of the materials, keys of ``dosegrad.physics.materials``.
    position
        How the patient lies: ``"HFS"`` and so on.
    """

    grid: Grid
    density: Volume
    stopping_power_ratio: Volume
    electron_density: Volume
    material: NDArray[np.int16]
    materials: tuple[str, ...]
    position: str = "HFS"

    def __post_init__(self) -> None:
        kinds: dict[str, Any] = {
            "density": np.float64,
            "stopping_power_ratio": np.float64,
            "electron_density": np.float64,
            "material": np.int16,
        }
        for name, dtype in kinds.items():
            values = readonly(getattr(self, name), dtype)
            if values.shape != self.grid.shape:
                raise PatientError(f"{name} of shape {values.shape} does not fit {self.grid}.")
            if not np.isfinite(values).all() or values.min() < 0:
                raise PatientError(f"{name} holds values that are negative or not finite.")
            object.__setattr__(self, name, values)

    def __repr__(self) -> str:
        return f"Medium({str(self.grid)[5:-1]}, {len(self.materials)} materials)"
