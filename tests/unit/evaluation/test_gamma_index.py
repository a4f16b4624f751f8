"""The gamma index: its rules, and its fast searches against the plain ones."""

import itertools

import numpy as np
import pytest

from dosegrad import Dose, Grid, gamma
from dosegrad.errors import GeometryError, SettingsError, UnknownNameError
from dosegrad.evaluation import _gamma_kernels, _gamma_reference, _gamma_shell_kernels
from dosegrad.evaluation._gamma_search import cells_by_distance, shells
from dosegrad.evaluation.gamma_index import TG218, GammaMap, GammaSettings

SHAPE, SPACING, ORIGIN = (6, 7, 8), (3.0, 2.5, 2.0), (-7.0, 4.0, 11.0)
KINDS = ("exact", "sampled")


def random_dose(seed, shape=SHAPE, spacing=SPACING, origin=ORIGIN, direction=None):
    rng = np.random.default_rng(seed)
    grid = Grid(shape, spacing, origin, *([] if direction is None else [direction]))
    return Dose(grid, 10 + rng.normal(size=shape))


def line(values, *, spacing=1.0, origin=(0.0, 0.0, 0.0), axis=2):
    shape, steps = [1, 1, 1], [1.0, 1.0, 1.0]
    shape[axis], steps[axis] = len(values), spacing
    grid = Grid(tuple(shape), tuple(steps), origin)
    return Dose(grid, np.reshape(np.asarray(values, dtype=float), shape))


# Fast searches against their plain twins


def searched(shape, *, seed, holes=0.0, limit=2.0):
    """Arguments that both kernels share, for random doses and points, some outside the grid."""
    rng = np.random.default_rng(seed)
    shape = np.array(shape, dtype=np.int64)
    cell = (shape > 1).astype(np.int64)
    values = rng.normal(size=int(np.prod(shape)))
    values[rng.random(values.size) < holes] = np.nan
    steps = np.array([0.9, 1.3, 0.7])
    points = rng.random((25, 3)) * (shape + 0.6) - 0.8
    points[::3] = np.rint(points[::3])
    doses, tolerances = rng.normal(size=25), rng.uniform(0.2, 2.0, 25)
    return values, shape, cell, steps, points, doses, tolerances, limit


GRIDS = [(4, 5, 3), (1, 5, 4), (4, 1, 5), (5, 4, 1), (6, 1, 1), (1, 6, 1), (1, 1, 6), (1, 1, 1)]


@pytest.mark.parametrize("holes", [0.0, 0.3])
@pytest.mark.parametrize("shape", GRIDS)
def test_exact_kernel_equals_its_plain_twin(shape, holes):
    values, shape, cell, steps, points, doses, tolerances, limit = searched(
        shape, seed=1, holes=holes
    )
    offsets, bounds = cells_by_distance(points, shape, steps, limit)
    answers = []
    for code in (_gamma_kernels, _gamma_reference):
        low, high = np.empty((2, int(np.prod(shape - cell))))
        code.corner_doses(values, shape, cell, low, high)
        out = np.empty(25)
        code.exact(
            values, low, high, shape, steps, cell, offsets, bounds, limit, points, doses,
            tolerances, out,
        )  # fmt: skip
        answers.append((low, high, out))
    for fast, plain in zip(*answers, strict=True):
        np.testing.assert_allclose(fast, plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("holes", [0.0, 0.3])
@pytest.mark.parametrize("shape", GRIDS)
def test_sampled_kernel_equals_its_plain_twin(shape, holes):
    values, shape, cell, steps, points, doses, tolerances, limit = searched(
        shape, seed=2, holes=holes
    )
    samples, starts = shells(steps, cell == 1, 4, limit)
    beside = ((points * steps) ** 2 * (cell == 0)).sum(axis=1)
    answers = []
    for code in (_gamma_shell_kernels, _gamma_reference):
        out = np.empty(25)
        code.sampled(
            values, shape, steps, samples, starts, 4, limit, points * cell, beside, doses,
            tolerances, out,
        )  # fmt: skip
        answers.append(out)
    np.testing.assert_allclose(*answers, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n_axes", [1, 2, 3])
def test_samples_leave_no_gap_wider_than_a_step(n_axes):
    steps, searched_axes = np.array([0.5, 0.8, 1.1]), np.arange(3) >= 3 - n_axes
    samples, starts = shells(steps, searched_axes, 5, 2.0)
    places = samples * steps
    for shell in range(1, len(starts)):
        part = places[starts[shell, 0] : starts[shell, -1]]
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), shell / 5, rtol=1e-12)
        if n_axes > 1:
            gaps = np.linalg.norm(part[:, None] - part, axis=-1) + 9 * np.eye(len(part))
            assert gaps.min(axis=1).max() <= 1 / 5 + 1e-12


# What gamma is


@pytest.mark.parametrize("kind", KINDS)
def test_gamma_of_a_dose_with_itself_is_zero(kind):
    dose = random_dose(3)
    result = gamma(dose, dose, percent=1, distance=1, threshold=None, interpolation=kind)
    assert (result.map == 0).all()
    assert result.pass_rate == 1.0
    assert result.n_evaluated == dose.array.size


@pytest.mark.parametrize("kind", KINDS)
def test_flat_doses_differ_by_dose_alone(kind):
    grid = Grid(SHAPE, SPACING, ORIGIN)
    one, other = Dose(grid, np.full(SHAPE, 50.0)), Dose(grid, np.full(SHAPE, 51.0))
    result = gamma(one, other, percent=4, distance=3, interpolation=kind)
    np.testing.assert_allclose(result.map, 0.5, rtol=1e-12)
    assert gamma(one, other, percent=2, distance=3, interpolation=kind).pass_rate == 1.0
    assert gamma(one, other, percent=1.9, distance=3, interpolation=kind).pass_rate == 0.0


def test_a_ramp_gives_the_distance_to_a_line():
    """D' = D + c on a ramp of slope g: gamma = |c| / sqrt(dD^2 + g^2 dd^2)."""
    ramp = np.arange(30.0)
    result = gamma(line(ramp), line(ramp + 0.7), percent=10, distance=2, normalisation=10.0)
    np.testing.assert_allclose(
        result.map[0, 0, 5:-5], 0.7 / np.sqrt(1.0**2 + 2.0**2), rtol=1e-12
    )  # fmt: skip


def test_an_oblique_ramp_gives_the_distance_to_a_plane():
    grid = Grid((9, 10, 11), (1.5, 2.0, 1.0), (0.0, 0.0, 0.0))
    slope = np.array([0.6, -0.3, 0.9])
    points = grid.voxel_points(np.arange(grid.n_voxels)).reshape(*grid.shape, 3)
    one = Dose(grid, 50 + points @ slope[::-1])
    result = gamma(one, Dose(grid, one.array + 0.5), percent=2, distance=1.5, normalisation=50.0)
    expected = 0.5 / np.sqrt(1.0 + slope @ slope * 1.5**2)
    np.testing.assert_allclose(result.map[2:-2, 2:-2, 2:-2], expected, rtol=1e-12)


def test_a_shifted_step_gives_the_shift():
    step = np.where(np.arange(40) < 20, 100.0, 0.0)
    result = gamma(line(step), line(np.roll(step, 1)), percent=3, distance=2, threshold=None)
    assert result.map[0, 0, 20] == pytest.approx(0.5, abs=1e-3)  # dose 0 is one voxel away
    assert result.map[0, 0, 10] == 0.0


def test_exact_gamma_is_at_most_the_sampled_one_along_a_line():
    rng = np.random.default_rng(4)
    one, other = line(rng.random(50)), line(rng.random(50))
    maps = [
        gamma(one, other, percent=5, distance=1, interpolation=kind).map for kind in KINDS
    ]  # fmt: skip
    above = np.isfinite(maps[0])
    assert (maps[0][above] <= maps[1][above] + 1e-12).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_profile_may_lie_along_any_axis(axis, kind):
    rng = np.random.default_rng(5)
    values = rng.random((2, 30))
    along_x = gamma(line(values[0]), line(values[1]), percent=5, distance=2, interpolation=kind)
    turned = gamma(
        line(values[0], axis=axis), line(values[1], axis=axis), percent=5, distance=2,
        interpolation=kind,
    )  # fmt: skip
    np.testing.assert_allclose(turned.map.ravel(), along_x.map.ravel(), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_way_to_a_plane_counts_as_distance(kind):
    plane = Grid((1, 9, 9), (1.0, 1.0, 1.0), (0.0, 0.0, 0.6))
    volume = Grid((5, 9, 9), (1.0, 1.0, 1.0), (0.0, 0.0, -2.0))
    film, dose = Dose(plane, np.full(plane.shape, 2.0)), Dose(volume, np.full(volume.shape, 2.0))
    with pytest.warns(UserWarning, match="81 of 405 voxels have no evaluated dose within 2 mm"):
        result = gamma(dose, film, percent=2, distance=1, interpolation=kind)
    np.testing.assert_allclose(result.map[:, 4, 4], [np.nan, 1.6, 0.6, 0.4, 1.4], rtol=1e-12)
    assert result.n_beyond == 81
    inside = gamma(film, dose, percent=2, distance=1, interpolation=kind)
    assert (inside.map == 0).all()


# Options


def test_local_criteria_are_tighter_where_dose_is_low():
    one = line([100.0, 50.0, 20.0], spacing=1e3)
    other = line([101.0, 51.0, 21.0], spacing=1e3)
    far = {"percent": 2, "distance": 0.01}
    np.testing.assert_allclose(gamma(one, other, **far).map.ravel(), 0.5, rtol=1e-3)
    local = gamma(one, other, **far, local=True, max_gamma=5).map.ravel()
    np.testing.assert_allclose(local, [0.5, 1.0, 2.5], rtol=1e-3)


def test_local_criteria_at_zero_dose_ask_for_equal_dose():
    one, other = line([0.0, 0.0, 10.0]), line([0.0, 0.1, 10.0])
    result = gamma(one, other, percent=5, distance=2, threshold=None, local=True)
    np.testing.assert_allclose(result.map.ravel(), [0.0, 0.5, 0.0], atol=1e-9)


def test_the_normalisation_scales_criterion_and_threshold():
    one = line([10.0, 5.0, 1.5], spacing=1e3)
    other = line([10.2, 5.2, 1.7], spacing=1e3)
    options = {"percent": 1, "distance": 0.01, "max_gamma": 10}
    np.testing.assert_allclose(gamma(one, other, **options).map.ravel(), 2.0, rtol=1e-3)
    halved = gamma(one, other, **options, normalisation=20.0).map.ravel()
    np.testing.assert_allclose(halved, [1.0, 1.0, np.nan], rtol=1e-3)


def test_the_threshold_may_look_at_either_dose():
    one, other = line([10.0, 0.5, 0.5, 0.5, 0.5]), line([10.0, 0.5, 0.5, 0.5, 5.0])
    alone = gamma(one, other, percent=3, distance=0.5)
    either = gamma(one, other, percent=3, distance=0.5, threshold_on="either")
    assert np.isfinite(alone.map.ravel()).tolist() == [True, False, False, False, False]
    assert np.isfinite(either.map.ravel()).tolist() == [True, False, False, False, True]
    assert either.pass_rate == 0.5


def test_the_direction_matters():
    one, other = line([10.0] * 5), line([10.0, 10.0, 13.0, 10.0, 10.0])
    assert gamma(one, other, percent=3, distance=2).pass_rate == 1.0
    assert gamma(other, one, percent=3, distance=2, normalisation=10.0).pass_rate == 0.8


def test_gamma_ends_at_its_maximum():
    one, other = line([10.0, 10.0]), line([20.0, 20.0])
    for kind in KINDS:
        result = gamma(one, other, percent=1, distance=1, max_gamma=3, interpolation=kind)
        assert result.map.ravel().tolist() == [3.0, 3.0]
        assert result.maximum == 3.0


@pytest.mark.parametrize("kind", KINDS)
def test_voxels_without_dose_are_left_out_or_not_used(kind):
    dose = random_dose(6)
    holed = dose.array.copy()
    holed[2, 3, 4], holed[4, 2, 1] = np.nan, np.inf
    with_holes = Dose(dose.grid, holed)
    itself = gamma(with_holes, with_holes, percent=1, distance=1, interpolation=kind)
    assert np.isnan(itself.map[2, 3, 4])
    assert np.isnan(itself.map[4, 2, 1])
    assert itself.n_evaluated == holed.size - 2
    assert itself.maximum == 0.0
    with pytest.warns(UserWarning, match="2 of 336 voxels have no evaluated dose"):
        result = gamma(dose, with_holes, percent=1, distance=0.6, interpolation=kind)
    assert np.isnan(result.map[[2, 4], [3, 2], [4, 1]]).all()  # none within 1.2 mm
    assert result.n_beyond == 2
    assert np.isfinite(
        gamma(dose, with_holes, percent=1, distance=1.5, interpolation=kind).map
    ).all()


def test_a_mask_or_a_structure_keeps_the_comparison_to_its_voxels(water_box):
    grid = water_box.ct.grid
    flat = Dose(grid, np.ones(grid.shape))
    target = water_box.structure("Target")
    by_structure = gamma(flat, flat, percent=1, distance=1, mask=target)
    by_mask = gamma(flat, flat, percent=1, distance=1, mask=target.mask(grid))
    assert by_structure.n_evaluated == by_mask.n_evaluated == target.mask(grid).sum()
    with pytest.raises(GeometryError, match=r"mask of shape \(2, 2, 2\) does not fit"):
        gamma(flat, flat, percent=1, distance=1, mask=np.ones((2, 2, 2), dtype=bool))


@pytest.mark.parametrize("kind", KINDS)
def test_grids_may_differ_in_everything(kind):
    def field(points):
        return 30 + 0.3 * points[..., 0] - 0.2 * points[..., 1] + 0.5 * points[..., 2]

    turn = np.deg2rad(30.0)
    direction = (
        (np.cos(turn), -np.sin(turn), 0.0), (np.sin(turn), np.cos(turn), 0.0), (0.0, 0.0, 1.0),
    )  # fmt: skip
    fine = Grid((30, 30, 30), (1.0, 1.1, 0.9), (-5.0, -15.0, -15.0), direction)
    coarse = Grid((5, 4, 6), (2.0, 2.5, 1.5), (-3.0, -2.0, -4.0))
    doses = [
        Dose(g, field(g.voxel_points(np.arange(g.n_voxels))).reshape(g.shape))
        for g in (coarse, fine)
    ]
    result = gamma(*doses, percent=1, distance=1, interpolation=kind)
    assert result.n_evaluated == coarse.n_voxels
    assert result.maximum < 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_voxels_beyond_the_evaluated_grid_are_counted(kind):
    one, other = line([10.0] * 10), line([10.0] * 5)
    options = {"percent": 3, "distance": 1, "interpolation": kind}
    with pytest.warns(UserWarning, match="3 of 10 voxels have no evaluated dose"):
        left_out = gamma(one, other, **options)
    assert left_out.n_beyond == 3  # at 3, 4 and 5 mm from the last voxel
    np.testing.assert_allclose(left_out.map.ravel()[5:], [1, 2, *[np.nan] * 3], rtol=1e-12)
    failed = gamma(one, other, **options, beyond="fail")
    np.testing.assert_allclose(failed.map.ravel()[5:], [1, 2, 2, 2, 2], rtol=1e-12)
    assert failed.pass_rate == 0.6
    assert "3 beyond the evaluated grid" in repr(left_out)


def test_turning_the_axes_of_both_doses_changes_nothing():
    one, other = random_dose(7), random_dose(8)
    reversed_axes = np.diag([1.0, -1.0, -1.0])

    def turned(dose):
        z, y, _ = dose.grid.shape
        corner = dose.grid.to_point([z - 1, y - 1, 0])
        grid = Grid(SHAPE, SPACING, tuple(corner), tuple(map(tuple, reversed_axes)))
        return Dose(grid, dose.array[::-1, ::-1])

    plain = gamma(one, other, percent=3, distance=2, interpolation="sampled", steps=20)
    mixed = gamma(one, turned(other), percent=3, distance=2, interpolation="sampled", steps=20)
    np.testing.assert_allclose(mixed.map, plain.map, atol=1 / 20)
    both = gamma(turned(one), turned(other), percent=3, distance=2)
    straight = gamma(one, other, percent=3, distance=2)
    same_cut = gamma(turned(one), other, percent=3, distance=2)
    np.testing.assert_allclose(same_cut.map[::-1, ::-1], straight.map, rtol=1e-9)
    assert both.n_evaluated == straight.n_evaluated


# Results


def test_statistics_and_histogram_leave_out_voxels_without_gamma():
    grid = Grid((1, 1, 5), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    values = np.array([[[0.0, 0.5, 1.0, 1.5, np.nan]]])
    result = GammaMap(grid, values, GammaSettings(3, 2))
    assert (result.n_evaluated, result.n_passed, result.pass_rate) == (4, 3, 0.75)
    assert (result.mean, result.median, result.maximum) == (0.75, 0.75, 1.5)
    assert result.percentile(100) == 1.5
    histogram = result.histogram(4)
    assert histogram.edges.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert histogram.counts.tolist() == [1, 1, 1, 1]
    assert repr(result) == "GammaMap(3 %/2 mm, global: 75.00% of 4 voxels pass)"
    assert repr(result.settings) == (
        "GammaSettings(3 %/2 mm, global, 100 % = 1 Gy, from 10 %, exact)"
    )  # fmt: skip
    with pytest.raises(ValueError, match="read-only"):
        result.map[0] = 0.0


def test_a_map_must_lie_on_its_grid():
    grid = Grid((1, 1, 5), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    with pytest.raises(GeometryError, match="does not fit its grid"):
        GammaMap(grid, np.zeros((5, 1, 1)), GammaSettings(3, 2))


@pytest.mark.parametrize(
    ("n_failed", "verdict"), [(0, "pass"), (5, "pass"), (8, "investigate"), (11, "act")]
)
def test_tg218_tells_what_a_pass_rate_asks_for(n_failed, verdict):
    one = line([10.0] * 100, spacing=5.0)
    other = line([10.0] * (100 - n_failed) + [12.0] * n_failed, spacing=5.0)
    result = TG218.compare(one, other)
    assert (result.settings.percent, result.settings.distance) == (3.0, 2.0)
    assert TG218.verdict(result) == verdict


# Errors


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"percent": 0}, SettingsError, "percent is 0; it must be a positive number"),
        ({"distance": -1}, SettingsError, "distance is -1; it must be a positive"),
        ({"max_gamma": 1.0}, SettingsError, "max_gamma 1 must be above 1"),
        ({"max_gamma": np.inf}, SettingsError, "max_gamma is inf; it must be a positive"),
        ({"threshold": 120}, SettingsError, "threshold 120 must be between 0 and 100"),
        ({"normalisation": 0.0}, SettingsError, "normalised to 0.0 Gy; it must be positive"),
        ({"steps": 0}, SettingsError, "steps 0 must be a whole number from 1 to 100"),
        ({"interpolation": "exakt"}, UnknownNameError, "Did you mean 'exact'"),
        ({"threshold_on": "both"}, UnknownNameError, "either, reference"),
        ({"normalisation": 1000.0}, SettingsError, "no voxel to compare reaches 10"),
        (
            {"interpolation": "sampled", "steps": 100, "max_gamma": 100},
            SettingsError,
            "would look at .* samples",
        ),
    ],
)
def test_options_that_cannot_be_are_refused(options, error, message):
    dose = random_dose(9)
    with pytest.raises(error, match=message):
        gamma(dose, dose, **({"percent": 3, "distance": 2} | options))


def test_doses_in_different_places_or_of_different_kinds_are_refused():
    one = random_dose(10)
    far = random_dose(10, origin=(500.0, 0.0, 0.0))
    with pytest.raises(SettingsError, match="no reference voxel has an evaluated dose in reach"):
        gamma(one, far, percent=3, distance=2)
    let = Dose(one.grid, one.array, "let")
    with pytest.raises(SettingsError, match="'dose' against 'let' compares different things"):
        gamma(one, let, percent=3, distance=2)


@pytest.mark.parametrize("kind", KINDS)
def test_negative_doses_are_compared_like_others(kind):
    one, other = line([-10.0, 5.0], spacing=1e3), line([-10.1, 5.0], spacing=1e3)
    for local, percent in itertools.product((False, True), (2, 4)):
        result = gamma(
            one, other, percent=percent, distance=0.01, threshold=None, local=local,
            interpolation=kind,
        )  # fmt: skip
        expected = 0.1 / (percent / 100 * (10.0 if local else 5.0))
        assert result.map.ravel()[0] == pytest.approx(expected, rel=2e-3)
