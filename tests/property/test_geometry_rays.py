"""Laws of rays, on random grids, volumes and rays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosegrad.geometry import _rays_reference
from dosegrad.geometry.depth import water_equivalent_depth
from dosegrad.geometry.frames import PATIENT_POSITIONS, gantry_to_patient
from dosegrad.geometry.grid import Grid
from dosegrad.geometry.rays import crossings, path_integrals, trace_ray

SEEDS = st.integers(0, 2**32 - 1)
N_RAYS = 12


def random_grid(rng, *, turned):
    shape = tuple(int(n) for n in rng.integers(1, 9, 3))
    spacing = tuple(rng.choice([0.5, 1.0, 2.5, 3.0, 1.37], 3))
    direction = np.eye(3)
    if turned:
        position = str(rng.choice(sorted(PATIENT_POSITIONS)))
        direction = gantry_to_patient(*rng.uniform(0, 360, 2), position=position)
    return Grid(shape, spacing, tuple(rng.uniform(-50, 50, 3)), tuple(map(tuple, direction)))


def random_rays(rng, grid, *, on_lattice):
    """Starts and ends around the grid; with ``on_lattice`` in its planes, edges and corners."""
    shape = np.array(grid.shape)
    ends = rng.uniform(-1.5, 1.5, (2, N_RAYS, 3)) * shape + shape / 2
    if on_lattice:
        ends = np.where(rng.random(ends.shape) < 0.7, np.round(ends), ends)
        same = rng.random((N_RAYS, 3)) < 0.4
        ends[1] = np.where(same, ends[0], ends[1])
    return grid.to_point(ends - 0.5)


def cases(seed, *, turned=True, on_lattice=False):
    rng = np.random.default_rng(seed)
    grid = random_grid(rng, turned=turned)
    values = rng.random(grid.shape) * (rng.random(grid.shape) < 0.8)
    return rng, grid, values, *random_rays(rng, grid, on_lattice=on_lattice)


@given(SEEDS)
def test_compiled_integrals_equal_plain_ones(seed):
    _, grid, values, starts, ends = cases(seed)
    expected = _rays_reference.path_integrals(grid, values, starts, ends)
    np.testing.assert_allclose(
        path_integrals(grid, values, starts, ends), expected, rtol=1e-12, atol=1e-11
    )


@given(SEEDS)
def test_compiled_integrals_equal_plain_ones_in_planes_and_corners(seed):
    # Index coordinates on such planes are exact only where spacing and origin are round.
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 7, 3))
    grid = Grid(shape, (2.0, 0.5, 4.0), (1.0, -3.0, 8.0))
    values = rng.random(shape)
    starts, ends = random_rays(rng, grid, on_lattice=True)
    expected = _rays_reference.path_integrals(grid, values, starts, ends)
    np.testing.assert_allclose(
        path_integrals(grid, values, starts, ends), expected, rtol=1e-12, atol=1e-11
    )


@given(SEEDS)
def test_compiled_crossings_equal_plain_ones(seed):
    rng, grid, values, starts, ends = cases(seed)
    mask = values > rng.uniform(0.2, 0.8)
    found = crossings(grid, mask, starts, ends)
    expected = _rays_reference.crossings(grid, mask, starts, ends)
    assert found.offsets.tolist() == expected[0].tolist()
    np.testing.assert_allclose(found.alpha_in, expected[1], rtol=0, atol=1e-13)
    np.testing.assert_allclose(found.alpha_out, expected[2], rtol=0, atol=1e-13)


@given(SEEDS)
def test_crossings_are_ordered_and_as_long_as_the_path_in_the_mask(seed):
    rng, grid, values, starts, ends = cases(seed)
    mask = values > rng.uniform(0.2, 0.8)
    found = crossings(grid, mask, starts, ends)
    assert (found.alpha_out > found.alpha_in).all()
    same_ray = np.diff(found.rays()) == 0
    assert (found.alpha_in[1:][same_ray] > found.alpha_out[:-1][same_ray]).all()
    inside = np.bincount(found.rays(), found.alpha_out - found.alpha_in, minlength=N_RAYS)
    length = np.linalg.norm(ends - starts, axis=1)
    np.testing.assert_allclose(
        inside * length, path_integrals(grid, mask.astype(float), starts, ends), atol=1e-9
    )


@given(SEEDS)
def test_a_ray_reversed_has_the_same_integral(seed):
    _, grid, values, starts, ends = cases(seed)
    np.testing.assert_allclose(
        path_integrals(grid, values, starts, ends),
        path_integrals(grid, values, ends, starts),
        rtol=1e-12,
        atol=1e-11,
    )


@given(SEEDS)
def test_two_parts_of_a_ray_add_up(seed):
    rng, grid, values, starts, ends = cases(seed)
    between = starts + rng.random((N_RAYS, 1)) * (ends - starts)
    parts = path_integrals(grid, values, starts, between)
    parts = parts + path_integrals(grid, values, between, ends)
    np.testing.assert_allclose(parts, path_integrals(grid, values, starts, ends), atol=1e-10)


@given(SEEDS)
def test_integrals_are_linear_in_the_volume(seed):
    rng, grid, values, starts, ends = cases(seed)
    other = rng.random(grid.shape)
    both = path_integrals(grid, 2.0 * values - 3.0 * other, starts, ends)
    parts = (path_integrals(grid, v, starts, ends) for v in (values, other))
    np.testing.assert_allclose(both, np.dot([2.0, -3.0], list(parts)), atol=1e-10)


@given(SEEDS)
def test_chords_fill_the_ray_inside_the_box(seed):
    _, grid, _, starts, ends = cases(seed)
    for start, end in zip(starts, ends, strict=True):
        path = trace_ray(grid, start, end)
        if path.voxels.size:
            whole = (path.alphas[-1] - path.alphas[0]) * np.linalg.norm(end - start)
            assert path.lengths.sum() == pytest.approx(whole, rel=1e-12)
            assert np.unique(path.voxels).size == path.voxels.size
            middle = start + np.outer((path.alphas[1:] + path.alphas[:-1]) / 2, end - start)
            nearest = grid.voxel_points(path.voxels)
            reach = np.abs(grid.to_index(middle) - grid.to_index(nearest))
            assert (reach <= 0.5 + 1e-9).all()


@settings(max_examples=30)
@given(SEEDS)
def test_depth_grows_along_a_ray(seed):
    rng, grid, values, starts, ends = cases(seed)
    source = starts[0]
    points = source + np.sort(rng.random(20))[:, None] * (ends[0] - source)
    depth = water_equivalent_depth(grid, values, points, source=source)
    assert (np.diff(depth) >= -1e-12).all()
