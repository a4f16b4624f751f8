"""Where the frames of a dose lie: GridFrameOffsetVector in both of its meanings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from dosegrad.arrays import Array, Volume
from dosegrad.errors import FileFormatError
from dosegrad.io.dicom.attributes import number_array, numbers, optional_numbers
from dosegrad.io.dicom.stack import IRREGULAR, SAME_PLACE, orthonormal_axes

__all__ = ["Planes", "frame_planes", "image_axes"]

#: Thickness of a dose of one plane whose file does not tell any, mm.
_LAST_RESORT: Final = 1.0
#: More planes than this times the frames are not made by interpolation.
_MOST_PLANES: Final = 10
#: The largest gap between planes of unequal distance, in smallest gaps.
_LARGEST_GAP: Final = 5.0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Planes:
    """Heights of frames along the normal, and the regular lattice on which they become a volume.

    ``order`` (frames,) sorts the frames by height; ``heights`` (frames,) are sorted, mm from the
    first voxel of the file along the normal.
    """

    order: np.ndarray
    heights: Array
    spacing: float
    n_planes: int

    @property
    def n_frames(self) -> int:
        """Number of frames in the file."""
        return len(self.order)

    @property
    def first(self) -> float:
        """Height of the lowest plane, mm."""
        return float(self.heights[0])

    def interpolate(self, values: Volume) -> Volume:
        """``values`` (frames, y, x) on the lattice (planes, y, x), linear along the normal."""
        ordered: Volume = values[self.order]
        lattice = self.first + self.spacing * np.arange(self.n_planes)
        regular = self.n_planes == self.n_frames and bool(
            np.abs(lattice - self.heights).max() <= max(IRREGULAR * self.spacing, SAME_PLACE)
        )
        if regular:
            return ordered
        lattice = np.clip(lattice, self.heights[0], self.heights[-1])
        below = np.searchsorted(self.heights, lattice, side="right") - 1
        below = np.clip(below, 0, self.n_frames - 2)
        gaps = np.diff(self.heights)
        share = ((lattice - self.heights[below]) / gaps[below])[:, None, None]
        result: Volume = (1.0 - share) * ordered[below] + share * ordered[below + 1]
        return result


def image_axes(data_set: Any, path: Path) -> Array:
    """Directions of rows, columns and their normal as columns (3, 3), right-handed."""
    return orthonormal_axes(numbers(data_set, "ImageOrientationPatient", 6, path), path)


def frame_planes(data_set: Any, n_frames: int, path: Path, notes: list[str]) -> Planes:
    """Planes of a dose; what had to be guessed is added to ``notes``.

    A vector that begins with 0 is relative to the first frame and runs along the normal; else it
    holds heights in patient space, and begins with that of the first frame (PS3.3 C.8.8.3.2).
    """
    offsets = number_array(data_set, "GridFrameOffsetVector", path)
    if n_frames == 1:
        return _single(data_set, offsets, path, notes)
    if offsets.size != n_frames:
        raise FileFormatError(
            f"{path.name}: {n_frames} frames but {offsets.size} offsets in GridFrameOffsetVector, "
            "so it is unknown where the dose lies; the file was cut off or written wrongly. Export "
            "it again."
        )
    relative = _relative(offsets, data_set, path)
    order = np.argsort(relative, kind="stable")
    heights = relative[order]
    gaps = np.diff(heights)
    if gaps.min() < SAME_PLACE:
        raise FileFormatError(
            f"{path.name}: two frames of the dose lie at the same place; export the dose again."
        )
    mean = float((heights[-1] - heights[0]) / gaps.size)
    regular = heights[0] + mean * np.arange(n_frames)
    if np.abs(heights - regular).max() <= max(IRREGULAR * mean, SAME_PLACE):
        return Planes(order, heights, mean, n_frames)
    return _on_smallest_gap(order, heights, path, notes)


def _relative(offsets: Array, data_set: Any, path: Path) -> Array:
    """Heights along the normal from the first voxel, mm."""
    if offsets[0] == 0.0:
        return offsets
    normal = image_axes(data_set, path)[:, 2]
    first = numbers(data_set, "ImagePositionPatient", 3, path)[2]
    if abs(abs(normal[2]) - 1.0) > 1e-4 or abs(offsets[0] - first) > 0.05:
        raise FileFormatError(
            f"{path.name}: GridFrameOffsetVector begins neither with 0 nor with the height of the "
            "first frame of an axial dose, so it is unknown where the dose lies. Export it again."
        )
    relative: Array = (offsets - offsets[0]) * np.sign(normal[2])
    return relative


def _single(data_set: Any, offsets: Array, path: Path, notes: list[str]) -> Planes:
    """The only plane of a dose, as thick as its file says."""
    thickness = optional_numbers(data_set, "SliceThickness", 1, path)
    if thickness is not None and thickness[0] > 0:
        spacing, source = thickness[0], "its SliceThickness"
    elif offsets.size > 1 and abs(offsets[1] - offsets[0]) > SAME_PLACE:
        spacing, source = float(abs(offsets[1] - offsets[0])), "the offset of a second frame"
    else:
        spacing, source = _LAST_RESORT, "a guess"
    notes.append(f"{path.name}: the dose is a single plane; {spacing:g} mm ({source}) thick")
    return Planes(np.array([0]), np.zeros(1), spacing, 1)


def _on_smallest_gap(order: np.ndarray, heights: Array, path: Path, notes: list[str]) -> Planes:
    """Planes of unequal distance on a lattice of their smallest gap."""
    gaps = np.diff(heights)
    smallest, largest = float(gaps.min()), float(gaps.max())
    n_planes = int(np.floor(float(heights[-1] - heights[0]) / smallest + 1e-6)) + 1
    if largest > _LARGEST_GAP * smallest or n_planes > _MOST_PLANES * len(order):
        raise FileFormatError(
            f"{path.name}: frames of the dose are {smallest:.4g} to {largest:.4g} mm apart; one is "
            "missing or misplaced. Export the dose on a regular grid."
        )
    notes.append(
        f"{path.name}: frames of the dose are {smallest:.4g} to {largest:.4g} mm apart; dose was "
        f"interpolated linearly to {smallest:.4g} mm"
    )
    return Planes(order, heights, smallest, n_planes)
