"""Slices put in order: one grid in patient space, or a reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, Float32Array
from dosegrad.errors import FileFormatError
from dosegrad.geometry.grid import Grid
from dosegrad.io.dicom.limits import MAX_VOXELS
from dosegrad.io.dicom.slices import Slice

__all__ = [
    "IRREGULAR",
    "SAME_PLACE",
    "Stack",
    "orthonormal_axes",
    "stack_slices",
    "to_patient_axes",
]

#: Directions that differ by less are equal; axes this close to the patient's are taken as those.
_ANGLE: Final = 1e-4
#: Slices closer than this are at the same place, mm.
SAME_PLACE: Final = 0.01
#: Positions may leave a regular lattice by this part of the spacing.
IRREGULAR: Final = 0.02
#: The largest hole that is filled by interpolation: both in mm and in smallest gaps.
_LARGEST_HOLE_MM, _LARGEST_HOLE_GAPS = 6.0, 3.5


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Stack:
    """Slices in order along the normal, and the lattice on which they become a volume.

    ``below`` and ``share`` (n,) give for each plane of the lattice the slice below it and the
    share of the next slice; on a regular stack they are 0, 1, 2... and zero.
    """

    slices: tuple[Slice, ...]
    axes: Array
    spacing: float
    below: np.ndarray
    share: Array
    notes: tuple[str, ...]

    @property
    def grid(self) -> Grid:
        """The lattice: x along rows, y along columns, z along the normal."""
        first = self.slices[0]
        rows, columns = first.shape
        x, y, z = first.place
        matrix = self.axes.tolist()
        return Grid(
            (len(self.below), rows, columns),
            (self.spacing, first.spacing[0], first.spacing[1]),
            (x, y, z),
            (tuple(matrix[0]), tuple(matrix[1]), tuple(matrix[2])),
        )

    def interpolate(self, values: Float32Array) -> Float32Array:
        """``values`` of the slices (slices, y, x) on the lattice, linear along the normal."""
        if not self.share.any() and len(self.below) == len(values):
            return values
        result = np.empty((len(self.below), *values.shape[1:]), dtype=np.float32)
        for k, (i, share) in enumerate(zip(self.below, self.share, strict=True)):
            above = min(i + 1, len(values) - 1)
            result[k] = (1.0 - share) * values[i] + share * values[above]
        return result


def stack_slices(slices: Sequence[Slice]) -> Stack:
    """``slices`` of one series in order along their normal, whatever the order of files.

    Spacing comes from the positions. Irregular positions are put on a lattice of the smallest gap.

    Raises
    ------
    FileFormatError
        If slices differ in size, spacing or orientation, lie at the same place, are shifted in
        their plane (gantry tilt), leave too large a hole, or there is one without thickness.
    """
    unique, notes = _without_copies(slices)
    _check_alike(unique)
    axes = orthonormal_axes(unique[0].orientation, unique[0].path)
    places = np.array([s.place for s in unique])
    order = np.argsort(places @ axes[:, 2], kind="stable")
    ordered = tuple(unique[k] for k in order)
    places = places[order]
    _check_upright(places, axes, ordered)
    heights = places @ axes[:, 2]
    if len(ordered) == 1:
        return _single(ordered, axes, notes)
    gaps = np.diff(heights)
    if gaps.min() < SAME_PLACE:
        k = int(np.argmin(gaps))
        raise FileFormatError(
            f"{ordered[k].path.name} and {ordered[k + 1].path.name} are different slices at the "
            "same place; keep one reconstruction of the CT in the folder."
        )
    spacing = float((heights[-1] - heights[0]) / gaps.size)
    regular = heights[0] + spacing * np.arange(heights.size)
    if np.abs(heights - regular).max() <= max(IRREGULAR * spacing, SAME_PLACE):
        below = np.arange(heights.size)
        return Stack(ordered, axes, spacing, below, np.zeros(heights.size), tuple(notes))
    return _on_smallest_gap(ordered, axes, heights, notes)


def to_patient_axes(grid: Grid, values: NDArray[Any]) -> tuple[Grid, NDArray[Any]]:
    """The same volume with array axes along patient z, y, x where it is only flipped or permuted.

    A volume whose axes are oblique in the patient comes back as it is.
    """
    axes = np.asarray(grid.direction)
    if not np.array_equal(np.abs(axes), np.round(np.abs(axes))):
        return grid, values
    along = [int(np.argmax(np.abs(axes[d]))) for d in range(3)]  # grid axis of patient x, y, z
    signs = [float(axes[d, along[d]]) for d in range(3)]
    places = [2 - along[d] for d in (2, 1, 0)]
    flips = tuple(slice(None, None, -1 if signs[d] < 0 else 1) for d in (2, 1, 0))
    turned = np.ascontiguousarray(values.transpose(places)[flips])
    far = [grid.shape[p] - 1 if signs[d] < 0 else 0 for p, d in zip(places, (2, 1, 0), strict=True)]
    corner = np.zeros(3)
    corner[places] = far
    x, y, z = (float(v) for v in grid.to_point(corner))
    z_step, y_step, x_step = (grid.spacing[p] for p in places)
    nz, ny, nx = turned.shape
    return Grid((nz, ny, nx), (z_step, y_step, x_step), (x, y, z)), turned


def _without_copies(slices: Sequence[Slice]) -> tuple[list[Slice], list[str]]:
    """``slices`` with each instance once, and a note if some came twice."""
    unique = {(s.instance or s.path, s.frame): s for s in slices}
    n_copies = len(slices) - len(unique)
    notes = [f"{n_copies} CT slices are in the folder twice and were read once"] if n_copies else []
    return list(unique.values()), notes


def _check_alike(slices: Sequence[Slice]) -> None:
    first = slices[0]
    for other in slices[1:]:
        if other.shape != first.shape:
            what = "size"
        elif not np.allclose(other.spacing, first.spacing, rtol=1e-4):
            what = "PixelSpacing"
        elif not np.allclose(other.orientation, first.orientation, atol=_ANGLE):
            what = "ImageOrientationPatient"
        else:
            continue
        raise FileFormatError(
            f"{first.path.name} and {other.path.name} belong to one series but differ in {what}; "
            "a CT needs equal slices. Remove scouts and reformatted images from the folder."
        )


def orthonormal_axes(orientation: Sequence[float], path: Path) -> Array:
    """Directions of rows, columns and their normal as columns (3, 3), right-handed.

    ``orientation`` is ImageOrientationPatient; small errors of rounding are taken out.
    """
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if np.abs(np.array(lengths) - 1).max() > 1e-2 or abs(float(row @ column)) > 1e-3:
        raise FileFormatError(
            f"{path.name}: ImageOrientationPatient is not two perpendicular unit vectors; the file "
            "was written wrongly. Export it again."
        )
    row = row / lengths[0]
    column = column - (column @ row) * row
    column = column / np.linalg.norm(column)
    axes = np.column_stack([row, column, np.cross(row, column)])
    if np.abs(axes - np.round(axes)).max() < _ANGLE:
        axes = np.round(axes) + 0.0  # + 0.0 turns -0.0 into 0.0
    result: Array = axes
    return result


def _check_upright(places: Array, axes: Array, slices: Sequence[Slice]) -> None:
    """Refuses slices that are shifted within their plane from one to the next."""
    shift = float(np.abs((places - places[0]) @ axes[:, :2]).max())
    if shift > 0.01 + 0.05 * min(slices[0].spacing):
        raise FileFormatError(
            f"{slices[0].path.parent.name or 'CT'}: slices are shifted by up to {shift:.3g} mm in "
            "their own plane (gantry tilt, or scans of different tables); slices must be stacked "
            "along their normal. Have the scanner or the planning system correct the tilt, and "
            "export upright slices."
        )


def _single(slices: tuple[Slice, ...], axes: Array, notes: list[str]) -> Stack:
    """A stack of one slice, as thick as its file says."""
    thickness = slices[0].thickness
    if thickness is None:
        raise FileFormatError(
            f"{slices[0].path.name}: the only slice of its series, without SliceThickness, has no "
            "extent; put the whole series into the folder."
        )
    note = f"the CT is a single slice; its SliceThickness of {thickness:g} mm is used as spacing"
    return Stack(slices, axes, thickness, np.array([0]), np.zeros(1), (*notes, note))


def _on_smallest_gap(
    slices: tuple[Slice, ...], axes: Array, heights: Array, notes: list[str]
) -> Stack:
    """A stack on a lattice of its smallest gap, interpolated between irregular slices."""
    gaps = np.diff(heights)
    smallest, largest = float(gaps.min()), float(gaps.max())
    if largest > max(_LARGEST_HOLE_MM, _LARGEST_HOLE_GAPS * smallest):
        k = int(np.argmax(gaps))
        raise FileFormatError(
            f"slices are missing: {largest:.4g} mm between {slices[k].path.name} and "
            f"{slices[k + 1].path.name}, elsewhere {smallest:.4g} mm. Export the series again with "
            "every slice."
        )
    n_planes = round(float(heights[-1] - heights[0]) / smallest) + 1
    rows, columns = slices[0].shape
    if n_planes > 10 * len(slices) or n_planes * rows * columns > MAX_VOXELS:
        raise FileFormatError(
            f"slices {smallest:.3g} to {largest:.3g} mm apart would need {n_planes} planes on one "
            "lattice; remove the slices that are too close, or resample the CT."
        )
    lattice = np.clip(heights[0] + smallest * np.arange(n_planes), heights[0], heights[-1])
    below = np.clip(np.searchsorted(heights, lattice, side="right") - 1, 0, len(gaps) - 1)
    share = (lattice - heights[below]) / gaps[below]
    share[np.abs(share) < 1e-6] = 0.0
    note = (
        f"CT slices are {smallest:.4g} to {largest:.4g} mm apart; HU were interpolated linearly "
        f"to {smallest:.4g} mm"
    )
    return Stack(slices, axes, smallest, below, share, (*notes, note))
