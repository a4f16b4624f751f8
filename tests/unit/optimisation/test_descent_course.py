"""Coordinate descent as a solver of whole plans."""

import numpy as np
import pytest

from dosegrad import objectives as obj
from dosegrad import optimise
from dosegrad.errors import SettingsError
from dosegrad.optimisation import descent_course
from dosegrad.optimisation.descent_course import DescentCourse
from dosegrad.optimisation.problem import PlanProblem
from dosegrad.optimisation.solvers.coordinate_descent import CoordinateDescent
from dosegrad.optimisation.solvers.lbfgsb import LBFGSB
from dosegrad.optimisation.wishes import make_terms

GOALS = {
    "Target": [obj.SquaredDeviation(50.0, weight=100)],
    "Organ": [obj.SquaredOverdose(20.0, weight=30)],
    "Body": [obj.MeanDose(weight=1), obj.SquaredOverdose(45.0, weight=10)],
}
LONG = CoordinateDescent(max_iterations=3000, tolerance=1e-10)


@pytest.fixture(scope="module")
def influence(toy):
    return toy.influence()


@pytest.fixture(scope="module")
def plan(influence):
    return optimise(influence, GOALS, solver=LONG)


def test_it_finds_what_l_bfgs_b_finds(influence, plan):
    other = optimise(influence, GOALS, solver=LBFGSB(max_iterations=3000, tolerance=1e-10))
    assert plan.objective == pytest.approx(other.objective, rel=1e-5)
    assert plan.message.startswith("converged")
    assert plan.provenance["solver"] == "CoordinateDescent"
    assert plan.history[-1] == pytest.approx(plan.objective)
    assert len(plan.history) > 10


def test_left_out_voxels_do_not_change_the_optimum(influence, plan, monkeypatch):
    monkeypatch.setattr("dosegrad.optimisation.problem._IDLE_SHARE", 1e-9)
    monkeypatch.setattr("dosegrad.optimisation.problem._SETTLED_IDLE_SHARE", 1e-9)
    whole = optimise(influence, GOALS, solver=LONG)
    assert whole.objective == pytest.approx(plan.objective, rel=1e-6)


def test_voxels_that_come_above_their_limit_are_found(influence):
    cold = np.full(influence.beams.n_columns, 1e-3)  # nothing is near a limit to begin with
    plan = optimise(influence, GOALS, solver=LONG, initial=cold)
    problem = PlanProblem(influence.matrix, make_terms(influence, GOALS))
    expected = sum(problem.values(problem.dose(plan.weights), plan.weights))
    assert plan.objective == pytest.approx(expected, rel=1e-9)


def test_stops(influence, plan):
    good_enough = 2.0 * plan.objective
    early = optimise(influence, GOALS, solver="coordinate-descent", stop_below=good_enough)
    assert plan.objective <= early.objective <= good_enough * 1.0001
    assert "as asked for" in early.message
    short = optimise(influence, GOALS, solver="coordinate-descent", max_iterations=3)
    assert "not converged: stopped after 3 sweeps" in short.message
    assert len(short.history) == 5


def test_what_it_does_not_take_goes_to_l_bfgs_b(influence, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("not for coordinate descent")

    monkeypatch.setattr(DescentCourse, "run", refuse)
    for wishes, options in (
        ({"Target": [obj.SquaredDeviation(50.0), obj.EUD(50.0, a=-5.0)]}, {}),
        (GOALS, {"smoothness": obj.SpotSmoothness()}),
        (GOALS, {"constraints": ["Organ: Dmean <= 60 Gy"]}),
    ):
        found = optimise(influence, wishes, solver=CoordinateDescent(20), **options)
        assert found.objective > 0


def test_suits(influence):
    assert descent_course.suits(PlanProblem(influence.matrix, make_terms(influence, GOALS)))
    wishes = {"Target": obj.MinDVH(50.0, 0.95)}
    assert not descent_course.suits(PlanProblem(influence.matrix, make_terms(influence, wishes)))


def test_settings_out_of_range():
    with pytest.raises(SettingsError, match="at least 1"):
        CoordinateDescent(max_iterations=0)
    with pytest.raises(SettingsError, match="such as 1e-4"):
        CoordinateDescent(tolerance=2.0)
