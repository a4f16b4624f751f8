"""Water-equivalent depths: cases whose answer is plain."""

import numpy as np
import pytest

from dosegrad.errors import GeometryError
from dosegrad.geometry.depth import water_equivalent_depth
from dosegrad.geometry.frames import gantry_to_patient
from dosegrad.geometry.grid import Grid

GRID = Grid(shape=(12, 20, 16), spacing=(2.5, 2.0, 3.0), origin=(-22.5, -19.0, -13.75))


def test_parallel_beam_in_water_sees_the_distance_from_the_surface():
    y = GRID.to_point([[5, k, 7] for k in range(20)])
    depth = water_equivalent_depth(GRID, np.ones(GRID.shape), y, direction=(0.0, 3.0, 0.0))
    assert depth == pytest.approx(2.0 * np.arange(20) + 1.0, abs=1e-12)


def test_divergent_beam_in_water_sees_the_slant_distance():
    source = np.array([0.0, -1000.0, 0.0])
    points = GRID.to_point([[0, 19, 0], [6, 10, 8], [11, 19, 15]])
    depth = water_equivalent_depth(GRID, np.ones(GRID.shape), points, source=source)
    inside = (points[:, 1] + 20.0) / (points[:, 1] + 1000.0)
    assert depth == pytest.approx(inside * np.linalg.norm(points - source, axis=1), abs=1e-11)


def test_far_source_and_parallel_beam_agree():
    values = np.random.default_rng(2).random(GRID.shape)
    points = GRID.to_point([[3, 4, 5], [10, 18, 2]]) + 0.3
    flight = np.array([0.3, 0.5, -0.2])
    far = points[0] - 1e8 * flight
    near = water_equivalent_depth(GRID, values, points[:1], direction=flight)
    assert near == pytest.approx(
        water_equivalent_depth(GRID, values, points[:1], source=far), abs=1e-5
    )


def test_point_behind_the_grid_has_seen_all_of_it_and_one_before_nothing():
    points = [[1.0, 500.0, 1.0], [1.0, -500.0, 1.0]]
    depth = water_equivalent_depth(GRID, np.ones(GRID.shape), points, direction=(0, 1, 0))
    assert depth == pytest.approx([40.0, 0.0], abs=1e-12)


def test_source_inside_the_grid_starts_there():
    depth = water_equivalent_depth(GRID, np.ones(GRID.shape), [[10, 0, 0]], source=(2, 0, 0))
    assert depth == pytest.approx([8.0], abs=1e-12)


@pytest.mark.parametrize(("gantry", "couch"), [(30.0, 0.0), (90.0, 0.0), (200.0, 25.0)])
def test_turning_grid_and_beam_together_changes_nothing(gantry, couch):
    turn = gantry_to_patient(gantry, couch)
    values = np.random.default_rng(3).random(GRID.shape)
    points = GRID.voxel_points(np.arange(0, GRID.n_voxels, 37))
    turned = Grid(GRID.shape, GRID.spacing, tuple(turn @ GRID.origin), tuple(map(tuple, turn)))
    source, flight = np.array([200.0, -900.0, 120.0]), np.array([0.2, 1.0, 0.1])
    for beam in ({"source": source}, {"direction": flight}):
        other = {key: turn @ vector for key, vector in beam.items()}
        assert water_equivalent_depth(turned, values, points @ turn.T, **other) == pytest.approx(
            water_equivalent_depth(GRID, values, points, **beam), abs=1e-10
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either the source"),
        ({"source": (0, 0, 0), "direction": (0, 0, 1)}, "either the source"),
        ({"direction": (0, 0, 0)}, "not all zero"),
        ({"direction": (0, np.inf, 0)}, "three finite numbers"),
        ({"source": (0, np.inf, 0)}, "must be finite"),
    ],
)
def test_impossible_beams_are_refused(options, message):
    with pytest.raises(GeometryError, match=message):
        water_equivalent_depth(GRID, np.ones(GRID.shape), [[0, 0, 0]], **options)
