"""The medium of engines that see tissue as water of another stopping power."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dosegrad.arrays import Volume, readonly
from dosegrad.errors import PatientError
from dosegrad.geometry.grid import Grid
from dosegrad.geometry.resample import resample
from dosegrad.patient.calibration import AIR_HU, Calibration
from dosegrad.patient.patient import OutsideBody, Patient

__all__ = ["WaterMedium", "water_medium"]


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


def water_medium(patient: Patient, grid: Grid, *, outside_body: OutsideBody = "air") -> WaterMedium:
    """The stopping power ratio of ``patient.medium(grid)``, in a fraction of its time.

    Only the HU of the body are converted, and only the box around them is resampled.
    """
    ct = patient.ct
    air = float(Calibration.of("schneider").tissue(AIR_HU).stopping_power_ratio)
    if outside_body == "air" and patient.external is not None:
        body = patient.body_mask()
        spans = [np.flatnonzero(body.any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
        first = np.array([s[0] for s in spans])
        last = np.array([s[-1] + 1 for s in spans])
        z, y, x = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
        inside = body[z, y, x]
        ratio = np.full(inside.shape, air)
        ratio[inside] = patient.calibration.stopping_power_ratio(ct.hu[z, y, x][inside])
        source = ct.grid.part(first, last)
    else:
        ratio, source = patient.calibration.stopping_power_ratio(ct.hu), ct.grid
    if grid != source:
        ratio = resample(ratio, source, grid, outside=air)
    return WaterMedium(grid, ratio, ct.position)
