"""Aggregations over scenarios against finite differences and an independent twin of matRad's."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.optimize import linprog

from dosegrad import rbe
from dosegrad.beams.steering import steer
from dosegrad.errors import CapabilityError, PlanError, SettingsError, UnknownNameError
from dosegrad.evaluation.clinical_goals import evaluate
from dosegrad.influence.build import compute_influence
from dosegrad.influence.scenario_doses import scenario_doses
from dosegrad.influence.scenario_map import ScenarioMatrices
from dosegrad.influence.scenario_storage import RunLengthMatrix
from dosegrad.influence.scenarios import Scenario, Scenarios
from dosegrad.machine.library import load_machine
from dosegrad.objectives import (
    EUD,
    MeanDose,
    MinDVH,
    SpotSmoothness,
    SquaredDeviation,
    SquaredOverdose,
    SquaredUnderdose,
)
from dosegrad.optimisation.optimise import optimise
from dosegrad.optimisation.problem import Term
from dosegrad.optimisation.robust import (
    CVaR,
    Expected,
    Minimax,
    ObjectiveWise,
    VoxelWise,
    resolve_robust,
    soft_cvar,
    soft_maximum,
)
from dosegrad.optimisation.robust_problem import RobustProblem, form_groups, worst_dose
from dosegrad.optimisation.wishes import make_terms
from dosegrad.patient.phantoms import phantom

CHANCES = (0.4, 0.3, 0.2, 0.1)
CASES = Scenarios((Scenario(), *(Scenario((float(k), 0.0, 0.0)) for k in (1, 2, 3))), CHANCES)
GOALS = {
    "Target": [SquaredDeviation(60.0, weight=100.0)],
    "Organ": [SquaredOverdose(20.0, weight=10.0)],
}


class Standstill:
    """An engine that computes no dose without a matrix."""


@dataclass(frozen=True)
class Shelf:
    """An engine that has matrices ready for shifts of 1, 2 and 3 mm."""

    matrices: dict

    def forward(self, medium, beams, weights, voxels):
        return self.matrices[round(beams[0].isocentre[0])] @ weights


@pytest.fixture(scope="module")
def shaken(toy):
    """A made-up influence with four scenarios on target and organ."""
    plan = toy.influence()
    masks = [plan.patient.structure(n).mask(plan.grid).ravel() for n in ("Target", "Organ")]
    rows = np.flatnonzero((masks[0] | masks[1])[plan.voxels])
    others = {k: ((toy.influence(seed=k).matrix + plan.matrix * 2) / 3).tocsc() for k in (1, 2, 3)}
    held = {k: RunLengthMatrix.of(m[rows].tocsc()) for k, m in others.items()}
    matrices = ScenarioMatrices(CASES, ("Target", "Organ"), rows, held, Shelf(others))
    return replace(plan, scenarios=matrices)


def dense(shaken):
    """Matrices (n_scenarios, n_rows, n_columns) of target and organ, in float64."""
    held = shaken.scenarios
    nominal = shaken.matrix.toarray().astype(float)[held.rows]
    return np.stack([nominal, *(held.matrices[k].to_csc().toarray() for k in (1, 2, 3))])


def own_voxels(shaken):
    """Rows of the scenario matrices that each structure owns; the target goes first."""
    voxels = shaken.voxels[shaken.scenarios.rows]
    target, organ = (
        shaken.patient.structure(n).mask(shaken.grid).ravel()[voxels] for n in ("Target", "Organ")
    )
    return {"Target": target, "Organ": organ & ~target}


def problem_of(shaken, ways, objectives=None):
    """A robust problem of the toy case, with the terms in its own rows."""
    held = shaken.scenarios
    wanted = objectives or [("Target", GOALS["Target"][0]), ("Organ", GOALS["Organ"][0])]
    terms = []
    for name, objective in wanted:
        terms.append(Term(name, objective, np.flatnonzero(own_voxels(shaken)[name])))
    roles = [t.structure == "Target" for t in terms]
    maps = held.maps(shaken.matrix, held.rows)
    return RobustProblem(maps, np.array(CHANCES), form_groups(terms, ways, roles))


WAYS = [
    Expected(),
    Minimax(),
    ObjectiveWise(),
    VoxelWise(),
    VoxelWise("role"),
    CVaR(0.5),
    CVaR(0.0),
]


@pytest.mark.parametrize("way", WAYS, ids=repr)
@pytest.mark.parametrize("kind", ["usual", "one-sided", "equivalent"])
def test_gradients_against_differences(shaken, way, kind):
    objectives = {
        "usual": None,
        "one-sided": [
            ("Target", SquaredUnderdose(60.0, weight=3.0)),
            ("Organ", MeanDose(weight=2)),
        ],
        "equivalent": [("Organ", EUD(0.0, a=4.0, weight=5.0)), ("Target", SquaredOverdose(50.0))],
    }[kind]
    problem = problem_of(shaken, [way, way], objectives)
    rng = np.random.default_rng(4)
    weights = 20.0 * rng.random(shaken.beams.n_columns)
    softness = [0.2 * max(v, 1e-9) for v in problem.values(problem.doses(weights))]
    _, gradient = problem.value_and_gradient(weights, softness)
    for _ in range(3):
        way_out = rng.standard_normal(weights.size)
        step = 1e-5
        ends = [
            problem.value_and_gradient(weights + s * way_out, softness)[0] for s in (step, -step)
        ]
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(
            gradient @ way_out, rel=1e-6, abs=1e-7
        )


def test_values_are_those_of_matrad(shaken):
    """matRad: none, STOCH, VWWC, COWC and OWC of squared over-, under- and deviation [Wieser2017]_.

    The twin below knows nothing of the code but the matrices and the weights.
    """
    everything = dense(shaken)
    weights = 15.0 * np.random.default_rng(2).random(shaken.beams.n_columns)
    doses = everything @ weights
    masks = own_voxels(shaken)

    def value(dose, which):
        if which == "target":
            return 100.0 * np.mean((dose[masks["Target"]] - 60.0) ** 2)
        return 10.0 * np.mean(np.maximum(dose[masks["Organ"]] - 20.0, 0.0) ** 2)

    target = [value(d, "target") for d in doses]
    organ = [value(d, "organ") for d in doses]
    p = np.array(CHANCES) / np.sum(CHANCES)
    twin = {
        Expected(): p @ target + p @ organ,
        VoxelWise("role"): value(doses.min(axis=0), "target") + value(doses.max(axis=0), "organ"),
        Minimax(): np.max(np.add(target, organ)),
        ObjectiveWise(): np.max(target) + np.max(organ),
    }
    for way, wanted in twin.items():
        problem = problem_of(shaken, [way, way])
        assert sum(problem.values(problem.doses(weights))) == pytest.approx(wanted, rel=1e-12)
    nominal = optimise(shaken, GOALS, initial=weights, max_iterations=1)
    assert nominal.history[0] == pytest.approx(target[0] + organ[0], rel=1e-6)


def test_every_way_meets_the_others_where_it_should(shaken):
    weights = 15.0 * np.random.default_rng(3).random(shaken.beams.n_columns)

    def value(way):
        problem = problem_of(shaken, [way, way])
        return sum(problem.values(problem.doses(weights)))

    assert value(CVaR(0.0)) == pytest.approx(value(Expected()), rel=1e-12)
    assert value(CVaR(0.95)) == pytest.approx(value(Minimax()), rel=1e-12)  # the worst has 10 %
    assert value(Expected()) < value(CVaR(0.5)) < value(Minimax())
    assert value(Minimax()) <= value(ObjectiveWise()) <= value(VoxelWise()) + 1e-9


def test_soft_maximum_is_rounded_within_its_bounds():
    values = np.array([1.0, 5.0, 4.9, -2.0])
    value, share = soft_maximum(values, 0.1)
    assert 5.0 <= value <= 5.0 + 0.1 * np.log(4)
    assert share.sum() == pytest.approx(1.0)
    assert soft_maximum(values, 0.0) == (5.0, pytest.approx([0, 1, 0, 0]))
    assert soft_maximum(1e6 * values, 1e-3)[0] == pytest.approx(5e6)  # and does not overflow


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.75, 0.97])
def test_cvar_is_the_linear_programme(alpha):
    rng = np.random.default_rng(7)
    for _ in range(5):
        values, chances = rng.normal(size=9), rng.dirichlet(np.ones(9))
        bounds = [(0.0, p / (1 - alpha)) for p in chances]
        found = linprog(-values, A_eq=np.ones((1, 9)), b_eq=[1.0], bounds=bounds)
        value, weight = soft_cvar(values, chances, alpha, 0.0)
        assert value == pytest.approx(-found.fun, abs=1e-9)
        assert weight.sum() == pytest.approx(1.0)
        for softness in (1e-3, 0.1, 10.0):
            soft, share = soft_cvar(values, chances, alpha, softness)
            assert value + softness * np.log(1 - alpha) - 1e-9 <= soft <= value + 1e-9
            assert share.sum() == pytest.approx(1.0)
            assert (share <= chances / (1 - alpha) + 1e-12).all()


@pytest.mark.parametrize("softness", [0.0, 1.0])
def test_a_scenario_that_cannot_be_has_no_weight_in_cvar(softness):
    values, chances = np.array([1000.0, 1.0, 3.0]), np.array([0.0, 0.5, 0.5])
    value, weight = soft_cvar(values, chances, 0.0, softness)
    assert value == pytest.approx(2.0)
    np.testing.assert_allclose(weight, chances)


def test_worst_dose_of_each_kind():
    doses = np.array([[10.0, 50.0, 61.0], [55.0, 69.0, 58.0]])
    rows = np.arange(3)

    def worst(objective, **settings):
        choice = {"is_target": True, "side": "objective", **settings}
        return worst_dose(doses, Term("T", objective, rows), **choice).tolist()

    assert worst(SquaredDeviation(60.0)) == [0, 0, 1]
    assert worst(SquaredDeviation(52.0)) == [0, 1, 0]
    assert worst(SquaredUnderdose(60.0)) == [0, 0, 1]
    assert worst(MinDVH(dose=60.0, volume=0.9)) == [0, 0, 1]
    assert worst(SquaredOverdose(40.0)) == [1, 1, 0]
    assert worst(MeanDose()) == [1, 1, 0]
    assert worst(MeanDose(), side="role") == [0, 0, 1]
    assert worst(MeanDose(), side="role", is_target=False) == [1, 1, 0]


@pytest.mark.parametrize("name", ["expected", "minimax", "objective-wise", "voxel-wise", "cvar"])
def test_robust_plans_improve_on_the_nominal_one(shaken, name):
    nominal = optimise(shaken, GOALS)
    plan = optimise(shaken, GOALS, robust=name)
    way = resolve_robust(name)
    problem = problem_of(shaken, [way, way])
    before = sum(problem.values(problem.doses(nominal.weights)))
    assert plan.objective == pytest.approx(sum(problem.values(problem.doses(plan.weights))))
    assert plan.objective < 0.99 * before
    assert (plan.weights >= 0).all()
    assert len(plan.scenario_doses) == 4
    assert plan.scenario_doses[0].array == pytest.approx(plan.dose.array)
    assert plan.provenance["scenarios"] == list(CASES.names)
    assert name.split("-")[0][:4].lower() in plan.provenance["objectives"][0].lower()
    if name == "expected":
        assert all(a >= b - 1e-6 * b for a, b in zip(plan.history, plan.history[1:], strict=False))
    report = evaluate(plan.scenario_doses, shaken.patient, ["Target: Dmean >= 40 Gy"])
    assert len(report) == 4
    assert len(report.worst()) == 1


def test_doses_of_an_engine_without_forward_end_at_the_rows(shaken):
    held = replace(shaken.scenarios, engine=Standstill())
    weights = np.ones(shaken.beams.n_columns)
    doses = scenario_doses(replace(shaken, scenarios=held), weights)
    rows = doses[2].array.ravel()[shaken.voxels]
    np.testing.assert_allclose(rows[held.rows], held.matrices[2].forward(weights))
    assert np.isnan(np.delete(rows, held.rows)).all()


def test_a_nominal_plan_says_that_scenarios_play_no_part(shaken):
    nominal = optimise(shaken, GOALS, max_iterations=5)
    assert nominal.message.endswith("play no part without robust=")
    assert nominal.scenario_doses == ()
    assert "play no part" not in optimise(shaken, GOALS, robust="minimax", max_iterations=5).message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_good_enough_value_is_finite(shaken, value):
    with pytest.raises(SettingsError, match="stop_below"):
        optimise(shaken, GOALS, stop_below=value)


def test_scenarios_as_needed_reach_the_same(shaken):
    for way in (Minimax, ObjectiveWise):
        whole = optimise(shaken, GOALS, robust=way(scenarios="all"), tolerance=1e-6)
        needed = optimise(shaken, GOALS, robust=way(), tolerance=1e-6)
        assert needed.objective == pytest.approx(whole.objective, rel=0.02)
        falls = zip(whole.history, whole.history[1:], strict=False)
        assert all(a >= b - 1e-6 * b for a, b in falls)
    mixed = {"Target": Minimax(), "Organ": "expected"}
    assert "mattered" not in optimise(shaken, GOALS, robust=mixed, max_iterations=5).message


def test_some_objectives_robust_others_not(shaken):
    goals = {
        "Target": [SquaredDeviation(60.0, weight=100.0).robust()],
        "Organ": [SquaredOverdose(20.0, weight=10.0), MeanDose(weight=1.0).robust("expected")],
        "Body": [SquaredOverdose(60.0, weight=5.0)],
    }
    marked = optimise(shaken, goals)
    ways = [o.partition("robust: ")[2] for o in marked.provenance["objectives"]]
    assert [w.partition("(")[0] for w in ways] == ["Minimax", "", "Expected", ""]
    mapped = optimise(
        shaken,
        {"Target": GOALS["Target"], "Body": goals["Body"]},
        robust={"Target": "minimax"},
        smoothness=SpotSmoothness(weight=1e-3),
    )
    assert "robust" not in mapped.provenance["objectives"][1]
    assert marked.objective > 0
    assert mapped.objective > 0
    nominal = SquaredDeviation(60.0, weight=7.0)
    mark = nominal.robust()
    assert (mark.weight, mark.is_convex) == (7.0, True)
    share = np.full(2, 0.5)
    value, _ = mark.value_and_gradient(np.array([50.0, 61.0]), share)
    assert value == nominal.value_and_gradient(np.array([50.0, 61.0]), share)[0]


def test_external_structures_stay_nominal_and_others_warn(shaken):
    goals = {**GOALS, "Body": [SquaredOverdose(30.0)]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan = optimise(shaken, goals, robust="minimax", max_iterations=30)
    assert "robust" not in plan.provenance["objectives"][2]
    held = shaken.scenarios
    mask = shaken.patient.structure("Target").mask(shaken.grid).ravel()[shaken.voxels[held.rows]]
    places = np.flatnonzero(mask)
    fewer = replace(
        held, structures=("Target",), rows=held.rows[places],
        matrices={k: m.rows(places) for k, m in held.matrices.items()},
    )  # fmt: skip
    thin = replace(shaken, scenarios=fewer)
    with pytest.warns(UserWarning, match="no rows for 'Organ'"):
        optimise(thin, GOALS, robust="expected", max_iterations=5)
    with pytest.raises(PlanError, match="shall be robust, but scenario matrices"):
        optimise(thin, GOALS, robust={"Organ": "expected"})
    with pytest.raises(PlanError, match="no objective of this robust plan"):
        optimise(thin, {"Body": [SquaredOverdose(30.0)]}, robust="expected")


def test_given_weights_are_the_start(shaken):
    best = optimise(shaken, GOALS, robust="expected")
    again = optimise(shaken, GOALS, robust="expected", initial=best.weights, max_iterations=5)
    assert again.history[0] == pytest.approx(best.objective, rel=1e-9)
    assert again.objective <= best.objective * (1 + 1e-9)


def test_it_stops_where_it_is_told_to(shaken):
    best = optimise(shaken, GOALS, robust="minimax")
    enough = 1.5 * best.objective
    plan = optimise(shaken, GOALS, robust="minimax", stop_below=enough)
    assert plan.objective <= enough
    assert "as asked for" in plan.message
    short = optimise(shaken, GOALS, robust="minimax", max_iterations=3)
    assert "not converged" in short.message


def test_wrong_requests_are_told(shaken, toy):
    with pytest.raises(UnknownNameError, match="Did you mean 'minimax'"):
        optimise(shaken, GOALS, robust="minmax")
    with pytest.raises(SettingsError, match="no way to be robust"):
        optimise(shaken, GOALS, robust=3)
    with pytest.raises(UnknownNameError, match="no structure 'Tumour'"):
        optimise(shaken, GOALS, robust={"Tumour": "minimax"})
    with pytest.raises(PlanError, match="this influence holds none"):
        optimise(toy.influence(), GOALS, robust="minimax")
    with pytest.raises(SettingsError, match="alpha 1"):
        CVaR(1.0)
    with pytest.raises(SettingsError, match="rounds"):
        Minimax(rounds=())
    with pytest.raises(UnknownNameError, match="choice of scenarios"):
        Minimax(scenarios="some")
    with pytest.raises(UnknownNameError, match="worst side"):
        VoxelWise("left")


def test_a_constant_rbe_is_robust_and_a_variable_one_is_refused(shaken):
    biological = replace(shaken, rbe=rbe.ConstantRBE(1.1))
    plan = optimise(biological, GOALS, robust="minimax", max_iterations=60)
    scaled = {
        "Target": [replace(o, dose=o.dose / 1.1, weight=o.weight * 1.21) for o in GOALS["Target"]],
        "Organ": [replace(o, dose=o.dose / 1.1, weight=o.weight * 1.21) for o in GOALS["Organ"]],
    }
    same = optimise(shaken, scaled, robust="minimax", max_iterations=60)
    assert plan.objective == pytest.approx(same.objective, rel=0.02)
    assert plan.scenario_doses[1].quantity == "rbe_dose"
    np.testing.assert_allclose(plan.scenario_doses[0].array, plan.rbe_dose.array)
    tissue = rbe.Tissue(0.1, 0.05)
    variable = replace(shaken, rbe=rbe.LinearQuadratic(other=tissue))
    with pytest.raises(CapabilityError, match="is about a variable RBE, which this robust plan"):
        optimise(variable, GOALS, robust="minimax")


def test_a_worst_case_that_has_converged_falls_no_further():
    patient = phantom("c-shape")
    beams = steer(
        *(patient, load_machine("generic-protons")),
        **{"target": "Target", "gantry": 180.0, "spot_spacing": 12.0, "layer_spacing": 8.0},
        **{"setup_margin": 5.0, "range_margin_percent": 3.5},
    )
    cases = Scenarios.worst_case(setup=(5.0, 0.0, 5.0), range_percent=3.5)
    influence = compute_influence(patient, beams, dose_spacing=(8.0,) * 3, scenarios=cases)
    goals = {"Target": [SquaredDeviation(50.0, weight=100.0)]}
    short = optimise(influence, goals, robust="minimax", max_iterations=300)
    assert short.message.startswith("not converged: stopped after 300 iterations")
    plan = optimise(influence, goals, robust="minimax", max_iterations=1500)
    assert plan.message.startswith("converged")
    longer = optimise(
        influence, goals, robust="minimax", max_iterations=100, initial=plan.weights, tolerance=0.0
    )
    assert longer.objective > 0.995 * plan.objective
    middle = optimise(influence, goals, robust=CVaR(0.8), max_iterations=300)
    assert plan.objective < max(_worst(influence, middle))


def _worst(influence, plan):
    """Objective in each scenario of a plan of the target alone."""
    (term,) = make_terms(influence, {"Target": [SquaredDeviation(50.0, weight=100.0)]})
    voxels = influence.voxels[term.rows]
    return [100.0 * np.mean((d.array.ravel()[voxels] - 50.0) ** 2) for d in plan.scenario_doses]
