"""Coordinate descent: kernels against twins, optimum against L-BFGS-B, bounds below optima."""

from dataclasses import replace

import numpy as np
import pytest

from dosegrad import objectives as obj
from dosegrad import optimise
from dosegrad.optimisation.descent import Descent, TailLimit
from dosegrad.optimisation.lower_bound import form_regions, highest_mean, plane_minimum
from dosegrad.optimisation.problem import PlanProblem
from dosegrad.optimisation.separable import is_separable, join_terms
from dosegrad.optimisation.solvers import _coordinate_kernels as compiled
from dosegrad.optimisation.solvers import _coordinate_reference as plain
from dosegrad.optimisation.solvers.lbfgsb import LBFGSB
from dosegrad.optimisation.wishes import make_terms

WISHES = {
    "Target": [obj.SquaredDeviation(50.0, weight=100), obj.SquaredUnderdose(48.0, weight=30)],
    "Organ": [obj.SquaredOverdose(20.0, weight=30)],
    "Body": [obj.MeanDose(weight=1)],
}


@pytest.fixture(scope="module")
def influence(toy):
    return toy.influence()


@pytest.fixture(scope="module")
def terms(influence):
    return make_terms(influence, WISHES)


@pytest.fixture(scope="module")
def objective(influence, terms):
    return join_terms(influence.matrix, terms).weighted([t.objective.weight for t in terms])


def descent_state(objective, seed):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.0, 3.0, objective.columns.n_columns)
    weights[::3] = 0.0
    dose = objective.columns.as_matrix() @ weights
    n = objective.columns.n_rows
    return weights, dose, np.zeros(n), np.zeros((n, 4)), np.zeros(weights.size)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("with_lines", [False, True])
def test_kernels_are_their_twins(objective, seed, with_lines):
    c, o = objective.columns, objective
    lines = np.random.default_rng(seed).uniform(0.0, 1e-3, (c.n_rows * with_lines, 2))
    found = []
    for module in (compiled, plain):
        weights, dose, slopes, pieces, curvatures = descent_state(objective, seed)
        args = (dose, o.classes, o.starts, o.ramps, lines, slopes, pieces)
        total = module.potential_and_slopes(*args)
        order = np.random.default_rng(seed).permutation(c.n_columns)
        last = weights.copy(), dose.copy()
        for measure in (True, False):
            module.sweep(
                *(c.indptr, c.rows, c.values, order, o.prices, o.classes, o.starts, o.ramps),
                *(lines, 1e-9, measure, curvatures, dose, slopes, pieces, weights),
            )
        module.step_along(c.indptr, c.rows, c.values, 0.7, *last, weights, dose)
        found.append((total, weights, dose, slopes, pieces, curvatures, *last))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    assert (found[0][1] >= 0).all()
    np.testing.assert_allclose(found[0][2], c.as_matrix() @ found[0][1], rtol=1e-9, atol=1e-9)


def test_rows_are_taken_as_by_their_twin(influence):
    m = influence.matrix
    place = np.full(m.shape[0], -1, dtype=np.int64)
    picked = np.arange(0, m.shape[0], 3)
    place[picked] = np.arange(picked.size)
    results = []
    for module in (compiled, plain):
        starts = np.zeros(m.shape[1] + 1, dtype=np.int64)
        empty = (np.empty(0, np.uint32), np.empty(0, np.float32))
        args = (m.indptr.astype(np.int64), m.indices, m.data, place, starts)
        module.take_rows(*args, *empty)
        filled = (np.empty(starts[-1], np.uint32), np.empty(starts[-1], np.float32))
        module.take_rows(*args, *filled)
        results.append((starts, *filled))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_ramps_add_up_to_the_objectives(influence, terms, objective):
    problem = PlanProblem(influence.matrix, terms)
    weights = np.random.default_rng(3).uniform(0.0, 5.0, influence.beams.n_columns)
    expected = sum(problem.values(problem.dose(weights), weights))
    assert Descent(objective, weights).value() == pytest.approx(expected, rel=1e-10)


def test_descent_ends_where_l_bfgs_b_does(influence, objective):
    solver = LBFGSB(max_iterations=3000, tolerance=1e-12, patience=50)
    plan = optimise(influence, WISHES, solver=solver)
    descent = Descent(objective, np.ones(influence.beams.n_columns))
    descent.run(400)
    assert descent.value() <= plan.objective * (1 + 1e-6)


def test_the_plane_bounds_the_optimum_from_below(influence, terms, objective):
    best = Descent(objective, np.ones(influence.beams.n_columns))
    best.run(600)
    regions = form_regions(influence.matrix, influence.voxels, influence.grid, terms)
    for n_sweeps in (20, 60, 200):
        descent = Descent(objective, np.ones(influence.beams.n_columns), seed=1)
        descent.run(n_sweeps)
        value = descent.value()
        constant, slope = descent.lagrangian()
        tops = regions.tops(
            [t.objective for t in terms], value / np.array([t.objective.weight for t in terms])
        )
        bound = plane_minimum(constant, slope, regions, tops)
        assert bound <= best.value() * (1 + 1e-9)
    assert bound == pytest.approx(best.value(), rel=0.02)


@pytest.mark.parametrize("coldest", [False, True])
def test_limits_on_tails_are_kept(influence, coldest):
    wishes = {"Target": [obj.SquaredDeviation(50.0)], "Organ": [obj.MeanDose(weight=3.0)]}
    terms = make_terms(influence, wishes)
    free = Descent(
        join_terms(influence.matrix, terms).weighted([1.0, 3.0]), np.ones(influence.beams.n_columns)
    )
    free.run(200)
    rows = terms[0].rows
    parts = join_terms(influence.matrix, terms, [rows])
    places = np.searchsorted(parts.picked, rows)
    probe = TailLimit(places, 0.1, 0.0, coldest, 0.3)
    present = probe.sign * probe.excess(free.dose)
    limit = replace(probe, dose=present + (2.0 if coldest else -2.0))
    descent = Descent(parts.weighted([1.0, 3.0]), free.weights, [limit], parts.n_terms)
    descent.run(800)
    assert descent.excesses()[0] < 0.02
    assert descent.multipliers[0] > 0
    assert descent.value() > free.value()
    constant, slope = descent.lagrangian()
    assert constant + slope @ descent.weights <= descent.value() + 1e-6


def test_what_is_separable():
    assert is_separable(obj.SquaredOverdose(3.0))
    assert is_separable(obj.MeanDose())
    assert not is_separable(obj.MeanDose(5.0))
    assert not is_separable(obj.EUD(0.0, a=3.0))


def test_highest_means():
    assert highest_mean(obj.SquaredDeviation(50.0), 4.0, 0.25) == pytest.approx(54.0)
    assert highest_mean(obj.MeanDose(), 4.0, 0.5) == pytest.approx(8.0)
    assert highest_mean(obj.SquaredUnderdose(50.0), 4.0, 1.0) == np.inf
