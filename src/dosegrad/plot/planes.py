"""Planes through a patient: where they lie, and what CT, structures and dose are on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from dosegrad.arrays import Array, Mask, Points
from dosegrad.dose import Dose
from dosegrad.geometry.grid import Grid
from dosegrad.geometry.resample import interpolate
from dosegrad.patient.patient import Patient
from dosegrad.patient.structures import Structure

__all__ = ["AXIAL", "CORONAL", "SAGITTAL", "Plane", "focus_point"]

#: Array axis that stands on the plane.
AXIAL: Final = 0
CORONAL: Final = 1
SAGITTAL: Final = 2

_NAMES: Final = ("axial", "coronal", "sagittal")
_LETTERS: Final = (("R", "L"), ("A", "P"), ("I", "S"))


@dataclass(frozen=True, slots=True)
class Plane:
    """One plane along two patient axes, with pixels.

    Parameters
    ----------
    axis
        Array axis (0 z, 1 y, 2 x) that stands on the plane.
    grid
        The pixels: an axial grid one voxel thick along ``axis``.
    """

    axis: int
    grid: Grid

    @classmethod
    def through(cls, grid: Grid, point: Points, axis: int, *, refine: int = 1) -> Plane:
        """Plane that covers ``grid`` and passes through the voxel layer nearest to ``point``.

        Parameters
        ----------
        grid
            What to cover; a turned grid is covered by its bounding box.
        point
            (x, y, z), mm, patient LPS.
        axis
            Array axis that stands on the plane: 0 axial, 1 coronal, 2 sagittal.
        refine
            Pixels per voxel along each direction of the plane.
        """
        box = grid if grid.is_axial else _bounding_grid(grid)
        index = np.clip(np.rint(box.to_index(point)), 0, np.asarray(box.shape) - 1)
        shape = [n * refine for n in box.shape]
        spacing = [s / refine for s in box.spacing]
        first = np.full(3, -0.5 + 0.5 / refine)
        shape[axis], spacing[axis], first[axis] = 1, box.spacing[axis], index[axis]
        x, y, z = (float(v) for v in box.to_point(first))
        nz, ny, nx = shape
        dz, dy, dx = spacing
        return cls(axis, Grid((nz, ny, nx), (dz, dy, dx), (x, y, z)))

    @property
    def name(self) -> str:
        """``"axial"``, ``"coronal"`` or ``"sagittal"``."""
        return _NAMES[self.axis]

    @property
    def position(self) -> float:
        """Coordinate of the plane along the axis that stands on it, mm."""
        return self.grid.origin[2 - self.axis]

    @property
    def normal_letter(self) -> str:
        """Patient axis that stands on the plane: ``"z"``, ``"y"`` or ``"x"``."""
        return "zyx"[self.axis]

    @property
    def across(self) -> int:
        """Point axis (0 x, 1 y, 2 z) drawn from left to right."""
        return 1 if self.axis == SAGITTAL else 0

    @property
    def along(self) -> int:
        """Point axis (0 x, 1 y, 2 z) drawn vertically: y downwards, z upwards."""
        return 1 if self.axis == AXIAL else 2

    @property
    def limits(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top edge of the picture, mm, as the plane is drawn."""
        left, right = self._edges(self.across)
        low, high = self._edges(self.along)
        return (left, right, high, low) if self.axis == AXIAL else (left, right, low, high)

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """What lies at the left, right, bottom and top: R L, A P, I S (radiological)."""
        left, right = _LETTERS[self.across]
        low, high = _LETTERS[self.along]
        return (left, right, high, low) if self.axis == AXIAL else (left, right, low, high)

    def pixel_centres(self) -> tuple[Array, Array]:
        """Coordinates, mm, of pixel columns (n_across,) and rows (n_along,)."""
        centres = tuple(
            self.grid.origin[axis]
            + self.grid.spacing[2 - axis] * np.arange(self._size(axis), dtype=np.float64)
            for axis in (self.across, self.along)
        )
        return centres[0], centres[1]

    def hu(self, patient: Patient) -> Array:
        """Hounsfield units (rows, columns), trilinear."""
        values = interpolate(
            patient.ct.grid, patient.ct.hu.astype(np.float64), self._points(), outside=-1000.0
        )
        return values.squeeze(self.axis)

    def dose(self, dose: Dose) -> Array:
        """Dose (rows, columns), Gy, trilinear."""
        return dose.at(self._points()).squeeze(self.axis)

    def mask(self, structure: Structure) -> Mask:
        """Pixels (rows, columns) whose centre lies in ``structure``."""
        return structure.mask(self.grid).squeeze(self.axis)

    def _points(self) -> Points:
        return self.grid.to_point(np.moveaxis(np.indices(self.grid.shape), 0, -1))

    def _size(self, point_axis: int) -> int:
        return self.grid.shape[2 - point_axis]

    def _edges(self, point_axis: int) -> tuple[float, float]:
        step = self.grid.spacing[2 - point_axis]
        low = self.grid.origin[point_axis] - step / 2
        return low, low + step * self._size(point_axis)


def focus_point(patient: Patient) -> Points:
    """Point (3,), (x, y, z) mm, through which pictures of this patient are cut.

    The centre of all targets if each of the three planes there meets a target, else the target
    voxel nearest to it; without a target, the centre of the CT.
    """
    grid = patient.ct.grid
    inside = np.zeros(grid.shape, dtype=bool)
    for structure in patient.structures.values():
        if structure.role == "target":
            inside |= structure.mask(grid)
    if not inside.any():
        return grid.to_point((np.asarray(grid.shape) - 1) / 2)
    voxels = np.argwhere(inside)
    centre = voxels.mean(axis=0)
    planes_meet = all((voxels[:, k] == np.rint(centre[k])).any() for k in range(3))
    if planes_meet:
        return grid.to_point(centre)
    steps = (voxels - centre) * np.asarray(grid.spacing)
    return grid.to_point(voxels[np.argmin((steps**2).sum(axis=1))])


def _bounding_grid(grid: Grid) -> Grid:
    """Axial grid around a turned one, of its finest spacing."""
    ends = [(-0.5, n - 0.5) for n in grid.shape]
    corners = grid.to_point(np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3))
    low, high = corners.min(axis=0), corners.max(axis=0)
    step = min(grid.spacing)
    nx, ny, nz = (int(n) for n in np.maximum(np.ceil((high - low) / step - 1e-6), 1))
    x, y, z = (float(v) for v in low + step / 2)
    return Grid((nz, ny, nx), (step, step, step), (x, y, z))
