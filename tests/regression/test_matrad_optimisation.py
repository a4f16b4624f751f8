"""Objectives and optimum of matRad (commit c014dc82, see the README beside the data)."""

import numpy as np
import pytest
from scipy.sparse import csc_array

from dosegrad import objectives as obj
from dosegrad.optimisation.problem import PlanProblem, Term, typical_steps
from dosegrad.optimisation.solvers.lbfgsb import LBFGSB

#: Settings found in the stored gradients; the order is that of the file.
OBJECTIVES = (
    obj.SquaredDeviation(60.0),
    obj.SquaredOverdose(60.0),
    obj.SquaredUnderdose(60.0),
    obj.MeanDose(20.0),
    obj.SquaredMeanDeviation(20.0),
    obj.EUD(10.0, a=3.5),
    obj.MaxDVH(dose=50.0, volume=0.4),
    obj.MinDVH(dose=60.0, volume=0.95),
)


@pytest.mark.parametrize(("number", "objective"), list(enumerate(OBJECTIVES)))
def test_value_and_gradient_of_matrad(data, number, objective):
    with np.load(data / "matrad_reference" / "objectives.npz") as stored:
        dose = stored["d"]
        value, gradient = stored[f"obj/{number}/f"], stored[f"obj/{number}/g"]
    share = np.full(dose.size, 1.0 / dose.size)
    found = objective.value_and_gradient(dose, share)
    assert found[0] == pytest.approx(float(value), rel=1e-12)
    np.testing.assert_allclose(found[1], gradient, rtol=1e-10, atol=1e-14)


@pytest.fixture(scope="module")
def photon_case(data):
    with np.load(data / "matrad_reference" / "opti.npz") as file:
        stored = {name: file[name] for name in file.files}
    shape = tuple(int(n) for n in stored["D/sz"])
    matrix = csc_array((stored["D/v"], (stored["D/i"], stored["D/j"])), shape=shape)
    wishes = (
        obj.SquaredDeviation(2.0, weight=1000),
        obj.SquaredOverdose(25 / 30, weight=300),
        obj.SquaredOverdose(35 / 30, weight=50),
    )
    terms = []
    for k, (name, wish) in enumerate(zip(("target", "core", "ring"), wishes, strict=True)):
        terms.append(Term(name, wish, np.sort(stored[f"vox/{k}"]).astype(np.int64)))
    return stored, PlanProblem(matrix, tuple(terms))


@pytest.mark.parametrize("k", [0, 1])
def test_objective_of_weights_of_matrad(photon_case, k):
    stored, problem = photon_case
    function = problem.following(np.ones(problem.matrix.shape[0], dtype=bool))
    value, gradient = function.value_and_gradient(stored[f"w{k}"])
    assert value == pytest.approx(float(stored[f"f{k}"]), rel=1e-10)
    scale = np.abs(stored[f"g{k}"]).max()
    np.testing.assert_allclose(gradient / scale, stored[f"g{k}"] / scale, rtol=0, atol=1e-10)


def test_optimum_of_matrad(photon_case):
    stored, problem = photon_case
    function = problem.following(np.ones(problem.matrix.shape[0], dtype=bool))
    weights = np.ones(problem.matrix.shape[1])
    solution = LBFGSB(max_iterations=1000, tolerance=1e-7).minimise(
        function.value_and_gradient,
        weights,
        scale=typical_steps(function, weights),
        max_iterations=1000,
        watch=lambda *_: False,
    )
    print(solution.n_evaluations, solution.value, solution.message)
    assert solution.value == pytest.approx(float(stored["fopt"]), rel=1e-4)
