"""Phantoms: what they promise, on every one of them."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from dosegrad import phantom
from dosegrad.errors import SettingsError, UnknownNameError
from dosegrad.patient.phantoms import PHANTOMS


@pytest.fixture(scope="module", params=sorted(PHANTOMS))
def patient(request):
    return phantom(request.param)


def test_sizes_and_spacings_differ_along_all_axes(patient):
    grid = patient.ct.grid
    assert len(set(grid.shape)) == 3
    in_plane_is_given = patient.name == "impt-2d"
    assert len(set(grid.spacing)) == (2 if in_plane_is_given else 3)


def test_has_one_outline_and_a_target_inside_it(patient):
    body = patient.external.mask(patient.ct.grid)
    targets = [s for s in patient.structures.values() if s.role == "target"]
    assert targets
    for target in targets:
        mask = target.mask(patient.ct.grid)
        assert mask.any()
        assert body[mask].all()


def test_body_is_tissue_and_the_rest_is_air(patient):
    body = patient.external.mask(patient.ct.grid)
    assert patient.ct.hu[~body].max(initial=-1000.0) < -150
    assert np.median(patient.ct.hu[body]) > -150


def test_impt_2d_has_the_shapes_of_the_published_case():
    """Section coordinates in cm count from the upper left corner; voxels by the centre rule."""
    case = phantom("impt-2d")
    grid = case.ct.grid
    _, y, x = grid.axis_coordinates()
    right, down = np.meshgrid(x / 10 + 20, y / 10 + 20)
    expected = {
        "PTV": ((right - 20) / 3) ** 2 + ((down - 20) / 2) ** 2 <= 1,
        "Cord": (abs(right - 20) <= 2) & (abs(down - 30) <= 2),
        "Brainstem": (right - 20) ** 2 + (down - 10) ** 2 <= 4,
        "Body": (abs(right - 20) <= 20) & (abs(down - 20) <= 20),
    }
    middle = grid.shape[0] // 2
    for name, inside in expected.items():
        assert np.array_equal(case.structures[name].mask(grid)[middle], inside), name
    assert grid.spacing[1:] == (5.0, 5.0)


def test_brainstem_is_within_5_mm_of_the_ctv():
    case = phantom("head")
    grid = case.ct.grid
    away = distance_transform_edt(~case.structures["CTV"].mask(grid), sampling=grid.spacing)
    gap = away[case.structures["Brainstem"].mask(grid)].min()
    assert 0 < gap <= 5.0


@pytest.mark.parametrize("swelling", [1.0, 2.5, 5.0])
def test_swelling_moves_the_skin_and_nothing_inside_the_skull(swelling):
    before, after = phantom("head"), phantom("head", swelling=swelling)
    assert before.ct.grid == after.ct.grid
    brain = before.structures["Brain"].mask(before.ct.grid)
    assert np.array_equal(before.ct.hu[brain], after.ct.hu[brain])
    for name in ("CTV", "Brainstem"):
        grid = before.ct.grid
        assert np.array_equal(before.structures[name].mask(grid), after.structures[name].mask(grid))
    # Along +x through the skull the skin lies farther out by the swelling.
    z, y, _ = before.ct.grid.axis_coordinates()
    row = (int(np.argmin(abs(z - 10))), int(np.argmin(abs(y))))
    step = before.ct.grid.spacing[2]
    lengths = [(ct.hu[row] + 1000).sum() / 1030 * step for ct in (before.ct, after.ct)]
    assert lengths[1] - lengths[0] == pytest.approx(2 * swelling, abs=0.6)


def test_slab_takes_any_hu():
    for hu in (-1000.0, 300.0, 2500.0):
        case = phantom("slab", hu=hu)
        mask = case.structures["Slab"].mask(case.ct.grid)
        assert np.all(case.ct.hu[mask] == hu)
        assert np.all(case.ct.hu[~mask] == 0)


@pytest.mark.parametrize(
    ("name", "options", "error", "words"),
    [
        ("hed", {}, UnknownNameError, "Did you mean 'head'"),
        ("head", {"sweling": 1.0}, UnknownNameError, "Did you mean 'swelling'"),
        ("head", {"swelling": -1.0}, SettingsError, "0 to 10 mm"),
        ("slab", {"hu": 5000.0}, SettingsError, "-1000 to 3000"),
        ("slab", {"depth": 75.0}, SettingsError, "does not fit"),
    ],
)
def test_wrong_wishes_are_told(name, options, error, words):
    with pytest.raises(error, match=words):
        phantom(name, **options)
