import json
from dataclasses import replace

import numpy as np
import pytest

from dosegrad.dose import Dose
from dosegrad.errors import PlanError, UnknownNameError
from dosegrad.evaluation.clinical_goals import evaluate
from dosegrad.evaluation.goals import Goal
from dosegrad.patient.patient import Patient

SHAPE, SPACING = (12, 14, 16), (3.0, 2.5, 2.0)


@pytest.fixture
def patient():
    target = np.zeros(SHAPE, bool)
    target[3:9, 3:10, 3:10] = True
    organ = np.zeros(SHAPE, bool)
    organ[3:9, 3:10, 10:14] = True
    return Patient.from_arrays(
        np.zeros(SHAPE),
        spacing=SPACING,
        structures={"PTV": target, "Spinal cord: left": organ},
        roles={"PTV": "target"},
    )


def dose(patient, target=60.0, elsewhere=10.0):
    grid = patient.ct.grid
    inside = patient.structures["PTV"].mask(grid)
    return Dose(grid, np.where(inside, target, elsewhere))


@pytest.mark.parametrize(
    ("sentence", "structure", "metric", "comparator", "limit", "unit"),
    [
        ("PTV: D95% >= 60 Gy", "PTV", "D95%", ">=", 60, "Gy"),
        ("Core: Dmax <= 40 Gy", "Core", "Dmax", "<=", 40, "Gy"),
        ("Brainstem: D0.03cc <= 54 Gy", "Brainstem", "D0.03cc", "<=", 54, "Gy"),
        ("Rectum: V50Gy <= 30 %", "Rectum", "V50Gy", "<=", 30, "%"),
        ("Lung left: V20Gy<=10cc", "Lung left", "V20Gy", "<=", 10, "cc"),
        ("a: b: Dmean ≤ 20 Gy (RBE)", "a: b", "Dmean", "<=", 20, "Gy"),
        ("PTV : Dmin > 50.5 gy", "PTV", "Dmin", ">", 50.5, "Gy"),
        ("PTV: CI >= 0.6", "PTV", "CI", ">=", 0.6, ""),
        ("PTV: CI57Gy >= .6", "PTV", "CI57Gy", ">=", 0.6, ""),
        ("PTV: HI <= 0.1", "PTV", "HI", "<=", 0.1, ""),
    ],
)
def test_sentences(sentence, structure, metric, comparator, limit, unit):
    goal = Goal.parse(sentence)
    assert (goal.structure, goal.metric.name) == (structure, metric)
    assert (goal.comparator, goal.limit, goal.unit) == (comparator, limit, unit)
    assert Goal.parse(str(goal)) == goal


@pytest.mark.parametrize(
    ("sentence", "part"),
    [
        ("D95% >= 60 Gy", "there is no structure before a colon"),
        (": D95% >= 60 Gy", "there is no structure before a colon"),
        ("PTV: D95% 60 Gy", "'D95% 60 Gy' compares nothing"),
        ("PTV: D95 >= 60 Gy", "'D95' is no metric"),
        ("PTV: D195% >= 60 Gy", "more than 100 %"),
        ("PTV: D95% >= sixty", "'sixty' is no number"),
        ("PTV: D95% >= 60", "'nothing' is no unit of D95% (have: Gy)"),
        ("PTV: V20Gy <= 10 Gy", "'Gy' is no unit of V20Gy (have: %, cc)"),
        ("PTV: HI <= 10 %", "'%' is no unit of HI (have: none)"),
    ],
)
def test_errors_point_at_the_part(sentence, part):
    with pytest.raises(PlanError) as error:
        Goal.parse(sentence)
    assert part in str(error.value)
    assert f"goal {sentence!r}" in str(error.value)
    assert "Write it like 'PTV: D95% >= 57 Gy'." in str(error.value)


def test_report_of_a_dose(patient):
    goals = [
        "PTV: D95% >= 60 Gy",
        "PTV: CI >= 0.9",
        "PTV: HI <= 0.1",
        "Spinal cord: left: Dmax <= 5 Gy",
        "Spinal cord: left: V10Gy <= 100 %",
        "Spinal cord: left: V5Gy >= 2.52 cc",
    ]
    report = evaluate(dose(patient), patient, goals)
    assert [row.met for row in report] == [True, True, True, False, True, True]
    assert not report.all_met
    assert report[0].value == pytest.approx(60.0)
    assert report[1].value == pytest.approx(1.0)
    assert str(report).splitlines()[0].split() == ["structure", "metric", "goal", "value", "met"]
    assert "5 of 6 goals met" in str(report)
    assert len({line.index("D95%") for line in str(report).splitlines() if "D95%" in line}) == 1
    content = json.loads(report.to_json())
    assert content["all_met"] is False
    assert content["goals"][0]["goal"] == goals[0]
    assert content["goals"][3]["met"] is False


def test_unknown_structure_is_guessed(patient):
    with pytest.raises(UnknownNameError, match="Did you mean 'PTV'"):
        evaluate(dose(patient), patient, ["PVT: D95% >= 60 Gy"])


def test_worst_scenario_of_each_goal(patient):
    doses = [dose(patient, 60.0, 10.0), dose(patient, 55.0, 12.0), dose(patient, 58.0, 14.0)]
    goals = ["PTV: D95% >= 57 Gy", "Spinal cord: left: Dmax <= 20 Gy"]
    report = evaluate(doses, patient, goals)
    assert len(report) == 6
    assert "scenario" in str(report)
    worst = report.worst()
    assert [row.scenario for row in worst] == [1, 2]
    assert [row.met for row in worst] == [False, True]
    table = report.by_scenario(["nominal", "x +3 mm"]).splitlines()
    assert [line.split("  ")[0] for line in table[2:]] == ["nominal", "x +3 mm", "2"]
    assert [line.count("!") for line in table] == [0, 0, 0, 1, 0]
    single = evaluate(doses[0], patient, goals)
    assert single.worst() == single
    assert single.all_met


def test_a_structure_without_dose_meets_nothing():
    shape = (4, 5, 6)
    mask = np.zeros(shape, bool)
    patient = Patient.from_arrays(np.zeros(shape), spacing=SPACING, structures={"Empty": mask})
    report = evaluate(
        Dose(patient.ct.grid, np.zeros(shape)), patient, ["Empty: Dmax <= 5 Gy", "Empty: HI <= 1"]
    )
    assert not report[0].met
    assert "no dose" in str(report)
    assert json.loads(report.to_json())["goals"][0]["value"] is None


def test_no_dose_at_all(patient):
    with pytest.raises(PlanError, match="no dose to evaluate"):
        evaluate([], patient, ["PTV: D95% >= 57 Gy"])


def test_what_lies_outside_the_dose_grid_is_not_met_in_silence(patient):
    full = dose(patient)
    half = Dose(replace(full.grid, shape=(6, 14, 16)), full.array[:6])
    goals = [
        "PTV: D95% >= 57 Gy", "PTV: Dmean >= 57 Gy", "PTV: V57Gy >= 90 %",
        "PTV: Dmax <= 64 Gy", "PTV: V57Gy >= 1 cc",
    ]  # fmt: skip
    report = evaluate(half, patient, goals)
    assert [row.met for row in report] == [False, False, False, True, True]
    assert all(np.isnan(row.value) for row in report.rows[:3])
    said = "50 % of PTV lies outside the dose grid; its values are of the rest"
    assert report.warnings == (said,)
    assert f"warning: {said}" in str(report)
    assert json.loads(report.worst().to_json())["warnings"] == [said]


def test_a_structure_up_to_the_rim_of_the_dose_grid_is_whole(patient):
    full = dose(patient)
    tight = Dose(replace(full.grid, shape=(9, 14, 16)), full.array[:9])
    report = evaluate(tight, patient, ["PTV: D95% >= 57 Gy"])
    assert report.all_met
    assert report.warnings == ()
