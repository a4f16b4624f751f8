"""A CT series read into Hounsfield units on a grid in patient space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dosegrad.errors import ChoiceError, FileFormatError
from dosegrad.geometry.frames import PATIENT_POSITIONS
from dosegrad.io.dicom.folder import Folder, sort_folder
from dosegrad.io.dicom.limits import MAX_VOXELS
from dosegrad.io.dicom.pixels import read_hounsfield
from dosegrad.io.dicom.slices import Slice
from dosegrad.io.dicom.stack import stack_slices, to_patient_axes
from dosegrad.patient.ct import CT

__all__ = ["CTSeries", "choose_series", "read_ct", "read_slices"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CTSeries:
    """A CT with the identifiers by which other objects refer to it.

    ``instances`` are the SOPInstanceUIDs of its slices; ``frame_of_reference`` is empty where the
    files do not say. ``warnings`` tells what was guessed or repaired.
    """

    ct: CT
    series: str
    frame_of_reference: str
    instances: frozenset[str]
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        return f"CTSeries({self.ct!r}, {len(self.warnings)} warnings)"


def read_ct(folder: str | Path, *, series: str | None = None) -> CTSeries:
    """The CT of a folder of DICOM slices, in any order, under any names.

    Slices are sorted by their position along the normal; spacing comes from positions. Axes that
    are those of the patient, flipped or permuted (any patient position), become patient z, y, x;
    an oblique CT keeps its direction.

    Parameters
    ----------
    folder
        Where the files are, subfolders included.
    series
        SeriesInstanceUID, or how it ends, where the folder holds several.

    Raises
    ------
    FileFormatError
        If there is no CT or more than one, a file is damaged, or slices do not fit together; the
        message names files, never the patient.
    """
    sorted_folder = sort_folder(Path(folder))
    return read_slices(choose_series(sorted_folder, series=series))


def choose_series(
    folder: Folder, *, series: str | None = None, referenced: frozenset[str] = frozenset()
) -> list[Slice]:
    """Slices of the one CT series of a folder: the one named, the only one, or the one referred to.

    ``referenced`` holds the UIDs of series and slices that structure sets name.
    """
    found = folder.series
    if series is not None:
        found = {uid: slices for uid, slices in found.items() if uid.endswith(series)}
    if len(found) > 1 and referenced:
        mentioned = {
            uid: slices
            for uid, slices in found.items()
            if uid in referenced or any(s.instance in referenced for s in slices)
        }
        found = mentioned or found
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        what = "no CT series" if series is None else f"no CT series that ends in {series!r}"
        raise FileFormatError(
            f"{folder.path.name or folder.path}: {what} ({_series_list(folder.series)}); a patient "
            "needs CT images. Put the slices into the folder, or read a structure set alone with "
            "read_structures(path)."
        )
    raise ChoiceError(
        f"{folder.path.name or folder.path}: {len(found)} CT series ({_series_list(found)}) and no "
        "structure set that refers to only one; keep one in the folder, or choose it with "
        "series='...' by how its SeriesInstanceUID ends.",
        option="series",
        choices=[(uid, f"...{uid[-8:]}, {len(s)} slices") for uid, s in sorted(found.items())],
    )


def _series_list(series: dict[str, list[Slice]]) -> str:
    parts = [f"...{uid[-8:]} with {len(s)} slices" for uid, s in sorted(series.items())]
    return "; ".join(parts) or "none there"


def read_slices(slices: Sequence[Slice]) -> CTSeries:
    """The CT of ``slices`` that belong to one series."""
    stack = stack_slices(slices)
    if stack.grid.n_voxels > MAX_VOXELS:
        raise FileFormatError(
            f"a CT of {stack.grid.n_voxels:.3g} voxels is more than {MAX_VOXELS:.0e}; crop or "
            "resample it."
        )
    stored, n_padded = read_hounsfield(stack.slices)
    grid, hu = to_patient_axes(stack.grid, stack.interpolate(stored))
    position, notes = _position(stack.slices[0], stack.axes)
    notes = [*stack.notes, *notes]
    if n_padded:
        notes.append(f"{n_padded} pixels marked as padding read as air, -1000 HU")
    kind = stack.slices[0].value_type
    if kind not in {"", "HU"}:
        notes.append("the CT does not call its values HU (RescaleType); they were taken as HU")
    frames = {s.frame_of_reference for s in stack.slices}
    if len(frames) > 1:
        raise FileFormatError(
            f"{stack.slices[0].path.parent.name or 'CT'}: slices of one series have different "
            "frames of reference; they do not belong together. Export the series again."
        )
    return CTSeries(
        ct=CT(grid, hu, position),
        series=stack.slices[0].series,
        frame_of_reference=frames.pop(),
        instances=frozenset(s.instance for s in stack.slices),
        warnings=tuple(notes),
    )


def _position(first: Slice, axes: np.ndarray) -> tuple[str, list[str]]:
    """Patient position, and notes where it is missing or at odds with the image axes."""
    position = first.patient_position
    if not position:
        return "HFS", ["the CT does not say how the patient lies; head first supine was taken"]
    if position not in PATIENT_POSITIONS:
        raise FileFormatError(
            f"{first.path.name}: PatientPosition is none of {', '.join(PATIENT_POSITIONS)}; a "
            "patient who lies is needed. Correct the position and export again."
        )
    matrix = PATIENT_POSITIONS[position]
    usual = np.column_stack([matrix[:, 0], -matrix[:, 2]])
    if np.abs(axes[:, :2] - usual).max() > 0.2:
        return position, [
            f"image axes are not those usual for patient position {position}; geometry follows "
            "ImageOrientationPatient, the couch follows PatientPosition"
        ]
    return position, []
