"""Volumes at points and on other grids: cases whose answer is plain."""

from dataclasses import replace

import numpy as np
import pytest

from dosegrad.errors import GeometryError
from dosegrad.geometry.frames import gantry_to_patient
from dosegrad.geometry.grid import Grid
from dosegrad.geometry.resample import interpolate, resample, resample_nearest

GRID = Grid(shape=(4, 6, 8), spacing=(5.0, 2.0, 3.0), origin=(0.0, 0.0, 0.0))
VALUES = np.random.default_rng(4).random(GRID.shape)


def ball(grid, centre, radius):
    """Volume that falls smoothly from 1 to 0 around a sphere."""
    points = grid.voxel_points(np.arange(grid.n_voxels)).reshape(*grid.shape, 3)
    return 1 / (1 + np.exp(2.0 * (np.linalg.norm(points - centre, axis=-1) - radius)))


def test_blocks_of_voxels_become_their_means():
    coarse = GRID.with_spacing((10.0, 4.0, 6.0))
    expected = VALUES.reshape(2, 2, 3, 2, 4, 2).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(resample(VALUES, GRID, coarse, outside=0.0), expected, rtol=1e-13)


def test_partial_cover_is_filled_with_the_outside_value():
    line = Grid(shape=(1, 1, 1), spacing=(5.0, 2.0, 4.0), origin=(0.5, 0.0, 0.0))
    single = Grid(shape=(1, 1, 1), spacing=(5.0, 2.0, 2.0), origin=(0.0, 0.0, 0.0))
    found = resample(np.full((1, 1, 1), 8.0), single, line, outside=2.0)
    assert found.tolist() == [[[5.0]]]


def test_grids_apart_share_nothing():
    apart = replace(GRID, origin=(500.0, 0.0, 0.0))
    assert (resample(VALUES, GRID, apart, outside=-3.0) == -3.0).all()
    assert (resample_nearest(VALUES, GRID, apart, outside=-3.0) == -3.0).all()


def test_turned_grids_keep_means_and_totals_nearly():
    """64 points a voxel: the total of a smooth volume holds to 1e-3."""
    source = Grid(shape=(22, 21, 20), spacing=(2.0, 2.1, 2.2), origin=(-20.9, -21.0, -21.0))
    turn = gantry_to_patient(33.0, 12.0)
    size = np.array([14, 13, 12])
    origin = turn @ (-(size[::-1] - 1) / 2 * 5.0)
    target = Grid(tuple(map(int, size)), (5.0, 5.0, 5.0), tuple(origin), tuple(map(tuple, turn)))
    values = ball(source, np.zeros(3), 12.0)
    found = resample(values, source, target, outside=0.0)
    total = values.sum() * source.voxel_volume_cc
    assert found.sum() * target.voxel_volume_cc == pytest.approx(total, rel=1e-3)
    fine = target.with_spacing((1.0, 1.0, 1.0))
    means = ball(fine, np.zeros(3), 12.0).reshape(14, 5, 13, 5, 12, 5).mean(axis=(1, 3, 5))
    assert np.abs(found - means).max() < 0.06


def test_sampling_of_nearly_parallel_grids_agrees_with_exact_overlap():
    source = Grid(shape=(9, 10, 11), spacing=(2.0, 2.5, 3.0), origin=(0.0, 0.0, 0.0))
    target = Grid(shape=(3, 4, 4), spacing=(5.0, 5.5, 6.5), origin=(3.1, 2.2, 3.3))
    upright = gantry_to_patient(0.0).T
    tilted = replace(target, direction=tuple(map(tuple, gantry_to_patient(1e-5) @ upright)))
    assert np.allclose(tilted.direction, np.eye(3), atol=1e-6)
    values = ball(source, source.to_point((4, 4, 5)), 6.0)
    exact = resample(values, source, target, outside=0.0)
    assert np.abs(resample(values, source, tilted, outside=0.0) - exact).max() < 0.06


def test_labels_keep_their_type_and_values():
    labels = (VALUES * 5).astype(np.uint8)
    fine = GRID.with_spacing((2.5, 1.0, 1.5))
    found = resample_nearest(labels, GRID, fine, outside=7)
    assert found.dtype == np.uint8
    assert np.array_equal(found, labels.repeat(2, 0).repeat(2, 1).repeat(2, 2))
    assert resample_nearest(labels > 2, GRID, fine, outside=False).dtype == bool


def test_a_centre_on_a_face_belongs_to_the_voxel_above():
    source = Grid(shape=(1, 1, 4), spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0))
    target = replace(source, origin=(0.5, 0.0, 0.0))
    labels = np.arange(4).reshape(1, 1, 4)
    assert resample_nearest(labels, source, target, outside=9).tolist() == [[[1, 2, 3, 9]]]


def test_interpolation_between_centres_and_beyond_them():
    line = Grid(shape=(1, 1, 3), spacing=(1.0, 1.0, 2.0), origin=(0.0, 0.0, 0.0))
    values = np.array([[[1.0, 3.0, 4.0]]])
    points = [[1.0, 0.0, 0.0], [-0.9, 0.0, 0.0], [-1.1, 0.0, 0.0], [4.9, 0.4, -0.4]]
    assert interpolate(line, values, points, outside=7.0).tolist() == [2.0, 1.0, 7.0, 4.0]


@pytest.mark.parametrize(
    "call",
    [
        lambda: interpolate(GRID, VALUES[1:], [[0, 0, 0]]),
        lambda: resample(VALUES[1:], GRID, GRID, outside=0.0),
        lambda: resample_nearest(VALUES[1:], GRID, GRID),
    ],
)
def test_volumes_must_lie_on_their_grid(call):
    with pytest.raises(GeometryError, match=r"shape \(3, 6, 8\) does not lie on"):
        call()
