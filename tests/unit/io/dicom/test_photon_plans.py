import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

from dosegrad.errors import CapabilityError, FileFormatError
from dosegrad.io.dicom.photon_plans import read_photon_plan


def item(**values):
    data = Dataset()
    for keyword, value in values.items():
        setattr(data, keyword, Sequence(value) if keyword.endswith("Sequence") else value)
    return data


def position(kind, values):
    return item(RTBeamLimitingDeviceType=kind, LeafJawPositions=[float(v) for v in values])


def photon_beam(number):
    """An arc of three control points from 170 through 180 to 200, then to 190 the other way."""
    points = [
        item(
            ControlPointIndex=0,
            NominalBeamEnergy=6,
            DoseRateSet=600,
            GantryAngle=170,
            GantryRotationDirection="CW",
            BeamLimitingDeviceAngle=30,
            PatientSupportAngle=350,
            IsocenterPosition=[1.0, 2.0, 3.0],
            CumulativeMetersetWeight=0.0,
            BeamLimitingDevicePositionSequence=[
                position("ASYMX", [-40, 50]),
                position("Y", [-30, 30]),
                position("MLCX", [-10, -11, -12, 10, 11, 12]),
            ],
        ),
        item(
            ControlPointIndex=1,
            GantryAngle=200,
            GantryRotationDirection="CC",
            CumulativeMetersetWeight=0.5,
            BeamLimitingDevicePositionSequence=[position("MLCX", [-1, -2, -3, 1, 2, 3])],
        ),
        item(ControlPointIndex=2, GantryAngle=190, CumulativeMetersetWeight=2.0),
    ]
    return item(
        BeamNumber=number,
        RadiationType="PHOTON",
        TreatmentMachineName="linac",
        PrimaryDosimeterUnit="MU",
        SourceAxisDistance=1000,
        NumberOfControlPoints=3,
        FinalCumulativeMetersetWeight=2.0,
        BeamLimitingDeviceSequence=[
            item(RTBeamLimitingDeviceType="ASYMX", NumberOfLeafJawPairs=1),
            item(RTBeamLimitingDeviceType="Y", NumberOfLeafJawPairs=1),
            item(
                RTBeamLimitingDeviceType="MLCX",
                NumberOfLeafJawPairs=3,
                LeafPositionBoundaries=[-15, -5, 5, 15],
                SourceToBeamLimitingDeviceDistance=500,
            ),
        ],
        ControlPointSequence=points,
    )


@pytest.fixture
def write(tmp_path, dicom):
    """Writes a plan of beams 1 and 2 whose metersets are listed the other way round."""

    def make(change=None):
        data = item(
            SOPClassUID="1.2.840.10008.5.1.4.1.1.481.5",
            SOPInstanceUID=generate_uid(),
            PatientName=dicom.SENTINEL,
            FractionGroupSequence=[
                item(
                    FractionGroupNumber=1,
                    NumberOfFractionsPlanned=3,
                    NumberOfBeams=2,
                    ReferencedBeamSequence=[
                        item(ReferencedBeamNumber=2, BeamMeterset=80),
                        item(ReferencedBeamNumber=1, BeamMeterset=20),
                    ],
                )
            ],
            BeamSequence=[photon_beam(1), photon_beam(2)],
        )
        if change:
            change(data)
        return dicom.save(data, tmp_path / "rp.dcm")

    return make


def test_meterset_is_matched_by_number_and_shared_by_control_points(write):
    found = read_photon_plan(write())
    assert found.monitor_units.tolist() == [20.0, 80.0]
    assert found.fields[1].metersets == pytest.approx([0.0, 20.0, 80.0])
    assert found.fractions == 3


def test_every_control_point_is_complete(write):
    field = read_photon_plan(write()).fields[0]
    first, second, last = field.control_points
    assert (last.gantry, last.collimator, last.couch) == (190.0, 30.0, 350.0)
    assert last.isocentre == (1.0, 2.0, 3.0)
    assert last.dose_rate == 600.0
    assert [p.rotation for p in field.control_points] == [
        "clockwise",
        "counter-clockwise",
        "counter-clockwise",
    ]
    assert (last.collimators.jaws_x, last.collimators.jaws_y) == ((-40.0, 50.0), (-30.0, 30.0))
    (leaves,) = first.collimators.leaves
    assert leaves.axis == "x"
    assert leaves.boundaries.tolist() == [-15.0, -5.0, 5.0, 15.0]
    assert leaves.positions.tolist() == [[-10.0, -11.0, -12.0], [10.0, 11.0, 12.0]]
    assert leaves.distance == 500.0
    for point in (second, last):
        assert point.collimators.leaves[0].positions.tolist() == [[-1, -2, -3], [1, 2, 3]]


def test_direction_decides_the_way_of_an_arc(write):
    def turn_back(data):
        data.BeamSequence[1].ControlPointSequence[0].GantryRotationDirection = "CC"

    first, second = read_photon_plan(write(turn_back)).fields
    assert first.gantry_travel == pytest.approx([170.0, 200.0, 190.0])
    assert second.gantry_travel == pytest.approx([170.0, -160.0, -170.0])


def test_devices_that_are_not_read_are_told(write):
    found = read_photon_plan(write(lambda d: setattr(d.BeamSequence[0], "NumberOfWedges", 1)))
    assert found.fields[0].unmodelled == ("wedge",)
    assert any("beam 1 has a wedge, not read" in w for w in found.warnings)


def test_the_plan_offers_no_beams_to_compute(write):
    with pytest.raises(CapabilityError, match="no photon machine"):
        _ = read_photon_plan(write()).beams


def spoil(index, keyword, value):
    def change(data):
        points = data.BeamSequence[0].ControlPointSequence
        setattr(data.BeamSequence[0] if index is None else points[index], keyword, value)

    return change


def spoil_leaves(data):
    moved = data.BeamSequence[0].ControlPointSequence[0].BeamLimitingDevicePositionSequence
    moved[2].LeafJawPositions = [1.0, 2.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.BeamSequence[0].ControlPointSequence.pop(), "declares 3 control points but"),
        (spoil(None, "FinalCumulativeMetersetWeight", 4.0), "end at 50.0000%"),
        (spoil(1, "CumulativeMetersetWeight", None), "has no CumulativeMetersetWeight"),
        (spoil(1, "CumulativeMetersetWeight", 3.0), "weights of beam 1 fall"),
        (spoil(0, "NominalBeamEnergy", None), "no energy"),
        (spoil(0, "GantryAngle", None), "no GantryAngle"),
        (spoil(0, "TableTopPitchAngle", 1.0), "TableTopPitchAngle other than 0"),
        (spoil(None, "BeamLimitingDeviceSequence", None), "moves a collimator that it does not"),
        (spoil_leaves, "2 positions for 3 pairs"),
        (lambda d: setattr(d, "SOPClassUID", "1.2.3"), "no RT plan"),
    ],
)
def test_contradictions_are_refused(write, dicom, change, message):
    with pytest.raises(FileFormatError, match=message) as caught:
        read_photon_plan(write(change))
    assert "rp.dcm" in str(caught.value)
    assert dicom.SENTINEL not in str(caught.value)


def test_damage_gives_our_error(write, tmp_path):
    content = write().read_bytes()
    random = np.random.default_rng(8)
    for _ in range(300):
        spoiled = bytearray(content)
        for place in random.integers(132, len(content), 3):
            spoiled[place] = random.integers(256)
        (tmp_path / "rp.dcm").write_bytes(bytes(spoiled))
        try:
            read_photon_plan(tmp_path / "rp.dcm")
        except FileFormatError as error:
            assert "rp.dcm" in str(error)
