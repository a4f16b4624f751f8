"""Rays through grids: single cases whose answer is plain."""

import numpy as np
import pytest

from dosegrad.errors import GeometryError
from dosegrad.geometry import _rays_reference
from dosegrad.geometry.grid import Grid
from dosegrad.geometry.rays import crossings, path_integrals, trace_ray

# Faces of this grid: x from 0 to 9 by 3, y from 0 to 8 by 2, z from 0 to 10 by 5.
GRID = Grid(shape=(2, 4, 3), spacing=(5.0, 2.0, 3.0), origin=(1.5, 1.0, 2.5))
VALUES = np.random.default_rng(1).random(GRID.shape) + 0.5


def along(axis, position, *, start=-20.0, end=40.0):
    """Ray parallel to an axis through the point ``position``."""
    first, last = np.array(position, dtype=float), np.array(position, dtype=float)
    first[axis], last[axis] = start, end
    return first, last


def integral(start, end, values=VALUES):
    return float(path_integrals(GRID, values, start, [end])[0])


def voxels_of(start, end):
    return [
        tuple(int(i) for i in np.unravel_index(v, GRID.shape))
        for v in trace_ray(GRID, start, end).voxels
    ]


@pytest.mark.parametrize(("axis", "expected"), [(0, [3.0] * 3), (1, [2.0] * 4), (2, [5.0] * 2)])
def test_axis_parallel_ray_has_the_spacing_as_chords(axis, expected):
    start, end = along(axis, (4.5, 3.0, 7.5))
    assert trace_ray(GRID, start, end).lengths == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_turning_a_ray_round_reverses_it(axis):
    start, end = along(axis, (4.4, 3.1, 7.6))
    there, back = trace_ray(GRID, start, end), trace_ray(GRID, end, start)
    assert there.voxels.tolist() == back.voxels[::-1].tolist()
    assert integral(start, end) == pytest.approx(integral(end, start), rel=1e-14)


def test_ray_inside_a_plane_belongs_to_the_layer_above():
    start, end = along(1, (3.0, 0.0, 5.0))
    assert voxels_of(start, end) == [(1, y, 1) for y in range(4)]
    assert integral(start, end) == pytest.approx(2.0 * VALUES[1, :, 1].sum(), rel=1e-14)


def test_ray_on_the_first_face_is_inside_and_on_the_last_outside():
    on_first, on_last = along(2, (0.0, 0.0, 0.0)), along(2, (9.0, 0.0, 0.0))
    assert voxels_of(*on_first) == [(0, 0, 0), (1, 0, 0)]
    assert voxels_of(*on_last) == []
    assert integral(*on_first) == pytest.approx(5.0 * VALUES[:, 0, 0].sum(), rel=1e-14)
    assert integral(*on_last) == 0.0


def test_ray_that_crosses_exactly_one_plane():
    start, end = (2.0, 1.0, 1.0), (4.0, 1.0, 1.0)
    path = trace_ray(GRID, start, end)
    assert path.alphas == pytest.approx([0.0, 0.5, 1.0], abs=1e-15)
    assert voxels_of(start, end) == [(0, 0, 0), (0, 0, 1)]
    assert integral(start, end) == pytest.approx(VALUES[0, 0, 0] + VALUES[0, 0, 1], rel=1e-14)


def test_ray_within_one_voxel():
    start, end = (3.5, 0.5, 6.0), (5.0, 1.5, 9.0)
    assert voxels_of(start, end) == [(1, 0, 1)]
    length = np.linalg.norm(np.subtract(end, start))
    assert integral(start, end) == pytest.approx(length * VALUES[1, 0, 1], rel=1e-14)


def test_ray_that_starts_on_a_plane_takes_no_voxel_behind_it():
    assert voxels_of((3.0, 1.0, 1.0), (5.0, 1.0, 1.0)) == [(0, 0, 1)]
    assert voxels_of((3.0, 1.0, 1.0), (1.0, 1.0, 1.0)) == [(0, 0, 0)]
    assert integral((3.0, 1.0, 1.0), (1.0, 1.0, 1.0)) == pytest.approx(2 * VALUES[0, 0, 0])


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ((-5.0, 20.0, 1.0), (20.0, 20.0, 1.0)),  # passes beside
        ((-5.0, 1.0, 1.0), (-1.0, 2.0, 1.0)),  # ends before
        ((10.0, 1.0, 1.0), (30.0, 2.0, 1.0)),  # starts behind
        ((-9.0, 0.0, 1.0), (0.0, -9.0, 1.0)),  # passes a corner
        ((4.0, 4.0, 4.0), (4.0, 4.0, 4.0)),  # has no length
    ],
)
def test_rays_without_a_way_in_the_grid(start, end):
    path = trace_ray(GRID, start, end)
    assert path.voxels.size == path.lengths.size == path.alphas.size == 0
    assert integral(start, end) == 0.0
    assert crossings(GRID, np.ones(GRID.shape, bool), start, [end]).offsets.tolist() == [0, 0]


def test_diagonal_through_corners_has_no_slivers():
    grid = Grid(shape=(4, 4, 4), spacing=(3.0, 3.0, 3.0), origin=(0.0, 0.0, 0.0))
    path = trace_ray(grid, (-7.5, -7.5, -7.5), (16.5, 16.5, 16.5))
    assert path.voxels.tolist() == [0, 21, 42, 63]
    assert path.lengths == pytest.approx(np.full(4, 3.0 * np.sqrt(3.0)), abs=1e-12)


def test_empty_margins_change_nothing():
    values = np.zeros(GRID.shape)
    values[1, 2, 1] = 2.0
    start, end = (4.0, -30.0, 6.0), (5.0, 30.0, 9.0)
    plain = _rays_reference.path_integrals(
        GRID, values, np.array([start]), np.array([end], dtype=float)
    )
    assert integral(start, end, values) == pytest.approx(float(plain[0]), rel=1e-13)
    assert integral(start, end, np.zeros(GRID.shape)) == 0.0


def test_crossings_list_every_entry_into_a_mask():
    mask = np.zeros(GRID.shape, bool)
    mask[0, [0, 2, 3], 1] = True
    start, end = along(1, (4.0, 0.0, 1.0), start=-2.0, end=10.0)
    starts, ends = np.array([start, start + 50.0, end]), np.array([end, end + 50.0, start])
    found = crossings(GRID, mask, starts, ends)
    assert found.offsets.tolist() == [0, 2, 2, 4]
    assert found.of_ray(0) == pytest.approx(np.array([[2, 4], [6, 10]]) / 12, abs=1e-15)
    assert found.of_ray(2) == pytest.approx(np.array([[2, 6], [8, 10]]) / 12, abs=1e-15)
    assert found.rays().tolist() == [0, 0, 2, 2]


def test_crossings_of_an_empty_mask_are_none():
    found = crossings(GRID, np.zeros(GRID.shape, bool), [(0, 0, 0)] * 3, [(9, 9, 9)] * 3)
    assert found.offsets.tolist() == [0, 0, 0, 0]
    assert found.alpha_in.size == found.alpha_out.size == 0


def test_a_ray_may_start_and_end_inside_the_mask():
    found = crossings(GRID, np.ones(GRID.shape, bool), (1.0, 1.0, 1.0), [(8.0, 7.0, 9.0)])
    assert found.of_ray(0).tolist() == [[0.0, 1.0]]


def test_a_ray_that_grazes_an_edge_does_not_split():
    """Two voxels that share an edge: the ray through it leaves one and enters the other at once."""
    grid = Grid(shape=(1, 2, 2), spacing=(1.0, 1.0, 1.0), origin=(0.5, 0.5, 0.5))
    found = crossings(grid, np.eye(2, dtype=bool)[None], (-1.0, -1.0, 0.5), [(3.0, 3.0, 0.5)])
    assert found.of_ray(0) == pytest.approx(np.array([[0.25, 0.75]]), abs=1e-15)


def test_no_rays_give_nothing():
    assert path_integrals(GRID, VALUES, np.empty((0, 3)), np.empty((0, 3))).shape == (0,)
    assert path_integrals(GRID, VALUES, (0.0, 0.0, 0.0), np.empty((0, 3))).shape == (0,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: trace_ray(GRID, (0, 0, np.nan), (1, 1, 1)), "must be finite"),
        (lambda: trace_ray(GRID, (0, 0, 0), [(1, 1, 1)] * 2), "got 2 rays"),
        (lambda: path_integrals(GRID, VALUES, [(0, 0, 0)] * 2, [(1, 1, 1)] * 3), "2 starts do not"),
        (lambda: path_integrals(GRID, VALUES, (0, 0), (1, 1)), r"give points \(n, 3\)"),
        (lambda: path_integrals(GRID, VALUES[0], (0, 0, 0), (1, 1, 1)), "do not lie on"),
        (lambda: path_integrals(GRID, VALUES * np.nan, (0, 0, 0), (1, 1, 1)), "not finite"),
        (lambda: crossings(GRID, VALUES[:1] > 0, (0, 0, 0), (1, 1, 1)), "do not lie on"),
    ],
)
def test_impossible_rays_are_refused(call, message):
    with pytest.raises(GeometryError, match=message):
        call()


def test_path_prints_on_one_line():
    assert repr(trace_ray(GRID, (0, 1, 1), (9, 1, 1))) == "RayPath(3 voxels, 9 mm)"
