"""Grids: what they accept, and where their voxels are."""

import numpy as np
import pytest

from dosegrad.errors import GeometryError
from dosegrad.geometry.frames import gantry_to_patient
from dosegrad.geometry.grid import Grid

TURNED = tuple(map(tuple, gantry_to_patient(40.0, 20.0)))
GRID = Grid(shape=(4, 5, 6), spacing=(5.0, 2.0, 3.0), origin=(10.0, -20.0, 30.0))


def test_steps_along_each_index_move_along_the_right_axis():
    assert GRID.to_point([1, 0, 0]).tolist() == [10.0, -20.0, 35.0]
    assert GRID.to_point([0, 1, 0]).tolist() == [10.0, -18.0, 30.0]
    assert GRID.to_point([0, 0, 1]).tolist() == [13.0, -20.0, 30.0]


def test_steps_of_a_turned_grid_follow_the_columns_of_its_direction():
    grid = Grid(GRID.shape, GRID.spacing, GRID.origin, TURNED)
    step = grid.to_point([0, 0, 1]) - grid.to_point([0, 0, 0])
    assert step == pytest.approx(3.0 * np.array(TURNED)[:, 0], abs=1e-13)


def test_voxel_points_follow_flat_indices():
    flat = np.ravel_multi_index((3, 1, 4), GRID.shape)
    assert GRID.voxel_points([flat]).tolist() == [[22.0, -18.0, 45.0]]


def test_axis_coordinates_of_an_axial_grid_are_patient_coordinates():
    z, y, x = GRID.axis_coordinates()
    assert (z[-1], y[-1], x[-1]) == (45.0, -12.0, 25.0)
    assert (z.size, y.size, x.size) == GRID.shape


def test_volume_and_count():
    assert GRID.n_voxels == 120
    assert GRID.voxel_volume_cc == pytest.approx(0.03)
    assert GRID.is_axial
    assert not Grid((1, 1, 1), (1, 1, 1), (0, 0, 0), TURNED).is_axial


@pytest.mark.parametrize("direction", [GRID.direction, TURNED])
def test_new_spacing_keeps_the_box_and_its_centre(direction):
    grid = Grid(GRID.shape, GRID.spacing, GRID.origin, direction)
    other = grid.with_spacing((2.5, 2.5, 2.0))
    assert other.shape == (8, 4, 9)
    assert other.direction == grid.direction
    middle = [(np.array(g.shape) - 1) / 2 for g in (grid, other)]
    assert other.to_point(middle[1]) == pytest.approx(grid.to_point(middle[0]), abs=1e-12)


def test_same_spacing_gives_the_same_grid():
    assert GRID.with_spacing(GRID.spacing) == GRID


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (0, 5, 6)}, r"shape \(0, 5, 6\) cannot be; give three positive"),
        ({"shape": (4.5, 5, 6)}, r"shape \(4.5, 5, 6\) cannot be"),
        ({"shape": (np.nan, 5, 6)}, "cannot be"),
        ({"shape": (4, 5)}, "cannot be"),
        ({"shape": (10**5, 10**5, 10)}, "at most 4e"),
        ({"spacing": (1.0, -1.0, 1.0)}, "give three positive numbers"),
        ({"spacing": (1.0, np.inf, 1.0)}, "give three positive numbers"),
        ({"origin": (0.0, np.nan, 0.0)}, "three finite numbers"),
        ({"direction": ((1, 0, 0), (0, 1, 0), (0, 0, 2))}, "must be a rotation"),
        ({"direction": ((1, 0, 0), (0, 1, 0), (0, 0, -1))}, "right-handed"),
    ],
)
def test_impossible_grids_are_refused(change, message):
    settings = {"shape": (4, 5, 6), "spacing": (1.0, 1.0, 1.0), "origin": (0.0, 0.0, 0.0)}
    with pytest.raises(GeometryError, match=message):
        Grid(**(settings | change))


@pytest.mark.parametrize("spacing", [(1.0, 2.0), (0.0, 1.0, 1.0), (np.nan, 1.0, 1.0)])
def test_impossible_new_spacings_are_refused(spacing):
    with pytest.raises(GeometryError, match="give three positive numbers"):
        GRID.with_spacing(spacing)


def test_grid_prints_on_one_line():
    assert repr(GRID) == "Grid(4×5×6 voxels, 5×2×3 mm)"


@pytest.mark.parametrize("spacing", [2.0, ("a", 1, 1), None, (1.0, 2.0)])
def test_spacing_that_is_no_triple_is_one_error(spacing):
    with pytest.raises(GeometryError, match="three positive numbers"):
        Grid((2, 3, 4), spacing, (0.0, 0.0, 0.0))
