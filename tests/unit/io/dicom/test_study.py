import logging
from dataclasses import replace

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

import dosegrad
from dosegrad.dose import Dose
from dosegrad.errors import ChoiceError, FileFormatError, MachineError
from dosegrad.geometry.frames import PATIENT_POSITIONS
from dosegrad.io.dicom.study import read_dicom, read_dicom_patient

HEIGHTS = (33.0, 36.0, 39.0)


@pytest.fixture
def study(tmp_path, dicom):
    """Writes a CT and a structure set with a target and an outline; returns the folder."""

    def write(*, ids=None, name="rs.dcm", change=None, **options):
        ids = dicom.write_ct(tmp_path / "ct", ids=ids, **options)
        target = [dicom.square(-2.0, 13.0, z) for z in HEIGHTS]
        body = [dicom.square(-4.0, 11.0, z, 12.0) for z in HEIGHTS]
        rois = [
            dicom.roi("PTV", target, interpreted="PTV"),
            dicom.roi("Body", body, interpreted="EXTERNAL"),
        ]
        dicom.write_structures(tmp_path / name, rois, ids, change=change)
        return tmp_path

    return write


def test_a_study_is_a_patient_with_structures(study, dicom):
    found = read_dicom(study())
    assert np.array_equal(found.patient.ct.hu, dicom.phantom_hu())
    assert list(found.patient.structures) == ["PTV", "Body"]
    assert found.patient.external.name == "Body"
    assert (found.plan, found.dose, found.warnings) == (None, None, ())


def test_the_package_offers_read_dicom(study):
    assert dosegrad.read_dicom(study()).patient.structures["PTV"].role == "target"


@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_masks_are_the_same_for_every_patient_position(study, tmp_path, dicom, position):
    found = read_dicom(study(position=position)).patient
    inside = found.structures["PTV"].mask(dicom.GRID)
    x, y, z = (inside.any(axis=axes) for axes in ((0, 1), (0, 2), (1, 2)))
    # squares from (-2, 13), 4 mm wide; voxel centres -4 + 1.5 i, 11 + 2 j, 30 + 3 k
    assert np.flatnonzero(x).tolist() == [2, 3]
    assert np.flatnonzero(y).tolist() == [1, 2]
    assert np.flatnonzero(z).tolist() == [1, 2, 3]
    assert (found.structures["PTV"].mask(found.ct.grid) == inside).all()


def test_ct_without_structures_is_a_patient_too(tmp_path, dicom):
    dicom.write_ct(tmp_path)
    found = read_dicom(tmp_path)
    assert not found.patient.structures
    assert "no RT structure set in the folder: the patient has no structures" in found.warnings


def test_structures_without_ct_are_refused_with_a_remedy(study, tmp_path):
    folder = study()
    for path in (folder / "ct").iterdir():
        path.unlink()
    with pytest.raises(FileFormatError, match=r"no CT series.*read_structures\(path\)"):
        read_dicom(folder)


def test_another_frame_of_reference_is_refused(study, tmp_path, dicom):
    folder = study()
    ids = dicom.Ids(instances=[generate_uid()])
    square = [dicom.square(-2, 13, 33)]
    dicom.write_structures(folder / "rs.dcm", [dicom.roi("A", square)], ids)
    with pytest.raises(FileFormatError, match=r"rs\.dcm: was drawn on other images"):
        read_dicom(folder)


def test_the_set_that_belongs_to_the_ct_is_chosen(study, dicom):
    folder = study()
    other = dicom.Ids(instances=[generate_uid()])
    dicom.write_structures(
        folder / "a_other.dcm", [dicom.roi("X", [dicom.square(0, 13, 33)])], other
    )
    found = read_dicom(folder)
    assert "PTV" in found.patient.structures
    assert "a_other.dcm: belongs to another CT or plan, left out" in found.warnings


def test_two_sets_of_the_same_ct_need_a_choice(study, dicom):
    ids = dicom.Ids()
    folder = study(ids=ids)
    dicom.write_structures(folder / "later.dcm", [dicom.roi("X", [dicom.square(0, 13, 33)])], ids)
    with pytest.raises(FileFormatError, match=r"2 structure sets.*later\.dcm, rs\.dcm.*choose"):
        read_dicom(folder)
    assert list(read_dicom(folder, structure_set="later.dcm").patient.structures) == ["X"]
    with pytest.raises(FileFormatError, match=r"no RT structure set gone\.dcm \(have: later"):
        read_dicom(folder, structure_set="gone.dcm")
    with pytest.raises(ChoiceError) as raised:
        read_dicom_patient(folder)
    assert raised.value.option == "structure_set"
    assert raised.value.choices == (("later.dcm", "later.dcm"), ("rs.dcm", "rs.dcm"))
    assert list(read_dicom_patient(folder, structure_set="rs.dcm").structures) == ["PTV", "Body"]


def test_the_ct_that_structures_refer_to_is_chosen(study, tmp_path, dicom):
    folder = study()
    dicom.write_ct(tmp_path / "another", hu=dicom.phantom_hu() * 0)
    assert read_dicom(folder).patient.ct.hu.max() > 100


def test_references_to_images_that_are_not_there_are_told(study):
    folder = study()
    (folder / "ct" / "004.dcm").unlink()
    text = "\n".join(read_dicom(folder).warnings)
    assert "1 of 5 images that it refers to are not in the CT" in text


def test_missing_references_leave_position_alone(study):
    def forget(data):
        del data.ReferencedFrameOfReferenceSequence
        for item in data.StructureSetROISequence:
            del item.ReferencedFrameOfReferenceUID

    found = read_dicom(study(change=forget))
    assert any("matched by position alone" in w for w in found.warnings)
    assert list(found.patient.structures) == ["PTV", "Body"]


def test_structures_outside_the_ct_are_told(tmp_path, dicom):
    ids = dicom.write_ct(tmp_path)
    rois = [
        dicom.roi("In", [dicom.square(-2, 13, z) for z in HEIGHTS]),
        dicom.roi("Away", [dicom.square(500, 13, z) for z in HEIGHTS]),
        dicom.roi("Half", [dicom.square(-2, 13, 33 + 3 * k) for k in range(9)]),
    ]
    dicom.write_structures(tmp_path / "rs.dcm", rois, ids)
    warnings = read_dicom(tmp_path).warnings
    assert "wholly outside the CT, without any voxel: 'Away'" in warnings
    assert "partly outside the CT: 'Half'" in warnings


def test_a_set_wholly_outside_the_ct_is_refused(tmp_path, dicom):
    ids = dicom.write_ct(tmp_path)
    away = [dicom.roi("Away", [dicom.square(500, 13, z) for z in HEIGHTS])]
    dicom.write_structures(tmp_path / "rs.dcm", away, ids)
    with pytest.raises(FileFormatError, match="every structure lies outside the CT"):
        read_dicom(tmp_path)


def test_other_objects_and_files_are_listed(study, dicom):
    folder = study()
    other = Dataset()
    other.SOPClassUID, other.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.4", generate_uid()
    other.Modality = "CT"  # wrong, and of no account: the SOP class decides
    dicom.save(other, folder / "record.dcm")
    other.SOPClassUID = "1.2.3.4"
    dicom.save(other, folder / "odd.dcm")
    (folder / "notes.txt").write_text("not DICOM")
    assert read_dicom(folder).warnings == (
        "RT Beams Treatment Record Storage: 1 not read yet",
        "unknown SOP class: 1 not read yet",
        "1 files that are not DICOM left out",
    )
    assert any("machine= has no effect" in w for w in read_dicom(folder, machine="any").warnings)


def test_wrong_modality_does_not_mislead(study):
    def mislabel(data):
        data.Modality = "RTDOSE"

    assert "PTV" in read_dicom(study(change=mislabel)).patient.structures


def test_folder_without_dicom_gives_a_remedy(tmp_path):
    (tmp_path / "a.txt").write_text("no DICOM")
    with pytest.raises(FileFormatError, match="no DICOM file among 1 files; give the folder"):
        read_dicom(tmp_path)
    with pytest.raises(FileFormatError, match="is missing, not a folder"):
        read_dicom(tmp_path / "gone")
    with pytest.raises(FileFormatError, match="is a file, not a folder"):
        read_dicom(tmp_path / "a.txt")


def test_no_name_of_a_person_comes_out(study, dicom, caplog):
    caplog.set_level(logging.DEBUG)
    folder = study()
    found = read_dicom(folder)
    texts = [repr(found), repr(found.patient), found.patient.name, *found.warnings, caplog.text]
    (folder / "ct" / "001.dcm").write_bytes((folder / "ct" / "001.dcm").read_bytes()[:-9])
    with pytest.raises(FileFormatError) as caught:
        read_dicom(folder)
    assert not any(dicom.SENTINEL in text for text in [*texts, str(caught.value)])


# --- plans and doses


@pytest.fixture
def planned(tmp_path):
    """Writes a study of one beam with its dose; returns its folder and patient, plan, dose."""
    hu = np.zeros((4, 6, 8))
    patient = dosegrad.Patient.from_arrays(
        hu,
        spacing=(3.0, 2.0, 1.5),
        structures={"Body": np.ones(hu.shape, dtype=bool)},
        roles={"Body": "external"},
    )
    machine = dosegrad.load_machine("generic-protons")
    plan = dosegrad.Plan.from_spots(
        machine,
        **{"gantry": 0.0, "isocentre": (3.0, 2.0, 3.0), "x": 0.0, "y": [0.0, 5.0]},
        energy=machine.energies[2],
        weight=3.0,
        fractions=10,
    )
    dose = Dose(patient.ct.grid, np.full(hu.shape, 20.0))

    def write(name="study", **changes):
        made = replace(plan, **changes)
        dosegrad.write_dicom(tmp_path / name, patient=patient, plan=made, dose=dose)
        return tmp_path / name

    return write


def edit(path, change):
    data = dcmread(path)
    change(data)
    data.save_as(path)


def test_a_dose_without_reference_to_a_plan_is_taken(planned):
    folder = planned()
    edit(folder / "RD.dcm", lambda d: delattr(d, "ReferencedRTPlanSequence"))
    found = read_dicom(folder)
    assert found.dose.array == pytest.approx(np.full((4, 6, 8), 20.0))
    assert "RD.dcm: refers to no plan" in found.warnings


def test_the_dose_of_another_plan_is_left_out(planned):
    folder = planned()

    def elsewhere(data):
        data.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID = "1.2.3"

    edit(folder / "RD.dcm", elsewhere)
    found = read_dicom(folder)
    assert found.dose is None
    assert "RD.dcm: refers to another plan, left out" in found.warnings


def test_what_is_in_another_frame_is_left_out(planned):
    folder = planned()
    for name in ("RD.dcm", "RP.dcm"):
        edit(folder / name, lambda d: setattr(d, "FrameOfReferenceUID", "1.2.3"))
    found = read_dicom(folder)
    assert (found.plan, found.dose) == (None, None)
    assert sum("another frame of reference" in w for w in found.warnings) == 2


def second_plan(planned, folder):
    other = planned("other", weights=np.array([1.0, 2.0]))
    (folder / "RP2.dcm").write_bytes((other / "RP.dcm").read_bytes())
    return other


def test_a_dose_tells_which_plan_is_meant(planned):
    folder = planned()
    second_plan(planned, folder)
    found = read_dicom(folder, machine="generic-protons")
    assert found.plan.weights == pytest.approx([3.0, 3.0])
    assert "RP2.dcm: another plan, left out" in found.warnings
    named = read_dicom(folder, machine="generic-protons", plan="RP2.dcm")
    assert named.plan.weights == pytest.approx([1.0, 2.0])
    assert named.dose is None


def test_two_plans_without_a_dose_need_a_choice(planned):
    folder = planned()
    second_plan(planned, folder)
    (folder / "RD.dcm").unlink()
    with pytest.raises(FileFormatError, match=r"2 plans belong to the CT \(RP\.dcm, RP2\.dcm\)"):
        read_dicom(folder)
    with pytest.raises(FileFormatError, match=r"no plan in file gone\.dcm \(have: RP\.dcm"):
        read_dicom(folder, plan="gone.dcm")
    assert read_dicom_patient(folder).structures  # which asks for no plan


def test_physical_and_effective_dose_are_never_mixed(planned):
    folder = planned()
    (folder / "RE.dcm").write_bytes((folder / "RD.dcm").read_bytes())
    edit(folder / "RE.dcm", lambda d: setattr(d, "DoseType", "EFFECTIVE"))
    with pytest.raises(FileFormatError, match=r"RD\.dcm \(dose\), RE\.dcm \(rbe_dose\)"):
        read_dicom(folder)
    assert read_dicom(folder, dose="RE.dcm").dose.quantity == "rbe_dose"


def test_doses_of_all_beams_are_summed_with_a_note(planned):
    folder = planned()

    def of_beam(data):
        beam, group = Dataset(), Dataset()
        beam.ReferencedBeamNumber = group.ReferencedFractionGroupNumber = 1
        group.ReferencedBeamSequence = [beam]
        data.ReferencedRTPlanSequence[0].ReferencedFractionGroupSequence = [group]
        data.DoseSummationType = "BEAM"

    edit(folder / "RD.dcm", of_beam)
    found = read_dicom(folder)
    assert found.dose.array.max() == pytest.approx(20.0)
    assert list(found.beam_doses) == [1]
    assert "the dose of the course is the sum of 1 doses of beams" in found.warnings


@pytest.mark.parametrize(("beam_dose", "warned"), [(20.0, True), (2.0, False)])
def test_a_dose_that_seems_to_be_of_one_fraction_is_told(planned, beam_dose, warned):
    folder = planned()

    def state(data):
        listed = data.FractionGroupSequence[0].ReferencedBeamSequence[0]
        listed.BeamDose = beam_dose
        listed.BeamDoseSpecificationPoint = [3.0, 2.0, 3.0]

    edit(folder / "RP.dcm", state)
    edit(folder / "RD.dcm", lambda d: setattr(d, "DoseSummationType", "FRACTION"))
    found = read_dicom(folder)
    assert found.dose.array.max() == pytest.approx(20.0)
    assert any("seems to be the dose of a single fraction" in w for w in found.warnings) is warned


def test_a_fraction_dose_without_dose_point_is_told(planned):
    folder = planned()
    edit(folder / "RD.dcm", lambda d: setattr(d, "DoseSummationType", "FRACTION"))
    assert any("read as that of all 10 fractions" in w for w in read_dicom(folder).warnings)


def test_the_plan_tells_which_structure_set_is_meant(planned):
    folder = planned()
    (folder / "RS2.dcm").write_bytes((folder / "RS.dcm").read_bytes())
    edit(folder / "RS2.dcm", lambda d: setattr(d, "SOPInstanceUID", "1.2.3"))
    found = read_dicom(folder)
    assert list(found.patient.structures) == ["Body"]
    assert "RS2.dcm: belongs to another CT or plan, left out" in found.warnings


def test_a_plan_alone_is_a_study_without_patient(planned, tmp_path):
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "x").write_bytes((planned() / "RP.dcm").read_bytes())
    found = read_dicom(tmp_path / "alone", machine="generic-protons")
    assert (found.patient, found.dose) == (None, None)
    assert found.plan.n_spots == 2
    assert any("no CT in the folder" in w for w in found.warnings)


def test_computing_a_plan_that_keeps_its_meterset_raises(planned):
    study = read_dicom(planned())
    with pytest.raises(MachineError, match="no machine says how many particles"):
        dosegrad.compute_dose(study.patient, study.plan)


@pytest.mark.parametrize("name", ["RS.dcm", "RP.dcm", "RD.dcm", "CT_0002.dcm"])
def test_files_of_another_patient_are_told_without_names(planned, name):
    def rename(data):
        data.PatientID, data.PatientName = "4711", "Other^Person"

    folder = planned()
    edit(folder / name, rename)
    warned = [w for w in dosegrad.read_dicom(folder).warnings if "another patient" in w]
    assert len(warned) == 1
    assert warned[0].startswith(name)
    assert "Person" not in warned[0]
    assert "4711" not in warned[0]


def test_an_empty_or_differently_written_name_is_no_other_patient(planned):
    def rename(data):
        data.PatientID, data.PatientName = "", str(data.PatientName).upper()

    folder = planned()
    edit(folder / "RS.dcm", rename)
    assert not [w for w in dosegrad.read_dicom(folder).warnings if "another patient" in w]


def test_an_isocentre_far_from_the_ct_is_told(planned):
    folder = planned()

    def move(data):
        data.IonBeamSequence[0].IonControlPointSequence[0].IsocenterPosition = [5000.0, 0.0, 0.0]

    edit(folder / "RP.dcm", move)
    assert [w for w in dosegrad.read_dicom(folder).warnings if "4989 mm outside the CT" in w]


def test_sets_of_one_name_are_chosen_by_their_folders(planned):
    folder = planned()
    for number, place in enumerate(("first", "second")):
        (folder / place).mkdir()
        data = dcmread(folder / "RS.dcm")
        data.SOPInstanceUID += f".{number}"
        data.StructureSetROISequence[0].ROIName = place
        data.save_as(folder / place / "RS.dcm")
    (folder / "RS.dcm").unlink()
    (folder / "RP.dcm").unlink()
    (folder / "RD.dcm").unlink()
    with pytest.raises(FileFormatError, match=r"first/RS\.dcm, second/RS\.dcm"):
        dosegrad.read_dicom(folder)
    for place in ("first", "second"):
        patient = dosegrad.read_dicom(folder, structure_set=f"{place}/RS.dcm").patient
        assert list(patient.structures) == [place]
