"""Laws of grids and of volumes carried between them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosegrad.geometry.frames import PATIENT_POSITIONS, gantry_to_patient
from dosegrad.geometry.grid import Grid
from dosegrad.geometry.resample import interpolate, resample, resample_nearest

SEEDS = st.integers(0, 2**32 - 1)


def random_grid(rng, direction=None):
    if direction is None:
        position = str(rng.choice(sorted(PATIENT_POSITIONS)))
        direction = gantry_to_patient(*rng.uniform(0, 360, 2), position=position)
    shape = tuple(int(n) for n in rng.integers(1, 9, 3))
    spacing = tuple(rng.uniform(0.5, 4.0, 3))
    origin = np.asarray(direction) @ rng.uniform(-5, 5, 3)
    return Grid(shape, spacing, tuple(origin), tuple(map(tuple, direction)))


def around(grid, spacing):
    """Grid of another spacing, shifted, that holds all of ``grid`` and has its axes."""
    size = np.array(grid.shape) * grid.spacing
    shape = tuple(int(n) for n in np.ceil(size / spacing) + 2)
    other = replace(grid, shape=shape, spacing=tuple(spacing))
    shift = -0.5 * np.array(grid.spacing) - 0.6 * np.array(spacing)
    return replace(other, origin=tuple(grid.to_point(shift / grid.spacing)))


@given(SEEDS)
def test_indices_and_points_round_trip(seed):
    rng = np.random.default_rng(seed)
    grid = random_grid(rng)
    indices = rng.uniform(-20, 20, (2, 5, 3))
    np.testing.assert_allclose(grid.to_index(grid.to_point(indices)), indices, atol=1e-11)
    points = rng.uniform(-200, 200, (7, 3))
    np.testing.assert_allclose(grid.to_point(grid.to_index(points)), points, atol=1e-11)


@given(SEEDS)
def test_a_volume_on_its_own_grid_stays_exactly(seed):
    rng = np.random.default_rng(seed)
    grid = random_grid(rng)
    values = rng.random(grid.shape)
    assert np.array_equal(resample(values, grid, grid, outside=9.0), values)
    assert np.array_equal(resample_nearest(values, grid, grid), values)


@given(SEEDS)
def test_the_total_is_kept_where_the_target_covers_the_source(seed):
    rng = np.random.default_rng(seed)
    source = random_grid(rng)
    target = around(source, rng.uniform(0.5, 4.0, 3))
    values = rng.random(source.shape)
    found = resample(values, source, target, outside=0.0)
    total = values.sum() * source.voxel_volume_cc
    assert found.sum() * target.voxel_volume_cc == pytest.approx(total, rel=1e-11)


@given(SEEDS)
def test_constants_are_kept(seed):
    rng = np.random.default_rng(seed)
    source, target = random_grid(rng), random_grid(rng)
    parallel = replace(target, direction=source.direction)
    for grid in (target, parallel):
        found = resample(np.full(source.shape, 0.3), source, grid, outside=0.3)
        np.testing.assert_allclose(found, 0.3, rtol=1e-13)


@given(SEEDS)
def test_means_stay_within_the_range_of_the_volume(seed):
    rng = np.random.default_rng(seed)
    source, target = random_grid(rng), random_grid(rng)
    values = rng.uniform(0.2, 0.7, source.shape)
    found = resample(values, source, target, outside=0.5)
    assert found.min() >= min(values.min(), 0.5) - 1e-12
    assert found.max() <= max(values.max(), 0.5) + 1e-12


@given(SEEDS)
def test_fine_and_back_is_the_same(seed):
    rng = np.random.default_rng(seed)
    source = random_grid(rng)
    fine = source.with_spacing(tuple(np.array(source.spacing) / rng.integers(1, 4, 3)))
    values = rng.random(source.shape)
    there = resample(values, source, fine, outside=0.0)
    np.testing.assert_allclose(resample(there, fine, source, outside=0.0), values, rtol=1e-8)
    labels = (values * 4).astype(np.int16)
    assert np.array_equal(
        resample_nearest(resample_nearest(labels, source, fine), fine, source), labels
    )


@settings(max_examples=25)
@given(SEEDS)
def test_flipped_and_exchanged_axes_are_followed(seed):
    """The same box with its axes named otherwise: the volume is a view of the first."""
    rng = np.random.default_rng(seed)
    source = random_grid(rng, np.eye(3))
    values = rng.random(source.shape)
    # New x, y, z axes along old -y, x, z: a quarter turn.
    direction = ((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    nz, ny, nx = source.shape
    dz, dy, dx = source.spacing
    origin = tuple(source.to_point([0, ny - 1, 0]))
    target = Grid((nz, nx, ny), (dz, dx, dy), origin, direction)
    expected = values[:, ::-1, :].transpose(0, 2, 1)
    np.testing.assert_allclose(resample(values, source, target, outside=0.0), expected, rtol=1e-12)
    assert np.array_equal(resample_nearest(values, source, target), expected)


@settings(max_examples=25)
@given(SEEDS)
def test_interpolation_is_exact_for_linear_volumes(seed):
    rng = np.random.default_rng(seed)
    grid = random_grid(rng)
    slope = rng.normal(size=3)
    values = (grid.voxel_points(np.arange(grid.n_voxels)) @ slope + 1.0).reshape(grid.shape)
    points = grid.to_point(rng.random((30, 3)) * (np.array(grid.shape) - 1))
    np.testing.assert_allclose(interpolate(grid, values, points), points @ slope + 1.0, atol=1e-9)
