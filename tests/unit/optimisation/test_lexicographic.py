"""Objectives in order of priority."""

import pytest

from dosegrad import objectives as obj
from dosegrad import optimise_lexicographic
from dosegrad.errors import CapabilityError, PlanError
from dosegrad.evaluation.dose_volume import structure_dvh
from dosegrad.optimisation.lexicographic import Priority
from dosegrad.optimisation.solvers.lbfgsb import LBFGSB

TARGET = obj.SquaredDeviation(50.0).on("Target")
HOT = obj.SquaredOverdose(20.0).on("Organ")
ORGAN = obj.MeanDose().on("Organ")
MANY = LBFGSB(max_iterations=1500, tolerance=1e-6)


@pytest.fixture(scope="module")
def influence(toy):
    return toy.influence(80)


def test_what_comes_first_is_not_given_up(influence):
    order = [Priority(TARGET, goal=9.0), Priority(HOT, goal=40.0), ORGAN]
    plan = optimise_lexicographic(influence, order, solver=MANY)
    first, second, last = plan.provenance["priorities"]
    for row in (first, second):
        held = row["goal"] if row["reached"] <= row["goal"] else 1.03 * row["reached"]
        assert row["value"] <= held * 1.02
    assert last["value"] > 0


def test_a_later_place_costs(influence):
    ahead = optimise_lexicographic(influence, [ORGAN, Priority(TARGET, 9.0)], solver=MANY)
    behind = optimise_lexicographic(influence, [Priority(TARGET, 9.0), ORGAN], solver=MANY)
    values = [
        {row["objective"]: row["value"] for row in plan.provenance["priorities"]}
        for plan in (ahead, behind)
    ]
    assert values[0][repr(ORGAN)] < values[1][repr(ORGAN)]
    assert values[0][repr(TARGET)] > values[1][repr(TARGET)]


def test_limits_come_before_all(influence):
    order = [Priority(TARGET, goal=9.0), ORGAN]
    free = optimise_lexicographic(influence, order, solver=MANY)
    organ = influence.patient.structures["Organ"]
    top = 0.7 * structure_dvh(free.dose, organ).mean
    plan = optimise_lexicographic(
        influence, order, constraints=[f"Organ: Dmean <= {top:.6f} Gy"], solver=MANY
    )
    assert structure_dvh(plan.dose, organ).mean <= top * 1.001


def test_wrong_orders(influence):
    with pytest.raises(PlanError, match="order of priorities is empty"):
        optimise_lexicographic(influence, [])
    with pytest.raises(PlanError, match="1 or more"):
        optimise_lexicographic(influence, [ORGAN], slack=0.9)
    with pytest.raises(PlanError, match="no order of priorities"):
        optimise_lexicographic(influence, {"Target": [obj.SquaredDeviation(50.0)]})
    with pytest.raises(PlanError, match="does not name its structure"):
        optimise_lexicographic(influence, [obj.SquaredDeviation(50.0)])
    for wish in (obj.MeanDose().robust(), obj.MeanDose().of("let_dose")):
        with pytest.raises(CapabilityError, match="nominal plans"):
            optimise_lexicographic(influence, [TARGET, wish.on("Organ")])
    for goal in (float("nan"), -1.0, float("inf")):
        with pytest.raises(PlanError, match="cannot be"):
            Priority(TARGET, goal=goal)


def test_the_last_priority_too_is_pushed_further(influence):
    """In the second phase the first is pushed, which the last must not have to pay for."""
    order = [Priority(TARGET, goal=9.0), Priority(ORGAN, goal=60.0)]
    plan = optimise_lexicographic(influence, order, solver=MANY)
    first, last = plan.provenance["priorities"]
    held = 1.03 * first["reached"]
    alone = optimise_lexicographic(
        influence, [Priority(TARGET, goal=float(held)), ORGAN], solver=MANY
    )
    assert last["value"] <= 1.02 * alone.provenance["priorities"][1]["reached"]
