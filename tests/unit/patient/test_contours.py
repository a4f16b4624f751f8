import numpy as np
import pytest

from dosegrad.errors import PatientError
from dosegrad.geometry.grid import Grid
from dosegrad.patient.contours import ContourPlane, ContourShape, gather_planes

AXIS_TURNS = {
    "axial": np.eye(3),
    "head first prone": np.diag([-1.0, -1.0, 1.0]),
    "feet first": np.diag([-1.0, 1.0, -1.0]),
    "sagittal": np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    "coronal": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}


def box(x, y, width, height, z=0.0):
    return [(x, y, z), (x + width, y, z), (x + width, y + height, z), (x, y + height, z)]


def prism(polygon, heights):
    return [[(x, y, z) for x, y, _ in polygon] for z in heights]


def rows(matrix):
    return tuple(tuple(map(float, row)) for row in matrix)


def test_cube_of_21_planes_has_the_volume_of_the_cube():
    cube = ContourShape.from_polygons(prism(box(0, 0, 100, 100), np.arange(21) * 5.0))
    assert cube.volume_cc == pytest.approx(1000.0, rel=1e-12)


def test_mask_of_the_cube_is_larger_by_the_outer_half_slabs():
    cube = ContourShape.from_polygons(prism(box(0, 0, 100, 100), np.arange(21) * 5.0))
    grid = Grid((120, 60, 55), (1.0, 2.0, 2.0), (1.0, 1.0, -9.5))
    n_slices = np.count_nonzero(cube.mask(grid).any(axis=(1, 2)))
    assert n_slices == 105
    assert cube.mask(grid).sum() * grid.voxel_volume_cc == pytest.approx(1050.0)


def test_volume_does_not_depend_on_any_grid_and_counts_uneven_gaps():
    heights = [0.0, 3.0, 6.0, 12.0, 18.0, 21.0]
    shape = ContourShape.from_polygons(prism(box(0, 0, 10, 20), heights))
    assert shape.volume_cc == pytest.approx(10 * 20 * 21 / 1000)


def test_uneven_planes_own_half_of_each_gap():
    shape = ContourShape.from_polygons(prism(box(0, 0, 4, 4), [0.0, 3.0, 9.0, 12.0]))
    lower, upper = shape.slabs()
    assert lower.tolist() == [-1.5, 1.5, 6.0, 10.5]
    assert upper.tolist() == [1.5, 6.0, 10.5, 13.5]


def test_mixed_slice_thickness_loses_no_plane():
    heights = [*np.arange(5) * 3.0, *(12.0 + 6.0 * np.arange(1, 5))]
    shape = ContourShape.from_polygons(prism(box(0, 0, 4, 4), heights))
    grid = Grid((13, 6, 6), (3.0, 1.0, 1.0), (-1.0, -1.0, 0.0))
    assert shape.mask(grid).any(axis=(1, 2)).all()


def test_distant_pieces_are_not_bridged():
    heights = [0.0, 3.0, 6.0, 9.0, 60.0, 63.0, 66.0]
    shape = ContourShape.from_polygons(prism(box(0, 0, 10, 10), heights))
    grid = Grid((90, 3, 3), (1.0, 3.0, 3.0), (1.0, 1.0, -10.0))
    found = np.flatnonzero(shape.mask(grid).any(axis=(1, 2))) - 10
    assert found.tolist() == [*range(-1, 11), *range(59, 68)]
    assert shape.volume_cc == pytest.approx(100 * (9 + 6) / 1000)


def test_lone_plane_counts_as_thick_as_the_slices():
    shape = ContourShape.from_polygons([box(0, 0, 10, 10)], spacing=3.0)
    grid = Grid((11, 10, 10), (1.0, 1.0, 1.0), (0.5, 0.5, -5.0))
    assert shape.volume_cc == pytest.approx(0.3)
    assert shape.mask(grid).sum() == 300


def test_lone_plane_without_spacing_is_refused():
    with pytest.raises(PatientError, match="no thickness of its own; give spacing="):
        ContourShape.from_polygons([box(0, 0, 10, 10)])


def test_edges_through_voxel_centres_are_half_open():
    # every edge passes exactly through centres: the low sides belong, the high sides do not
    shape = ContourShape.from_polygons([box(0.3, 0.6, 0.9, 1.2)], spacing=1.0)
    grid = Grid((1, 12, 14), (1.0, 0.1, 0.1), (0.0, 0.3, 0.0))
    grid = Grid((1, 20, 14), (1.0, 0.1, 0.1), grid.origin)
    mask = shape.mask(grid)[0]
    assert mask.sum() == 9 * 12
    assert np.flatnonzero(mask.any(axis=0)).tolist() == list(range(3, 12))
    assert np.flatnonzero(mask.any(axis=1)).tolist() == list(range(3, 15))


def test_neighbours_share_no_voxel_and_leave_none():
    grid = Grid((1, 30, 30), (1.0, 0.5, 0.5), (0.0, 0.0, 0.0))
    slanted = [(5.0, 0.0, 0.0), (9.0, 10.0, 0.0)]
    left = [(0.0, 0.0, 0.0), slanted[0], slanted[1], (0.0, 10.0, 0.0)]
    right = [slanted[0], (12.0, 0.0, 0.0), (12.0, 10.0, 0.0), slanted[1]]
    masks = [ContourShape.from_polygons([p], spacing=1.0).mask(grid) for p in (left, right)]
    whole = ContourShape.from_polygons([box(0, 0, 12, 10)], spacing=1.0).mask(grid)
    assert not (masks[0] & masks[1]).any()
    assert ((masks[0] | masks[1]) == whole).all()


def test_nested_polygons_make_a_hole_and_an_island():
    polygons = [box(0, 0, 30, 30), box(5, 5, 20, 20), box(10, 10, 10, 10)]
    shape = ContourShape.from_polygons(polygons, spacing=2.0)
    grid = Grid((1, 30, 30), (2.0, 1.0, 1.0), (0.5, 0.5, 0.0))
    mask = shape.mask(grid)[0]
    assert mask.sum() == 900 - 400 + 100
    assert shape.volume_cc == pytest.approx((900 - 400 + 100) * 2 / 1000)
    assert mask[15, 15]
    assert not mask[7, 7]


def test_keyhole_is_the_same_as_a_nested_hole():
    outer, inner = box(0, 0, 30, 30), box(7.3, 8.1, 12, 11)
    keyhole = [outer[0], *inner, inner[0], *[outer[0], *outer[:0:-1]]]
    grid = Grid((1, 41, 43), (1.0, 0.75, 0.7), (-1.0, -1.0, 0.0))
    nested = ContourShape.from_polygons([outer, inner], spacing=1.0)
    cut = ContourShape.from_polygons([keyhole], spacing=1.0)
    assert (nested.mask(grid) == cut.mask(grid)).all()
    assert cut.volume_cc == pytest.approx(nested.volume_cc, rel=1e-12)


def test_areas_are_exact_where_edges_cross():
    eight = [(0, 0, 0), (10, 10, 0), (10, 0, 0), (0, 10, 0)]
    overlapping = [box(0, 0, 10, 10), box(5, 5, 10, 10)]
    assert ContourShape.from_polygons([eight], spacing=1.0).volume_cc == pytest.approx(0.05)
    assert ContourShape.from_polygons(overlapping, spacing=1.0).volume_cc == pytest.approx(0.15)


def test_copies_of_a_contour_count_once():
    square = box(0, 0, 10, 10)
    turned = [*square[2:], *square[:2]]
    backwards = square[::-1]
    closed = [*square, square[0], square[0]]
    with pytest.warns(UserWarning, match="3 contours drawn twice counted once"):
        shape = ContourShape.from_polygons([square, turned, backwards, closed], spacing=1.0)
    assert shape.volume_cc == pytest.approx(0.1)


def test_points_and_lines_are_left_out_with_a_warning():
    with pytest.warns(UserWarning, match="2 contours with fewer than 3 points left out"):
        shape = ContourShape.from_polygons(
            [box(0, 0, 1, 1), [(0, 0, 0)], [(0, 0, 0), (1, 1, 0)]], spacing=1.0
        )
    assert len(shape.planes) == 1


def test_contours_without_area_are_left_out():
    _, _, notes = gather_planes([box(0, 0, 1, 1), [(0, 5, 9), (1, 5, 9), (2, 5, 9)]])
    assert notes == ("1 contours without area left out",)


@pytest.mark.parametrize("turn", AXIS_TURNS.values(), ids=AXIS_TURNS)
def test_mask_is_the_same_on_turned_grids(turn):
    heights = [0.0, 4.0, 8.0]
    triangle = [(0.0, 0.0, 0.0), (14.0, 2.0, 0.0), (6.0, 11.0, 0.0)]
    shape = ContourShape.from_polygons(prism(triangle, heights), spacing=4.0)
    grid = Grid((9, 13, 17), (2.0, 1.0, 1.5), (-3.0, -1.0, -4.0))
    expected = {tuple(p) for p in grid.voxel_points(np.flatnonzero(shape.mask(grid)))}
    spacing = np.asarray(grid.spacing)[::-1] @ np.abs(turn)
    shape_xyz = np.asarray(grid.shape)[::-1] @ np.abs(turn).astype(int)
    far = grid.to_point(np.asarray(grid.shape) - 1)
    origin = np.where((turn.sum(axis=1)) < 0, far, grid.origin)
    turned = Grid(tuple(shape_xyz[::-1]), tuple(spacing[::-1]), tuple(origin), rows(turn))
    found = turned.voxel_points(np.flatnonzero(shape.mask(turned)))
    assert {tuple(np.round(p, 9) + 0.0) for p in found} == expected


def test_point_path_agrees_with_the_fast_path():
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    ring = [
        np.column_stack([r * np.cos(angle), 0.7 * r * np.sin(angle), np.full(60, z)])
        for z in (0.0, 3.0, 6.0, 9.0)
        for r in (17.0, 8.0)
    ]
    shape = ContourShape.from_polygons(ring)
    grid = Grid((8, 31, 37), (1.9, 1.1, 1.3), (-19.7, -15.9, -1.8))
    assert (shape._mask_by_points(grid) == shape.mask(grid)).all()


def test_turning_contours_and_grid_together_changes_nothing():
    a, b = np.deg2rad([20.0, -35.0])
    turn = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]) @ np.array(
        [[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]]
    )
    polygons = prism([(0.1, 0.2, 0), (13.7, 1.9, 0), (5.2, 11.3, 0)], [0.0, 2.5, 5.0, 7.5])
    grid = Grid((7, 13, 17), (1.7, 1.0, 1.3), (-1.6, -1.0, -1.1))
    straight = ContourShape.from_polygons(polygons)
    turned = ContourShape.from_polygons([np.asarray(p) @ turn.T for p in polygons])
    origin = tuple(turn @ np.asarray(grid.origin))
    turned_grid = Grid(grid.shape, grid.spacing, origin, rows(turn))
    assert (turned.mask(turned_grid) == straight.mask(grid)).all()
    assert turned.volume_cc == pytest.approx(straight.volume_cc, rel=1e-9)


def test_contours_on_planes_that_are_not_parallel_are_refused():
    sagittal = [(0.0, y, z) for y, z in ((0, 0), (9, 0), (9, 9), (0, 9))]
    with pytest.raises(PatientError, match="do not lie on parallel planes"):
        ContourShape.from_polygons([box(0, 0, 9, 9), sagittal], spacing=1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_corners_must_be_finite(value):
    with pytest.raises(PatientError, match="NaN or infinity"):
        ContourShape.from_polygons([[(0, 0, 0), (1, 0, 0), (1, value, 0)]], spacing=1.0)


def test_shape_without_planes_is_refused():
    with pytest.raises(PatientError, match="at least one closed polygon"):
        ContourShape(())


def test_planes_must_ascend():
    plane = ContourPlane(0.0, (np.array([[0.0, 0], [1, 0], [0, 1]]),))
    with pytest.raises(PatientError, match="must ascend"):
        ContourShape((plane, plane))


def test_bounds_enclose_the_polygons():
    shape = ContourShape.from_polygons(prism(box(1, 2, 3, 4), [5.0, 7.0]))
    assert shape.bounds.tolist() == [[1, 2, 5], [4, 6, 7]]


def test_a_grid_far_away_has_an_empty_mask():
    shape = ContourShape.from_polygons([box(0, 0, 9, 9)], spacing=1.0)
    assert not shape.mask(Grid((3, 4, 5), (1, 1, 1), (500.0, -900.0, 0.0))).any()


def test_contours_of_many_points_are_fast_enough_to_count():
    angle = np.linspace(0, 2 * np.pi, 14_000, endpoint=False)
    disc = [
        np.column_stack([50 * np.cos(angle), 30 * np.sin(angle), 0 * angle + z]) for z in (0, 3)
    ]
    shape = ContourShape.from_polygons(disc)
    grid = Grid((1, 200, 250), (3.0, 0.5, 0.5), (-60.0, -50.0, 0.0))
    assert shape.volume_cc == pytest.approx(np.pi * 1500 * 3 / 1000, rel=1e-6)
    assert shape.mask(grid).sum() * 0.25 == pytest.approx(np.pi * 1500, rel=2e-3)
