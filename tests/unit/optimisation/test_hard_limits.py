"""Plans under hard limits, by the augmented Lagrangian and by IPOPT."""

import numpy as np
import pytest

from dosegrad import evaluate, optimise
from dosegrad import objectives as obj
from dosegrad.errors import CapabilityError, PlanError, UnknownNameError
from dosegrad.objectives import limits
from dosegrad.optimisation.hard_limits import place_limits
from dosegrad.optimisation.solvers.lbfgsb import LBFGSB

WISHES = {
    "Target": [obj.SquaredDeviation(50.0, weight=100)],
    "Body": [obj.MeanDose(weight=1)],
}
MANY = LBFGSB(max_iterations=2000, tolerance=1e-6)
CASES = (
    ("Organ", limits.MaxDose(55.0)),
    ("Organ", limits.MaxMean(18.0)),
    ("Organ", limits.MaxEUD(25.0, a=4.0)),
    ("Organ", limits.MaxMeanTail(38.0, volume=0.2)),
    ("Organ", limits.MaxVolume(30.0, volume=0.2)),
    ("Target", limits.MinMeanTail(46.0, volume=0.1)),
    ("Target", limits.MinDose(45.5)),
)


@pytest.fixture(scope="module")
def influence(toy):
    return toy.influence(80)


@pytest.fixture(scope="module")
def free(influence):
    return optimise(influence, WISHES, solver=MANY)


def miss(influence, plan, name, limit):
    inside = influence.patient.structures[name].mask(influence.grid)
    dose = plan.dose.array[inside]
    return limit.miss(dose, np.full(dose.size, 1.0 / dose.size))


@pytest.mark.parametrize(("name", "limit"), CASES, ids=repr)
def test_limits_are_kept_at_a_price(influence, free, name, limit):
    plan = optimise(influence, WISHES, solver=MANY, constraints={name: [limit]})
    assert miss(influence, free, name, limit) > 0  # else it would not be a test
    assert miss(influence, plan, name, limit) <= 1e-3 * limit.size
    assert plan.message == "converged: every limit is kept"
    assert plan.objective > free.objective
    told = plan.provenance["constraints"][0]
    assert told["kept"]
    assert told["limit"].startswith(name)


def test_limits_that_are_kept_anyway_change_nothing(influence, free):
    plan = optimise(influence, WISHES, solver=MANY, constraints=["Target: Dmax <= 500 Gy"])
    assert plan.objective == pytest.approx(free.objective, rel=1e-5)
    assert "without being pushed" in plan.message


def test_ipopt_agrees_with_the_augmented_lagrangian(influence):
    pytest.importorskip("ipyopt", reason="the optional solver is not installed")
    constraints = {"Organ": limits.MaxMean(18.0), "Target": limits.MinMeanTail(46.0, volume=0.1)}
    plans = [
        optimise(influence, WISHES, solver=solver, constraints=constraints, max_iterations=2000)
        for solver in (MANY, "ipopt")
    ]
    for plan in plans:
        assert all(row["kept"] for row in plan.provenance["constraints"])
        assert "every limit is kept" in plan.message
    assert plans[1].objective == pytest.approx(plans[0].objective, rel=0.02)


def test_ipopt_without_limits_finds_the_same_optimum(influence, free):
    pytest.importorskip("ipyopt", reason="the optional solver is not installed")
    plan = optimise(influence, WISHES, solver="ipopt", tolerance=1e-7, max_iterations=1000)
    assert plan.objective == pytest.approx(free.objective, rel=0.01)


def test_contradictions_are_told(influence):
    constraints = ["Target: Dmean >= 50 Gy", "Target: Dmax <= 45 Gy"]
    plan = optimise(influence, WISHES, constraints=constraints, max_iterations=300)
    assert plan.message.startswith("not feasible: ")
    assert "'Target: D" in plan.message
    assert not all(row["kept"] for row in plan.provenance["constraints"])


def test_sentences_are_met_as_they_are_evaluated(influence):
    goals = ["Organ: Dmean <= 18 Gy"]
    plan = optimise(influence, WISHES, solver=MANY, constraints=goals)
    row = next(iter(evaluate(plan.dose, influence.patient, goals)))
    assert row.value <= 18.0 * 1.01


def test_limits_in_every_form(influence):
    forms = (
        {"Organ": limits.MaxDose(40.0)},
        {"Organ": [limits.MaxDose(40.0)]},
        [limits.MaxDose(40.0).on("Organ")],
        "Organ: Dmax <= 40 Gy",
    )
    placed = [place_limits(influence, form)[0] for form in forms]
    assert all(p.limit == limits.MaxDose(40.0) for p in placed)
    assert all(np.array_equal(p.rows, placed[0].rows) for p in placed)


def test_wrong_limits_say_what_to_write(influence):
    with pytest.raises(PlanError, match="is no limit"):
        optimise(influence, WISHES, constraints={"Organ": obj.MeanDose()})
    with pytest.raises(PlanError, match=r"limits\.MaxDose\(45\.0\)\.on"):
        optimise(influence, WISHES, constraints=[limits.MaxDose(40.0)])
    with pytest.raises(UnknownNameError, match="Did you mean 'Organ'"):
        optimise(influence, WISHES, constraints={"Orgam": limits.MaxDose(40.0)})
    with pytest.raises(CapabilityError, match="single fields"):
        optimise(influence, WISHES, constraints="Organ: Dmax <= 40 Gy", mode="sfud")
