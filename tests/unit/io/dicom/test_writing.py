import dataclasses
import json
import os
import shutil
import subprocess

import numpy as np
import pytest
from pydicom import dcmread

import dosegrad as dg
from dosegrad.beams.beam import Beams, RangeShifter
from dosegrad.dose import Dose
from dosegrad.errors import BeamError, OutputError
from dosegrad.geometry.frames import PATIENT_POSITIONS
from dosegrad.geometry.grid import Grid
from dosegrad.io.dicom.identifiers import MARKER
from dosegrad.io.dicom.study import read_dicom
from dosegrad.io.dicom.writing import study as study_module
from dosegrad.io.dicom.writing.data_sets import decimal
from dosegrad.io.dicom.writing.outlines import join_holes, outlines
from dosegrad.io.dicom.writing.study import write_dicom
from dosegrad.patient.contours import ContourShape
from dosegrad.patient.patient import Patient
from dosegrad.patient.structures import Structure

SHAPE, SPACING, ORIGIN = (6, 20, 25), (3.0, 2.0, 1.5), (-4.0, 11.0, 30.25)


def masks():
    """A body, a ring with an island in its hole, and two pixels that touch at a corner."""
    z, y, x = np.indices(SHAPE)
    radius = np.hypot(y - 9, x - 12)
    ring = ((radius < 7) & (radius > 4)) | (radius < 2)
    diagonal = np.zeros(SHAPE, dtype=bool)
    diagonal[2, 3, 3] = diagonal[2, 4, 4] = diagonal[3, 5:8, 5:8] = True
    diagonal[3, 6, 6] = False
    return {
        "Body": np.ones(SHAPE, dtype=bool),
        "PTV ä": ring & (z > 0) & (z < 5),
        "CTV": (radius < 2) & (z > 1) & (z < 4),
        "Diagonal": diagonal,
        "Empty": np.zeros(SHAPE, dtype=bool),
    }


ROLES = {"Body": "external", "PTV ä": "target", "CTV": "target"}


@pytest.fixture(scope="module")
def patient():
    hu = np.random.default_rng(1).integers(-1000, 2000, SHAPE)
    return Patient.from_arrays(hu, spacing=SPACING, origin=ORIGIN, structures=masks(), roles=ROLES)


@pytest.fixture(scope="module")
def machine():
    return dg.load_machine("generic-protons")


@pytest.fixture
def plan(patient, machine):
    random = np.random.default_rng(2)
    n = 60
    weights = random.uniform(0.001, 30, n) * (random.random(n) > 0.2)
    weights[:2] = 1.0
    made = dg.Plan.from_spots(
        machine,
        gantry=np.repeat([300.0, 12.5], n // 2),
        couch=np.repeat([0.0, 350.0], n // 2),
        isocentre=(12.34567891, 1 / 3, 37.5),
        x=random.normal(0, 20, n),
        y=random.normal(0, 20, n),
        energy=machine.energies[random.integers(0, 6, n) * 5],
        weight=weights,
        fractions=30,
    )
    grid = Grid((4, 9, 11), (4.0, 3.0, 2.5), (-3.3, 12.1, 31.7))
    dose = Dose(grid, random.random(grid.shape) * 60)
    return dataclasses.replace(made, dose=dose)


def spots(plan):
    """Spots with a weight, sorted: beam, energy, x, y, weight, (n, 5)."""
    columns = plan.beams.columns
    table = np.column_stack([columns[n] for n in ("beam", "energy", "x", "y")])
    table = np.column_stack([table, plan.weights])[plan.weights > 0]
    return table[np.lexsort(table[:, :4].round(3).T[::-1])]


def test_a_study_comes_back(tmp_path, patient, plan):
    beam_doses = {1: plan.dose, 2: Dose(plan.dose.grid, plan.dose.array / 2)}
    write_dicom(tmp_path / "study", patient=patient, plan=plan, beam_doses=beam_doses)
    found = read_dicom(tmp_path / "study", machine="generic-protons")
    assert found.warnings == ("without closed contours, left out: 'Empty'",)
    assert np.array_equal(found.patient.ct.hu, patient.ct.hu)
    assert found.patient.ct.grid.spacing == pytest.approx(SPACING)
    assert found.patient.ct.grid.origin == pytest.approx(ORIGIN)
    assert set(found.patient.structures) == set(patient.structures) - {"Empty"}
    for name, structure in found.patient.structures.items():
        assert np.array_equal(structure.mask(patient.ct.grid), masks()[name]), name
        assert structure.role == patient.structures[name].role
    assert found.plan.fractions == 30
    assert found.plan.n_spots == plan.n_spots
    assert spots(found.plan) == pytest.approx(spots(plan), rel=1.2e-7, abs=1e-9)
    for made, original in zip(found.plan.beams, plan.beams, strict=True):
        assert dataclasses.astuple(made)[:2] == dataclasses.astuple(original)[:2]
        assert made.isocentre == pytest.approx(original.isocentre, abs=1e-9)
        assert made.sad == original.sad
    largest = plan.dose.array.max()
    assert found.dose.array == pytest.approx(plan.dose.array, abs=1e-6 * largest)
    assert np.abs(found.dose.array - plan.dose.array).max() < 1e-9 * largest
    assert found.dose.grid.origin == pytest.approx(plan.dose.grid.origin)
    assert found.beam_doses[2].array == pytest.approx(plan.dose.array / 2, abs=1e-8)
    assert found.plan.dose is found.dose


@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_every_patient_position_comes_back(tmp_path, patient, machine, position):
    ct = dataclasses.replace(patient.ct, position=position)
    turned = dataclasses.replace(patient, ct=ct)
    options = {"gantry": 30.0, "isocentre": (0, 0, 0), "x": 1.0, "y": 2.0, "weight": 3.0}
    energy = machine.energies[3]
    plan = dg.Plan.from_spots(machine, energy=energy, position=position, **options)
    write_dicom(tmp_path / "study", patient=turned, plan=plan)
    found = read_dicom(tmp_path / "study", machine=machine)
    assert found.warnings == ("without closed contours, left out: 'Empty'",)
    assert found.patient.ct.position == found.plan.beams[0].position == position
    assert np.array_equal(found.patient.ct.hu, ct.hu)
    assert np.array_equal(found.patient.mask("PTV ä", ct.grid), masks()["PTV ä"])


def test_range_shifters_and_parallel_beams_come_back(tmp_path, patient, plan):
    first, second = plan.beams
    shifted = dataclasses.replace(first, range_shifter=RangeShifter(41.25, 123.5))
    parallel = dataclasses.replace(second, sad=None)
    beams = Beams(plan.beams.machine, (shifted, parallel), plan.beams.columns)
    write_dicom(tmp_path / "study", patient=patient, plan=dataclasses.replace(plan, beams=beams))
    made = read_dicom(tmp_path / "study", machine="generic-protons").plan.beams
    assert made[0].range_shifter == RangeShifter(41.25, 123.5)
    assert made[1].range_shifter is None
    assert (made[0].sad, made[1].sad) == (first.sad, None)


def test_hu_that_are_no_whole_numbers_come_back_closely(tmp_path):
    hu = np.random.default_rng(3).uniform(-1000, 3000, SHAPE)
    patient = Patient.from_arrays(hu, spacing=SPACING)
    write_dicom(tmp_path / "study", patient=patient)
    found = read_dicom(tmp_path / "study").patient
    assert np.abs(found.ct.hu - hu).max() < 0.04


def test_contours_stay_contours(tmp_path, patient):
    outer = [(0.0, 14.0), (20.0, 14.0), (20.0, 40.0), (0.0, 40.0)]
    inner = [(5.123456, 20.0), (9.0, 20.0), (9.0, 30.0)]
    polygons = [[(*p, z) for p in ring] for z in (33.25, 36.25, 38.0) for ring in (outer, inner)]
    shape = ContourShape.from_polygons(polygons, spacing=3.0)
    drawn = dataclasses.replace(patient, structures={"S": Structure("S", shape)})
    write_dicom(tmp_path / "study", patient=drawn)
    found = read_dicom(tmp_path / "study").patient.structures["S"]
    assert found.volume_cc == pytest.approx(shape.volume_cc, rel=1e-6)
    assert np.array_equal(found.mask(patient.ct.grid), shape.mask(patient.ct.grid))
    data = dcmread(tmp_path / "study" / "RS.dcm")
    kinds = {c.ContourGeometricType for c in data.ROIContourSequence[0].ContourSequence}
    assert kinds == {"CLOSED_PLANAR"}
    assert len(data.ROIContourSequence[0].ContourSequence) == 3  # holes are keyholes


def test_the_same_study_is_the_same_bytes_and_a_change_is_another_instance(tmp_path, patient, plan):
    for name in ("a", "b"):
        write_dicom(tmp_path / name, patient=patient, plan=plan)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    other = dataclasses.replace(plan, weights=plan.weights * 2)
    write_dicom(tmp_path / "b", patient=patient, plan=other)
    for name, same in (("RS.dcm", True), ("RP.dcm", False), ("RD.dcm", False)):
        a, b = (dcmread(tmp_path / folder / name) for folder in "ab")
        assert (a.SOPInstanceUID == b.SOPInstanceUID) is same
        assert a.StudyInstanceUID == b.StudyInstanceUID
        assert a.FrameOfReferenceUID == b.FrameOfReferenceUID


def values(data):
    for element in data:
        if element.VR == "SQ":
            for each in element.value:
                yield from values(each)
        else:
            many = element.value if element.VM > 1 else [element.value]
            yield from ((element, each) for each in many)


def test_references_are_complete_and_values_valid(tmp_path, patient, plan):
    write_dicom(tmp_path / "study", patient=patient, plan=plan, beam_doses={2: plan.dose})
    files = {p.name: dcmread(p) for p in (tmp_path / "study").glob("*.dcm")}
    known = {data.SOPInstanceUID for data in files.values()} | {files["RS.dcm"].StudyInstanceUID}
    for data in files.values():
        for element, value in values(data):
            if element.VR == "DS" and value not in (None, ""):
                assert len(str(value)) <= 16
            if element.VR == "UI":
                assert len(value) <= 64
                assert value.startswith(("2.25.", "1.2.840.10008."))
            if element.keyword == "ReferencedSOPInstanceUID":
                assert value in known
        assert data.SpecificCharacterSet == "ISO_IR 192"
        assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        assert len({getattr(data, keyword) for data in files.values()}) == 1
    assert files["RD_beam_2.dcm"].DoseSummationType == "BEAM"
    assert files["RD.dcm"].BitsStored == 32


def test_meterset_is_of_one_fraction(tmp_path, patient, plan):
    write_dicom(tmp_path / "study", patient=patient, plan=plan)
    data = dcmread(tmp_path / "study" / "RP.dcm")
    group = data.FractionGroupSequence[0]
    assert group.NumberOfFractionsPlanned == 30
    for k, (listed, beam) in enumerate(
        zip(group.ReferencedBeamSequence, data.IonBeamSequence, strict=True)
    ):
        total = plan.weights[plan.beams.columns_of(k)].sum() / 30
        assert float(listed.BeamMeterset) == pytest.approx(total, rel=1e-6)
        assert listed.BeamMeterset == beam.FinalCumulativeMetersetWeight
        last = beam.IonControlPointSequence[-1]
        assert last.CumulativeMetersetWeight == beam.FinalCumulativeMetersetWeight
        assert "1 MU is 1000000 particles" in beam.BeamDescription


def dciodvfy(path):
    """Errors that the validator finds; it cannot take 32 bit pixels, which become 16 bits."""
    data = dcmread(path)
    if data.get("BitsAllocated") == 32:
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelData = 15, data.PixelData[::2]
        path = path.with_suffix(".16bit")
        data.save_as(path)
    answer = subprocess.run(
        ["dciodvfy", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.returncode >= 0, answer.stderr
    lines = (answer.stdout + answer.stderr).splitlines()
    return [line for line in lines if line.startswith("Error")]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is missing")
def test_dciodvfy_finds_no_error(tmp_path, patient, plan):
    shifted = [dataclasses.replace(b, range_shifter=RangeShifter(40, 300)) for b in plan.beams]
    beams = Beams(plan.beams.machine, tuple(shifted), plan.beams.columns)
    plan = dataclasses.replace(plan, beams=beams)
    write_dicom(tmp_path / "study", patient=patient, plan=plan, beam_doses={1: plan.dose})
    files = sorted((tmp_path / "study").glob("*.dcm"))
    assert {p.name[:2] for p in files} == {"CT", "RS", "RP", "RD"}
    assert {p.name: dciodvfy(p) for p in files} == {p.name: [] for p in files}


# --- folders


def test_a_written_study_is_replaced_as_a_whole(tmp_path, patient, plan):
    target = tmp_path / "study"
    write_dicom(target, patient=patient, plan=plan)
    write_dicom(target, patient=patient)
    assert not (target / "RP.dcm").exists()
    assert read_dicom(target).plan is None
    assert [p.name for p in tmp_path.iterdir()] == ["study"]


def test_an_empty_folder_may_be_used_and_any_other_is_refused(tmp_path, patient):
    target = tmp_path / "study"
    target.mkdir()
    write_dicom(target, patient=patient)
    (target / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="1 entries that this did not write"):
        write_dicom(target, patient=patient)
    assert (target / "notes.txt").read_text() == "mine"
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file"):
        write_dicom(tmp_path / "file", patient=patient)


@pytest.mark.parametrize("content", ["{", "[]", '{"format": "other", "files": ["a"]}', "[" * 9999])
def test_a_marker_of_somebody_else_protects_nothing_but_his_files(tmp_path, patient, content):
    (tmp_path / "a").write_text("mine")
    (tmp_path / MARKER).write_text(content)
    with pytest.raises(OutputError, match="did not write"):
        write_dicom(tmp_path, patient=patient)
    assert (tmp_path / "a").read_text() == "mine"


def test_names_in_a_marker_are_no_paths(tmp_path, patient):
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    target = tmp_path / "study"
    write_dicom(target, patient=patient)
    marker = json.loads((target / MARKER).read_text())
    marker["files"].append("../outside.txt")
    (target / MARKER).write_text(json.dumps(marker))
    write_dicom(target, patient=patient)
    assert outside.read_text() == "mine"


def test_an_interrupted_write_leaves_the_old_study(tmp_path, patient, plan, monkeypatch):
    target = tmp_path / "study"
    write_dicom(target, patient=patient)
    before = {p.name: p.read_bytes() for p in target.iterdir()}

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(study_module, "write_dose", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_dicom(target, patient=patient, plan=plan)
    assert {p.name: p.read_bytes() for p in target.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["study"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_without_permission_is_told(tmp_path, patient):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written"):
        write_dicom(tmp_path / "study", patient=patient)


# --- what cannot be written


def test_what_has_no_place_in_dicom_is_refused(tmp_path, patient, plan, machine):
    target = tmp_path / "study"
    with pytest.raises(OutputError, match="belongs to a plan"):
        write_dicom(target, patient=patient, dose=plan.dose)
    for quantity, array, message in (
        ("let", plan.dose.array, "'let' cannot be written"),
        ("dose", plan.dose.array - 30, "cannot be negative"),
        ("dose", plan.dose.array * np.nan, "NaN"),
    ):
        dose = Dose(plan.dose.grid, array, quantity)
        with pytest.raises(OutputError, match=message):
            write_dicom(target, patient=patient, plan=plan, dose=dose)
    with pytest.raises(OutputError, match="doses of beams 3"):
        write_dicom(target, patient=patient, plan=plan, beam_doses={3: plan.dose})
    with pytest.raises(OutputError, match=r"gantry 300° has no spot with a weight"):
        weights = plan.weights.copy()
        weights[plan.beams.columns_of(0)] = 0.0
        empty = dataclasses.replace(plan, weights=weights)
        write_dicom(target, patient=patient, plan=empty)
    named = dataclasses.replace(
        patient, structures={"a\\b": dataclasses.replace(patient.structures["CTV"], name="a\\b")}
    )
    with pytest.raises(OutputError, match="cannot be written: DICOM allows"):
        write_dicom(target, patient=named)
    with pytest.raises(BeamError, match="position HFS, but this one lies FFS"):
        ct = dataclasses.replace(patient.ct, position="FFS")
        write_dicom(target, patient=dataclasses.replace(patient, ct=ct), plan=plan)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_without_machine_is_not_written(tmp_path, patient, plan):
    write_dicom(tmp_path / "study", patient=patient, plan=plan)
    record = read_dicom(tmp_path / "study").plan
    with pytest.raises(OutputError, match="no plan of spots"):
        write_dicom(tmp_path / "other", patient=patient, plan=record)


def test_rbe_weighted_dose_is_effective(tmp_path, patient, plan):
    dose = Dose(plan.dose.grid, plan.dose.array, "rbe_dose")
    write_dicom(tmp_path / "study", patient=patient, plan=plan, dose=dose)
    assert dcmread(tmp_path / "study" / "RD.dcm").DoseType == "EFFECTIVE"
    found = read_dicom(tmp_path / "study", machine="generic-protons")
    assert found.dose.quantity == "rbe_dose"
    assert found.plan.dose is None


def test_the_pseudonym_is_the_only_name(tmp_path, patient):
    write_dicom(tmp_path / "study", patient=dataclasses.replace(patient, name="case 7"))
    data = dcmread(tmp_path / "study" / "CT_0001.dcm")
    assert (str(data.PatientName), data.PatientID) == ("case 7^", "case 7")
    assert read_dicom(tmp_path / "study").patient.name == ""


# --- pieces


@pytest.mark.parametrize(
    "value", [0.0, -1.5, 1 / 3, -1e-7 / 3, 1e300 / 3, -123456789.123456789, 2**52 + 0.5, 5e-324]
)
def test_decimal_strings_are_short_and_close(value):
    text = decimal(value)
    assert len(text) <= 16
    assert float(text) == pytest.approx(value, rel=1e-9, abs=1e-300)


def test_decimal_strings_of_no_number_are_refused():
    with pytest.raises(OutputError, match="not finite"):
        decimal(float("nan"))


def test_outlines_surround_islands_and_holes():
    mask = masks()["PTV ä"][2]
    loops = outlines(mask)
    assert len(loops) == 3
    joined = join_holes(loops)
    assert len(joined) == 2  # the ring with its keyhole, and the island
    assert len(outlines(masks()["Diagonal"][2])) == 2


def test_structures_without_any_voxel_are_refused(tmp_path):
    patient = dg.Patient.from_arrays(
        np.zeros((3, 4, 5)),
        spacing=(3.0, 2.0, 2.0),
        structures={"Nothing": np.zeros((3, 4, 5), dtype=bool)},
    )
    with pytest.raises(OutputError, match="no structure of the patient has a voxel"):
        dg.write_dicom(tmp_path / "study", patient=patient)
    assert not (tmp_path / "study").exists()
