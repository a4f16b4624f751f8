"""``dosegrad logcheck``: a record whole, and one that grows."""

import json
import threading
import time

import numpy as np
import pytest
from typer.testing import CliRunner

import dosegrad as dg
from dosegrad.beams.deliveries import Delivery
from dosegrad.checks.spot_deviations import planned_spots
from dosegrad.cli.app import app
from dosegrad.io.delivery_table import write_delivery_table


def run(*arguments):
    return CliRunner().invoke(app, ["logcheck", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("case") / "study"
    patient = dg.phantom("impt-2d")
    machine = dg.load_machine("generic-protons")
    beams = dg.steer(patient, machine, target="PTV", gantry=[60, 300], spot_spacing=15.0)
    plan = dg.Plan(beams, np.full(beams.n_columns, 60.0), fractions=30)
    dg.write_dicom(folder, patient=patient, plan=plan)
    return folder


@pytest.fixture(scope="module")
def spots(study):
    found = planned_spots(dg.read_dicom(study, machine="generic-protons").plan)
    return found[np.lexsort([found["layer"], found["beam"]])]


def test_a_good_delivery_passes_and_a_bad_one_does_not(study, spots, tmp_path):
    write_delivery_table(Delivery(spots), tmp_path / "log.csv")
    found = run(study, tmp_path / "log.csv", "--json")
    assert found.exit_code == 0
    assert json.loads(found.output)["gamma_pass_rate"] == 1.0
    wrong = spots.copy()
    wrong["x"][:5] += 5.0
    write_delivery_table(Delivery(wrong), tmp_path / "log.csv")
    found = run(study, tmp_path / "log.csv")
    assert found.exit_code == 3
    assert "5 spots lie more than 2 mm off, the farthest 5.00 mm" in found.output


def test_a_report_is_written_on_request(study, spots, tmp_path):
    write_delivery_table(Delivery(spots), tmp_path / "log.csv")
    found = run(study, tmp_path / "log.csv", "--out", tmp_path / "report", "--name", "Case 7")
    assert found.exit_code == 0
    assert "Case 7" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    content = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert content["verdict"] == "pass"
    assert run(study, tmp_path / "none.csv", "--out", tmp_path / "other").exit_code == 2
    assert not (tmp_path / "other").exists()


def test_a_growing_record_is_judged_layer_by_layer(study, spots, tmp_path):
    first = spots[(spots["beam"] == 1) & (spots["layer"] < 3)].copy()
    first["y"][first["layer"] == 1] += 4.0
    write_delivery_table(Delivery(first), tmp_path / "whole.csv")
    whole, growing = (tmp_path / "whole.csv").read_text(), tmp_path / "log.csv"

    def deliver():
        for start in range(0, len(whole), 200):
            with growing.open("a") as file:
                file.write(whole[start : start + 200])
            time.sleep(0.02)

    writer = threading.Thread(target=deliver)
    writer.start()
    found = run(study, growing, "--follow", "--idle", "2")
    writer.join()
    lines = [line for line in found.output.splitlines() if line.startswith("beam 1")]
    assert found.exit_code == 3
    assert [("OUT OF TOLERANCE" in line) for line in lines] == [False, True, False]


def test_what_was_never_delivered_is_told_at_the_end(study, spots, tmp_path):
    half = spots[spots["beam"] == 1]
    write_delivery_table(Delivery(half), tmp_path / "half.csv")
    found = run(study, tmp_path / "half.csv", "--follow", "--idle", "0.2")
    assert found.exit_code == 3
    n = spots.size - half.size
    assert f"OUT OF TOLERANCE: {n} planned spots" in found.output
    write_delivery_table(Delivery(spots), tmp_path / "whole.csv")
    assert run(study, tmp_path / "whole.csv", "--follow", "--idle", "0.2").exit_code == 0


def test_a_record_that_never_comes_is_no_delivery(study, spots, tmp_path):
    found = run(study, tmp_path / "none.csv", "--follow", "--idle", "0.2")
    assert found.exit_code == 2
    assert "no delivered spot came" in found.output
    assert run(study, tmp_path, "--follow", "--idle", "0.2").exit_code == 2
    text = "beam,layer,energy,x,y,mu\n1,0,150,0,0,-1\n"
    (tmp_path / "negative.csv").write_text(text)
    found = run(study, tmp_path / "negative.csv", "--follow", "--idle", "0.2")
    assert found.exit_code == 2
    assert "negative meterset" in found.output


def test_what_is_wrong_is_said(study, spots, tmp_path):
    write_delivery_table(Delivery(spots), tmp_path / "log.csv")
    log = tmp_path / "log.csv"
    (tmp_path / "empty").mkdir()
    for arguments, words in (
        ((study, tmp_path / "none.csv"), "there is no record"),
        ((tmp_path / "nowhere", log), "there is no plan at"),
        ((tmp_path / "empty", log), "no DICOM file"),
        ((log, log), "log.csv"),
        ((study, tmp_path / "empty"), "folder without trajectory logs"),
        ((study, study / "RP.dcm"), "no RT Ion Beams Treatment Record"),
        ((study, log, "--machine", "generic-6mv"), "the plan is for ions"),
    ):
        found = run(*arguments)
        assert found.exit_code == 2
        assert words in " ".join(found.output.split())


def test_a_saved_plan_needs_its_patient(study, spots, tmp_path):
    write_delivery_table(Delivery(spots), tmp_path / "log.csv")
    dg.read_dicom(study, machine="generic-protons").plan.save(tmp_path / "plan.npz")
    found = run(tmp_path / "plan.npz", tmp_path / "log.csv")
    assert found.exit_code == 2
    assert "name it with --patient" in found.output
    found = run(tmp_path / "plan.npz", tmp_path / "log.csv", "--patient", "impt-2d", "--quiet")
    assert found.exit_code == 0


def test_a_last_line_without_line_break_is_no_missing_spot(study, spots, tmp_path):
    path = tmp_path / "log.csv"
    write_delivery_table(Delivery(spots), path)
    text = path.read_text().rstrip("\n")
    path.write_text(text)
    assert run(study, path, "--follow", "--idle", "0.2").exit_code == 0
    path.write_text(text + "\n1,0,12")
    found = run(study, path, "--follow", "--idle", "0.2")
    assert found.exit_code == 3
    assert "the last line was left out" in found.output


def test_programs_get_a_line_of_json_for_each_layer(study, spots, tmp_path):
    path = tmp_path / "log.csv"
    shifted = spots.copy()
    shifted["x"][shifted["layer"] == 1] += 3.0
    write_delivery_table(Delivery(shifted), path)
    found = run(study, path, "--follow", "--idle", "0.2", "--json", "--out", tmp_path / "report")
    *layers, end = map(json.loads, found.output.splitlines())
    assert found.exit_code == 3
    assert {each["kind"] for each in layers} == {"layer"}
    assert len(layers) == np.unique(spots[["beam", "layer"]]).size
    assert [each["largest_deviation_mm"] > 2 for each in layers] == [
        each["layer"] == 1 for each in layers
    ]
    assert (end["kind"], end["passed"], end["missing"]) == ("end", False, "")
    assert end["check"]["largest_deviation_mm"] == pytest.approx(3.0)


def test_tolerances_are_options(study, spots, tmp_path):
    path = tmp_path / "log.csv"
    wrong = spots.copy()
    wrong["x"] += 1.2
    wrong["mu"] *= 1.02
    write_delivery_table(Delivery(wrong), path)
    for extra in ((), ("--follow", "--idle", "0.2")):
        assert run(study, path, *extra).exit_code == 3
        wide = ("--position-mean", 1.5, "--mu-percent", 3, "--pass-rate", 0, "--excess", 10)
        assert run(study, path, *wide, *extra).exit_code == 0
        assert run(study, path, *wide, "--position-max", 1.1, *extra).exit_code == 3
    assert run(study, path, *wide, "--excess", 0.1).exit_code == 3
    found = run(study, path, "--range", -1)
    assert found.exit_code == 2
    assert "tolerance range is -1.0" in found.output
