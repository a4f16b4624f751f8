"""Commands from end to end: what they write and say, and how they answer wrong input."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from dosegrad import __version__
from dosegrad.cli.app import app

PLAN = """
[patient]
phantom = "c-shape"
[beams]
machine = "generic-protons"
target = "Target"
gantry = 180
spot_spacing = 12.0
layer_spacing = 10.0
[dose]
spacing = [8.0, 8.0, 8.0]
[[objective]]
structure = "Target"
kind = "squared-deviation"
dose = 50.0
[optimisation]
max_iterations = 20
fractions = 25
[check]
goals = ["Target: Dmean >= 30 Gy"]
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments):
        return CliRunner().invoke(app, list(arguments), catch_exceptions=False)

    return invoke


@pytest.fixture
def write_plan(tmp_path):
    def write(old="", new=""):
        assert old in PLAN
        (tmp_path / "plan.toml").write_text(PLAN.replace(old, new, 1), encoding="utf-8")

    return write


def test_the_version_is_told(run):
    assert run("--version").stdout == f"dosegrad {__version__}\n"


def test_without_a_command_help_is_shown(run):
    assert "Usage" in run().output


def test_an_unknown_command_is_told_with_the_nearest(run):
    ended = run("plann")
    assert ended.exit_code == 2
    assert "plan" in ended.stderr


def test_phantoms_are_listed(run):
    ended = run("phantom")
    assert ended.exit_code == 0
    assert re.search(r"^ *c-shape ", ended.stdout, re.MULTILINE)
    assert "impt-2d" in json.loads(run("phantom", "--json").stdout)


def test_a_phantom_is_drawn(run, tmp_path):
    ended = run("phantom", "c-shape", "--out", "c.png")
    assert ended.exit_code == 0
    assert "Target" in ended.stdout
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_a_machine_is_shown(run, tmp_path):
    ended = run("machine", "show", "generic-protons", "--json")
    assert ended.exit_code == 0
    told = json.loads(ended.stdout)
    assert told["modality"] == "protons"
    assert len(told["energies"]) == len(told["ranges"]) > 10
    assert (tmp_path / "generic-protons.png").exists()


def test_info_tells_versions_threads_and_caches(run):
    told = json.loads(run("info", "--json").stdout)
    assert told["dosegrad"] == __version__
    assert told["threads"] >= 1
    assert {"numpy", "numba", "pydicom", "compiled kernels"} <= set(told)
    assert "numba" in run("info").stdout


def test_a_plan_is_made_saved_and_evaluated(run, write_plan, tmp_path):
    write_plan()
    ended = run("plan", "plan.toml", "--out", "plan", "--json")
    assert ended.exit_code == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["goals_met"] is True
    assert told["n_spots"] > 0
    assert told["fractions"] == 25
    names = {p.name for p in (tmp_path / "plan").iterdir()}
    assert {"plan.npz", "dose.nrrd", "report.json", "report.txt", "overview.png"} <= names
    report = json.loads((tmp_path / "plan" / "report.json").read_text(encoding="utf-8"))
    assert report["structures"]["Target"]["mean"] >= 30

    again = run("evaluate", "plan", "--json")
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout)["structures"] == report["structures"]
    missed = run(
        "evaluate", "plan/plan.npz", "--patient", "c-shape", "--goal", "Core: Dmax <= 1 Gy"
    )
    assert missed.exit_code == 3
    assert "Core" in missed.stdout


def test_the_dose_image_lies_where_the_dose_grid_lies(run, write_plan, tmp_path):
    import SimpleITK

    from dosegrad import load_plan

    write_plan()
    assert run("plan", "plan.toml", "--out", "plan", "--quiet").stdout == ""
    dose = load_plan(tmp_path / "plan" / "plan.npz").dose
    image = SimpleITK.ReadImage(str(tmp_path / "plan" / "dose.nrrd"))
    index = [2, 5, 7]  # z, y, x
    point = image.TransformIndexToPhysicalPoint(index[::-1])
    assert point == pytest.approx(dose.grid.to_point(index), abs=1e-6)
    array = SimpleITK.GetArrayFromImage(image)
    assert array == pytest.approx(dose.array, rel=1e-6, abs=1e-6)


def test_goals_that_are_not_met_change_the_exit_code(run, write_plan):
    write_plan("Dmean >= 30 Gy", "Dmean >= 80 Gy")
    assert run("plan", "plan.toml", "--out", "plan").exit_code == 3


WRONG_PLANS = [
    ('target = "Target"', 'target = "Traget"', "Did you mean 'Target'?"),
    ('structure = "Target"', 'structure = "Tagret"', "Did you mean 'Target'?"),
    ('machine = "generic-protons"', 'machine = "generic-proton"', "generic-protons"),
    ('phantom = "c-shape"', 'phantom = "cshape"', "Did you mean 'c-shape'?"),
    ('phantom = "c-shape"', 'path = "nothing.mat"', "does not exist"),
    ('phantom = "c-shape"', "", "--patient"),
    ("gantry = 180", "gantry = []", "[beams] gantry is []"),
    ("spot_spacing = 12.0", "spot_spacing = -1", "positive"),
    ("spacing = [8.0, 8.0, 8.0]", "spacing = [8.0, -8.0, 8.0]", "positive"),
    ("spacing = [8.0, 8.0, 8.0]", 'engine = "pencil"', "Did you mean 'pencil-beam'?"),
    ("Target: Dmean >= 30 Gy", "Tagret: Dmean >= 30 Gy", "Did you mean 'Target'?"),
    ("Target: Dmean >= 30 Gy", "Target: Dmeen >= 30 Gy", "Dmeen"),
    ("[check]", "[check", "line"),
]


@pytest.mark.parametrize(("old", "new", "words"), WRONG_PLANS)
def test_a_wrong_plan_is_one_paragraph_and_nothing_is_written(
    run, write_plan, tmp_path, old, new, words
):
    write_plan(old, new)
    ended = run("plan", "plan.toml", "--out", "plan")
    assert ended.exit_code == 2
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["plan.toml"]


def test_an_unwritable_output_is_told_before_the_work(run, write_plan, monkeypatch):
    write_plan()
    monkeypatch.setattr("dosegrad.cli.plan.choose_patient", lambda *_: pytest.fail("work began"))
    ended = run("plan", "plan.toml", "--out", "missing/plan")
    assert ended.exit_code == 2
    assert "does not exist" in ended.stderr


def test_an_interruption_leaves_nothing(run, write_plan, monkeypatch, tmp_path):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    write_plan()
    monkeypatch.setattr("dosegrad.optimisation.optimise.optimise", interrupt)
    ended = run("plan", "plan.toml", "--out", "plan")
    assert ended.exit_code == 130
    assert ended.stderr == "interrupted: nothing written.\n"
    assert [p.name for p in tmp_path.iterdir()] == ["plan.toml"]


WRONG_LINES = [
    (("phantom", "headd"), "Did you mean 'head'?"),
    (("phantom", "head", "--option", "swelling"), "write name=number"),
    (("phantom", "head", "--option", "sweling=3"), "swelling"),
    (("phantom", "c-shape", "--out", "c.doc"), ".png"),
    (("phantom", "c-shape", "--out", "no/c.png"), "does not exist"),
    (("machine", "show", "generic-proton"), "generic-protons"),
    (("evaluate", "nothing"), "nothing"),
    (("plan", "nothing.toml", "--out", "plan"), "cannot read plan file 'nothing.toml'"),
]


@pytest.mark.parametrize(("line", "words"), WRONG_LINES)
def test_a_wrong_line_is_one_paragraph(run, tmp_path, line, words):
    ended = run(*line)
    assert ended.exit_code == 2
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is another thing on Windows")
def test_control_c_in_the_middle_leaves_nothing(write_plan, tmp_path):
    write_plan(
        "spot_spacing = 12.0\nlayer_spacing = 10.0", "spot_spacing = 2.5\nlayer_spacing = 2.5"
    )
    command = [sys.executable, "-m", "dosegrad", "plan", "plan.toml", "--out", "plan"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        while not list(tmp_path.glob(".dosegrad-*")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
        # shells call both 130; Python ends by the signal itself if that came while it ran a string
        assert process.wait(timeout=60) in {130, -signal.SIGINT}
    # Python itself may tell of an exception that compiled code could not pass on
    assert told.endswith("interrupted: nothing written.\n")
    assert [p.name for p in tmp_path.iterdir()] == ["plan.toml"]
