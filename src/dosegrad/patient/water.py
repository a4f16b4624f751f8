"""Media of engines that see one property of tissue: stopping power, or electron density."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array, Volume, readonly
from dosegrad.errors import PatientError
from dosegrad.geometry.grid import Grid
from dosegrad.geometry.resample import resample
from dosegrad.patient.calibration import AIR_HU, Calibration
from dosegrad.patient.patient import OutsideBody, Patient

__all__ = ["ElectronMedium", "WaterMedium", "electron_medium", "water_medium"]


@dataclass(frozen=True, slots=True, eq=False)
class WaterMedium:
    """Stopping power ratio on the dose grid: as much of a ``Medium`` as a pencil beam sees.

    Parameters
    ----------
    grid
        The dose grid.
    stopping_power_ratio
        Proton stopping power relative to water (z, y, x).
    position
        How the patient lies: ``"HFS"`` and so on.
    """

    grid: Grid
    stopping_power_ratio: Volume
    position: str = "HFS"

    def __post_init__(self) -> None:
        ratio = readonly(self.stopping_power_ratio)
        if ratio.shape != self.grid.shape:
            raise PatientError(
                f"stopping power ratio of shape {ratio.shape} does not fit {self.grid}."
            )
        if not np.isfinite(ratio).all() or ratio.min() < 0:
            raise PatientError("stopping power ratios must be finite and not negative.")
        object.__setattr__(self, "stopping_power_ratio", ratio)

    def __repr__(self) -> str:
        return f"WaterMedium({str(self.grid)[5:-1]})"


@dataclass(frozen=True, slots=True, eq=False)
class ElectronMedium:
    """Relative electron density on the dose grid: as much of a ``Medium`` as photons see.

    Parameters
    ----------
    grid
        The dose grid.
    electron_density
        Electron density relative to water (z, y, x).
    position
        How the patient lies: ``"HFS"`` and so on.
    """

    grid: Grid
    electron_density: Volume
    position: str = "HFS"

    def __post_init__(self) -> None:
        density = readonly(self.electron_density)
        if density.shape != self.grid.shape:
            raise PatientError(
                f"electron density of shape {density.shape} does not fit {self.grid}."
            )
        if not np.isfinite(density).all() or density.min() < 0:
            raise PatientError("electron densities must be finite and not negative.")
        object.__setattr__(self, "electron_density", density)

    def __repr__(self) -> str:
        return f"ElectronMedium({str(self.grid)[5:-1]})"


def water_medium(patient: Patient, grid: Grid, *, outside_body: OutsideBody = "air") -> WaterMedium:
    """The stopping power ratio of ``patient.medium(grid)``, in a fraction of its time."""
    air = float(Calibration.of("schneider").tissue(AIR_HU).stopping_power_ratio)
    convert = patient.calibration.stopping_power_ratio
    values = _on_grid(patient, grid, convert, air, outside_body)
    return WaterMedium(grid, values, patient.ct.position)


def electron_medium(
    patient: Patient, grid: Grid, *, outside_body: OutsideBody = "air"
) -> ElectronMedium:
    """The electron density of ``patient.medium(grid)``, in a fraction of its time."""
    air = float(Calibration.of("schneider").tissue(AIR_HU).electron_density)
    convert = patient.calibration.electron_density
    values = _on_grid(patient, grid, convert, air, outside_body)
    return ElectronMedium(grid, values, patient.ct.position)


def _on_grid(
    patient: Patient,
    grid: Grid,
    convert: Callable[[ArrayLike], Array],
    air: float,
    outside_body: OutsideBody,
) -> Volume:
    """What ``convert`` makes of HU, on ``grid``, with the value of ``air`` outside the body.

    Only the HU of the body are converted, and only the box around them is resampled.
    """
    ct = patient.ct
    if outside_body == "air" and patient.external is not None:
        body = patient.body_mask()
        spans = [np.flatnonzero(body.any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
        first = np.array([s[0] for s in spans])
        last = np.array([s[-1] + 1 for s in spans])
        z, y, x = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
        inside = body[z, y, x]
        values = np.full(inside.shape, air)
        values[inside] = convert(ct.hu[z, y, x][inside])
        source = ct.grid.part(first, last)
    else:
        values, source = convert(ct.hu), ct.grid
    if grid != source:
        values = resample(values, source, grid, outside=air)
    return values
