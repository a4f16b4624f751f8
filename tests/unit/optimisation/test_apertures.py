"""Moving leaves: the dose map and its derivative, and plans that it improves."""

from dataclasses import replace

import numpy as np
import pytest
from pytest import approx

from dosegrad import objectives as obj
from dosegrad.beams.apertures import Apertures
from dosegrad.beams.steering import steer
from dosegrad.engines.pencil_beam.engine import PencilBeam
from dosegrad.engines.photon_kernel.engine import PhotonKernel
from dosegrad.errors import CapabilityError, PlanError, SettingsError
from dosegrad.influence import _aperture_kernels, _aperture_reference
from dosegrad.influence._aperture_arrays import Look
from dosegrad.influence.aperture_map import ApertureDoseMap
from dosegrad.influence.build import compute_influence
from dosegrad.machine.library import load_machine
from dosegrad.optimisation.aperture_problem import ApertureProblem, objective_of
from dosegrad.optimisation.apertures import fitted_jaws, opened_fluence, optimise_apertures
from dosegrad.optimisation.boxed import minimise_between
from dosegrad.optimisation.leaf_limits import obedient
from dosegrad.optimisation.optimise import optimise
from dosegrad.optimisation.sequencing.sequence import sequence
from dosegrad.optimisation.spot_problem import sample_terms
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan
from dosegrad.plan_dose import compute_dose

WISHES = {
    "Target": [obj.SquaredDeviation(20.0, weight=100)],
    "Organ": [obj.SquaredOverdose(8.0, weight=30)],
    "Body": [obj.MeanDose(weight=1)],
}


@pytest.fixture(scope="module")
def patient():
    shape = (18, 30, 26)
    z, y, x = np.mgrid[:18, :30, :26]
    target = (abs(z - 8.5) < 5) & (np.hypot(y - 14.5, x - 10) < 6)
    organ = (abs(z - 8.5) < 6) & (np.hypot(y - 14.5, x - 19) < 3)
    structures = {"Target": target, "Organ": organ, "Body": np.ones(shape, bool)}
    return Patient.from_arrays(
        np.zeros(shape),
        spacing=(5.0, 4.0, 4.5),
        structures=structures,
        roles={"Target": "target", "Organ": "organ", "Body": "external"},
        calibration="schneider-water",
    )


@pytest.fixture(scope="module")
def sequenced(patient):
    linac = load_machine("generic-6mv")
    beams = steer(patient, linac, target="Target", gantry=[20, 140, 260], bixel=5.0)
    influence = compute_influence(patient, beams)
    return sequence(optimise(influence, WISHES, max_iterations=40), levels=5)


@pytest.fixture(scope="module")
def problem(patient, sequenced):
    grid = patient.dose_grid()
    sampled = sample_terms(patient, sequenced.beams, grid, WISHES)
    dose_map = ApertureDoseMap.of(
        patient.medium(grid), sequenced.beams, sequenced.apertures, sampled.voxels, coarseness=5
    )
    return ApertureProblem.of(dose_map, sampled)


def directions(dose_map, seed):
    rng = np.random.default_rng(seed)
    n = len(dose_map.apertures)
    scale = np.concatenate([np.full(n, 100.0), np.full(2 * dose_map.n_tips, 1.0)])
    start = dose_map.variables(dose_map.apertures) + 0.3 * scale * rng.random(scale.size)
    return start, scale * rng.standard_normal(scale.size), rng.standard_normal(dose_map.n_voxels)


def test_dose_is_linear_in_units_and_its_pullback_the_adjoint(problem):
    dose_map = problem.dose_map
    start, step, gradient = directions(dose_map, 1)
    step[len(dose_map.apertures) :] = 0.0
    dose, pullback = dose_map.linearise(start)
    moved, _ = dose_map.linearise(start + step)
    assert (moved - dose) @ gradient == approx(pullback(gradient) @ step, rel=1e-10)


def test_derivatives_by_leaf_positions_are_those_of_differences(problem):
    dose_map = problem.dose_map
    for seed in range(3):
        start, step, gradient = directions(dose_map, seed)
        _, pullback = dose_map.linearise(start)
        # kinks lie where leaf tips cross borders of their raster; so short a step crosses none
        above, below = (dose_map.linearise(start + s * step)[0] for s in (1e-5, -1e-5))
        assert (above - below) @ gradient / 2e-5 == approx(pullback(gradient) @ step, rel=1e-6)


def test_the_objective_of_gaps_has_the_right_derivative(problem):
    start, step, _ = directions(problem.dose_map, 5)
    inner, direction = problem.inner(start), problem.inner(step)
    assert problem.outer(inner) == approx(start)
    _, slope = problem.value_and_gradient(inner)
    above, below = (problem.value_and_gradient(inner + s * direction)[0] for s in (1e-5, -1e-5))
    assert (above - below) / 2e-5 == approx(slope @ direction, rel=1e-5)


def test_the_map_is_the_field_mode_on_a_coarser_raster(patient, sequenced):
    grid = patient.dose_grid()
    voxels = np.flatnonzero(patient.structure("Target").mask(grid))
    exact = compute_dose(patient, sequenced, grid=grid).array.ravel()[voxels]
    for coarseness, tolerance in ((3, 0.01), (1, 0.008)):
        dose_map = ApertureDoseMap.of(
            *(patient.medium(grid), sequenced.beams, sequenced.apertures, voxels),
            coarseness=coarseness,
        )
        dose, _ = dose_map.linearise(dose_map.variables(sequenced.apertures))
        assert np.abs(dose - exact).max() < tolerance * exact.max()


def test_leaves_that_move_lower_the_objective(patient, sequenced):
    before = objective_of(
        *(patient, sequenced.beams, compute_dose(patient, sequenced), WISHES),
    )
    plan = optimise_apertures(patient, sequenced, WISHES, max_iterations=30, coarseness=5)
    assert plan.objective < 0.9 * before
    assert plan.history[-1] == approx(plan.objective, rel=0.1)
    leaves = plan.beams.machine.collimator
    assert leaves.broken_limits(plan.apertures.left, plan.apertures.right) == ()
    assert compute_dose(patient, plan).difference(plan.dose).array == approx(0.0)
    assert len(plan.apertures) <= len(sequenced.apertures)


@pytest.mark.parametrize(
    "limits",
    [{"interdigitation": False}, {"span": 25.0}, {"over_travel": 15.0}, {"minimum_gap": 3.0}],
)
def test_leaves_that_move_keep_strict_limits(patient, limits):
    linac = load_machine("generic-6mv")
    strict = replace(linac, collimator=replace(linac.collimator, **limits))
    beams = steer(patient, strict, target="Target", gantry=[20, 140], bixel=9.0)
    influence = compute_influence(patient, beams)
    start = sequence(optimise(influence, WISHES, max_iterations=20), levels=3)
    before = objective_of(patient, beams, compute_dose(patient, start), WISHES)
    plan = optimise_apertures(patient, start, WISHES, max_iterations=10, coarseness=5)
    for each in (start, plan):
        left, right = each.apertures.left, each.apertures.right
        assert strict.collimator.broken_limits(left, right) == ()
    assert plan.objective < before


def test_the_price_of_passing_has_the_right_derivative(problem):
    start, step, _ = directions(problem.dose_map, 6)
    n = len(problem.dose_map.apertures)
    rng = np.random.default_rng(4)
    start[n:] += rng.uniform(-15.0, 15.0, start.size - n)
    priced = replace(problem, price=2.0)
    inner, direction = priced.inner(start), priced.inner(step)
    value, slope = priced.value_and_gradient(inner)
    assert value > 1.01 * problem.value_and_gradient(inner)[0]
    above, below = (priced.value_and_gradient(inner + s * direction)[0] for s in (1e-6, -1e-6))
    assert (above - below) / 2e-6 == approx(slope @ direction, rel=1e-5)


def test_variables_and_apertures_are_each_other(problem):
    dose_map = problem.dose_map
    again = dose_map.moved(dose_map.variables(dose_map.apertures))
    for name in ("monitor_units", "left", "right", "jaws"):
        assert np.array_equal(getattr(again, name), getattr(dose_map.apertures, name))


def test_fluence_of_apertures_is_that_of_the_sequence(sequenced):
    leaves = sequenced.beams.machine.collimator
    opened = opened_fluence(sequenced.beams, sequenced.apertures, leaves)
    assert opened == approx(sequenced.weights, abs=1e-6 * sequenced.weights.max())


def test_jaws_are_fitted_to_openings(sequenced):
    leaves = sequenced.beams.machine.collimator
    wide = replace(sequenced.apertures, jaws=sequenced.apertures.jaws + np.array([-9, 9, 0, 0]))
    fitted = fitted_jaws(wide, leaves)
    assert np.allclose(fitted.jaws, sequenced.apertures.jaws)


def test_projections_undo_what_leaves_may_not_do():
    strict = {"interdigitation": False, "minimum_gap": 1.0, "span": 25.0, "over_travel": 10.0}
    leaves = replace(load_machine("generic-6mv").collimator, **strict, reach=25.0)
    rng = np.random.default_rng(3)
    tips = np.sort(rng.uniform(-30, 30, (2, 4, 60)), axis=0)
    apertures = Apertures(
        np.zeros(4, int), np.ones(4), np.tile([-40.0, 40, -40, 40], (4, 1)), *tips, np.zeros(4)
    )
    moved = obedient(leaves, apertures, [slice(0, 60)] * 4)
    assert leaves.broken_limits(moved.left, moved.right) == ()


def test_compiled_look_up_is_its_plain_twin():
    rng = np.random.default_rng(2)
    nodes = rng.integers(0, 7, 50) * 9 + rng.integers(0, 8, 50)
    look = Look(nodes, rng.random((50, 2)), rng.random((50, 3)), rng.permutation(50), 9)
    maps, slopes = rng.random((72, 3)), rng.standard_normal(50)
    doses, partials = np.zeros((2, 50)), np.zeros((2, 4, 72, 3))
    for k, module in enumerate((_aperture_kernels, _aperture_reference)):
        module.gather(look, maps, doses[k])
        module.scatter(look, slopes, partials[k])
    assert doses[0] == approx(doses[1])
    assert np.allclose(partials[0].sum(axis=0), partials[1].sum(axis=0))
    assert doses[0] @ slopes == approx((partials[0].sum(axis=0) * maps).sum())


def test_descent_keeps_within_bounds():
    values = []
    found = minimise_between(
        lambda v: (float(((v - 3.0) ** 2).sum()), 2.0 * (v - 3.0)),
        np.zeros(3),
        low=np.array([0.0, 0.0, 1.0]),
        high=np.array([2.0, 9.0, 1.0]),
        scale=np.ones(3),
        max_iterations=20,
        tolerance=0.0,
        tell=values.append,
    )
    assert found == approx([2.0, 3.0, 1.0])
    assert values


def test_wrong_requests_are_told(patient, sequenced):
    with pytest.raises(PlanError, match="no apertures to move"):
        optimise_apertures(patient, replace(sequenced, apertures=None), WISHES)
    with pytest.raises(CapabilityError, match="no derivative by leaf positions"):
        optimise_apertures(patient, sequenced, WISHES, engine=PencilBeam())
    with pytest.raises(SettingsError, match="max_iterations 0"):
        optimise_apertures(patient, sequenced, WISHES, max_iterations=0)
    with pytest.raises(CapabilityError, match="odd number of rasters"):
        optimise_apertures(patient, sequenced, WISHES, coarseness=2)
    with pytest.raises(CapabilityError, match="uniform fluence"):
        optimise_apertures(
            patient, sequenced, WISHES, engine=PhotonKernel(primary_fluence="machine")
        )
    for wrong in (0, -1, "a", 1.5):
        with pytest.raises(SettingsError, match="rasters of the kernels is not possible"):
            optimise_apertures(patient, sequenced, WISHES, coarseness=wrong)
    assert isinstance(sequenced, Plan)


def test_an_influence_of_other_beams_is_refused(patient, sequenced):
    linac = load_machine("generic-6mv")
    others = steer(patient, linac, target="Target", gantry=[20, 140, 261], bixel=15.0)
    with pytest.raises(PlanError, match=r"the influence is that of .* but the plan has"):
        optimise_apertures(compute_influence(patient, others), sequenced, WISHES)
