"""The page on a delivered fraction: complete, in figures and pictures, for people and programs."""

import json

import numpy as np
import pytest

import dosegrad as dg
from dosegrad.beams.deliveries import Delivery
from dosegrad.checks.deliveries import check_delivery
from dosegrad.checks.spot_deviations import planned_spots
from dosegrad.report.write import report_content, report_page, write_report


@pytest.fixture(scope="module")
def check():
    patient = dg.phantom("impt-2d")
    machine = dg.load_machine("generic-protons")
    beams = dg.steer(patient, machine, target="PTV", gantry=[60, 300], spot_spacing=15.0)
    plan = dg.Plan(beams, np.full(beams.n_columns, 60.0), fractions=30)
    spots = planned_spots(plan)
    rng = np.random.default_rng(3)
    spots["x"] += rng.normal(0.0, 0.2, spots.size)
    spots["y"][spots["beam"] == 2] += 1.5
    spots["mu"] *= rng.normal(1.0, 0.002, spots.size)
    spots["mu"][5] *= 1.2
    return check_delivery(patient, plan, Delivery(spots, "test record", ("a guess",)))


def test_the_page_holds_flags_deviations_and_doses(check, tmp_path):
    page, data = write_report(tmp_path, check, name="Case <7>")
    text = page.read_text(encoding="utf-8")
    assert "Case &lt;7&gt;" in text
    for words in (*check.flags, "a guess", "test record", "Gamma", "by the derivatives"):
        assert words in text
    assert text.count("<img") == 6
    content = json.loads(data.read_text(encoding="utf-8"))
    assert content["kind"] == "delivery"
    assert content["passed"] is False
    assert content["reasons"] == list(check.flags)
    assert content["spots"]["largest_deviation_mm"] > 1.5
    assert [each["number"] for each in content["beam_changes"]] == [1, 2]


def test_every_tolerance_has_its_line(check):
    spots = report_page(check).sections[0]
    rows = {row[0]: row for row in spots.tables[0].rows}
    assert rows["distance, mean of the worst layer"][3] == "out"
    assert rows["spots with a wrong meterset"][1:] == ["1", "none by 1 % and 0.01 MU", "out"]
    assert rows["delivered spots not planned"][1] == "0"
    assert rows["range, any layer"][3] == "within"


def test_parts_of_beams_add_up_to_all(check):
    content = report_content(check)
    for each in content["structures"]:
        sums = sum(b["mean_changes_gy"][each["name"]] for b in content["beam_changes"])
        assert sums == pytest.approx(each["delivered"]["mean"] - each["planned"]["mean"], abs=1e-9)
