"""Spatial Registrations: points go where the matrices say."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import dosegrad as dg
from dosegrad.errors import FileFormatError
from dosegrad.io.dicom.spatial_registrations import SPATIAL_REGISTRATION, read_spatial_registration
from dosegrad.io.dicom.writing.data_sets import save

QUARTER = np.array([[0, -1, 0, 10], [1, 0, 0, -5], [0, 0, 1, 2.5], [0, 0, 0, 1.0]])


def registration(*matrices, kind="RIGID", sop_class=SPATIAL_REGISTRATION):
    steps = []
    for matrix in matrices:
        step = Dataset()
        step.FrameOfReferenceTransformationMatrixType = kind
        step.FrameOfReferenceTransformationMatrix = [float(v) for v in np.ravel(matrix)]
        steps.append(step)
    one = Dataset()
    one.MatrixSequence = Sequence(steps)
    item = Dataset()
    item.FrameOfReferenceUID = "2.25.7"
    item.MatrixRegistrationSequence = Sequence([one])
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = sop_class, "2.25.1"
    data.FrameOfReferenceUID = "2.25.9"
    data.PatientName = "Sentinel^Person"
    data.RegistrationSequence = Sequence([item])
    return data


def test_points_of_the_other_frame_come_into_this_one(tmp_path):
    (found,) = read_spatial_registration(save(registration(QUARTER), tmp_path / "r.dcm"))
    assert (found.source, found.target, found.kind) == ("2.25.7", "2.25.9", "rigid")
    np.testing.assert_allclose(found([[1.0, 2.0, 3.0]]), [[8.0, -4.0, 5.5]])


def test_matrices_apply_one_after_the_other(tmp_path):
    shift = np.eye(4)
    shift[:3, 3] = [100.0, 0.0, 0.0]
    (found,) = read_spatial_registration(save(registration(shift, QUARTER), tmp_path / "r.dcm"))
    np.testing.assert_allclose(found([0.0, 0.0, 0.0]), [10.0, 95.0, 2.5])


@pytest.mark.parametrize(
    "wrong",
    [
        registration(2 * np.eye(4)),
        registration(np.diag([1, 1, -1, 1.0])),
        registration(QUARTER, kind="BENT"),
        registration(),
        registration(QUARTER, sop_class="1.2.840.10008.5.1.4.1.1.66.3"),
    ],
)
def test_what_is_no_rigid_transform_is_refused(tmp_path, wrong):
    with pytest.raises(FileFormatError):
        read_spatial_registration(save(wrong, tmp_path / "r.dcm"))


def test_a_study_tells_its_registrations_and_records(tmp_path):
    patient = dg.Patient.from_arrays(
        np.zeros((2, 3, 4)), **{"spacing": (3.0, 2.0, 2.0), "origin": (0.0, 0.0, 0.0)}
    )
    dg.write_dicom(tmp_path / "study", patient=patient)
    save(registration(QUARTER), tmp_path / "study" / "REG.dcm")
    study = dg.read_dicom(tmp_path / "study")
    assert [t.kind for t in study.registrations] == ["rigid"]
