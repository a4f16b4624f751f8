"""RT Dose files read into doses on grids in patient space."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, Volume
from dosegrad.dose import Dose
from dosegrad.errors import FileFormatError
from dosegrad.geometry.grid import Grid
from dosegrad.io.dicom.attributes import integer, items, number_array, numbers, text
from dosegrad.io.dicom.frame_offsets import Planes, frame_planes, image_axes
from dosegrad.io.dicom.limits import MAX_VOXELS
from dosegrad.io.dicom.pixels import decode
from dosegrad.io.dicom.stack import to_patient_axes
from dosegrad.io.dicom.stream import read_data_set, reading

__all__ = ["RT_DOSE", "DoseFile", "read_dose"]

RT_DOSE: Final = "1.2.840.10008.5.1.4.1.1.481.2"

#: What a dose is called by its units and type.
_QUANTITIES: Final = {
    ("GY", "PHYSICAL"): "dose",
    ("GY", "EFFECTIVE"): "rbe_dose",
    ("GY", "ERROR"): "dose_error",
}
_SUMMATIONS: Final = frozenset(
    {"PLAN", "MULTI_PLAN", "PLAN_OVERVIEW", "FRACTION", "BEAM", "BRACHY", "FRACTION_SESSION"}
    | {"BEAM_SESSION", "BRACHY_SESSION", "CONTROL_POINT", "RECORD"}
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DoseFile:
    """A dose and what its file says about it.

    Parameters
    ----------
    dose
        The dose; its quantity is ``"dose"``, ``"rbe_dose"`` (DoseType EFFECTIVE), ``"dose_error"``
        or ``"relative_dose"`` (units RELATIVE: no Gy).
    summation
        DoseSummationType: ``"PLAN"``, ``"BEAM"``...
    plans
        SOPInstanceUIDs of the plans that the dose refers to; empty where it names none.
    beams
        Numbers of the beams whose dose it is; empty for all.
    fraction_group
        Number of the fraction group that it names, or None.
    frame_of_reference
        UID, empty where the file does not say.
    warnings
        What was guessed or repaired.
    """

    dose: Dose
    summation: str
    plans: frozenset[str]
    beams: frozenset[int] = frozenset()
    fraction_group: int | None = None
    frame_of_reference: str = ""
    warnings: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        return f"DoseFile({self.dose!r}, {self.summation or 'unknown summation'})"


def read_dose(path: str | Path) -> DoseFile:
    """The dose of an RT Dose file: pixels times DoseGridScaling.

    Frames lie where GridFrameOffsetVector says, relative to the first or as absolute heights, in
    either order. Planes of unequal distance are put on a lattice of the smallest gap, linearly,
    with a warning. Axes that are those of the patient, flipped or permuted, become patient z, y,
    x; an oblique dose keeps its direction. A missing reference to a plan is no hindrance.

    Raises
    ------
    FileFormatError
        If the file is damaged, no RT Dose, or does not say where its frames lie or what its
        values mean.
    """
    path = Path(path)
    data_set = read_data_set(path)
    with reading(path, "RT dose"):
        if text(data_set, "SOPClassUID") != RT_DOSE:
            raise FileFormatError(f"{path.name}: is DICOM, but no RT dose; give the RTDOSE file.")
        notes: list[str] = []
        quantity = _quantity(data_set, path, notes)
        planes = _read_planes(data_set, path, notes)
        values = planes.interpolate(_scaled(data_set, planes.n_frames, path))
        grid, array = to_patient_axes(_grid(data_set, planes, path), values)
        summation = text(data_set, "DoseSummationType").upper()
        if summation not in _SUMMATIONS:
            notes.append(f"{path.name}: does not say what its dose sums up (DoseSummationType)")
        plans, group, beams = _references(data_set, path)
        if not plans:
            notes.append(f"{path.name}: refers to no plan")
        return DoseFile(
            dose=Dose(grid, array, quantity, {"source": "DICOM", "summation": summation}),
            summation=summation if summation in _SUMMATIONS else "",
            plans=plans,
            beams=beams,
            fraction_group=group,
            frame_of_reference=text(data_set, "FrameOfReferenceUID"),
            warnings=tuple(notes),
        )


def _quantity(data_set: Any, path: Path, notes: list[str]) -> str:
    """What the values are; never guessed where the unit is missing."""
    units, kind = text(data_set, "DoseUnits").upper(), text(data_set, "DoseType").upper()
    if not kind:
        kind = "PHYSICAL"
        notes.append(f"{path.name}: does not say whether its dose is physical; taken as physical")
    if units == "RELATIVE":
        notes.append(f"{path.name}: its dose is relative, not in Gy")
        return "relative_dose"
    if (units, kind) not in _QUANTITIES:
        raise FileFormatError(
            f"{path.name}: DoseUnits and DoseType are not GY with PHYSICAL, EFFECTIVE or ERROR, so "
            "its values have no known meaning. Export the dose again in Gy."
        )
    return _QUANTITIES[units, kind]


def _read_planes(data_set: Any, path: Path, notes: list[str]) -> Planes:
    """Heights of the frames and the lattice that they are put on."""
    n_frames = integer(data_set, "NumberOfFrames", path, default=1)
    rows, columns = integer(data_set, "Rows", path), integer(data_set, "Columns", path)
    if not 0 < rows * columns * n_frames <= MAX_VOXELS:
        raise FileFormatError(
            f"{path.name}: {rows}×{columns} pixels in {n_frames} frames is not possible; a dose "
            f"has 1 to {MAX_VOXELS:.0e} voxels. Export it again."
        )
    return frame_planes(data_set, n_frames, path, notes)


def _grid(data_set: Any, planes: Planes, path: Path) -> Grid:
    """The lattice: x along rows, y along columns, z along the normal."""
    axes = image_axes(data_set, path)
    corner = np.array(numbers(data_set, "ImagePositionPatient", 3, path))
    x, y, z = (float(v) for v in corner + axes[:, 2] * planes.first)
    between_rows, between_columns = numbers(data_set, "PixelSpacing", 2, path)
    if min(between_rows, between_columns) <= 0:
        raise FileFormatError(
            f"{path.name}: PixelSpacing must be positive; the file was written wrongly. Export it "
            "again."
        )
    rows, columns = integer(data_set, "Rows", path), integer(data_set, "Columns", path)
    matrix = axes.tolist()
    return Grid(
        (planes.n_planes, rows, columns),
        (planes.spacing, between_rows, between_columns),
        (x, y, z),
        (tuple(matrix[0]), tuple(matrix[1]), tuple(matrix[2])),
    )


def _scaled(data_set: Any, n_frames: int, path: Path) -> Volume:
    """Values (frames, rows, columns) in the units of the file."""
    scaling = numbers(data_set, "DoseGridScaling", 1, path)[0]
    if scaling <= 0:
        raise FileFormatError(
            f"{path.name}: DoseGridScaling must be positive; without it values are no dose. Export "
            "the dose again."
        )
    bits = integer(data_set, "BitsAllocated", path)
    signed = integer(data_set, "PixelRepresentation", path, default=0)
    if bits not in {16, 32} or (signed and text(data_set, "DoseType").upper() != "ERROR"):
        raise FileFormatError(
            f"{path.name}: a dose has unsigned values of 16 or 32 bits; this file has "
            f"{'signed' if signed else 'unsigned'} ones of {bits}. Export the dose again."
        )
    stored: NDArray[Any] = decode(data_set, path, "dose")
    shape = (n_frames, integer(data_set, "Rows", path), integer(data_set, "Columns", path))
    values: Array = stored.reshape(shape).astype(np.float64) * scaling
    return values


def _references(data_set: Any, path: Path) -> tuple[frozenset[str], int | None, frozenset[int]]:
    """UIDs of plans, number of the fraction group, and numbers of beams."""
    plans: set[str] = set()
    beams: set[int] = set()
    group: int | None = None
    for plan in items(data_set, "ReferencedRTPlanSequence", path):
        plans.add(text(plan, "ReferencedSOPInstanceUID"))
        for each in items(plan, "ReferencedFractionGroupSequence", path):
            if number_array(each, "ReferencedFractionGroupNumber", path).size:
                group = integer(each, "ReferencedFractionGroupNumber", path)
            for beam in items(each, "ReferencedBeamSequence", path):
                beams.add(integer(beam, "ReferencedBeamNumber", path))
    return frozenset(plans - {""}), group, frozenset(beams)
