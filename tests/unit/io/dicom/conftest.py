"""Writers of small synthetic DICOM files: one phantom, stored in many ways."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from dosegrad.geometry.frames import PATIENT_POSITIONS
from dosegrad.geometry.grid import Grid

SENTINEL = "ZZSENTINEL^NAME"
CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
STRUCTURE_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"

#: Three different sizes and spacings, (z, y, x).
GRID = Grid((5, 7, 9), (3.0, 2.0, 1.5), (-4.0, 11.0, 30.0))


def phantom_hu(grid=GRID):
    """HU that differ in every voxel, whole numbers."""
    return np.arange(grid.n_voxels, dtype=float).reshape(grid.shape) * 2 - 300


@dataclass
class Ids:
    """UIDs that tie files together."""

    series: str = field(default_factory=generate_uid)
    frame: str = field(default_factory=generate_uid)
    study: str = field(default_factory=generate_uid)
    instances: list = field(default_factory=list)


def _base(sop_class, ids, modality):
    data = Dataset()
    data.SOPClassUID = sop_class
    data.SOPInstanceUID = generate_uid()
    data.StudyInstanceUID = ids.study
    data.SeriesInstanceUID = ids.series
    data.Modality = modality
    data.PatientName = SENTINEL
    data.PatientID = SENTINEL
    data.PatientBirthDate = "19000101"
    return data


def save(data, path, syntax=ExplicitVRLittleEndian):
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.TransferSyntaxUID = syntax
    data.save_as(path, enforce_file_format=True)
    return path


def image_axes(position):
    """Directions of rows, columns and slices (columns of the result) usual for a position."""
    matrix = PATIENT_POSITIONS[position]
    row, column = matrix[:, 0], -matrix[:, 2]
    return np.column_stack([row, column, np.cross(row, column)])


def stored_slices(axes, hu=None, grid=GRID):
    """The phantom cut into slices along ``axes``: (corner, spacing, thickness, pixels) each."""
    hu = phantom_hu(grid) if hu is None else hu
    along = [int(np.argmax(np.abs(axes[:, j]))) for j in range(3)]  # patient axis of each
    signs = [float(axes[along[j], j]) for j in range(3)]
    places = [2 - along[j] for j in (2, 1, 0)]
    flips = tuple(slice(None, None, -1 if signs[j] < 0 else 1) for j in (2, 1, 0))
    values = hu.transpose(places)[flips]
    step = [grid.spacing[p] for p in places]
    far = np.zeros(3)
    far[places] = [
        grid.shape[p] - 1 if signs[j] < 0 else 0 for p, j in zip(places, (2, 1, 0), strict=True)
    ]
    corner = grid.to_point(far)
    for k, pixels in enumerate(values):
        yield corner + axes[:, 2] * step[0] * k, step[1:], step[0], pixels


def write_ct(
    folder, *, position="HFS", axes=None, ids=None, change=None, order=None, hu=None, **options
):
    """CT slices of the phantom; ``change(data_set, k)`` may spoil each before it is saved."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = ids or Ids()
    axes = image_axes(position) if axes is None else axes
    slices = list(stored_slices(axes, hu))
    names = order or range(len(slices))
    for k, (corner, spacing, thickness, pixels) in enumerate(slices):
        data = _base(CT_CLASS, ids, "CT")
        data.FrameOfReferenceUID = ids.frame
        data.PatientPosition = position
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.ImagePositionPatient = [f"{v:.6g}" for v in corner]
        data.ImageOrientationPatient = [f"{v:g}" for v in (*axes[:, 0], *axes[:, 1])]
        data.PixelSpacing = list(spacing)
        data.SliceThickness = thickness
        data.Rows, data.Columns = pixels.shape
        data.SamplesPerPixel = 1
        data.PhotometricInterpretation = "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.PixelRepresentation = 1
        data.RescaleSlope, data.RescaleIntercept = 2, -1024
        data.PixelData = np.ascontiguousarray((pixels + 1024) / 2).astype("<i2").tobytes()
        data["PixelData"].VR = "OW"
        if change:
            change(data, k)
        ids.instances.append(str(data.SOPInstanceUID))
        save(data, folder / f"{list(names)[k]:03d}.dcm", **options)
    return ids


def square(x, y, z, size=4.0):
    return [(x, y, z), (x + size, y, z), (x + size, y + size, z), (x, y + size, z)]


def roi(name, polygons, *, kind="CLOSED_PLANAR", interpreted=None, colour=(255, 0, 51)):
    return SimpleNamespace(
        name=name, polygons=polygons, kind=kind, interpreted=interpreted, colour=colour
    )


def structure_data(rois, ids=None, *, refer=True):
    ids = ids or Ids()
    data = _base(STRUCTURE_CLASS, Ids(study=ids.study), "RTSTRUCT")
    data.StructureSetLabel = "test"
    if refer:
        image = [_reference(uid) for uid in ids.instances]
        series = Dataset()
        series.SeriesInstanceUID = ids.series
        series.ContourImageSequence = Sequence(image)
        study = Dataset()
        study.RTReferencedSeriesSequence = Sequence([series])
        frame = Dataset()
        frame.FrameOfReferenceUID = ids.frame
        frame.RTReferencedStudySequence = Sequence([study])
        data.ReferencedFrameOfReferenceSequence = Sequence([frame])
    data.StructureSetROISequence = Sequence()
    data.ROIContourSequence = Sequence()
    data.RTROIObservationsSequence = Sequence()
    for number, each in enumerate(rois, start=1):
        item = Dataset()
        item.ROINumber, item.ROIName = number, each.name
        if refer:
            item.ReferencedFrameOfReferenceUID = ids.frame
        data.StructureSetROISequence.append(item)
        contour_item = Dataset()
        contour_item.ReferencedROINumber = number
        contour_item.ROIDisplayColor = list(each.colour)
        if each.polygons is not None:
            contour_item.ContourSequence = Sequence([_contour(p, each) for p in each.polygons])
        data.ROIContourSequence.append(contour_item)
        if each.interpreted is not None:
            observation = Dataset()
            observation.ObservationNumber = observation.ReferencedROINumber = number
            observation.RTROIInterpretedType = each.interpreted
            data.RTROIObservationsSequence.append(observation)
    return data


def _reference(uid):
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT_CLASS, uid
    return item


def _contour(polygon, each):
    item = Dataset()
    item.ContourGeometricType = each.kind
    item.NumberOfContourPoints = len(polygon)
    item.ContourData = [f"{v:.8g}" for point in polygon for v in point]
    return item


def write_structures(path, rois, ids=None, *, refer=True, change=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = structure_data(rois, ids, refer=refer)
    if change:
        change(data)
    return save(data, Path(path), **options)


@pytest.fixture(scope="session")
def dicom():
    """The writers of this file in one place."""
    return SimpleNamespace(
        CT_CLASS=CT_CLASS,
        GRID=GRID,
        SENTINEL=SENTINEL,
        Ids=Ids,
        image_axes=image_axes,
        phantom_hu=phantom_hu,
        roi=roi,
        save=save,
        square=square,
        stored_slices=stored_slices,
        structure_data=structure_data,
        write_ct=write_ct,
        write_structures=write_structures,
    )
