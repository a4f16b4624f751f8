"""An RT structure set read into structures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from dosegrad.errors import FileFormatError, PatientError
from dosegrad.io.dicom.attributes import integer, items, text
from dosegrad.io.dicom.contour_data import RoiContours, read_contours
from dosegrad.io.dicom.folder import STRUCTURE_SET
from dosegrad.io.dicom.identifiers import OUTLINED
from dosegrad.io.dicom.limits import MAX_CONTOUR_POINTS, MAX_ROIS
from dosegrad.io.dicom.naming import role_of, unique_name
from dosegrad.io.dicom.stream import read_data_set, reading
from dosegrad.patient.contours import ContourPlane, ContourShape, Direction, gather_planes
from dosegrad.patient.structures import Role, Structure

__all__ = ["References", "StructureSet", "read_structures"]

#: Gap between contour planes where neither contours nor a CT tell, mm.
_LAST_RESORT_GAP: Final = 1.0


@dataclass(frozen=True, slots=True, repr=False)
class References:
    """Identifiers of the images that a structure set was drawn on."""

    frames: frozenset[str]
    series: frozenset[str]
    images: frozenset[str]

    def __repr__(self) -> str:
        return f"References({len(self.series)} series, {len(self.images)} images)"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StructureSet:
    """Structures by name, what they refer to, and what was left out or guessed.

    ``instance`` is the SOPInstanceUID by which plans refer to the set; ``outlined`` are names of
    structures that were outlined along voxel faces of the CT, by :func:`dosegrad.write_dicom`.
    """

    structures: Mapping[str, Structure]
    references: References
    warnings: tuple[str, ...]
    instance: str = ""
    outlined: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"StructureSet({', '.join(self.structures)})"


@dataclass(frozen=True, slots=True, eq=False)
class _Roi:
    """One ROI before its contours become a shape."""

    number: int
    name: str
    role: Role
    guessed: bool
    colour: tuple[float, float, float] | None
    contours: RoiContours
    outlined: bool


def read_structures(
    path: str | Path, *, spacing: float | None = None, direction: Direction | None = None
) -> StructureSet:
    """The structures of an RT structure set file; no CT is needed.

    Closed contours become regions by the rules of `ContourShape`. Roles come from
    RTROIInterpretedType, else from names. Missing optional sequences are no hindrance.

    Parameters
    ----------
    path
        The file.
    spacing
        Distance of the slices that were drawn on, mm, for structures of few planes; where it is
        not given, the median gap between contours of the whole set.
    direction
        Axes of the images, for contours that are not axial.

    Raises
    ------
    FileFormatError
        If the file is damaged, is no structure set, holds no closed contour at all, or exceeds a
        limit.
    """
    path = Path(path)
    data_set = read_data_set(path)
    with reading(path, "RT structure set"):
        if text(data_set, "SOPClassUID") != STRUCTURE_SET:
            raise FileFormatError(
                f"{path.name}: is DICOM, but no RT structure set; give the RTSTRUCT file."
            )
        rois = _read_rois(data_set, path)
        references = _read_references(data_set, rois, path)
        structures, notes = _make_structures(rois, spacing, direction)
        instance = text(data_set, "SOPInstanceUID")
    if not structures:
        raise FileFormatError(
            f"{path.name}: no structure has a closed contour, so there is no geometry to read "
            f"({len(rois)} structures by name). Export the structure set with its contours."
        )
    return StructureSet(
        MappingProxyType(structures),
        references,
        tuple(notes),
        instance,
        frozenset(roi.name for roi in rois if roi.outlined),
    )


def _read_rois(data_set: Any, path: Path) -> list[_Roi]:
    """ROIs in the order of the StructureSetROISequence, matched to contours by number."""
    listed = items(data_set, "StructureSetROISequence", path)
    drawn = items(data_set, "ROIContourSequence", path)
    if len(listed) > MAX_ROIS or len(drawn) > MAX_ROIS:
        raise FileFormatError(f"{path.name}: more than {MAX_ROIS} structures; split the set.")
    types = {
        integer(o, "ReferencedROINumber", path): text(o, "RTROIInterpretedType").upper()
        for o in items(data_set, "RTROIObservationsSequence", path)
    }
    by_number = {integer(r, "ReferencedROINumber", path): r for r in drawn}
    names = {integer(r, "ROINumber", path): text(r, "ROIName") for r in listed}
    outlined = {
        integer(r, "ROINumber", path)
        for r in listed
        if text(r, "ROIGenerationDescription") == OUTLINED
    }
    if len(by_number) < len(drawn) or len(names) < len(listed):
        raise FileFormatError(
            f"{path.name}: two structures have the same number, so contours cannot be told apart; "
            "export the structure set again."
        )
    rois: list[_Roi] = []
    taken: set[str] = set()
    n_points = 0
    for number in [*names, *(n for n in by_number if n not in names)]:
        name = unique_name(names.get(number, ""), number, taken)
        taken.add(name)
        drawing = by_number.get(number)
        contours = read_contours(drawing if drawing is not None else {}, path)
        n_points += sum(len(p) for p in contours.polygons)
        if n_points > MAX_CONTOUR_POINTS:
            raise FileFormatError(
                f"{path.name}: more than {MAX_CONTOUR_POINTS:.0e} contour points; simplify the "
                "contours or split the set."
            )
        role, guessed = role_of(name, types.get(number, ""))
        rois.append(
            _Roi(number, name, role, guessed, _colour(drawing), contours, number in outlined)
        )
    return rois


def _colour(roi: Any) -> tuple[float, float, float] | None:
    """Display colour from 0 to 1, if it is given and makes sense."""
    value = None if roi is None else roi.get("ROIDisplayColor")
    try:
        red, green, blue = (float(v) / 255.0 for v in value or ())
    except (TypeError, ValueError):
        return None
    return (red, green, blue) if 0 <= min(red, green, blue) <= max(red, green, blue) <= 1 else None


def _read_references(data_set: Any, rois: list[_Roi], path: Path) -> References:
    """UIDs of frames of reference, series and images that the set names anywhere."""
    frames = {text(data_set, "FrameOfReferenceUID")}
    frames |= {
        text(r, "ReferencedFrameOfReferenceUID")
        for r in items(data_set, "StructureSetROISequence", path)
    }
    series: set[str] = set()
    images: set[str] = set().union(*(roi.contours.images for roi in rois))
    for frame in items(data_set, "ReferencedFrameOfReferenceSequence", path):
        frames.add(text(frame, "FrameOfReferenceUID"))
        for study in items(frame, "RTReferencedStudySequence", path):
            for each in items(study, "RTReferencedSeriesSequence", path):
                series.add(text(each, "SeriesInstanceUID"))
                named = items(each, "ContourImageSequence", path)
                images |= {text(image, "ReferencedSOPInstanceUID") for image in named}
    empty = {""}
    return References(
        frozenset(frames - empty), frozenset(series - empty), frozenset(images - empty)
    )


def _make_structures(
    rois: list[_Roi], spacing: float | None, direction: Direction | None
) -> tuple[dict[str, Structure], list[str]]:
    """Structures of the ROIs that have a region, and notes on the others."""
    notes: list[str] = []
    regions: list[tuple[_Roi, tuple[ContourPlane, ...], Direction]] = []
    empty: list[str] = []
    for roi in rois:
        try:
            planes, axes, remarks = gather_planes(roi.contours.polygons, direction=direction)
        except PatientError as error:
            notes.append(f"{roi.name!r} left out: {error}")
            continue
        notes += [f"{roi.name!r}: {remark}" for remark in remarks]
        ignored = [f"{n} {kind}" for kind, n in roi.contours.ignored.items()]
        if ignored:
            notes.append(f"{roi.name!r}: {', '.join(ignored)} ignored; only closed contours count")
        if planes:
            regions.append((roi, planes, axes))
        else:
            empty.append(repr(roi.name))
    if empty:
        notes.append(f"without closed contours, left out: {', '.join(empty)}")
    if regions:
        gap, remark = _usual_gap([planes for _, planes, _ in regions], spacing)
        notes += remark
        roles, remark = _roles([roi for roi, _, _ in regions])
        notes += remark
    return {
        roi.name: Structure(
            roi.name, ContourShape(planes, gap, axes), roles[roi.name], colour=roi.colour
        )
        for roi, planes, axes in regions
    }, notes


def _usual_gap(
    plane_lists: list[tuple[ContourPlane, ...]], spacing: float | None
) -> tuple[float, list[str]]:
    """Usual gap between planes of the set: the median of all, else ``spacing``."""
    gaps = np.concatenate([np.diff([p.height for p in planes]) for planes in plane_lists])
    if gaps.size >= 3:
        return float(np.median(gaps)), []
    if spacing is not None:
        return spacing, []
    if gaps.size:
        return float(np.median(gaps)), []
    note = f"contours lie on single planes; {_LAST_RESORT_GAP:g} mm was taken as their thickness"
    return _LAST_RESORT_GAP, [note]


def _roles(rois: list[_Roi]) -> tuple[dict[str, Role], list[str]]:
    """Role by name with at most one outline of the body, and what was guessed."""
    notes = []
    roles = {roi.name: roi.role for roi in rois}
    externals = [roi for roi in rois if roi.role == "external"]
    externals.sort(key=lambda roi: roi.guessed)  # one that the file declares goes before a guess
    for roi in externals[1:]:
        roles[roi.name] = "organ"
        notes.append(f"{roi.name!r} is a second outline of the body; it was made an organ")
    guessed = [f"{r.name!r} {roles[r.name]}" for r in rois if r.guessed and roles[r.name] == r.role]
    if guessed:
        notes.append(f"roles taken from names: {', '.join(guessed)}")
    return roles, notes
