import numpy as np
import pytest

from dosegrad.geometry.grid import Grid
from dosegrad.patient.patient import Patient
from dosegrad.plot.planes import AXIAL, CORONAL, SAGITTAL, Plane, focus_point
from dosegrad.plot.slices import _outline

GRID = Grid(shape=(4, 6, 8), spacing=(5.0, 3.0, 2.0), origin=(-7.0, 10.0, 20.0))


@pytest.mark.parametrize(
    ("axis", "limits", "letters", "position"),
    [
        (AXIAL, (-8.0, 8.0, 26.5, 8.5), "RLPA", 25.0),
        (CORONAL, (-8.0, 8.0, 17.5, 37.5), "RLIS", 16.0),
        (SAGITTAL, (8.5, 26.5, 17.5, 37.5), "APIS", 1.0),
    ],
)
def test_planes_lie_where_they_say(axis, limits, letters, position):
    """Radiological: the patient's right is on the left, the front at the top, the head up."""
    plane = Plane.through(GRID, np.array([0.6, 16.4, 26.0]), axis)
    assert plane.limits == pytest.approx(limits)
    assert plane.letters == tuple(letters)
    assert plane.position == pytest.approx(position)


@pytest.mark.parametrize("axis", [AXIAL, CORONAL, SAGITTAL])
def test_finer_pixels_cover_the_same_plane(axis):
    point = np.array([1.0, 16.0, 25.0])
    coarse, fine = (Plane.through(GRID, point, axis, refine=r) for r in (1, 3))
    assert fine.limits == pytest.approx(coarse.limits)
    assert fine.pixel_centres()[0].size == 3 * coarse.pixel_centres()[0].size
    assert fine.position == coarse.position


def test_pixels_hold_the_voxels_that_they_cover():
    hu = np.arange(GRID.n_voxels, dtype=float).reshape(GRID.shape)
    patient = Patient.from_arrays(hu, spacing=GRID.spacing, origin=GRID.origin)
    plane = Plane.through(GRID, np.array([1.0, 16.0, 25.0]), AXIAL)
    np.testing.assert_allclose(plane.hu(patient), hu[1], rtol=1e-6)
    plane = Plane.through(GRID, np.array([1.0, 16.0, 25.0]), SAGITTAL)
    np.testing.assert_allclose(plane.hu(patient), hu[:, :, 4], rtol=1e-6)


def test_a_turned_grid_is_covered_by_its_box():
    c, s = np.cos(0.5), np.sin(0.5)
    turned = Grid(GRID.shape, GRID.spacing, GRID.origin, ((c, -s, 0.0), (s, c, 0.0), (0, 0, 1.0)))
    left, right, bottom, top = Plane.through(turned, np.zeros(3), AXIAL).limits
    corners = turned.to_point([[-0.5, j, i] for j in (-0.5, 5.5) for i in (-0.5, 7.5)])
    assert left <= corners[:, 0].min() < corners[:, 0].max() <= right
    assert top <= corners[:, 1].min() < corners[:, 1].max() <= bottom


def test_pictures_are_cut_through_the_target(water_box):
    target = water_box.structures["Target"].mask(water_box.ct.grid)
    z, y, x = np.rint(water_box.ct.grid.to_index(focus_point(water_box))).astype(int)
    assert target[z, y, x]


def test_pictures_are_cut_through_a_target_with_a_hole():
    """The centre of two targets far apart lies in neither; every plane still meets one."""
    mask = np.zeros((5, 12, 16), dtype=bool)
    mask[0, 1, 2] = mask[4, 10, 13] = True
    patient = Patient.from_arrays(
        np.zeros(mask.shape), spacing=(3.0, 2.0, 1.0), structures={"T": mask}, roles={"T": "target"}
    )
    z, y, x = np.rint(patient.ct.grid.to_index(focus_point(patient))).astype(int)
    assert mask[z, y, x]


def test_without_target_pictures_are_cut_through_the_middle():
    patient = Patient.from_arrays(np.zeros((3, 5, 7)), spacing=(3.0, 2.0, 1.0))
    assert focus_point(patient).tolist() == [3.0, 4.0, 3.0]


def test_outlines_run_along_pixel_edges():
    plane = Plane.through(GRID, np.array([1.0, 16.0, 25.0]), AXIAL)
    inside = np.zeros((6, 8), dtype=bool)
    inside[2, 3:5] = True  # x from -2 to 2, y from 14.5 to 17.5
    segments = _outline(plane, inside)
    assert len(segments) == 6
    assert segments[..., 0].min() == pytest.approx(-2.0)
    assert segments[..., 0].max() == pytest.approx(2.0)
    assert segments[..., 1].min() == pytest.approx(14.5)
    assert segments[..., 1].max() == pytest.approx(17.5)
