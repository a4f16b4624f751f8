"""Unions, differences, margins and rings against shapes whose answer is known."""

import numpy as np
import pytest

from dosegrad import Grid
from dosegrad.errors import PatientError, UnknownNameError
from dosegrad.patient.structure_tools import combine, grow, ring, shrink
from dosegrad.patient.structures import MaskShape, Structure

GRID = Grid((41, 41, 41), (1.0, 1.0, 1.0), (-20.0, -20.0, -20.0))
X, Y, Z = np.moveaxis(GRID.voxel_points(np.arange(GRID.n_voxels)), -1, 0).reshape(3, *GRID.shape)


def structure(inside, name="Target", role="target"):
    return Structure(name, MaskShape(GRID, inside), role=role)


def ball(radius, centre=(0.0, 0.0, 0.0)):
    x, y, z = centre
    return structure((X - x) ** 2 + (Y - y) ** 2 + (Z - z) ** 2 <= radius**2)


def point():
    return structure((X == 0) & (Y == 0) & (Z == 0))


def test_set_operations_follow_their_definition_on_any_grid():
    first, second = ball(8.0), ball(8.0, (6.0, 0.0, 0.0))
    finer = GRID.with_spacing((0.5, 1.0, 0.5))
    for grid in (GRID, finer):
        a, b = first.mask(grid), second.mask(grid)
        for operation, expected in (("union", a | b), ("overlap", a & b), ("difference", a & ~b)):
            made = combine("New", operation, [first, second], GRID)
            np.testing.assert_array_equal(made.mask(grid), expected)
    union = combine("New", "union", [first, second], GRID).volume_cc
    overlap = combine("New", "overlap", [first, second], GRID).volume_cc
    assert union + overlap == pytest.approx(first.volume_cc + second.volume_cc)


def test_a_point_grows_to_a_ball_an_ellipsoid_and_an_egg():
    one = grow(point(), 7.0, GRID)
    np.testing.assert_array_equal(one.mask(GRID), X**2 + Y**2 + Z**2 <= 49)
    assert (one.name, one.role) == ("Target + 7 mm", "target")
    three = grow(point(), (4.0, 6.0, 10.0), GRID).mask(GRID)
    np.testing.assert_array_equal(three, (X / 4) ** 2 + (Y / 6) ** 2 + (Z / 10) ** 2 <= 1 + 1e-9)
    six = grow(point(), (3.0, 5.0, 4.0, 4.0, 0.0, 8.0), GRID).mask(GRID)
    assert six[20, 20, 17] and not six[20, 20, 16]  # 3 mm to the right, -x
    assert six[20, 20, 25] and not six[20, 20, 26]  # 5 mm to the left
    assert six[28, 20, 20] and not six[29, 20, 20]  # 8 mm to the head
    assert not six[19].any()  # nothing to the feet


def test_shrinking_undoes_growing_of_a_box_and_takes_off_at_the_rim_of_the_grid():
    box = structure((abs(X) <= 9) & (abs(Y) <= 7) & (abs(Z) <= 5))
    sides = (3.0, 2.0, 1.0, 4.0, 2.0, 0.0)
    back = shrink(grow(box, sides, GRID), sides, GRID)
    np.testing.assert_array_equal(back.mask(GRID), box.mask(GRID))
    whole = structure(np.ones(GRID.shape, dtype=bool))
    kept = shrink(whole, 5.0, GRID).mask(GRID)
    assert kept.sum() == 31**3
    assert not shrink(ball(4.0), 6.0, GRID).mask(GRID).any()


def test_growth_of_a_ball_is_the_larger_ball():
    grid = GRID.with_spacing((0.5, 0.5, 0.5))
    found = grow(ball(6.0), 5.0, grid).volume_cc
    assert found == pytest.approx(4 / 3 * np.pi * 11**3 / 1000, rel=0.06)


def test_a_ring_leaves_the_structure_free():
    shell = ring(ball(5.0), 2.0, 6.0, GRID)
    distance = np.sqrt(X**2 + Y**2 + Z**2)
    mask = shell.mask(GRID)
    assert distance[mask].min() > 6.0
    assert distance[mask].max() <= 11.0 + 1e-9
    assert shell.role == "organ"


@pytest.mark.parametrize("margin", [-1.0, (1.0, 2.0), float("nan"), 5000.0])
def test_impossible_margins_say_so(margin):
    with pytest.raises(PatientError, match="margin"):
        grow(ball(5.0), margin, GRID)


def test_other_mistakes_say_what_to_do():
    with pytest.raises(UnknownNameError, match="difference"):
        combine("New", "minus", [ball(3.0), ball(4.0)], GRID)
    with pytest.raises(PatientError, match="two or more"):
        combine("New", "union", [ball(3.0)], GRID)
    with pytest.raises(PatientError, match="finer grid"):
        grow(structure(np.zeros(GRID.shape, dtype=bool)), 3.0, GRID)
    with pytest.raises(PatientError, match="no ring"):
        ring(ball(5.0), 3.0, 3.1, GRID)
