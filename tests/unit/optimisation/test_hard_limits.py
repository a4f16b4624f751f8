"""Plans under hard limits, by the augmented Lagrangian and by IPOPT."""

from dataclasses import replace

import numpy as np
import pytest

from dosegrad import compute_influence, evaluate, load_machine, optimise, phantom, steer
from dosegrad import objectives as obj
from dosegrad.errors import CapabilityError, PlanError, UnknownNameError
from dosegrad.evaluation.dose_volume import structure_dvh
from dosegrad.influence.matrix import Influence
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
    dose = structure_dvh(plan.dose, influence.patient.structures[name]).doses
    return limit.miss(dose, np.full(dose.size, 1.0 / dose.size))


@pytest.mark.parametrize(("name", "limit"), CASES, ids=repr)
def test_limits_are_kept_at_a_price(influence, free, name, limit):
    plan = optimise(influence, WISHES, solver=MANY, constraints={name: [limit]})
    assert miss(influence, free, name, limit) > 0  # else it would not be a test
    assert miss(influence, plan, name, limit) <= 1e-9
    assert plan.message.startswith("converged: every limit is kept")
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
    constraints = {"Organ": limits.MaxMean(25.0), "Target": limits.MinMeanTail(43.0, volume=0.1)}
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
    assert evaluate(plan.dose, influence.patient, goals).all_met


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


def test_wishes_for_nothing_are_refused(influence):
    for nothing in ([], {}):
        with pytest.raises(PlanError, match="holds no limit; leave it out"):
            optimise(influence, WISHES, constraints=nothing)
    with pytest.raises(PlanError, match=r"constraints=\['Organ: Dmean <= 5 Gy'\]"):
        optimise(influence, WISHES, constraints={"Organ": "Dmean <= 5 Gy"})
    for a in (0.0, float("nan"), float("inf")):
        with pytest.raises(PlanError, match="exponent"):
            limits.MaxEUD(15.0, a)
        with pytest.raises(PlanError, match="exponent"):
            limits.MinEUD(15.0, a)


@pytest.mark.parametrize("most", [1, 5, 60])
def test_no_more_iterations_than_allowed(influence, most):
    plan = optimise(influence, WISHES, constraints=["Organ: Dmean <= 18 Gy"], max_iterations=most)
    assert len(plan.history) - 2 <= most  # the first value and the one without limits besides


def test_ipopt_that_is_stopped_does_not_say_that_there_is_no_plan(influence):
    pytest.importorskip("ipyopt", reason="the optional solver is not installed")
    constraints = {"Organ": limits.MaxMean(18.0)}
    plan = optimise(influence, WISHES, solver="ipopt", constraints=constraints, max_iterations=3)
    assert plan.message.startswith("not converged: 'Organ: MaxMean")
    assert "rounds" not in plan.message
    assert "3 iterations" in plan.message


def test_a_good_enough_objective_ends_a_plan_that_keeps_its_limits(influence):
    constraints = ["Organ: Dmean <= 18 Gy"]
    plan = optimise(influence, WISHES, solver=MANY, constraints=constraints, stop_below=1e12)
    assert plan.message.startswith("stopped: the objective is below 1e+12")
    assert plan.provenance["constraints"][0]["kept"]
    full = optimise(influence, WISHES, solver=MANY, constraints=constraints)
    assert len(plan.history) < len(full.history)


def test_coordinate_descent_leaves_limits_to_l_bfgs_b_and_says_so(influence):
    constraints = ["Organ: Dmean <= 40 Gy"]
    plan = optimise(influence, WISHES, solver="coordinate-descent", constraints=constraints)
    assert plan.provenance["solver"] == "LBFGSB"


def test_a_point_of_the_histogram_is_found_from_far_away():
    """Where all of the core is 30 Gy above, a point of its histogram has no slope."""
    influence = coarse_case(8.0)
    wishes = {"Target": obj.SquaredDeviation(50.0, weight=100), "Body": obj.MeanDose()}
    limit = {"Core": limits.MaxVolume(20.0, 0.2)}
    plan = optimise(influence, wishes, constraints=limit, max_iterations=400)
    assert plan.provenance["constraints"][0]["kept"]
    curve = structure_dvh(plan.dose, influence.patient.structures["Core"])
    assert curve.volume_at(20.0) <= 0.2 + 1.0 / curve.doses.size


def coarse_case(spacing):
    patient, machine = phantom("c-shape"), load_machine("generic-protons")
    beams = steer(
        patient, machine, target="Target", gantry=[90, 270], spot_spacing=12.0, layer_spacing=10.0
    )
    return compute_influence(patient, beams, dose_spacing=(spacing,) * 3)


@pytest.mark.parametrize("spacing", [8.0, 6.5])
def test_what_is_kept_is_evaluated_as_met_on_coarse_grids(spacing):
    influence = coarse_case(spacing)
    wishes = {"Target": obj.SquaredDeviation(50.0, weight=100), "Body": obj.MeanDose()}
    sentences = (
        "Core: Dmean <= 15 Gy",
        "Core: Dmax <= 40 Gy",
        "Target: D95% >= 42 Gy",
        "Target: Dmax <= 75 Gy",
        "Core: V20Gy <= 30 %",
    )
    n_kept = 0
    for sentence in sentences:
        plan = optimise(influence, wishes, constraints=[sentence], max_iterations=400)
        told = plan.provenance["constraints"][0]
        row = next(iter(evaluate(plan.dose, influence.patient, [sentence])))
        assert row.met or not told["kept"]
        assert told["kept"] or plan.message.startswith("not ")
        n_kept += told["kept"]
    assert n_kept >= 4


def test_rows_at_the_border_are_needed_too():
    influence = coarse_case(8.0)
    inside = influence.patient.structures["Core"].mask(influence.grid).ravel()
    held = np.flatnonzero(inside[influence.voxels])
    bare = Influence(
        influence.patient,
        influence.beams,
        influence.grid,
        influence.voxels[held],
        influence.matrix[held],
        covers_body=False,
    )
    with pytest.raises(PlanError, match=r"at its border on which goals are evaluated.*'body'"):
        place_limits(bare, {"Core": limits.MaxMean(15.0)})


def test_a_structure_that_the_dose_grid_cuts_is_refused():
    patient, machine = phantom("c-shape"), load_machine("generic-protons")
    beams = steer(
        patient, machine, target="Target", gantry=[90], spot_spacing=20.0, layer_spacing=20.0
    )
    core = patient.structures["Core"]
    whole = patient.ct.grid
    middle = int(np.median(np.nonzero(core.mask(whole))[0]))
    half = replace(whole, shape=(middle, *whole.shape[1:]))
    influence = compute_influence(patient, beams, grid=half)
    with pytest.raises(PlanError, match=r"% of it lie outside the dose grid"):
        place_limits(influence, ["Core: Dmean <= 15 Gy"])
