"""Photon plans with apertures go out as RT Plans and come back as the same segments."""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from pydicom import dcmread

import dosegrad as dg
from dosegrad.beams.apertures import Aperture, Apertures
from dosegrad.errors import MachineError, OutputError
from dosegrad.io.dicom.photon_plans import PhotonPlan


@pytest.fixture(scope="module")
def patient():
    shape = (6, 8, 10)
    return dg.Patient.from_arrays(
        np.zeros(shape),
        **{"spacing": (20.0, 20.0, 20.0), "origin": (-90.0, -70.0, -50.0)},
        structures={"Body": np.ones(shape, dtype=bool)},
        roles={"Body": "external"},
    )


def apertures(machine, n=4, rotation=0.0):
    rng = np.random.default_rng(5)
    pairs = machine.collimator.pairs
    found = []
    for _ in range(n):
        left = -rng.uniform(1, 40, pairs)
        right = rng.uniform(1, 40, pairs)
        found.append(Aperture((-35.5, 30.0, -50.0, 45.25), left, right, rotation))
    return Apertures.of([0, 0, 0, 1][:n], found, rng.uniform(5, 100, n))


@pytest.fixture(scope="module")
def plan():
    machine = dg.load_machine("generic-6mv")
    bare = dg.Plan.from_bixels(
        machine,
        **{"gantry": [10.0, 200.0], "couch": [0.0, 15.0], "isocentre": (1.0, 2.0, 3.0)},
        **{"x": 0.0, "y": 0.0, "width": 5.0, "weight": 1.0},
    )
    return dg.Plan(bare.beams, bare.weights, fractions=5, apertures=apertures(machine))


@pytest.fixture
def folder(tmp_path, patient, plan):
    dose = dg.Dose(patient.ct.grid, np.ones(patient.ct.grid.shape))
    dg.write_dicom(tmp_path / "study", patient=patient, plan=plan, dose=dose)
    return tmp_path / "study"


def test_segments_come_back(folder, plan):
    found = dg.read_dicom(folder, machine="generic-6mv").plan
    assert found.fractions == 5
    assert [(b.gantry, b.couch, b.isocentre) for b in found.beams] == [
        (b.gantry, b.couch, b.isocentre) for b in plan.beams
    ]
    ours, theirs = plan.apertures, found.apertures
    np.testing.assert_array_equal(theirs.beam, ours.beam)
    np.testing.assert_allclose(theirs.monitor_units, ours.monitor_units, rtol=1e-9)
    for name in ("left", "right", "jaws", "rotation"):
        np.testing.assert_allclose(getattr(theirs, name), getattr(ours, name), atol=1e-9)
    assert found.monitor_units == pytest.approx(plan.monitor_units, rel=1e-9)


def test_the_dose_of_what_came_back_is_the_same(folder, patient, plan):
    found = dg.read_dicom(folder, machine="generic-6mv").plan
    grid = patient.ct.grid
    before = dg.compute_dose(patient, plan, grid=grid).array
    after = dg.compute_dose(patient, found, grid=grid).array
    assert before.max() > 0
    np.testing.assert_allclose(after, before, atol=1e-6 * before.max())


def test_without_a_machine_the_plan_keeps_its_mu(folder, plan):
    study = dg.read_dicom(folder)
    assert isinstance(study.plan, PhotonPlan)
    assert study.plan.monitor_units.sum() == pytest.approx(plan.monitor_units / 5)
    assert any("without a machine" in note for note in study.warnings)


def test_the_dose_refers_to_the_photon_plan(folder):
    plan, dose = (dcmread(folder / name) for name in ("RP.dcm", "RD.dcm"))
    (reference,) = dose.ReferencedRTPlanSequence
    assert reference.ReferencedSOPClassUID == plan.SOPClassUID
    assert reference.ReferencedSOPInstanceUID == plan.SOPInstanceUID


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is missing")
def test_dciodvfy_finds_no_error(folder):
    answer = subprocess.run(
        ["dciodvfy", str(folder / "RP.dcm")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = (answer.stdout + answer.stderr).splitlines()
    assert [line for line in lines if line.startswith("Error")] == []


def test_an_arc_becomes_static_beams_between_its_control_points(folder):
    data = dcmread(folder / "RP.dcm")
    beam = data.BeamSequence[0]
    points = list(beam.ControlPointSequence)
    for k, point in enumerate(points):
        point.GantryAngle = str((350 + 8 * k) % 360)
        point.GantryRotationDirection = "CW" if k + 1 < len(points) else "NONE"
    data.save_as(folder / "RP.dcm")
    found = dg.read_dicom(folder, machine="generic-6mv").plan
    assert [b.gantry for b in found.beams[:-1]] == pytest.approx([354.0, 10.0, 26.0])


def test_what_cannot_be_delivered_is_refused(tmp_path, folder, patient, plan):
    with pytest.raises(MachineError, match="delivers protons, but the plan is for photons"):
        dg.read_dicom(folder, machine="generic-protons")
    data = dcmread(folder / "RP.dcm")
    data.BeamSequence[0].RadiationType = "ELECTRON"
    data.save_as(folder / "RP.dcm")
    with pytest.raises(MachineError, match="is of electron"):
        dg.read_dicom(folder, machine="generic-6mv")
    fluence = dg.Plan(plan.beams, plan.weights)
    with pytest.raises(OutputError, match=r"sequence\(plan\)"):
        dg.write_dicom(tmp_path / "other", patient=patient, plan=fluence)


def test_leaves_beyond_their_limits_are_not_written(tmp_path, patient, plan):
    moved = replace(
        plan.apertures, left=plan.apertures.left - 300, right=plan.apertures.right - 300
    )
    far = replace(plan, apertures=moved)
    with pytest.raises(
        OutputError, match=r"cannot deliver the plan: .* mm from the axis \(at most"
    ):
        dg.write_dicom(tmp_path / "far", patient=patient, plan=far)
    assert not (tmp_path / "far" / "RP.dcm").exists()
