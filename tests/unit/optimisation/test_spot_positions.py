"""Moving spots: better than where they were, within their box; fewer for the same dose."""

import numpy as np
import pytest

from dosegrad.beams.beam import COLUMN_DTYPE, Beam, Beams
from dosegrad.beams.steering import steer
from dosegrad.errors import CapabilityError, PlanError, SettingsError, UnknownNameError
from dosegrad.influence.build import compute_influence
from dosegrad.objectives.mean import MeanDose
from dosegrad.objectives.squared import SquaredDeviation, SquaredOverdose
from dosegrad.optimisation.optimise import optimise
from dosegrad.optimisation.spot_positions import optimise_spots
from dosegrad.optimisation.spot_problem import sample_terms
from dosegrad.optimisation.spot_pruning import (
    keep_minimum_weight,
    merge_spots,
    move_spots,
    prune_spots,
)
from dosegrad.plan import compute_dose

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
    ],
)
def test_what_cannot_be_is_refused(water_box, beams, options, error, words):
    with pytest.raises(error, match=words):
        optimise_spots(water_box, beams, GOALS, **options)
