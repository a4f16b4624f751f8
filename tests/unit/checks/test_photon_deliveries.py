"""Logs of photons against their plan: deviations, and the dose that was delivered."""

import copy
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import dosegrad as dg
from dosegrad.beams.apertures import Aperture, Apertures
from dosegrad.checks.photon_deliveries import PhotonTolerances, check_photon_delivery
from dosegrad.checks.photon_segments import delivered_apertures, match_records
from dosegrad.cli.app import app
from dosegrad.errors import PlanError
from dosegrad.io.trajectory_logs import read_trajectory_log
from dosegrad.report.write import report_content, write_report

_SPEC = importlib.util.spec_from_file_location(
    "trajectory_logs", Path(__file__).parents[1] / "trajectory_logs.py"
)
logs = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(logs)


@pytest.fixture(scope="module")
def patient():
    shape = (10, 16, 20)
    target = np.zeros(shape, dtype=bool)
    target[4:7, 6:10, 8:12] = True
    return dg.Patient.from_arrays(
        np.zeros(shape),
        **{"spacing": (10.0, 10.0, 10.0), "origin": (-95.0, -75.0, -45.0)},
        structures={"Body": np.ones(shape, dtype=bool), "PTV": target},
        roles={"Body": "external", "PTV": "target"},
    )


@pytest.fixture(scope="module")
def plan():
    machine = dg.load_machine("generic-6mv")
    rng = np.random.default_rng(5)
    shapes = []
    for _ in range(4):
        left, right = -rng.uniform(5, 25, 60), rng.uniform(5, 25, 60)
        shapes.append(Aperture((-30.0, 30.0, -30.0, 30.0), left, right))
    bare = dg.Plan.from_bixels(
        machine,
        **{"gantry": [10.0, 200.0], "couch": 0.0, "isocentre": (0.0, 0.0, 0.0)},
        **{"x": 0.0, "y": 0.0, "width": 5.0, "weight": 1.0},
    )
    segments = Apertures.of([0, 0, 1, 1], shapes, [100.0, 60.0, 80.0, 90.0])
    return dg.Plan(bare.beams, bare.weights, fractions=5, apertures=segments)


def states(plan, beam):
    segments = plan.apertures.of_beam(beam)
    gantry = [plan.beams[beam].gantry] * len(segments)
    planned = logs.motion(segments, gantry, segments.monitor_units / plan.fractions)
    return planned, copy.copy(planned)


def records(plan, folder, change=lambda state, beam: None):
    for beam in (1, 0):  # not in the order of the plan
        planned, delivered = states(plan, beam)
        change(delivered, beam)
        logs.log(folder / f"{beam}.bin", planned, delivered)
    return [r for beam in (1, 0) for r in read_trajectory_log(folder / f"{beam}.bin")]


def test_a_perfect_delivery_is_the_plan(patient, plan, tmp_path):
    found = check_photon_delivery(patient, plan, records(plan, tmp_path))
    assert found.passed
    assert found.doses.gamma.pass_rate == 1.0
    made, gantry = delivered_apertures(plan, match_records(plan, found.records))
    np.testing.assert_allclose(gantry, [10, 10, 200, 200], atol=1e-4)
    np.testing.assert_allclose(made.monitor_units, plan.apertures.monitor_units, rtol=1e-5)
    for name in ("left", "right", "jaws", "rotation"):
        # a sample in 40 lies between two segments
        np.testing.assert_allclose(getattr(made, name), getattr(plan.apertures, name), atol=1.0)


def test_deviations_are_told_and_flagged(patient, plan, tmp_path):
    def change(state, beam):
        if beam == 1:
            state.left = state.left - 1.5
            state.right = state.right + 1.5
            state.mu = state.mu * 1.03
            state.gantry = state.gantry + 1.25

    found = check_photon_delivery(patient, plan, records(plan, tmp_path, change))
    first, second = found.beams
    assert first.flags(PhotonTolerances()) == []
    assert second.leaf_rms == pytest.approx(1.5, abs=1e-3)
    assert second.largest_gantry == pytest.approx(1.25, abs=1e-3)
    assert second.mu_percent == pytest.approx(3.0, abs=1e-2)
    words = " ".join(found.flags)
    assert "beam 2: leaves (RMS) off by 1.50 mm, more than 1 mm" in words
    assert "beam 2: meterset off by 3.00 %" in words
    assert "beam 2: gantry off by 1.25 °" in words
    assert "leaves (largest)" not in words
    assert found.doses.delivered_plan.beams[1].gantry == pytest.approx(201.25, abs=1e-3)
    before, after = found.doses.beams
    assert abs(before.mean_changes["PTV"]) < 5e-3
    assert (
        after.mean_changes["PTV"] > 0.05 * found.doses.planned.mean(patient.structures["PTV"]) / 2
    )
    assert "NOT passed" in str(found)


def test_records_of_other_plans_are_refused(plan, tmp_path):
    made = records(plan, tmp_path)
    with pytest.raises(PlanError, match="no record fits beam 2"):
        match_records(plan, made[1:])
    with pytest.raises(PlanError, match="1 of 3 records belong to no beam"):
        match_records(plan, [*made, made[0]])
    heavier = dg.Plan(plan.beams, plan.weights, fractions=4, apertures=plan.apertures)
    with pytest.raises(PlanError, match="no record fits beam 1"):
        match_records(heavier, made)


def test_leaves_of_another_plan_are_flagged(patient, plan, tmp_path):
    made = records(plan, tmp_path)
    turned = plan.apertures
    mirrored = Apertures(
        turned.beam, turned.monitor_units, turned.jaws, -turned.right, -turned.left, turned.rotation
    )
    other = dg.Plan(plan.beams, plan.weights, fractions=5, apertures=mirrored)
    found = check_photon_delivery(patient, other, made)
    assert "record against plan, leaves" in " ".join(found.flags)


def test_the_command_reads_a_folder_of_logs_and_reports(patient, plan, tmp_path):
    dg.write_dicom(tmp_path / "study", patient=patient, plan=plan)
    (tmp_path / "logs").mkdir()
    records(plan, tmp_path / "logs")
    arguments = ["logcheck", tmp_path / "study", tmp_path / "logs", "--out", tmp_path / "report"]
    found = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    assert [b["number"] for b in json.loads(found.output)["beams"]] == [1, 2]
    assert "Delivered fraction" in (tmp_path / "report" / "report.html").read_text("utf-8")
    content = json.loads((tmp_path / "report" / "report.json").read_text("utf-8"))
    assert content["kind"] == "photon-delivery"
    following = CliRunner().invoke(app, [*map(str, arguments), "--follow"])
    assert following.exit_code == 2


def test_the_report_holds_every_tolerance(patient, plan, tmp_path):
    check = check_photon_delivery(patient, plan, records(plan, tmp_path))
    page, _ = write_report(tmp_path / "page.html", check)
    text = page.read_text(encoding="utf-8")
    for words in ("leaves (95th percentile)", "collimator", "Motion", "trajectory log"):
        assert words in text
    assert report_content(check)["passed"] is True
