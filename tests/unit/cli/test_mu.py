"""Monitor units on the command line."""

import json

import pytest
from typer.testing import CliRunner

from dosegrad.cli.app import app


def run(*arguments):
    return CliRunner().invoke(app, ["mu", *arguments])


def test_every_factor_and_the_result_are_shown():
    ended = run("--dose", "2", "--field", "80x120", "--depth", "100")
    assert ended.exit_code == 0
    for symbol in ("D0", "Sc", "Sp", "TPR", "WF", "TF", "OAR", "ISF"):
        assert f"\n {symbol} " in ended.stdout
    assert "MU for 2 Gy" in ended.stdout


def test_json_gives_the_numbers():
    content = json.loads(run("--json", "--setup", "fixed-ssd", "--ssd", "1000").stdout)
    assert content["factors"]["PDD"] == pytest.approx(1.0)
    assert content["monitor_units"] * content["dose_per_mu"] == pytest.approx(2.0)


def test_tables_are_printed_and_read_again(tmp_path):
    text = run("--show-tables").stdout
    file = tmp_path / "tables.dat"
    file.write_text(text)
    ours, again = (
        json.loads(run("--json", *more).stdout) for more in ((), ("--tables", str(file)))
    )
    assert again["monitor_units"] == pytest.approx(ours["monitor_units"], rel=1e-3)


def test_wrong_input_is_one_paragraph(capsys):
    for arguments, message in (
        (("--field", "ten"), "write a side in mm"),
        (("--machine", "generic-protons"), "for photons"),
        (("--setup", "sad"), "fixed-ssd"),
        (("--field", "5"), "outside the table"),
        (("--wedge", "2"), "the share that passes"),
        (("--tray", "45"), "not an angle"),
        (("--field", "100", "--off-axis", "60"), "outside the field"),
        (("--field", "80x120", "--off-axis", "61"), "reaches 60.0 mm"),
        (("--depth", "1e9"), "depth 1e+09 mm is not possible for a point in the isocentre"),
        (("--depth", "-1"), "depth -1 mm is not possible"),
    ):
        ended = run(*arguments)
        assert ended.exit_code == 2
        assert message in " ".join(ended.stderr.split())


def test_a_point_near_the_edge_is_warned_of():
    near = run("--field", "100", "--off-axis", "45")
    assert near.exit_code == 0
    assert "near the edge" in near.stderr
    within = run("--field", "100", "--off-axis", "30")
    assert within.exit_code == 0
    assert within.stderr == ""
