import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

from dosegrad.beams.beam import RangeShifter
from dosegrad.errors import EnergyError, FileFormatError, MachineError
from dosegrad.io.dicom.ion_delivery import deliver
from dosegrad.io.dicom.ion_plans import read_ion_plan
from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.machine.library import load_machine
from dosegrad.machine.monitor import Monitor
from dosegrad.machine.particle import ParticleMachine


def item(**values):
    data = Dataset()
    for keyword, value in values.items():
        setattr(data, keyword, Sequence(value) if keyword.endswith("Sequence") else value)
    return data


def layer(index, weights, places, cumulative, **values):
    return item(
        ControlPointIndex=index,
        NumberOfScanSpotPositions=len(weights),
        ScanSpotPositionMap=[float(v) for v in np.ravel(places)],
        ScanSpotMetersetWeights=[float(w) for w in weights],
        CumulativeMetersetWeight=cumulative,
        ScanSpotTuneID="1",
        **values,
    )


PLACES = [(-5.0, 2.0), (0.0, 2.0), (7.5, -3.0)]


def ion_beam(number=1, **values):
    """A layer of three spots at 120 MeV and one of a single spot at 100 MeV, 10 weights in all."""
    points = [
        layer(
            *(0, [1.0, 2.0, 3.0], PLACES, 0.0),
            NominalBeamEnergy=120.0,
            GantryAngle=30.0,
            PatientSupportAngle=10.0,
            IsocenterPosition=[1.0, -2.0, 3.5],
            SnoutPosition=400.0,
        ),
        layer(1, [0.0, 0.0, 0.0], PLACES, 6.0),
        layer(2, [4.0], [(1.0, 1.5)], 6.0, NominalBeamEnergy=100.0),
        layer(3, [0.0], [(1.0, 1.5)], 10.0),
    ]
    beam = item(
        BeamNumber=number,
        BeamName=f"Field {number}",
        RadiationType="PROTON",
        ScanMode="MODULATED",
        TreatmentDeliveryType="TREATMENT",
        TreatmentMachineName="test",
        PrimaryDosimeterUnit="MU",
        NumberOfControlPoints=4,
        FinalCumulativeMetersetWeight=10.0,
        VirtualSourceAxisDistances=[2000.0, 2000.0],
        ReferencedPatientSetupNumber=1,
        IonControlPointSequence=points,
    )
    for keyword, value in values.items():
        setattr(beam, keyword, value)
    return beam


@pytest.fixture
def write(tmp_path, dicom):
    """Writes a plan of two beams, the second of 50 MU first; ``change`` may spoil it."""

    def make(change=None, fractions=5):
        data = item(
            SOPClassUID="1.2.840.10008.5.1.4.1.1.481.8",
            SOPInstanceUID=generate_uid(),
            Modality="CT",
            PatientName=dicom.SENTINEL,
            RTPlanLabel=dicom.SENTINEL[:16],
            FractionGroupSequence=[
                item(
                    FractionGroupNumber=1,
                    NumberOfFractionsPlanned=fractions,
                    NumberOfBeams=2,
                    ReferencedBeamSequence=[
                        item(ReferencedBeamNumber=2, BeamMeterset=50.0),
                        item(ReferencedBeamNumber=1, BeamMeterset=20.0),
                    ],
                )
            ],
            PatientSetupSequence=[item(PatientSetupNumber=1, PatientPosition="HFS")],
            IonBeamSequence=[ion_beam(1), ion_beam(2)],
        )
        if change:
            change(data)
        return dicom.save(data, tmp_path / "rp.dcm")

    return make


def machine(name="test", energies=(100.0, 120.0), **options):
    flat = np.ones(2)
    data = tuple(
        PencilBeamData(
            *(e, [0.0, 100.0], flat, flat[None], flat[None], np.empty(0), 50.0, 49.0),
            focus_distance=[0.0, 1.0],
            focus_sigma=flat,
        )
        for e in energies
    )
    return ParticleMachine(name, "protons", 1500.0, 400.0, data, **options)


def test_beams_and_layers_are_read(write):
    found = read_ion_plan(write())
    assert [f.number for f in found.fields] == [1, 2]
    assert (found.fractions, found.n_spots, found.warnings) == (5, 8, ())
    field = found.fields[0]
    assert (field.gantry, field.couch, field.isocentre) == (30.0, 10.0, (1.0, -2.0, 3.5))
    assert (field.position, field.source_distances) == ("HFS", (2000.0, 2000.0))
    first, second = field.layers
    assert (first.energy, second.energy) == (120.0, 100.0)
    assert np.column_stack([first.x, first.y]).tolist() == [list(p) for p in PLACES]
    assert first.snout_position == second.snout_position == 400.0


def test_meterset_is_matched_by_number_and_scaled_by_the_final_weight(write):
    first, second = read_ion_plan(write()).fields
    assert (first.meterset, second.meterset) == (20.0, 50.0)
    assert first.layers[0].meterset == pytest.approx([2.0, 4.0, 6.0])  # 20 MU for 10 weights
    assert second.layers[0].meterset == pytest.approx([5.0, 10.0, 15.0])


def test_a_single_spot_may_be_a_number_alone(write):
    assert read_ion_plan(write()).fields[0].layers[1].meterset == pytest.approx([8.0])


def test_a_plan_without_closing_control_points_is_read(write):
    def drop(data):
        for beam in data.IonBeamSequence:
            beam.IonControlPointSequence = Sequence(beam.IonControlPointSequence[::2])
            beam.NumberOfControlPoints = 2
            for point in beam.IonControlPointSequence:
                point.CumulativeMetersetWeight = None

    found = read_ion_plan(write(drop))
    assert found.fields[0].layers[1].meterset == pytest.approx([8.0])
    assert any("no closing control point" in w for w in found.warnings)


def test_setup_beams_are_left_out(write):
    def add(data):
        setup = ion_beam(7)
        setup.TreatmentDeliveryType = "SETUP"
        data.IonBeamSequence.insert(0, setup)

    found = read_ion_plan(write(add))
    assert [(f.number, f.meterset) for f in found.fields] == [(1, 20.0), (2, 50.0)]
    assert any("7 (setup)" in w for w in found.warnings)


def with_shifter(data, *, setting="IN", distance=300.0, **more):
    beam = data.IonBeamSequence[0]
    beam.NumberOfRangeShifters = 1
    shifter = item(RangeShifterNumber=4, RangeShifterID="RS", RangeShifterType="BINARY")
    beam.RangeShifterSequence = Sequence([shifter])
    state = item(
        ReferencedRangeShifterNumber=4,
        RangeShifterSetting=setting,
        IsocenterToRangeShifterDistance=distance,
        RangeShifterWaterEquivalentThickness=41.5,
        **more,
    )
    beam.IonControlPointSequence[0].RangeShifterSettingsSequence = Sequence([state])
    return beam


def test_a_range_shifter_stays_in_until_stated_again(write):
    first, second = read_ion_plan(write(with_shifter)).fields
    assert [len(each.shifters) for each in first.layers] == [1, 1]
    shifter = first.layers[1].shifters[0]
    assert (shifter.thickness, shifter.distance) == (41.5, 300.0)
    assert not second.layers[0].shifters
    plan, _ = deliver(read_ion_plan(write(with_shifter)), machine(), position="HFS")
    assert plan.beams[0].range_shifter == RangeShifter(41.5, 300.0)
    assert plan.beams[1].range_shifter is None


def test_a_range_shifter_that_is_out_is_not_there(write):
    found = read_ion_plan(write(lambda data: with_shifter(data, setting="OUT")))
    assert not found.fields[0].layers[0].shifters


def test_a_negative_distance_is_told(write):
    found = read_ion_plan(write(lambda data: with_shifter(data, distance=-250.0)))
    assert found.fields[0].layers[0].shifters[0].distance == 250.0
    assert any("negative distance" in w for w in found.warnings)


def test_a_range_shifter_that_changes_within_a_beam_cannot_be_delivered(write):
    def change(data):
        beam = with_shifter(data)
        out = item(ReferencedRangeShifterNumber=4, RangeShifterSetting="OUT")
        beam.IonControlPointSequence[2].RangeShifterSettingsSequence = Sequence([out])

    found = read_ion_plan(write(change))
    assert [len(each.shifters) for each in found.fields[0].layers] == [1, 0]
    with pytest.raises(MachineError, match="beam 1 change between its layers"):
        deliver(found, machine(), position="HFS")


def spoil_beam(**values):
    def change(data):
        for keyword, value in values.items():
            setattr(data.IonBeamSequence[1], keyword, value)

    return change


def spoil_point(index, **values):
    def change(data):
        for keyword, value in values.items():
            setattr(data.IonBeamSequence[1].IonControlPointSequence[index], keyword, value)

    return change


def scatterer(kind):
    return Sequence([item(LateralSpreadingDeviceNumber=1, LateralSpreadingDeviceType=kind)])


def test_scanning_magnets_are_no_scatterers(write):
    magnets = {
        "NumberOfLateralSpreadingDevices": 1,
        "LateralSpreadingDeviceSequence": scatterer("MAGNET"),
    }
    assert read_ion_plan(write(spoil_beam(**magnets))).n_spots == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil_beam(LateralSpreadingDeviceSequence=scatterer("SCATTERER")), "lateral spreading"),
        (spoil_beam(NumberOfLateralSpreadingDevices=1), "lateral spreading device"),
        (spoil_beam(NumberOfRangeModulators=1), "range modulator"),
        (spoil_beam(NumberOfBoli=1), "bolus"),
        (spoil_beam(NumberOfBlocks=1), "block or aperture"),
        (spoil_beam(NumberOfCompensators=1), "compensator"),
        (spoil_beam(NumberOfWedges=1), "wedge"),
        (
            spoil_beam(IonBeamLimitingDeviceSequence=Sequence([item(NumberOfLeafJawPairs=1)])),
            "coll",
        ),
        (spoil_beam(ScanMode="UNIFORM"), "modulated scanning"),
        (spoil_beam(RadiationType="PHOTON"), "particles that are not modelled"),
        (spoil_beam(PrimaryDosimeterUnit="MINUTE"), "neither MU nor particles"),
        (spoil_beam(NumberOfControlPoints=6), "declares 6 control points but holds 4"),
        (spoil_beam(FinalCumulativeMetersetWeight=12.0), "add up to 83.3333%"),
        (spoil_beam(FinalCumulativeMetersetWeight=0.0), "not positive"),
        (spoil_beam(BeamNumber=1), "two beams have number 1"),
        (spoil_beam(BeamNumber=3), "no meterset .* for beam 3"),
        (spoil_point(2, GantryAngle=60.0), "GantryAngle changes within beam 2"),
        (spoil_point(2, TableTopPitchAngle=2.0), "TableTopPitchAngle other than 0"),
        (spoil_point(0, NumberOfScanSpotPositions=4), "declares 4 spots but holds 3 weights"),
        (spoil_point(0, ScanSpotPositionMap=[0.0, 1.0]), "3 weights and 2 coordinates"),
        (spoil_point(0, ScanSpotMetersetWeights=[1.0, -2.0, 7.0]), "negative weight"),
        (spoil_point(0, ScanSpotMetersetWeights=[1.0, float("nan"), 7.0]), "no finite number"),
        (
            spoil_point(3, CumulativeMetersetWeight=5.0),
            "cumulative meterset weights of beam 2 fall",
        ),
        (spoil_point(0, IsocenterPosition=None), "no isocentre"),
        (lambda d: setattr(d, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.2"), "no RT ion plan"),
        (lambda d: d.IonBeamSequence.pop(), "beams 2 are missing"),
        (lambda d: d.FractionGroupSequence.append(Dataset()), "2 fraction groups"),
        (lambda d: setattr(d.FractionGroupSequence[0], "NumberOfFractionsPlanned", 0), "how many"),
        (lambda d: setattr(d.FractionGroupSequence[0], "NumberOfBeams", 3), "declares 3 beams"),
        (lambda d: setattr(d.PatientSetupSequence[0], "PatientPosition", "SITTING"), "none of HFS"),
    ],
)
def test_what_is_not_modelled_or_contradicts_itself_is_refused(write, dicom, change, message):
    with pytest.raises(FileFormatError, match=message) as caught:
        read_ion_plan(write(change))
    assert "rp.dcm" in str(caught.value)
    assert dicom.SENTINEL not in str(caught.value)


def test_truncation_and_damage_give_our_error(write, tmp_path):
    content = write().read_bytes()
    for n_bytes in range(140, len(content) - 1, 41):
        (tmp_path / "rp.dcm").write_bytes(content[:n_bytes])
        with pytest.raises(FileFormatError):
            read_ion_plan(tmp_path / "rp.dcm")
    random = np.random.default_rng(5)
    for _ in range(300):
        spoiled = bytearray(content)
        for place in random.integers(132, len(content), 3):
            spoiled[place] = random.integers(256)
        (tmp_path / "rp.dcm").write_bytes(bytes(spoiled))
        try:
            read_ion_plan(tmp_path / "rp.dcm")
        except FileFormatError as error:
            assert "rp.dcm" in str(error)


def test_a_plan_without_a_machine_cannot_be_computed(write, dicom):
    found = read_ion_plan(write())
    with pytest.raises(MachineError, match="no machine says how many particles"):
        _ = found.beams
    assert dicom.SENTINEL[:10] not in repr(found)


def test_a_machine_turns_meterset_into_particles_of_the_course(write):
    chamber = Monitor([90.0, 110.0, 130.0], [90.0, 110.0, 130.0], [2.0e6, 4.0e6, 5.0e6])
    plan, notes = deliver(read_ion_plan(write()), machine(monitor=chamber), position="HFS")
    assert plan.fractions == 5
    assert plan.beams.columns["energy"].tolist() == [120.0, 120.0, 120.0, 100.0] * 2
    assert plan.weights[:4] == pytest.approx([5 * 2 * 4.5, 5 * 4 * 4.5, 5 * 6 * 4.5, 5 * 8 * 3.0])
    assert plan.beams[0].sad == 2000.0
    assert notes == []


def test_nominal_energies_become_true_ones(write):
    chamber = Monitor([90.0, 130.0], [90.4, 130.2], [1.0e6, 1.0e6])
    true = machine(energies=(100.35, 120.25), monitor=chamber)
    plan, _ = deliver(read_ion_plan(write()), true, position="HFS")
    assert plan.beams.columns["energy"][[0, 3]] == pytest.approx([120.25, 100.35])


def test_particles_need_no_monitor(write):
    def count(data):
        for beam in data.IonBeamSequence:
            beam.PrimaryDosimeterUnit = "NP"
        for beam in data.FractionGroupSequence[0].ReferencedBeamSequence:
            beam.BeamMeterset = 4e8

    chamber = Monitor([90.0, 130.0], [90.0, 130.0], [3.3e6, 3.3e6])
    plan, _ = deliver(
        read_ion_plan(write(count)), machine("other", monitor=chamber), position="HFS"
    )
    assert plan.weights[:4] == pytest.approx([200.0, 400.0, 600.0, 800.0])


def test_repeated_paintings_are_merged(write):
    def repeat(data):
        points = data.IonBeamSequence[0].IonControlPointSequence
        points[2].NominalBeamEnergy = 120.0
        points[2].ScanSpotPositionMap = [0.0, 2.0]

    plan, notes = deliver(read_ion_plan(write(repeat)), machine(), position="HFS")
    assert plan.weights[:3] == pytest.approx([10.0, 20.0 + 40.0, 30.0])
    assert any("1 spots of beam 1 paint a position again" in n for n in notes)


def test_guesses_are_told(write):
    def forget(data):
        data.PatientSetupSequence[0].PatientPosition = ""
        data.IonBeamSequence[0].VirtualSourceAxisDistances = [0.0, 0.0]
        data.IonBeamSequence[1].VirtualSourceAxisDistances = [2000.0, 2500.0]

    plan, notes = deliver(read_ion_plan(write(forget)), machine("another"), position="FFS")
    assert [b.position for b in plan.beams] == ["FFS", "FFS"]
    assert [b.sad for b in plan.beams] == [1500.0, 2250.0]
    text = "\n".join(notes)
    assert "FFS was taken" in text
    assert "that of the machine was taken (1500 mm)" in text
    assert "rays run from one at 2250 mm" in text
    assert "another machine than 'another'" in text


def test_a_machine_that_does_not_fit_is_refused(write):
    with pytest.raises(EnergyError, match=r"120\.00 MeV is not one of machine 'test'"):
        deliver(read_ion_plan(write()), machine(energies=(100.0, 121.0)), position="HFS")

    def carbon(data):
        for beam in data.IonBeamSequence:
            beam.RadiationType, beam.RadiationAtomicNumber = "ION", 6

    found = read_ion_plan(write(carbon))
    assert found.fields[0].modality == "carbon"
    with pytest.raises(MachineError, match="of carbon, machine 'test' of protons"):
        deliver(found, machine(), position="HFS")


def test_mu_of_generic_machines_are_spot_weights():
    assert load_machine("generic-protons").monitor.particles_per_mu(100.0) == 1e6
