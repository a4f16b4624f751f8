"""Pictures of the gamma index show what was compared."""

import numpy as np
import pytest

from dosegrad import Dose, Grid, gamma
from dosegrad.errors import GeometryError
from dosegrad.plot import gamma_maps

GRID = Grid((7, 20, 30), (3.0, 2.5, 2.0), (-29.0, -10.0, 4.0))


def doses(grid):
    rng = np.random.default_rng(1)
    one = 10 + rng.normal(size=grid.shape)
    other = one + 0.3 * rng.normal(size=grid.shape)
    return Dose(grid, one), Dose(grid, other)


@pytest.fixture(scope="module")
def compared():
    one, other = doses(GRID)
    return gamma(one, other, percent=2, distance=0.5, threshold=80), one, other


def drawn(figure):
    figure.canvas.draw()
    return [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]


def test_doses_gamma_and_histogram_stand_side_by_side(compared):
    result, one, other = compared
    axes = drawn(gamma_maps.gamma(result, reference=one, evaluated=other))
    titles = [ax.get_title(loc="left") for ax in axes]
    assert titles[:2] == ["(a) reference", "(b) evaluated"]
    assert titles[2] == "(c) gamma 2 %/0.5 mm, global"
    assert titles[3].startswith(f"(d) {result.pass_rate:.2%} of {result.n_evaluated}")
    bars = sum(patch.get_height() for patch in axes[3].patches)
    assert bars == result.n_evaluated


def test_the_layer_with_most_failures_is_shown_as_it_lies_in_the_patient(compared):
    result, _, _ = compared
    ax = drawn(gamma_maps.gamma(result))[0]
    image = ax.images[0]
    layer = np.count_nonzero(result.map > 1, axis=(1, 2)).argmax()
    np.testing.assert_array_equal(image.get_array().filled(np.nan), result.map[layer])
    assert image.get_extent() == [-30.0, 30.0, 38.75, -11.25]  # y points down
    assert image.origin == "upper"
    chosen = drawn(gamma_maps.gamma(result, index=2))[0].images[0]
    np.testing.assert_array_equal(chosen.get_array().filled(np.nan), result.map[2])


def test_an_evaluated_dose_on_another_grid_is_interpolated(compared):
    result, one, _ = compared
    coarse = Grid((4, 9, 9), (6.0, 6.0, 7.0), (-29.0, -10.0, 4.0))
    axes = drawn(gamma_maps.gamma(result, evaluated=Dose(coarse, np.full(coarse.shape, 9.0))))
    assert np.nanmax(axes[0].images[0].get_array()) == pytest.approx(9.0)
    assert np.shape(axes[0].images[0].get_array()) == one.grid.shape[1:]


@pytest.mark.parametrize(
    ("shape", "labels"),
    [((7, 1, 30), ("x (mm)", "z (mm)")), ((7, 20, 1), ("y (mm)", "z (mm)"))],
)
def test_a_plane_of_voxels_is_shown_along_its_axes(shape, labels):
    one, other = doses(Grid(shape, GRID.spacing, GRID.origin))
    ax = drawn(gamma_maps.gamma(gamma(one, other, percent=3, distance=1)))[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == labels
    assert ax.images[0].origin == "lower"


def test_doses_along_a_line_are_curves():
    one, other = doses(Grid((1, 30, 1), GRID.spacing, GRID.origin))
    result = gamma(one, other, percent=3, distance=1)
    above, below = drawn(gamma_maps.gamma(result, reference=one, evaluated=other))
    assert len(above.lines) == 2
    np.testing.assert_array_equal(below.lines[0].get_ydata(), result.map.ravel())
    assert below.get_xlabel() == "y (mm)"


def test_what_does_not_belong_together_is_refused(compared):
    result, _, _ = compared
    other, _ = doses(Grid((7, 20, 30), (3.0, 2.5, 2.0), (0.0, 0.0, 0.0)))
    with pytest.raises(GeometryError, match="give the dose that was compared"):
        gamma_maps.gamma(result, reference=other)
    with pytest.raises(GeometryError, match=r"layer 7 is not on .* give 0 to 6"):
        gamma_maps.gamma(result, index=7)
