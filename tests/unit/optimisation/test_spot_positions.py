"""Moving spots: better than where they were, within their box; fewer for the same dose."""

import numpy as np
import pytest

from dosegrad.beams.beam import COLUMN_DTYPE, Beam, Beams
from dosegrad.beams.steering import steer
from dosegrad.cli.robust import RobustPart
from dosegrad.engines.pencil_beam.engine import PencilBeam
from dosegrad.errors import CapabilityError, PlanError, SettingsError, UnknownNameError
from dosegrad.influence.build import compute_influence, prepare_medium
from dosegrad.influence.range_map import layers_of
from dosegrad.influence.scenarios import Scenarios
from dosegrad.objectives.mean import MeanDose
from dosegrad.objectives.squared import SquaredDeviation, SquaredOverdose
from dosegrad.optimisation.optimise import optimise
from dosegrad.optimisation.spot_objective import SpotObjective, SpotSettings
from dosegrad.optimisation.spot_positions import optimise_spots
from dosegrad.optimisation.spot_problem import sample_terms
from dosegrad.optimisation.spot_pruning import (
    keep_minimum_weight,
    merge_spots,
    move_spots,
    prune_spots,
    shift_layers,
)
from dosegrad.plan_dose import compute_dose

GOALS = {"Target": [SquaredDeviation(20.0, weight=100)], "Body": [MeanDose(weight=1)]}


@pytest.fixture(scope="module")
def beams(water_box, toy_machine):
    return steer(
        *(water_box, toy_machine),
        target="Target",
        gantry=[0, 90],
        spot_spacing=12.0,
        layer_spacing=7.0,
        margin=5.0,
    )


@pytest.fixture(scope="module")
def on_grid(water_box, beams):
    return optimise(compute_influence(water_box, beams), GOALS, max_iterations=200)


@pytest.fixture(scope="module", params=["simultaneous", "alternating"])
def moved(request, water_box, beams):
    return optimise_spots(
        water_box, beams, GOALS, max_shift=6.0, method=request.param, max_iterations=24
    )


def test_moved_spots_are_better_and_no_more(moved, on_grid, beams):
    assert moved.objective < 0.8 * on_grid.objective
    assert moved.n_spots <= beams.n_columns
    assert moved.history[-1] == moved.objective
    assert moved.message.startswith("spots ")


def test_dose_is_that_of_the_standard_engine(moved, water_box):
    again = compute_dose(water_box, moved).array
    assert np.abs(again - moved.dose.array).max() < 1e-4 * again.max()


def test_spots_stay_in_their_box(moved, beams):
    for column in moved.beams.columns:
        same = beams.columns[
            (beams.columns["beam"] == column["beam"])
            & (beams.columns["energy"] == column["energy"])
        ]
        # a joined spot lies between those that made it
        near = np.maximum(abs(same["x"] - column["x"]), abs(same["y"] - column["y"]))
        assert near.min() <= 6.0 + 1.0


def test_least_weights_hold(water_box, beams):
    influence = compute_influence(water_box, beams)
    plan = optimise(influence, GOALS, max_iterations=100)
    minimum = 0.3 * plan.weights[plan.weights > 0].mean()
    kept = keep_minimum_weight(influence, GOALS, plan, minimum=minimum)
    on = kept.weights > 0
    assert kept.weights[on].min() >= minimum
    assert on.sum() < plan.n_spots
    np.testing.assert_allclose(kept.dose.array, influence.dose(kept.weights).array)
    with pytest.raises(PlanError, match="half the minimum"):
        keep_minimum_weight(influence, GOALS, plan, minimum=1e9)


def some_spots(machine, x, energy):
    columns = np.zeros(len(x), dtype=COLUMN_DTYPE)
    columns["x"], columns["energy"] = x, energy
    columns["ray"] = np.arange(len(x))
    return Beams(machine, (Beam(0.0, 0.0, (0.0, 0.0, 0.0), None),), columns)


def test_spots_that_met_are_joined_at_their_centroid(toy_machine):
    beams = some_spots(toy_machine, [0.0, 0.6, 5.0, 0.1], [100.0, 100.0, 100.0, 80.0])
    joined, weights = merge_spots(beams, np.array([1.0, 2.0, 3.0, 4.0]), within=1.0)
    assert joined.columns["x"].tolist() == pytest.approx([0.4, 5.0, 0.1])
    assert weights.tolist() == [3.0, 3.0, 4.0]
    assert merge_spots(beams, np.ones(4), within=0.0)[0].n_columns == 4
    with pytest.raises(SettingsError, match="zero or more"):
        merge_spots(beams, np.ones(4), within=-1.0)


def test_chains_are_joined_until_none_is_near(toy_machine):
    beams = some_spots(toy_machine, np.arange(0.0, 5.0, 0.5), np.full(10, 100.0))
    joined, weights = merge_spots(beams, np.ones(10), within=1.0)
    assert np.diff(np.sort(joined.columns["x"])).min() > 1.0
    assert weights.sum() == pytest.approx(10.0)
    assert (joined.columns["x"] * weights).sum() == pytest.approx(22.5)


def test_light_spots_are_left_out(toy_machine):
    beams = some_spots(toy_machine, [0.0, 5.0, 5.0], [100.0, 100.0, 80.0])
    kept, weights = prune_spots(beams, np.array([1.0, 0.001, 2.0]), below=0.01)
    assert kept.columns["energy"].tolist() == [100.0, 80.0]
    assert weights.tolist() == [1.0, 2.0]
    with pytest.raises(PlanError, match="prune less"):
        prune_spots(beams, np.zeros(3), below=0.1)


def test_moved_spots_share_rays_where_they_meet(toy_machine):
    beams = some_spots(toy_machine, [0.0, 5.0], [100.0, 80.0])
    there = move_spots(beams, np.array([2.0, 2.0]), np.array([1.0, 1.0]))
    assert there.columns["ray"].tolist() == [0, 0]


def test_sampled_voxels_stand_for_all(water_box, beams):
    goals = {**GOALS, "Body": [MeanDose(weight=1), SquaredOverdose(10.0)]}
    sampled = sample_terms(water_box, beams, water_box.ct.grid, goals)
    whole, mean, limit = sampled.terms
    assert whole.rows.size == 6 * 12 * 15
    assert mean.rows.size < limit.rows.size < 0.6 * water_box.ct.grid.n_voxels
    for term, share in zip(sampled.terms, sampled.shares, strict=True):
        assert share.size == term.rows.size
        assert share.sum() == pytest.approx(1.0)
    depth = np.unravel_index(sampled.voxels[mean.rows], water_box.ct.grid.shape)[1]
    assert sampled.shares[1] @ depth == pytest.approx(29.5, abs=0.5)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"max_shift": 0.0}, SettingsError, "three quarters"),
        ({"max_shift": 5.0, "method": "jointly"}, UnknownNameError, "simultaneous"),
        ({"max_shift": 5.0, "max_iterations": 0}, SettingsError, "at least 1"),
        ({"max_shift": 5.0, "prune_below": 1.0}, SettingsError, "prune_below"),
        ({"max_shift": 5.0, "initial": [1.0]}, PlanError, "none of them negative"),
        ({"max_shift": 5.0, "engine": "yoda"}, CapabilityError, "engines that do"),
        ({"max_shift": 5.0, "merge_within": -1.0}, SettingsError, "cannot be joined"),
        ({"max_shift": 5.0, "robust": "minimax"}, SettingsError, "no errors are given"),
    ],
)
def test_what_cannot_be_is_refused(water_box, beams, options, error, words):
    with pytest.raises(error, match=words):
        optimise_spots(water_box, beams, GOALS, **options)


CASES = Scenarios.worst_case(setup=(3.0, 0.0, 0.0), range_percent=3.5)


@pytest.mark.parametrize("method", ["simultaneous", "alternating"])
@pytest.mark.parametrize("how", ["expected", "minimax"])
def test_a_robust_plan_is_better_with_spots_that_move(water_box, beams, how, method):
    influence = compute_influence(water_box, beams, scenarios=CASES)
    on_grid = optimise(influence, GOALS, robust=how, max_iterations=150)
    moved = optimise_spots(
        *(water_box, beams, GOALS),
        max_shift=6.0,
        scenarios=CASES,
        robust=how,
        method=method,
        max_iterations=24,
    )
    assert moved.objective < 0.95 * on_grid.objective
    assert len(moved.scenario_doses) == len(CASES)


def test_scenarios_count_by_minimax_unless_something_else_is_said(water_box, beams):
    def made(objectives=GOALS, **options):
        return optimise_spots(
            *(water_box, beams, objectives),
            max_shift=6.0,
            scenarios=CASES,
            max_iterations=4,
            **options,
        )

    plain, named = made(), made(robust="minimax")
    assert len(plain.scenario_doses) == len(CASES)
    assert any("robust: Minimax" in line for line in plain.provenance["objectives"])
    np.testing.assert_array_equal(plain.weights, named.weights)
    own = made({"Target": [SquaredDeviation(20.0, weight=100).robust("expected")]})
    assert not any("Minimax" in line for line in own.provenance["objectives"])
    default = RobustPart()
    assert default.choice() == "minimax"


def test_spots_of_no_weight_are_not_in_the_plan(water_box, beams, moved):
    assert (moved.weights > 0).all()
    minimum = 0.5 * moved.weights.mean()
    heavy = optimise_spots(
        water_box, beams, GOALS, max_shift=6.0, max_iterations=12, minimum_weight=minimum
    )
    assert heavy.weights.min() >= minimum
    assert heavy.beams.n_columns == heavy.n_spots
    again = compute_dose(water_box, heavy, grid=heavy.dose.grid)
    np.testing.assert_allclose(again.array, heavy.dose.array, rtol=1e-4, atol=1e-3)


def test_the_robust_gradient_is_that_of_the_objective(water_box, beams):
    engine, grid = PencilBeam(), water_box.dose_grid()
    medium = prepare_medium(water_box, grid, engine)
    goals = {"Target": [SquaredDeviation(20.0, weight=100)], "Body": [SquaredOverdose(8.0)]}
    settings = SpotSettings(water_box, grid, engine, medium, goals, 6.0, 2.0, CASES, "minimax")
    objective = SpotObjective.of(settings, beams)
    rng = np.random.default_rng(2)
    at = objective.spots.variables(beams, rng.uniform(0.5, 1.5, beams.n_columns))
    at[: beams.n_columns] *= 20.0 / objective.spots.linearise(at)[0].max()
    objective.sharpen(at, 0)
    assert objective.robust is not None
    assert len(objective.nominal.terms) == 1
    _, gradient = objective.value_and_gradient(at)
    n = beams.n_columns
    for part, step in ((slice(0, n), 1e-3), (slice(n, 3 * n), 1e-3), (slice(3 * n, None), 1e-4)):
        direction = np.zeros(at.size)
        direction[part] = rng.standard_normal(direction[part].size)
        near, far = (
            objective.value_and_gradient(at + k * step * direction)[0]
            - objective.value_and_gradient(at - k * step * direction)[0]
            for k in (1, 2)
        )
        numeric = (8 * near - far) / (12 * step)
        assert gradient @ direction == pytest.approx(numeric, rel=1e-5)


def test_energies_of_layers_move_to_those_of_the_machine(water_box, toy_machine, beams, moved):
    plan = optimise_spots(
        *(water_box, beams, GOALS), max_shift=6.0, energies="layers", max_iterations=36
    )
    energies = np.unique(plan.beams.columns["energy"])
    assert set(energies) <= set(toy_machine.energies)
    assert plan.provenance["spot_positions"]["energies"] == "layers"
    assert plan.objective < 1.5 * moved.objective


def test_layers_shifted_by_the_distance_of_energies_are_the_next_ones(toy_machine, beams):
    found, _ = layers_of(beams)
    ranges = toy_machine.ranges
    here = [int(np.argmin(np.abs(toy_machine.energies - e))) for e in found["energy"]]
    moved = shift_layers(beams, np.array([ranges[k + 1] - ranges[k] for k in here]))
    now, _ = layers_of(moved)
    np.testing.assert_array_equal(now["energy"], toy_machine.energies[np.array(here) + 1])


def test_few_spots_are_left_if_so_asked(water_box, beams, moved):
    most = beams.n_columns // 3
    plan = optimise_spots(
        *(water_box, beams, GOALS), max_shift=6.0, max_spots=most, max_iterations=36
    )
    assert plan.beams.n_columns <= most
    assert plan.objective < 3.0 * moved.objective


def test_a_robust_plan_keeps_a_minimum_weight(water_box, beams):
    influence = compute_influence(water_box, beams, scenarios=CASES)
    plan = optimise(influence, GOALS, robust="minimax", max_iterations=60)
    minimum = 0.3 * plan.weights[plan.weights > 0].mean()
    kept = keep_minimum_weight(influence, GOALS, plan, minimum=minimum, robust="minimax")
    used = kept.weights[kept.weights > 0]
    assert used.min() >= minimum
    assert kept.objective < 1.2 * plan.objective
    assert len(kept.scenario_doses) == len(CASES)


def test_choices_of_energies_and_numbers_are_checked(water_box, beams):
    with pytest.raises(UnknownNameError, match="layers"):
        optimise_spots(water_box, beams, GOALS, max_shift=6.0, energies="spots")
    with pytest.raises(SettingsError, match="mm of range"):
        optimise_spots(
            water_box, beams, GOALS, max_shift=6.0, energies="layers", max_range_shift=9.0
        )
    with pytest.raises(SettingsError, match="make no plan"):
        optimise_spots(water_box, beams, GOALS, max_shift=6.0, max_spots=0)
