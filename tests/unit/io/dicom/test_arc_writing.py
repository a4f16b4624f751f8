"""Arcs go out as one beam with a turning gantry and come back as the same segments."""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from pydicom import dcmread

import dosegrad as dg
from dosegrad.beams.apertures import Apertures
from dosegrad.beams.beam import COLUMN_DTYPE, Beams
from dosegrad.errors import OutputError
from dosegrad.evaluation.arc_delivery import arc_delivery
from dosegrad.io.dicom.photon_plans import PhotonPlan

GANTRY = np.concatenate([np.arange(340.0, 360.0, 4.0), np.arange(0.0, 21.0, 4.0)])


@pytest.fixture(scope="module")
def patient():
    shape = (6, 8, 10)
    return dg.Patient.from_arrays(
        np.zeros(shape),
        **{"spacing": (20.0, 20.0, 20.0), "origin": (-90.0, -70.0, -50.0)},
        structures={"Body": np.ones(shape, dtype=bool)},
        roles={"Body": "external"},
    )


def arc(gantry, **provenance):
    """A plan of one aperture at each angle, whose leaves sweep."""
    machine = dg.load_machine("generic-6mv")
    bare = dg.Plan.from_bixels(
        machine,
        **{"gantry": list(gantry), "couch": 5.0, "isocentre": (1.0, 2.0, 3.0)},
        **{"x": 0.0, "y": 0.0, "width": 5.0, "weight": 1.0},
    )
    n, pairs = len(gantry), machine.collimator.pairs
    rng = np.random.default_rng(7)
    left = -10.0 + np.cumsum(rng.uniform(-1.0, 1.0, (n, pairs)), axis=0)
    right = left + 20.0 + rng.uniform(0.0, 3.0, (n, pairs))
    jaws = np.tile([-60.0, 60.0, -50.0, 50.0], (n, 1))
    apertures = Apertures(np.arange(n), rng.uniform(5, 40, n), jaws, left, right, np.full(n, 15.0))
    beams = bare.beams
    order = np.argsort([list(gantry).index(b.gantry) for b in beams])
    columns = np.zeros(n, dtype=COLUMN_DTYPE)
    columns["beam"], columns["size"], columns["energy"] = np.arange(n), 5.0, machine.energy
    beams = Beams(machine, tuple(beams[int(k)] for k in order), columns)
    return dg.Plan(beams, np.ones(n), fractions=4, apertures=apertures, provenance={**provenance})


@pytest.fixture(scope="module")
def plan():
    return arc(GANTRY, arc={"fields": 3})


@pytest.fixture
def folder(tmp_path, patient, plan):
    dg.write_dicom(tmp_path / "study", patient=patient, plan=plan)
    return tmp_path / "study"


def same(found, plan):
    np.testing.assert_allclose(
        [b.gantry for b in found.beams], [b.gantry for b in plan.beams], atol=1e-9
    )
    assert {(b.couch, b.isocentre) for b in found.beams} == {(5.0, (1.0, 2.0, 3.0))}
    ours, theirs = plan.apertures, found.apertures
    np.testing.assert_array_equal(theirs.beam, ours.beam)
    np.testing.assert_allclose(theirs.monitor_units, ours.monitor_units, rtol=1e-9)
    for name in ("left", "right", "jaws", "rotation"):
        np.testing.assert_allclose(getattr(theirs, name), getattr(ours, name), atol=1e-9)


def test_the_arc_comes_back(folder, patient, plan, tmp_path):
    found = dg.read_dicom(folder, machine="generic-6mv").plan
    assert found.fractions == 4
    assert set(found.provenance["beam_numbers"]) == {1}
    same(found, plan)
    assert arc_delivery(found).total == pytest.approx(arc_delivery(plan).total, rel=1e-6)
    dg.write_dicom(tmp_path / "again", patient=patient, plan=found)
    same(dg.read_dicom(tmp_path / "again", machine="generic-6mv").plan, plan)


def test_it_is_one_beam_that_turns_the_right_way(folder, plan):
    study = dg.read_dicom(folder)
    assert isinstance(study.plan, PhotonPlan)
    (field,) = study.plan.fields
    assert len(field.control_points) == 2 * len(GANTRY) + 1
    assert np.diff(field.gantry_travel).sum() == pytest.approx(40.0)
    assert (np.diff(field.metersets) >= 0).all()
    assert field.meterset == pytest.approx(plan.monitor_units / plan.fractions, rel=1e-12)
    half = plan.apertures.monitor_units[0] / plan.fractions / 2
    assert field.metersets[1] == pytest.approx(half)


def test_it_may_turn_the_other_way(patient, tmp_path):
    turned = arc(GANTRY[::-1], arc={})
    dg.write_dicom(tmp_path / "study", patient=patient, plan=turned)
    (field,) = dg.read_dicom(tmp_path / "study").plan.fields
    assert np.diff(field.gantry_travel).sum() == pytest.approx(-40.0)
    same(dg.read_dicom(tmp_path / "study", machine="generic-6mv").plan, turned)


def test_others_see_a_dose_close_to_ours(folder, patient, plan):
    """Without our note every interval counts with what lies in its middle."""
    data = dcmread(folder / "RP.dcm")
    del data.BeamSequence[0].BeamDescription
    data.save_as(folder / "RP.dcm")
    found = dg.read_dicom(folder, machine="generic-6mv").plan
    assert len(found.beams) == 2 * len(GANTRY)
    assert found.monitor_units == pytest.approx(plan.monitor_units, rel=1e-9)
    grid = patient.ct.grid
    ours = dg.compute_dose(patient, plan, grid=grid).array
    theirs = dg.compute_dose(patient, found, grid=grid).array
    assert np.abs(theirs - ours).max() < 0.03 * ours.max()


def test_gaps_and_static_fields_stay_beams_of_their_own(patient, tmp_path):
    for gantry, provenance, n in (
        (GANTRY, {}, len(GANTRY)),
        ([0.0, 4.0, 8.0, 100.0, 104.0], {"arc": {}}, 5),
    ):
        dg.write_dicom(tmp_path / str(n), patient=patient, plan=arc(gantry, **provenance))
        assert len(dg.read_dicom(tmp_path / str(n)).plan.fields) == n


def test_doses_of_beams_count_the_arc_as_one(patient, plan, tmp_path):
    dose = dg.Dose(patient.ct.grid, np.ones(patient.ct.grid.shape))
    with pytest.raises(OutputError, match="fields of an arc are one beam"):
        dg.write_dicom(tmp_path / "a", patient=patient, plan=plan, beam_doses={2: dose})
    dg.write_dicom(
        tmp_path / "b", patient=patient, plan=replace(plan, dose=dose), beam_doses={1: dose}
    )
    assert list(dg.read_dicom(tmp_path / "b", machine="generic-6mv").beam_doses) == [1]


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
