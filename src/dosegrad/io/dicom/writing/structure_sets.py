"""An RT Structure Set written from the structures of a patient."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Final

import numpy as np

from dosegrad.arrays import Points
from dosegrad.errors import OutputError
from dosegrad.io.dicom.folder import STRUCTURE_SET
from dosegrad.io.dicom.identifiers import OUTLINED, make_uid
from dosegrad.io.dicom.slices import CT_IMAGE
from dosegrad.io.dicom.writing.data_sets import (
    Identity,
    new_data_set,
    reference,
    save,
    sequence,
)
from dosegrad.io.dicom.writing.images import Images
from dosegrad.io.dicom.writing.outlines import planar_polygons
from dosegrad.patient.contours import ContourShape
from dosegrad.patient.patient import Patient
from dosegrad.patient.structures import Structure

__all__ = ["write_structures"]

_NAME_LENGTH: Final = 64
_CONTOUR_DATA: Final = 0x30060050
_TARGET_KIND: Final = re.compile(r"^i?(CTV|GTV)", re.IGNORECASE)


def write_structures(patient: Patient, images: Images, folder: Path, identity: Identity) -> str:
    """Write all structures into one file; returns its SOPInstanceUID.

    Contours are CLOSED_PLANAR with keyholes; a structure without voxels keeps its name alone.

    Raises
    ------
    OutputError
        If a name cannot be written, no structure has a voxel, or the file cannot be written.
    """
    from pydicom.dataset import Dataset

    drawn = [(s, planar_polygons(s, patient.ct.grid)) for s in patient.structures.values()]
    if not any(polygons for _, polygons in drawn):
        raise OutputError(
            "no structure of the patient has a voxel on its CT, so a structure set would hold "
            "nothing; leave the structures out or draw them anew."
        )
    digest = hashlib.sha256()
    for structure, polygons in drawn:
        digest.update(f"{structure.name}\0{structure.role}\0{structure.colour}".encode())
        for polygon in polygons:
            digest.update(np.round(polygon, 5).tobytes())
    instance = make_uid("structures", *images.instances, digest.hexdigest())
    data = new_data_set(identity, STRUCTURE_SET, instance, "RTSTRUCT", "structures")
    data.StructureSetLabel = "dosegrad"
    data.StructureSetDate = data.StructureSetTime = ""
    data.InstanceNumber = 1
    data.FrameOfReferenceUID = identity.frame_of_reference
    data.PositionReferenceIndicator = ""
    data.ReferencedFrameOfReferenceSequence = sequence([_frame(images, identity)])
    rois, contours, observations = [], [], []
    for number, (structure, polygons) in enumerate(drawn, start=1):
        roi = Dataset()
        roi.ROINumber = number
        roi.ReferencedFrameOfReferenceUID = identity.frame_of_reference
        roi.ROIName = _checked_name(structure.name)
        roi.ROIGenerationAlgorithm = ""
        if not isinstance(structure.shape, ContourShape):
            roi.ROIGenerationDescription = OUTLINED
        rois.append(roi)
        contours.append(_contours(structure, number, polygons, images))
        observation = Dataset()
        observation.ObservationNumber = observation.ReferencedROINumber = number
        observation.RTROIInterpretedType = _interpreted_type(structure)
        observation.ROIInterpreter = ""
        observations.append(observation)
    data.StructureSetROISequence = sequence(rois)
    data.ROIContourSequence = sequence(contours)
    data.RTROIObservationsSequence = sequence(observations)
    data.ApprovalStatus = "UNAPPROVED"
    save(data, folder / "RS.dcm")
    return instance


def _frame(images: Images, identity: Identity) -> Any:
    """The item that names the frame of reference, the study, the series and its slices."""
    from pydicom.dataset import Dataset

    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = images.series
    series.ContourImageSequence = sequence(reference(CT_IMAGE, uid) for uid in images.instances)
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
    study.ReferencedSOPInstanceUID = identity.study
    study.RTReferencedSeriesSequence = sequence([series])
    frame.FrameOfReferenceUID = identity.frame_of_reference
    frame.RTReferencedStudySequence = sequence([study])
    return frame


def _contours(structure: Structure, number: int, polygons: list[Points], images: Images) -> Any:
    """The item of the ROIContourSequence."""
    from pydicom.dataset import Dataset

    roi = Dataset()
    if structure.colour is not None:
        roi.ROIDisplayColor = [round(255 * c) for c in structure.colour]
    if polygons:
        roi.ContourSequence = sequence(_contour(polygon, images) for polygon in polygons)
    roi.ReferencedROINumber = number
    return roi


def _contour(polygon: Points, images: Images) -> Any:
    from pydicom.dataelem import RawDataElement
    from pydicom.dataset import Dataset
    from pydicom.tag import Tag

    item = Dataset()
    instance = images.nearest(polygon[0])
    item.ContourImageSequence = sequence([reference(CT_IMAGE, instance)])
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(polygon)
    text = "\\".join(_coordinate(v) for v in polygon.ravel().tolist())
    content = (text + " " * (len(text) % 2)).encode("ascii")
    tag = Tag(_CONTOUR_DATA)
    item[tag] = RawDataElement(tag, "DS", len(content), content, 0, True, True)
    return item


def _coordinate(value: float) -> str:
    """A coordinate to 1e-5 mm in at most 16 characters."""
    return f"{value:.5f}".rstrip("0").rstrip(".")


def _interpreted_type(structure: Structure) -> str:
    """RTROIInterpretedType by role; CTV and GTV by the beginning of the name."""
    if structure.role == "external":
        return "EXTERNAL"
    if structure.role == "target":
        found = _TARGET_KIND.match(structure.name)
        return found.group(1).upper() if found else "PTV"
    return "ORGAN"


def _checked_name(name: str) -> str:
    if len(name) > _NAME_LENGTH or "\\" in name or not name.isprintable() or name != name.strip():
        raise OutputError(
            f"structure name {name!r} cannot be written: DICOM allows up to {_NAME_LENGTH} "
            "characters without backslashes, control characters or blanks at the ends. Rename it."
        )
    return name
