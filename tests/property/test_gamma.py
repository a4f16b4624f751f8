"""Laws of the gamma index for generated doses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosegrad import Dose, Grid, gamma

KINDS = st.sampled_from(["exact", "sampled"])
SEEDS = st.integers(0, 2**32 - 1)
QUICK = settings(max_examples=25, deadline=None)


@st.composite
def grids(draw):
    """Small grids of one to three dimensions, anywhere, some of them turned."""
    shape = tuple(draw(st.integers(1, 6)) for _ in range(3))
    spacing = tuple(draw(st.floats(0.5, 4.0)) for _ in range(3))
    origin = tuple(draw(st.floats(-100.0, 100.0)) for _ in range(3))
    turn = draw(st.sampled_from([0.0, 0.3, np.pi / 2]))
    c, s = float(np.cos(turn)), float(np.sin(turn))
    return Grid(shape, spacing, origin, ((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)))


def dose_on(grid, seed):
    return Dose(grid, np.random.default_rng(seed).normal(5.0, 2.0, grid.shape))


OPTIONS = {"percent": 5, "distance": 2, "threshold": None, "normalisation": 8.0}


@QUICK
@given(grids(), SEEDS, KINDS, st.booleans())
def test_gamma_of_a_dose_with_itself_is_zero(grid, seed, kind, local):
    dose = dose_on(grid, seed)
    result = gamma(dose, dose, **OPTIONS, local=local, interpolation=kind)
    assert (result.map == 0).all()


@QUICK
@given(grids(), SEEDS, KINDS)
def test_gamma_is_at_most_the_difference_of_dose_and_never_negative(grid, seed, kind):
    one, other = dose_on(grid, seed), dose_on(grid, seed + 1)
    result = gamma(one, other, **OPTIONS, interpolation=kind)
    difference = np.abs(one.array - other.array) / (0.05 * 8.0)
    assert (result.map >= 0).all()
    assert (result.map <= np.minimum(difference, 2.0) + 1e-9).all()


@QUICK
@given(grids(), SEEDS, KINDS)
def test_wider_criteria_never_raise_gamma(grid, seed, kind):
    one, other = dose_on(grid, seed), dose_on(grid, seed + 1)
    strict = gamma(one, other, **OPTIONS, max_gamma=4, interpolation=kind)
    more_dose = gamma(one, other, **OPTIONS | {"percent": 7}, max_gamma=4, interpolation=kind)
    assert (more_dose.map <= strict.map + 1e-9).all()
    if kind == "exact":  # samples at other places may miss by a step
        farther = gamma(one, other, **OPTIONS | {"distance": 3}, max_gamma=4)
        assert (farther.map <= strict.map + 1e-9).all()


@QUICK
@given(grids(), SEEDS, KINDS, st.floats(0.1, 50.0))
def test_gamma_knows_no_unit_of_dose(grid, seed, kind, factor):
    one, other = dose_on(grid, seed), dose_on(grid, seed + 1)
    plain = gamma(one, other, **OPTIONS, interpolation=kind)
    scaled = [Dose(grid, dose.array * factor) for dose in (one, other)]
    result = gamma(*scaled, **OPTIONS | {"normalisation": 8.0 * factor}, interpolation=kind)
    np.testing.assert_allclose(result.map, plain.map, atol=1e-6)


@QUICK
@given(grids(), SEEDS, KINDS, st.tuples(*[st.floats(-50.0, 50.0)] * 3))
def test_moving_both_doses_changes_nothing(grid, seed, kind, shift):
    one, other = dose_on(grid, seed), dose_on(grid, seed + 1)
    x, y, z = (float(v) for v in np.add(grid.origin, shift))
    moved = Grid(grid.shape, grid.spacing, (x, y, z), grid.direction)
    plain = gamma(one, other, **OPTIONS, interpolation=kind)
    result = gamma(Dose(moved, one.array), Dose(moved, other.array), **OPTIONS, interpolation=kind)
    np.testing.assert_allclose(result.map, plain.map, atol=1e-6)


@QUICK
@given(grids(), grids(), SEEDS)
def test_many_samples_approach_the_exact_minimum_where_interpolations_agree(grid, other, seed):
    """Dose that is linear in space is linear in cells and in simplices."""
    rng = np.random.default_rng(seed)
    slope, shift = rng.uniform(-0.3, 0.3, 3), rng.uniform(-0.4, 0.4)
    centre = grid.to_point((np.asarray(grid.shape) - 1) / 2)
    x, y, z = (float(v) for v in centre - np.asarray(other.spacing) / 2)
    other = Grid(other.shape, other.spacing, (x, y, z), other.direction)
    doses = [
        Dose(g, 8 + ((g.voxel_points(np.arange(g.n_voxels)) - centre) @ slope).reshape(g.shape) + s)
        for g, s in ((grid, 0.0), (other, shift))
    ]
    exact = gamma(*doses, **OPTIONS, beyond="fail")
    sampled = gamma(*doses, **OPTIONS, beyond="fail", interpolation="sampled", steps=20)
    assert (exact.map <= sampled.map + 1e-9).all()
    steepness = 1 + 2 * np.abs(slope).sum() / 0.4
    inside = sampled.map < 2
    assert (sampled.map - exact.map)[inside] == pytest.approx(0.0, abs=steepness / 20)
