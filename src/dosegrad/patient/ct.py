"""A computed tomogram: Hounsfield units on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dosegrad.arrays import Float32Array, readonly
from dosegrad.errors import PatientError, unknown_name
from dosegrad.geometry.frames import PATIENT_POSITIONS
from dosegrad.geometry.grid import Grid

__all__ = ["CT"]


@dataclass(frozen=True, slots=True, eq=False)
class CT:
    """Hounsfield units on a grid.

    Parameters
    ----------
    grid
        Where the voxels are.
    hu
        Hounsfield units (z, y, x), finite; kept as float32.
    position
        How the patient lies on the couch: ``"HFS"``, ``"FFP"``... (DICOM Patient Position).

    Raises
    ------
    PatientError
        If the array does not fit the grid or holds NaN or infinity.
    """

    grid: Grid
    hu: Float32Array
    position: str = "HFS"

    def __post_init__(self) -> None:
        hu = readonly(self.hu, np.float32)
        if hu.shape != self.grid.shape:
            raise PatientError(
                f"CT of shape {hu.shape} does not fit its grid of shape {self.grid.shape}; "
                "both are (z, y, x)."
            )
        n_bad = hu.size - int(np.count_nonzero(np.isfinite(hu)))
        if n_bad:
            raise PatientError(
                f"the CT holds {n_bad} voxels that are NaN or infinite; every voxel needs a "
                "finite HU value. Replace them (air is -1000 HU) or import the CT again."
            )
        if self.position not in PATIENT_POSITIONS:
            raise unknown_name("patient position", self.position, PATIENT_POSITIONS)
        object.__setattr__(self, "hu", hu)

    def __repr__(self) -> str:
        return f"CT({str(self.grid)[5:-1]})"
