"""Sequencing: exact sums, rules of leaves, least monitor units, and plans made of them."""

import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from pytest import approx

from dosegrad.engines.photon_kernel.field import segment_fluence
from dosegrad.errors import CapabilityError, PlanError, SettingsError, UnknownNameError
from dosegrad.machine.library import load_machine
from dosegrad.optimisation.sequencing.engel import engel
from dosegrad.optimisation.sequencing.fluence import leaf_raster, overlap_of_doses, quantise
from dosegrad.optimisation.sequencing.sequence import sequence
from dosegrad.optimisation.sequencing.shapes import LeafRules, complexity, sum_of
from dosegrad.optimisation.sequencing.siochi import siochi
from dosegrad.optimisation.sequencing.sweep import swept_time
from dosegrad.optimisation.sequencing.xia_verhey import xia_verhey
from dosegrad.plan import Plan

FREE = LeafRules()
ALGORITHMS = (xia_verhey, siochi, engel)


@pytest.fixture(scope="module")
def maps():
    rng = np.random.default_rng(20)
    sizes = rng.integers(3, 16, size=(200, 2))
    return [rng.integers(0, 11, size=tuple(size)) for size in sizes]


@pytest.fixture(scope="module")
def linac():
    return load_machine("generic-6mv")


@pytest.fixture(scope="module")
def found(maps):
    return {f: [f(levels, FREE) for levels in maps] for f in ALGORITHMS}


def units(shapes):
    return sum(shape.weight for shape in shapes)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_segments_add_up_to_the_fluence_exactly(maps, found, algorithm):
    for levels, shapes in zip(maps, found[algorithm], strict=True):
        assert np.array_equal(sum_of(shapes, levels.shape), levels)
        assert all(s.weight > 0 and (s.left <= s.right).all() for s in shapes)


def test_engel_needs_the_least_monitor_units_and_fewest_shapes(maps, found):
    for levels, shapes in zip(maps, found[engel], strict=True):
        assert units(shapes) == complexity(levels).max()
    numbers = {f: np.mean([len(shapes) for shapes in found[f]]) for f in ALGORITHMS}
    assert numbers[engel] <= numbers[xia_verhey]
    assert numbers[engel] <= numbers[siochi]
    for other in (xia_verhey, siochi):
        pairs = zip(found[engel], found[other], strict=True)
        assert all(units(a) <= units(b) for a, b in pairs)


@pytest.mark.parametrize(
    ("algorithm", "rules"),
    list(product(ALGORITHMS, [LeafRules(False), LeafRules(True, True), LeafRules(False, True)])),
)
def test_rules_between_rows_are_kept(maps, algorithm, rules):
    for levels in maps[:12]:
        shapes = algorithm(levels, rules)
        masks = [s.mask(levels.shape[1]) for s in shapes]
        assert np.array_equal(sum_of(shapes, levels.shape), levels)
        if not rules.interdigitation:
            for s in shapes:
                assert (s.left[1:] <= s.right[:-1]).all()
                assert (s.left[:-1] <= s.right[1:]).all()
        if rules.tongue_and_groove:
            together = sum(s.weight * (m[1:] & m[:-1]) for s, m in zip(shapes, masks, strict=True))
            assert np.array_equal(together, np.minimum(levels[1:], levels[:-1]))
        if algorithm is engel:
            assert units(shapes) == swept_time(levels, rules)


def test_a_worked_example_of_the_least_time():
    """Rises 4 + 0 + 1 + 0 and 2 + 1 + 0 + 2: both rows take five units."""
    levels = np.array([[4, 0, 1, 0], [2, 3, 1, 3]])
    assert complexity(levels).tolist() == [5, 5]
    assert units(engel(levels, FREE)) == 5


def plan_of(linac, weights):
    n_rows, n_columns = weights.shape
    x, y = np.meshgrid(5.0 * np.arange(n_columns) - 15.0, 5.0 * np.arange(n_rows) - 12.5)
    return Plan.from_bixels(
        *(linac,),
        gantry=0,
        isocentre=(0, 0, 0),
        x=x.ravel(),
        y=y.ravel(),
        width=5.0,
        weight=weights.ravel(),
    )


def test_apertures_let_through_what_the_plan_says(linac):
    """Behind tight leaves the fluence of all segments, on bixels, is the plan's weights."""
    tight = replace(linac.collimator, transmission=0.0, jaw_transmission=0.0)
    weights = np.random.default_rng(1).uniform(0.0, 100.0, (6, 7))
    plan = sequence(plan_of(replace(linac, collimator=tight), weights), levels=8)
    x_edges = 5.0 * np.arange(8) - 17.5
    y_edges = 5.0 * np.arange(7) - 15.0
    fluence = segment_fluence(tight, plan.apertures, x_edges, y_edges)
    assert fluence.ravel() == approx(plan.weights, abs=1e-9)
    assert plan.monitor_units >= plan.weights.max() - 1e-9
    assert tight.broken_limits(plan.apertures.left, plan.apertures.right) == ()
    # levels that are whole
    found = np.unique(np.round(np.append(plan.weights, 0.0), 9))
    steps = found / np.diff(found).min()
    assert np.allclose(steps, np.round(steps))
    assert steps.max() <= 8 + 1e-6


def test_leakage_is_taken_off_the_fluence(linac):
    weights = np.random.default_rng(2).uniform(20.0, 100.0, (6, 7))
    plans = {k: sequence(plan_of(linac, weights), leakage=k) for k in ("compensate", "ignore")}
    x_edges, y_edges = 5.0 * np.arange(8) - 17.5, 5.0 * np.arange(7) - 15.0
    sums = {
        k: segment_fluence(linac.collimator, p.apertures, x_edges, y_edges).sum()
        for k, p in plans.items()
    }
    assert sums["compensate"] == approx(weights.sum(), rel=0.01)
    assert sums["ignore"] > 1.01 * weights.sum()


def test_leaves_without_interdigitation_obey_the_machine(linac):
    strict = replace(linac.collimator, interdigitation=False)
    weights = np.random.default_rng(3).uniform(0.0, 100.0, (6, 7))
    for algorithm in ("engel", "siochi", "xia-verhey"):
        plan = sequence(plan_of(replace(linac, collimator=strict), weights), algorithm=algorithm)
        assert strict.broken_limits(plan.apertures.left, plan.apertures.right) == ()


def test_levels_are_chosen_by_dose(linac):
    """A needle among empty bixels is spread over its neighbours, its sum is kept."""
    weights = np.full((6, 7), 10.0)
    weights[3, 3] = 200.0
    plan = plan_of(linac, weights)
    raster = leaf_raster(plan.beams, 0, linac.collimator)
    alike = overlap_of_doses(linac, 5.0, 7)
    assert alike[0, 0] == 1.0
    assert alike[1, 0] == approx(alike[0, 1])
    assert 0.1 < alike[0, 1] < 0.8
    found = quantise(raster, plan.weights, alike, 10)
    assert raster.fluence_of(found.step * found.levels).sum() == approx(weights.sum(), rel=0.05)


def test_wrong_options_are_told(linac):
    plan = plan_of(linac, np.ones((2, 2)))
    with pytest.raises(UnknownNameError, match="no sequencing algorithm 'engle'"):
        sequence(plan, algorithm="engle")
    for wrong in (0, "x", np.nan, None):
        with pytest.raises(SettingsError, match=f"{wrong!r} levels are not possible"):
            sequence(plan, levels=wrong)
    with pytest.raises(UnknownNameError, match="no choice of leakage"):
        sequence(plan, leakage="no")
    with pytest.raises(PlanError, match="no fluence"):
        sequence(replace(plan, weights=np.zeros(4)))
    bare = replace(plan, beams=replace(plan.beams, machine=replace(linac, collimator=None)))
    with pytest.raises(CapabilityError, match="no leaves"):
        sequence(bare)
    loose = Plan.from_bixels(
        linac, gantry=0, isocentre=(0, 0, 0), x=[0, 5.9], y=2.5, width=5.0, weight=1.0
    )
    with pytest.raises(PlanError, match="no common lattice"):
        sequence(loose)
    far = Plan.from_bixels(
        linac, gantry=0, isocentre=(0, 0, 0), x=0, y=210.0, width=5.0, weight=1.0
    )
    with pytest.raises(PlanError, match="beside the leaves"):
        sequence(far)


def wide_plan(linac, *, interdigitation=True, **limits):
    """A field 330 mm wide under tight leaves."""
    tight = {"transmission": 0.0, "jaw_transmission": 0.0, "interdigitation": interdigitation}
    leaves = replace(linac.collimator, **tight, **limits)
    x, y = np.meshgrid(10.0 * np.arange(33) - 160.0, 10.0 * np.arange(4) - 15.0)
    weights = 20.0 * np.random.default_rng(1).integers(0, 6, x.size)
    return leaves, Plan.from_bixels(
        replace(linac, collimator=leaves),
        gantry=0,
        isocentre=(0, 0, 0),
        x=x.ravel(),
        y=y.ravel(),
        width=10.0,
        weight=weights,
    )


@pytest.mark.parametrize("algorithm", ["engel", "siochi", "xia-verhey"])
def test_a_field_too_wide_for_its_leaves_is_parted(linac, algorithm):
    """Wider than a bank spans, and beyond where tips may go past the axis: jaws make that edge."""
    leaves, wide = wide_plan(linac)
    plan = sequence(wide, levels=5, algorithm=algorithm)
    assert leaves.broken_limits(plan.apertures.left, plan.apertures.right) == ()
    assert np.ptp(plan.apertures.jaws[:, :2]) > leaves.span
    assert "the field at gantry 0° in " in plan.message
    edges = 10.0 * np.arange(34) - 165.0, 5.0 * np.arange(9) - 20.0
    fluence = segment_fluence(leaves, plan.apertures, *edges).reshape(4, 2, 33).mean(axis=1)
    assert fluence.ravel() == approx(plan.weights, abs=1e-9)
    assert plan.weights.sum() == approx(wide.weights.sum(), rel=0.05)


@pytest.mark.parametrize("limits", [{"span": 30.0}, {"over_travel": 20.0}])
@pytest.mark.parametrize("passing", [True, False])
def test_narrow_limits_of_leaves_are_kept(linac, limits, passing):
    strict = replace(linac.collimator, interdigitation=passing, **limits)
    weights = np.random.default_rng(3).uniform(0.0, 100.0, (6, 14))
    plan = sequence(plan_of(replace(linac, collimator=strict), weights))
    assert strict.broken_limits(plan.apertures.left, plan.apertures.right) == ()
    assert plan.weights.sum() == approx(weights.sum(), rel=0.05)


def test_fields_that_leaves_cannot_deliver_are_refused(linac):
    weights = np.random.default_rng(3).uniform(0.0, 100.0, (6, 7))
    cases = {
        "reach": (10.0, r"mm from the axis \(at most 10 mm"),
        "minimum_gap": (6.0, "come within"),
    }
    for name, (value, words) in cases.items():
        strict = replace(linac.collimator, **{name: value})
        with pytest.raises(PlanError, match=f"gantry 0°, not even column by column.*{words}"):
            sequence(plan_of(replace(linac, collimator=strict), weights))
    bound = replace(linac, collimator=replace(linac.collimator, interdigitation=False))
    with pytest.raises(SettingsError, match="may not pass opposing neighbours"):
        sequence(plan_of(bound, weights), interdigitation=True)


def test_leakage_that_cannot_be_made_good_is_told(linac):
    weights = np.zeros((6, 7))
    weights[2:4, 3] = 100.0
    weights[0, 0] = weights[5, 6] = 5.0
    plan = sequence(plan_of(linac, weights))
    assert re.search(r"closed leaves let through \d+ % of the fluence", plan.message)
    assert "let through" not in sequence(plan_of(linac, np.full((6, 7), 50.0))).message
