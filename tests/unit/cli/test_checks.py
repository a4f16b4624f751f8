"""``dosegrad check``, ``adapt`` and ``report``: what they write and how they end."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from dosegrad import Patient, Plan, compute_dose, engines, load_machine, write_dicom
from dosegrad.checks import forecasts
from dosegrad.cli.app import app

SENTINEL = "Sentinel^Person"


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Folders ``study`` and ``today`` of a water box with a few spots."""
    shape = (14, 20, 18)
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]]
    body = (abs(z - 6.5) < 6) & (abs(y - 9.5) < 8) & (abs(x - 8.5) < 7)
    target = (abs(z - 6.5) < 2) & (abs(y - 9.5) < 3) & (abs(x - 8.5) < 3)
    patient = Patient.from_arrays(
        np.where(body, 0.0, -1000.0),
        spacing=(5.0, 4.0, 4.5),
        origin=(-38.25, -38.0, -32.5),
        structures={"CTV": target, "Body": body},
        roles={"CTV": "target", "Body": "external"},
    )
    machine = load_machine("generic-protons")
    plan = Plan.from_spots(
        machine, gantry=0.0, isocentre=(0.0, 0.0, 0.0), x=[-6.0, 0.0, 6.0], y=0.0,
        energy=machine.energies[3], weight=50.0, fractions=5,
    )  # fmt: skip
    dose = compute_dose(patient, plan, engine=engines.Yoda(), grid=patient.ct.grid)
    folder = tmp_path_factory.mktemp("studies")
    write_dicom(folder / "study", patient=patient, plan=plan, dose=dose)
    write_dicom(folder / "today", patient=patient)
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch, studies):
    monkeypatch.chdir(tmp_path)
    for name in ("study", "today"):
        shutil.copytree(studies / name, tmp_path / name)

    def invoke(*arguments):
        return CliRunner().invoke(app, list(arguments), catch_exceptions=False)

    return invoke


@pytest.fixture
def predicted(monkeypatch):
    """Lets the adjoint predict one change for all structures."""

    def say(change):
        def prepare(patient, plan, *, response, engine, structures, grid):
            return lambda ct: SimpleNamespace(
                by_structure=dict.fromkeys(structures, change),
                uncertainty_by_structure=dict.fromkeys(structures, 0.001),
                method="test",
            )

        monkeypatch.setattr(forecasts, "_adjoint", lambda: prepare)

    return say


def test_a_study_is_checked(run, tmp_path):
    ended = run("check", "study", "--machine", "generic-protons", "--out", "out")
    assert ended.exit_code == 0, ended.stderr
    assert "PASS" in ended.stdout
    assert "gamma 3 %/2 mm: 100.00 %" in ended.stdout
    assert {"report.html", "report.json"} <= {p.name for p in (tmp_path / "out").iterdir()}
    again = run(
        *("check", "study", "--machine", "generic-protons", "--out", "out", "--json"),
        *("--goal", "CTV: Dmean >= 1000 Gy"),
    )
    assert again.exit_code == 3
    told = json.loads(again.stdout)
    assert told["verdict"] == "fail"
    assert told["goals"][0]["met"] is False


def test_nothing_of_a_person_reaches_the_report(run, tmp_path):
    import pydicom

    for path in (tmp_path / "study").iterdir():
        if path.suffix == ".dcm":
            data_set = pydicom.dcmread(path)
            data_set.PatientName, data_set.PatientID = SENTINEL, SENTINEL
            data_set.save_as(path.with_name(f"{SENTINEL}{path.name}"))
            path.unlink()
    (tmp_path / "study" / f"{SENTINEL}.txt").write_text("notes")
    ended = run("check", "study", "--machine", "generic-protons", "--out", "out")
    assert ended.exit_code == 0, ended.stderr
    texts = [ended.stdout, ended.stderr]
    texts += [p.read_text(encoding="utf-8") for p in (tmp_path / "out").iterdir()]
    assert not any("Sentinel" in text for text in texts)


@pytest.mark.parametrize(("change", "code", "word"), [(0.0, 0, "PASS"), (9.0, 3, "RE-PLAN")])
def test_todays_ct_passes_or_asks_for_a_new_plan(run, predicted, tmp_path, change, code, word):
    predicted(change)
    ended = run("adapt", "study", "today", "--out", "out", "--aligned")
    assert ended.exit_code == code, ended.stderr
    assert word in ended.stdout
    content = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert content["verdict"] == word.lower()


def test_a_prediction_that_cannot_tell_has_its_own_exit_code(run, predicted):
    predicted(0.0)
    goal = "CTV: Dmean <= {:.3f} Gy"
    mean = json.loads(run("adapt", "study", "today", "--out", "a", "--aligned", "--json").stdout)[
        "changes"
    ][0]["before"]
    ended = run("adapt", "study", "today", "--out", "b", "--aligned", "--goal", goal.format(mean))
    assert ended.exit_code == 4
    assert "UNDECIDED" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "nowhere", "--machine", "generic-protons"), "'nowhere' does not exist"),
        (("check", "study", "--machine", "generic-protonz"), "generic-protonz"),
        (("check", "today", "--machine", "generic-protons"), "holds no plan"),
        (("check", "study", "--machine", "generic-6mv"), "choose a particle machine"),
        (("adapt", "study", "nowhere"), "'nowhere' does not exist"),
        (("adapt", "study", "study/RP.dcm"), "'study/RP.dcm' is a file"),
        (("adapt", "study", "empty"), "empty"),
    ],
)
def test_wrong_input_is_one_paragraph(run, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    ended = run(*arguments, "--out", "out")
    assert ended.exit_code == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out").exists()


def test_files_of_others_are_not_replaced(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    ended = run("check", "study", "--machine", "generic-protons", "--out", "out")
    assert ended.exit_code == 2
    assert "thesis.txt" in ended.stderr
