"""Many plan files at once: tables, resuming, errors, workers."""

import json

import pytest
from typer.testing import CliRunner

from dosegrad.cli.app import app
from dosegrad.cli.batch_tasks import carry_out_job, prepare_job
from dosegrad.errors import UnknownNameError
from dosegrad.executor import Serial

PLAN = """
[patient]
phantom = "c-shape"
[beams]
machine = "generic-protons"
target = "Target"
gantry = 180
spot_spacing = 14.0
layer_spacing = 12.0
[dose]
spacing = [9.0, 9.0, 9.0]
[[objective]]
structure = "Target"
kind = "squared-deviation"
dose = 50.0
[optimisation]
max_iterations = 8
[check]
goals = ["Target: Dmean >= 30 Gy"]
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command line in a folder with three plan files: good, missed and wrong."""
    monkeypatch.chdir(tmp_path)
    plans = tmp_path / "plans"
    plans.mkdir()
    (plans / "good.toml").write_text(PLAN, encoding="utf-8")
    (plans / "missed.toml").write_text(PLAN.replace(">= 30", ">= 90"), encoding="utf-8")
    (plans / "wrong.toml").write_text(PLAN.replace("Target", "Tagret"), encoding="utf-8")

    def invoke(*arguments):
        return CliRunner().invoke(app, ["batch", *arguments], catch_exceptions=False)

    return invoke


def states(result):
    return {row["plan"]: row["state"] for row in json.loads(result.stdout)["plans"]}


def test_plans_are_written_and_a_table_tells_what_passed(run, tmp_path):
    result = run("plans/*.toml", "--out", "results")
    assert result.exit_code == 2
    assert "no structure 'Tagret'" in result.stdout
    rows = {
        r["plan"]: r for r in json.loads((tmp_path / "results/batch.json").read_text())["plans"]
    }
    assert (rows["good"]["passed"], rows["good"]["goals_met"]) == (True, 1)
    assert (rows["missed"]["passed"], rows["missed"]["goals_met"]) == (False, 0)
    assert rows["wrong"]["state"] == "failed"
    assert not (tmp_path / "results/wrong").exists()
    names = {p.name for p in (tmp_path / "results/good").iterdir()}
    assert {"plan.npz", "dose.nrrd", "report.json", "overview.png", "plan.toml"} <= names
    assert (tmp_path / "results/batch.csv").read_text().count("\n") == 4
    assert run("plans/missed.toml", "--out", "results").exit_code == 3
    assert run("plans/good.toml", "--out", "results").exit_code == 0


def test_what_is_done_is_kept_until_its_file_changes(run, tmp_path):
    files = ("plans/good.toml", "plans/missed.toml", "--out", "results", "--json")
    assert states(run(*files)) == {"good": "done", "missed": "done"}
    before = (tmp_path / "results/good/report.json").stat().st_mtime_ns
    (tmp_path / "plans/missed.toml").write_text(PLAN.replace(">= 30", ">= 20"), encoding="utf-8")
    assert states(run(*files)) == {"good": "kept", "missed": "done"}
    assert (tmp_path / "results/good/report.json").stat().st_mtime_ns == before
    (tmp_path / "results/good/report.json").write_text("{", encoding="utf-8")
    assert states(run(*files)) == {"good": "done", "missed": "kept"}
    assert states(run(*files, "--again")) == {"good": "done", "missed": "done"}


def test_an_interruption_leaves_finished_plans_and_their_table(run, tmp_path, monkeypatch):
    def interrupted(self, function, items):
        for number, item in enumerate(items):
            if number == 1:
                raise KeyboardInterrupt
            yield number, function(item)

    monkeypatch.setattr(Serial, "each", interrupted)
    files = ("plans/good.toml", "plans/missed.toml", "--out", "results", "--json")
    stopped = run(*files)
    assert stopped.exit_code == 130
    assert "1 of 2 plans are in" in stopped.stderr
    assert "nothing written" not in stopped.stderr
    rows = json.loads((tmp_path / "results/batch.json").read_text())["plans"]
    assert [row["plan"] for row in rows] == ["good"]
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert states(run(*files)) == {"good": "kept", "missed": "done"}


def test_an_unforeseen_error_stops_no_other_plan(run, tmp_path, monkeypatch):
    def breaking(self, function, items):
        for number, item in enumerate(items):
            yield number, function(item) if number else ZeroDivisionError("of a worker")

    monkeypatch.setattr(Serial, "each", breaking)
    result = run("plans/missed.toml", "plans/good.toml", "--out", "results")
    assert result.exit_code == 2
    rows = json.loads((tmp_path / "results/batch.json").read_text())["plans"]
    assert [(row["plan"], row["state"]) for row in rows] == [("missed", "failed"), ("good", "done")]
    assert rows[0]["error"] == "ZeroDivisionError: of a worker"
    assert "ZeroDivisionError: of a worker" in result.stderr


def test_what_is_wrong_with_a_plan_is_no_failure_of_the_worker(run, tmp_path):
    found = carry_out_job(prepare_job(tmp_path / "plans/wrong.toml"))
    assert isinstance(found, UnknownNameError)


def test_files_of_the_same_name_and_missing_ones_are_refused(run, tmp_path):
    (tmp_path / "good.toml").write_text(PLAN, encoding="utf-8")
    twice = run("good.toml", "plans/good.toml", "--out", "results")
    assert twice.exit_code == 2
    assert run("plans/*.tml", "--out", "results").exit_code == 2
    both = run("good.toml", "--out", "results", "--workers", "2", "--cluster", "tcp://a:1")
    assert both.exit_code == 2


@pytest.mark.slow
def test_workers_give_the_same_plans(run, tmp_path):
    pytest.importorskip("distributed")
    assert run("plans/*.toml", "--out", "here", "--quiet").exit_code == 2
    assert run("plans/*.toml", "--out", "there", "--workers", "2", "--quiet").exit_code == 2
    reports = [
        json.loads((tmp_path / folder / "good/report.json").read_text())
        for folder in ("here", "there")
    ]
    assert reports[0]["objective"] == reports[1]["objective"]
