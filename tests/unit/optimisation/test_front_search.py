"""Fronts that are known in closed form, and fronts that shrink to a line or a point."""

import numpy as np
import pytest
from scipy.sparse import csc_array

from dosegrad import evaluate, pareto_front
from dosegrad import objectives as obj
from dosegrad.errors import CapabilityError, PlanError
from dosegrad.influence.matrix import Influence
from dosegrad.optimisation.front_columns import keep_columns, reaching_columns
from dosegrad.optimisation.front_search import _unbeaten
from dosegrad.optimisation.pareto import trade_problem
from dosegrad.optimisation.problem import Term
from dosegrad.optimisation.sandwich import corners, distance_below

COVERAGE = obj.SquaredDeviation(50.0).on("Target")
ORGAN = obj.MeanDose().on("Organ")
SPARED = obj.SquaredOverdose(0.0)
BODY = obj.MeanDose().on("Body")


@pytest.fixture(scope="module")
def uniform(toy):
    """A maker of an influence of columns that dose each structure uniformly.

    ``doses`` has a row for each column: Gy in the target, in the rest of the organ, elsewhere.
    """

    def make(*doses):
        patient = toy.patient()
        grid = patient.ct.grid
        target, organ = (patient.structures[n].mask(grid).ravel() for n in ("Target", "Organ"))
        part = np.where(target, 0, np.where(organ, 1, 2))
        matrix = csc_array(np.array(doses, dtype=np.float32)[:, part].T)
        beams = toy.beams(len(doses), n_beams=1)
        return Influence(patient, beams, grid, np.arange(grid.n_voxels), matrix)

    return make


def farthest_below(front, points):
    """How far points of the true front are below mixtures; only those up to its ends count."""
    shape = front.shape
    top = shape.values.min(axis=0) + shape.ranges
    inside = points[(points <= top).all(axis=1)]
    assert len(inside) > 50
    ends = shape.normals[: len(shape.names)]  # weights at the ends of the front come first
    return max(distance_below(p, shape.values, shape.ranges, ends)[0] for p in inside)


@pytest.mark.parametrize("gap", [0.1, 0.01, 0.002])
def test_a_parabola_is_enclosed(uniform, gap):
    """One column: (w - 50)² against w / 2."""
    front = pareto_front(uniform((1.0, 0.5, 0.0)), {"coverage": COVERAGE, "organ": ORGAN}, gap=gap)
    assert front.gap <= gap
    assert front.message.startswith("converged")
    shape = front.shape
    np.testing.assert_allclose((2 * shape.values[:, 1] - 50.0) ** 2, shape.values[:, 0], rtol=1e-5)
    (low, high) = front.ranges["organ"]
    w = 2.0 * np.linspace(low, high, 400)
    true = np.column_stack([(w - 50.0) ** 2, 0.5 * w])
    assert farthest_below(front, true) <= front.gap
    assert (true @ shape.normals.T >= shape.bounds - 1e-6 * np.abs(shape.bounds)).all()
    # the gap is not told too wide either: mixtures are indeed off by most of it
    assert farthest_below(front, true) >= 0.2 * front.gap


def test_a_parabola_in_space_is_enclosed(uniform):
    """Two columns: (w1 + w2 - 50)² against w1 and 0.3 w2."""
    trade = {"coverage": COVERAGE, "organ": ORGAN, "body": BODY}
    front = pareto_front(uniform((1.0, 1.0, 0.0), (1.0, 0.0, 0.3)), trade, gap=0.03)
    assert front.gap <= 0.03
    rng = np.random.default_rng(4)
    low = 50.0 - np.sqrt(front.ranges["coverage"][1])
    total, part = rng.uniform(low, 50, 500), rng.uniform(size=500)
    true = np.column_stack([(total - 50.0) ** 2, part * total, 0.3 * (1 - part) * total])
    assert farthest_below(front, true) <= front.gap
    assert (true @ front.shape.normals.T >= front.shape.bounds - 1e-4).all()


def test_objectives_that_agree_leave_one_plan(uniform):
    """Less dose is better for both; the goal keeps the target at 40 Gy."""
    trade = {"organ": SPARED.on("Organ"), "body": SPARED.on("Body")}
    front = pareto_front(uniform((1.0, 0.9, 0.95)), trade, goals=["Target: Dmean >= 40 Gy"])
    w = front[0].weights[0]
    assert len(front) == 1
    assert front.gap == 0.0
    assert "'organ' and 'body' hardly change" in front.message
    assert front.values[0] == pytest.approx({"organ": (0.9 * w) ** 2, "body": (0.95 * w) ** 2})
    assert 40.0 < w < 42.0
    choice = front.navigate(limits={"organ": 1.01 * (0.9 * w) ** 2}, prefer="body")
    np.testing.assert_allclose(choice.plan.weights, [w])


def test_two_that_agree_are_traded_against_a_third(uniform):
    trade = {"coverage": COVERAGE, "organ": ORGAN, "body": BODY}
    front = pareto_front(uniform((1.0, 0.5, 0.2)), trade, gap=0.02)
    assert front.gap <= 0.02
    w = np.append(np.linspace(0.0, 50.0, 100), 50.0 - np.linspace(0.0, 5.0, 100))
    true = np.column_stack([(w - 50.0) ** 2, 0.5 * w, 0.2 * w])
    assert farthest_below(front, true) <= front.gap


def test_an_objective_that_is_always_kept_is_left_out_of_the_gap(uniform):
    """The organ never gets 80 Gy; its objective is zero in every plan."""
    never = obj.SquaredOverdose(80.0, weight=20.0).on("Organ")
    trade = {"coverage": COVERAGE, "hot": never, "body": BODY}
    front = pareto_front(uniform((1.0, 0.5, 0.2)), trade, gap=0.02)
    plain = pareto_front(uniform((1.0, 0.5, 0.2)), {"coverage": COVERAGE, "body": BODY}, gap=0.02)
    assert front.gap <= 0.02
    assert "'hot' hardly changes over the front" in front.message
    assert all(v["hot"] == 0.0 for v in front.values)
    assert front.ranges["body"] == pytest.approx(plain.ranges["body"], rel=0.05)
    assert len(front) <= len(plain) + 2
    assert front.navigate(limits={"hot": 0.0}, prefer="coverage").values["hot"] == 0.0


def test_one_objective_that_is_left_ends_in_its_best_plan(uniform):
    """A dose that no column gives does not count, and one objective has one best plan."""
    trade = {"coverage": COVERAGE, "organ": ORGAN}
    front = pareto_front(uniform((1.0, 0.0, 0.2)), trade, gap=0.02)
    assert front.gap <= 0.02
    assert front.values[0]["coverage"] == pytest.approx(0.0, abs=1e-3)


def test_a_search_ends_at_its_number_of_plans(uniform):
    trade = {"coverage": COVERAGE, "organ": ORGAN}
    front = pareto_front(uniform((1.0, 0.5, 0.2)), trade, gap=1e-4, max_plans=5)
    assert len(front) <= 5
    assert front.gap > 1e-4
    assert "raise max_plans" in front.message


def test_goals_that_exclude_each_other_are_refused(uniform):
    goals = ["Target: Dmean >= 40 Gy", "Organ: Dmean <= 10 Gy"]
    with pytest.raises(PlanError, match=r"cannot be kept together.*'Organ: Dmean <= 10 Gy'"):
        pareto_front(uniform((1.0, 0.5, 0.2)), {"coverage": COVERAGE, "body": BODY}, goals=goals)


def test_mean_doses_alone_are_refused(uniform):
    with pytest.raises(CapabilityError, match="SquaredDeviation on the target"):
        pareto_front(uniform((1.0, 0.5, 0.2)), {"organ": ORGAN, "body": BODY})


def test_a_goal_that_nothing_leads_to_is_told_of(uniform):
    trade = {"organ": SPARED.on("Organ"), "body": SPARED.on("Body")}
    goals = ["Target: Dmean >= 40 Gy", "Target: Dmax <= 41 Gy"]
    with pytest.raises(PlanError, match="squared deviation on 'Target' too"):
        pareto_front(uniform((1.0, 0.5, 0.2)), trade, goals=goals)


def test_goals_hold_on_the_samples_on_which_they_are_evaluated(uniform):
    """The goal's samples reach beyond the target's voxels, where there is less dose."""
    influence = uniform((1.0, 0.8, 0.1))
    goals = ["Target: D95% >= 44 Gy"]
    front = pareto_front(influence, {"coverage": COVERAGE, "body": BODY}, goals=goals, gap=0.1)
    assert min(plan.weights[0] for plan in front) > 44.5  # 44 Gy in the voxels were not enough
    for plan in front:
        assert evaluate(plan.dose, influence.patient, goals).all_met
    assert np.isfinite(front.gap)


def test_spots_that_no_objective_sees_take_no_part(uniform):
    """The second column gives the target 1 % of what it gives elsewhere, the third nothing."""
    influence = uniform((1.0, 0.5, 0.3), (0.01, 0.0, 1.0), (0.0, 0.0, 1.0))
    trade = {"coverage": COVERAGE, "organ": ORGAN}
    front = pareto_front(influence, trade, gap=0.05)
    for plan in front:
        assert plan.weights[0] > 0
        assert (plan.weights[1:] == 0).all()
        assert plan.dose.array.max() < 60.0
    # where the body is traded too, they may help
    problem, _ = trade_problem(influence, {**trade, "body": BODY}, ())
    assert np.diff(problem.parts.unit.columns.indptr)[1] > 0


def test_columns_reach_what_is_watched():
    matrix = csc_array(np.array([[1.0, 0.05, 0.2, 0.0], [0.5, 1.0, 1.0, 1.0]], dtype=np.float32))
    seen, unseen = Term("T", obj.SquaredDeviation(50.0), np.array([0])), np.array([1])
    under = Term("T", obj.SquaredUnderdose(50.0), unseen)
    found = reaching_columns(matrix, [seen, under], (), "protons")
    assert found.tolist() == [True, False, True, False]
    assert reaching_columns(matrix, [seen], (), "photons").tolist() == [True, True, True, False]
    over = Term("O", obj.SquaredOverdose(20.0), unseen)
    assert reaching_columns(matrix, [seen, over], (), "protons").all()
    left = keep_columns(matrix, found).toarray()
    np.testing.assert_array_equal(left, matrix.toarray() * found)


def test_corners_of_planes_that_meet_in_one_point():
    """The ends of the front and a plane leave no room but the allowance."""
    values = np.array([[1.0, 2.0], [1.0 + 1e-12, 2.0]])
    normals = np.array([[1.0, 1.0], [2.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    offsets = (normals @ values[0]).astype(float)
    found = corners(values, normals, offsets, values.max(axis=0), np.array([0.02, 0.01]))
    assert 0.0 <= found[0].distance < 1e-3
    one = corners(values[:, :1], normals[:1, :1], np.array([0.5]), np.ones(1), np.ones(1))
    assert one[0].distance == pytest.approx(0.5)


def test_unbeaten_rows():
    rows = np.array([[1.0, 3.0], [2.0, 2.0], [2.0, 2.0], [3.0, 2.5], [3.0, 1.0]])
    assert _unbeaten(rows, np.zeros(2)).tolist() == [0, 1, 4]
    assert _unbeaten(rows, np.array([1.0, 1.0])).tolist() == [0, 4]
