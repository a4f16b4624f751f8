"""Copies that name nobody, refer to each other as before, and read as the same study."""

import shutil

import numpy as np
import pytest
from pydicom import dcmread

import dosegrad as dg
from dosegrad.errors import FileFormatError, OutputError
from dosegrad.io.dicom.deidentify import deidentify

pytest.importorskip("dicomanonymizer", reason="dicom-anonymizer is not installed")

SECRETS = ["Sentinel", "19610203", "Hospital of", "4711-0815", "Doctor"]


@pytest.fixture
def study(tmp_path):
    shape = (4, 5, 6)
    mask = np.zeros(shape, dtype=bool)
    mask[1:3, 1:4, 2:5] = True
    patient = dg.Patient.from_arrays(
        np.arange(120.0).reshape(shape),
        **{"spacing": (3.0, 2.0, 2.0), "origin": (0.0, 0.0, 0.0)},
        structures={"Liver of Sentinel": mask, "Body": np.ones(shape, dtype=bool)},
        roles={"Body": "external"},
    )
    machine = dg.load_machine("generic-protons")
    plan = dg.Plan.from_spots(
        machine,
        **{"gantry": 0.0, "isocentre": (5.0, 4.0, 4.0), "x": [0.0, 3.0], "y": 0.0},
        **{"energy": machine.energies[5], "weight": 2.0},
    )
    folder = tmp_path / "study"
    dg.write_dicom(
        folder, patient=patient, plan=plan, dose=dg.Dose(patient.ct.grid, np.ones(shape))
    )
    for path in folder.glob("*.dcm"):
        data = dcmread(path)
        data.PatientName, data.PatientID = "Sentinel^Person", "4711-0815"
        data.PatientBirthDate, data.InstitutionName = "19610203", "Hospital of Sentinel"
        data.ReferringPhysicianName = "Doctor^Sentinel"
        data.add_new((0x0009, 0x0010), "LO", "SECRET 1.0")
        data.add_new((0x0009, 0x1001), "LO", "Sentinel private")
        if "PatientSetupSequence" in data:
            data.PatientSetupSequence[0].SetupTechniqueDescription = "as Doctor said"
            data.RTPlanLabel = "Sentinel"
        data.save_as(path)
    return folder


def test_no_byte_names_the_person(study, tmp_path):
    n = deidentify(study, tmp_path / "copy", pseudonym="case 7")
    files = sorted((tmp_path / "copy").glob("*.dcm"))
    assert len(files) == n == 7
    for path in files:
        content = path.read_bytes()
        assert [s for s in SECRETS if s.encode() in content] == []
        assert path.name[:6].isdigit()
        assert dcmread(path).PatientIdentityRemoved == "YES"


def test_the_copy_is_the_same_study_under_other_uids(study, tmp_path):
    deidentify(study, tmp_path / "copy")
    before, after = (
        dg.read_dicom(p, machine="generic-protons") for p in (study, tmp_path / "copy")
    )
    assert before.warnings == ()
    assert all("another machine" in note for note in after.warnings)  # its name has gone
    np.testing.assert_array_equal(after.patient.ct.hu, before.patient.ct.hu)
    np.testing.assert_array_equal(after.plan.weights, before.plan.weights)
    np.testing.assert_array_equal(after.dose.array, before.dose.array)
    assert list(after.patient.structures) == ["ROI 1", "ROI 2"]
    grid = before.patient.ct.grid
    for one, other in zip(
        before.patient.structures.values(), after.patient.structures.values(), strict=True
    ):
        np.testing.assert_array_equal(one.mask(grid), other.mask(grid))
    old = {str(dcmread(p).SOPInstanceUID) for p in study.glob("*.dcm")}
    new = {str(dcmread(p).SOPInstanceUID) for p in (tmp_path / "copy").glob("*.dcm")}
    assert len(new) == len(old)
    assert not new & old


def test_a_secret_gives_the_same_uids_again_and_names_may_stay(study, tmp_path):
    for name in ("a", "b"):
        deidentify(study, tmp_path / name, secret="s", keep_structure_names=True)
    first, second = (sorted((tmp_path / n).glob("*.dcm")) for n in ("a", "b"))
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert "Body" in dg.read_dicom(tmp_path / "a").patient.structures


def test_what_cannot_be_cleaned_is_refused(study, tmp_path):
    path = next(study.glob("CT*.dcm"))
    data = dcmread(path)
    data.BurnedInAnnotation = "YES"
    data.save_as(path)
    with pytest.raises(FileFormatError, match="burned-in text"):
        deidentify(study, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    with pytest.raises(FileFormatError, match="no folder"):
        deidentify(tmp_path / "none", tmp_path / "copy")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("x")
    data.BurnedInAnnotation = "NO"
    data.save_as(path)
    with pytest.raises(OutputError, match="did not write"):
        deidentify(study, tmp_path / "other")


def test_the_study_itself_is_never_replaced(study, tmp_path):
    before = {path.name: path.read_bytes() for path in study.iterdir()}
    for target in (study, study / "copies", study.parent):
        with pytest.raises(OutputError, match="give a new folder beside it"):
            deidentify(study, target)
    other = tmp_path / "other"
    shutil.copytree(study, other)
    with pytest.raises(OutputError, match="this did not write"):
        deidentify(study, other)
    assert {path.name: path.read_bytes() for path in study.iterdir()} == before
    assert {path.name: path.read_bytes() for path in other.iterdir()} == before


def test_people_write_into_attributes_that_the_profile_forgets(study, tmp_path):
    path = study / "RP.dcm"
    data = dcmread(path)
    beam = data.IonBeamSequence[0]
    beam.BeamName, beam.SetupReferenceDescription = "Sentinel left", "Sentinel"
    data.SecondaryReviewerName, data.StudyUpdateDateTime = "Doctor^Who", "19610203"
    data.PatientBirthDateInAlternativeCalendar = "Sentinel 4"
    data.save_as(path)
    dose = dcmread(study / "RD.dcm")
    dose.DoseComment = "for Doctor"
    dose.save_as(study / "RD.dcm")
    deidentify(study, tmp_path / "copy")
    content = b"".join(p.read_bytes() for p in (tmp_path / "copy").iterdir())
    assert [s for s in SECRETS if s.encode() in content] == []
    assert b"Beam 1" in content
    assert len(dg.read_dicom(tmp_path / "copy", machine="generic-protons").plan.weights) == 2
