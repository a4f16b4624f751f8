"""Fronts: geometry on a known curve, navigation, and a front of a small case."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from dosegrad import evaluate, optimise, pareto_front
from dosegrad import objectives as obj
from dosegrad.errors import CapabilityError, PlanError, UnknownNameError
from dosegrad.executor import Serial
from dosegrad.optimisation.goal_limits import goal_limits
from dosegrad.optimisation.pareto_front import FrontShape, ParetoFront
from dosegrad.optimisation.sandwich import corners, distance_below

TRADE = {
    "coverage": obj.SquaredDeviation(50.0).on("Target"),
    "organ": obj.MeanDose().on("Organ"),
}


@pytest.fixture(scope="module")
def influence(toy):
    return toy.influence(80)


@pytest.fixture(scope="module")
def front(influence):
    return pareto_front(influence, TRADE, goals=["Target: D95% >= 40 Gy"], gap=0.08)


def hyperbola(shares):
    """Points and tangents of x y = 1 between 1/4 and 4."""
    x = np.exp(np.linspace(-np.log(4), np.log(4), shares))
    points = np.column_stack([x, 1 / x])
    normals = np.column_stack([1 / x**2, np.ones(shares)])
    return points, normals, (normals * points).sum(axis=1)


def test_corners_of_tangents_lie_below_the_curve():
    points, normals, offsets = hyperbola(5)
    found = corners(points, normals, offsets, points.max(axis=0), np.ptp(points, axis=0))
    assert found[0].distance > 0
    assert all((normals @ c.point >= offsets - 1e-6).all() for c in found)
    finer = corners(*hyperbola(17), points.max(axis=0), np.ptp(points, axis=0))
    assert finer[0].distance < found[0].distance / 4
    # the distance holds for every point of the curve
    for x in np.linspace(0.25, 4.0, 40):
        below, _ = distance_below(np.array([x, 1 / x]), points, np.ptp(points, axis=0))
        assert below <= found[0].distance + 1e-9


def test_distance_below_by_hand():
    values, ranges = np.array([[0.0, 2.0], [2.0, 0.0]]), np.array([2.0, 2.0])
    distance, weights = distance_below(np.zeros(2), values, ranges)
    assert distance == pytest.approx(0.5)
    np.testing.assert_allclose(weights, [0.25, 0.25])
    assert distance_below(np.array([2.0, 2.0]), values, ranges)[0] == pytest.approx(0.0)


def test_every_plan_of_a_front_meets_its_goals(front, influence):
    assert front.gap <= 0.08
    assert len(front) >= 4
    for plan in front:
        assert evaluate(plan.dose, influence.patient, ["Target: D95% >= 40 Gy"]).all_met
    values = np.array([list(v.values()) for v in front.values])
    assert (np.diff(values[:, 0]) > 0).all()
    assert (np.diff(values[:, 1]) < 0).all()


def test_no_plan_is_below_the_planes(front):
    shape = front.shape
    assert (shape.values @ shape.normals.T >= shape.bounds - 1e-9).all()


def test_navigation_keeps_limits_and_prefers(front):
    low, high = front.ranges["organ"]
    top = 0.5 * (low + high)
    choice = front.navigate(limits={"organ": top}, prefer="coverage")
    assert choice.values["organ"] <= top + 1e-9
    assert np.count_nonzero(choice.shares) <= 2
    plan = choice.plan
    mixed = sum(s * p.weights for s, p in zip(choice.shares, front, strict=True))
    np.testing.assert_allclose(plan.weights, mixed, atol=1e-9)
    # the mixture is no worse than the mixed values say
    body = front[0].dose
    assert plan.dose.grid is body.grid
    best = front.navigate(prefer="organ").values["organ"]
    assert best == pytest.approx(low)
    assert front.navigate().values["organ"] >= low
    weighted = front.navigate(prefer={"coverage": 1.0, "organ": 1.0})
    assert weighted.values == pytest.approx(front.navigate().values)


def test_navigation_says_what_cannot_be(front):
    with pytest.raises(PlanError, match="raise a limit"):
        front.navigate(limits={"organ": 0.0, "coverage": 0.0})
    with pytest.raises(UnknownNameError, match="Did you mean 'organ'"):
        front.navigate(prefer="orgam")
    with pytest.raises(PlanError, match="sum to one"):
        front.mixture(np.zeros(len(front)))


def test_navigation_refuses_what_is_no_number(front):
    with pytest.raises(PlanError, match="limit nan on 'organ'"):
        front.navigate(limits={"organ": np.nan})
    with pytest.raises(PlanError, match="raise a limit"):
        front.navigate(limits={"organ": -np.inf})
    for weight in (-1.0, np.nan, np.inf):
        with pytest.raises(PlanError, match="not negative"):
            front.navigate(prefer={"organ": weight})


def test_searches_that_have_no_end_are_refused(influence):
    for gap in (0.0, -0.1, np.nan, np.inf):
        with pytest.raises(PlanError, match="must be above 0"):
            pareto_front(influence, TRADE, gap=gap)
    with pytest.raises(PlanError, match="Give 3 or more"):
        pareto_front(influence, TRADE, max_plans=2)
    with pytest.raises(PlanError, match="'organ' has a weight above 0"):
        pareto_front(influence, {**TRADE, "organ": obj.MeanDose(weight=0.0).on("Organ")})


def test_the_gap_is_in_units_of_the_ranges_that_the_front_has(front):
    values = np.array([list(v.values()) for v in front.values])
    np.testing.assert_allclose(np.ptp(values, axis=0), front.shape.ranges, rtol=1e-12)
    # no corner of planes and ends is farther below mixtures of the plans returned
    ends = front.shape.normals[:2]
    found = corners(
        values,
        front.shape.normals,
        front.shape.bounds,
        values.max(axis=0),
        front.shape.ranges,
        ends,
    )
    assert found[0].distance == pytest.approx(front.gap, abs=1e-6)


def test_a_front_does_not_hide_what_a_weighted_sum_finds(front, influence):
    """By another solver, which keeps the goal as it is evaluated."""
    goal = "Target: D95% >= 40 Gy"
    for part in (0.2, 0.5, 0.8):
        weights = np.array([part, 1.0 - part]) / front.shape.ranges
        wishes = [
            obj.SquaredDeviation(50.0, weight=weights[0]).on("Target"),
            obj.MeanDose(weight=weights[1]).on("Organ"),
        ]
        plan = optimise(
            *(influence, wishes), constraints=[goal], max_iterations=1500, tolerance=1e-7
        )
        assert evaluate(plan.dose, influence.patient, [goal]).all_met
        target, organ = (
            influence.patient.structures[n].mask(influence.grid) for n in ("Target", "Organ")
        )
        dose = plan.dose.array
        values = np.array([np.mean((dose[target] - 50.0) ** 2), dose[organ & ~target].mean()])
        assert (front.shape.normals @ values >= front.shape.bounds * (1 - 1e-6)).all()
        below, _ = distance_below(values, front.shape.values, front.shape.ranges)
        assert below <= front.gap
        # and the plan is good enough to have been found below
        assert weights @ values <= (front.shape.values @ weights).min() * 1.1


def test_a_front_is_a_sequence(front):
    assert next(iter(front)) is front[0]
    assert len(front[1:]) == len(front) - 1
    assert "coverage" in repr(front)
    assert isinstance(front, ParetoFront)
    assert isinstance(front.shape, FrontShape)


def test_what_cannot_be_traded(influence):
    with pytest.raises(PlanError, match="two objectives or more"):
        pareto_front(influence, {"a": TRADE["organ"]})
    with pytest.raises(CapabilityError, match="cannot be traded"):
        pareto_front(influence, {**TRADE, "eud": obj.EUD(0.0, a=5.0).on("Organ")})
    with pytest.raises(PlanError, match="cannot be kept together"):
        goals = ["Target: D95% >= 40 Gy", "Target: Dmean <= 20 Gy"]
        pareto_front(influence, TRADE, goals=goals)


def test_goals_become_limits_on_tails(influence):
    sentences = [
        "Target: D95% >= 47 Gy",
        "Organ: V20Gy <= 30 %",
        "Organ: Dmax <= 40 Gy",
        "Organ: Dmean <= 12 Gy",
        "Target: V45Gy >= 90 %",
        "Target: Dmin >= 30 Gy",
    ]
    limits = goal_limits(influence, sentences)
    n = [limit.samples.n for limit in limits]
    expected = [0.05, 0.30, 1 / n[2], 1.0, 0.1, 1 / n[5]]
    assert [limit.volume for limit in limits] == pytest.approx(expected)
    assert [limit.dose for limit in limits] == [47.0, 20.0, 40.0, 12.0, 45.0, 30.0]
    assert [limit.coldest for limit in limits] == [True, False, False, False, True, True]
    with pytest.raises(PlanError, match="no convex limit"):
        goal_limits(influence, "Target: HI <= 0.1")


def test_tasks_may_run_elsewhere(influence, front):
    seen = []

    class Here(Serial):
        def map(self, function, items, *shared, stage=""):
            seen.append(len(items))
            return [function(item, *shared) for item in items]

    other = pareto_front(
        influence, TRADE, goals=["Target: D95% >= 40 Gy"], gap=0.08, cluster=Here()
    )
    assert sum(seen) >= len(other)
    assert other.gap == pytest.approx(front.gap, rel=1e-6)


def test_the_scalar_optimum_is_not_below_the_front(front, influence):
    """One-dimensional check by an independent search along equal scaling of a plan."""
    plan = front[len(front) // 2]
    target = influence.patient.structures["Target"].mask(influence.grid)
    organ = influence.patient.structures["Organ"].mask(influence.grid) & ~target
    weights = front.shape.normals[0]

    def total(scale):
        dose = scale * plan.dose.array
        values = [np.mean((dose[target] - 50.0) ** 2), dose[organ].mean()]
        return float(weights @ values)

    best = minimize_scalar(total, bounds=(0.8, 1.2), method="bounded").fun
    assert best >= front.shape.bounds[0] - 1e-9
