"""RT Ion Beams Treatment Records: delivered spots come out as they were put in."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dosegrad.errors import FileFormatError
from dosegrad.io.dicom.treatment_records import RT_ION_RECORD, read_treatment_record
from dosegrad.io.dicom.writing.data_sets import save

LAYERS = [
    (150.0, [[-5.0, 2.0], [0.0, 2.5], [5.0, 3.0]], [1.0, 0.0, 3.0]),
    (120.0, [[1.0, 1.5]], [2.0]),
]


def control_point(energy, places, metersets, time="120000.5"):
    point = Dataset()
    if energy is not None:
        point.NominalBeamEnergy = energy
    point.TreatmentControlPointDate, point.TreatmentControlPointTime = "20260101", time
    point.NumberOfScanSpotPositions = len(metersets)
    point.ScanSpotPositionMap = [v for pair in places for v in pair]
    point.ScanSpotMetersetsDelivered = metersets if len(metersets) > 1 else metersets[0]
    return point


def record(layers=LAYERS, **attributes):
    beam = Dataset()
    beam.ReferencedBeamNumber = 4
    beam.ScanMode = "MODULATED"
    beam.TreatmentTerminationStatus = "NORMAL"
    points = []
    for k, (energy, places, metersets) in enumerate(layers):
        points.append(control_point(energy, places, metersets, time=f"12000{k}.0"))
        points.append(control_point(None, places, [0.0] * len(metersets), time=f"12000{k}.9"))
    beam.IonControlPointDeliverySequence = Sequence(points)
    for name, value in attributes.items():
        setattr(beam, name, value)
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = RT_ION_RECORD, "2.25.1"
    data.PatientName = "Sentinel^Person"
    data.TreatmentSessionIonBeamSequence = Sequence([beam])
    return data


def test_spots_come_out_in_order(tmp_path):
    found = read_treatment_record(save(record(), tmp_path / "r.dcm"))
    spots = found.spots
    assert spots["beam"].tolist() == [4, 4, 4]
    assert spots["energy"].tolist() == [150.0, 150.0, 120.0]
    assert spots["layer"].tolist() == [0, 0, 1]
    np.testing.assert_allclose(spots["x"], [-5.0, 5.0, 1.0])  # one spot got nothing
    np.testing.assert_allclose(spots["y"], [2.0, 3.0, 1.5])
    np.testing.assert_allclose(spots["mu"], [1.0, 3.0, 2.0])
    np.testing.assert_allclose(spots["time"], [0.0, 0.0, 1.0])
    assert "Sentinel" not in repr(found)


def test_a_beam_that_stopped_early_is_noted(tmp_path):
    stopped = record(TreatmentTerminationStatus="OPERATOR")
    found = read_treatment_record(save(stopped, tmp_path / "r.dcm"))
    assert found.warnings == ("beam 4 did not end normally",)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        (record(ScanMode="UNIFORM"), "not delivered by modulated scanning"),
        (record([(None, [[0.0, 0.0], [1.0, 1.0]], [1.0, 1.0])]), "energy of its first layer"),
        (record([(100.0, [[0.0, 0.0]], [1.0, 2.0])]), "2 delivered metersets but 1 positions"),
        (record([]), "no delivered spot"),
    ],
)
def test_incomplete_records_are_refused(tmp_path, changed, match):
    with pytest.raises(FileFormatError, match=match):
        read_treatment_record(save(changed, tmp_path / "r.dcm"))


def test_other_files_are_refused(tmp_path):
    other = record()
    other.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.8"
    with pytest.raises(FileFormatError, match="no RT Ion Beams Treatment Record"):
        read_treatment_record(save(other, tmp_path / "r.dcm"))
