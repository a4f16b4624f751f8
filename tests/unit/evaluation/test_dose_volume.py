import numpy as np
import pytest

from dosegrad.dose import Dose
from dosegrad.errors import PlanError
from dosegrad.evaluation.dose_volume import DVH, dvh, structure_dvh, structure_samples
from dosegrad.evaluation.indices import homogeneity, paddick_conformity, rtog_conformity
from dosegrad.geometry.grid import Grid
from dosegrad.patient.patient import Patient
from dosegrad.patient.structures import MaskShape, Structure

GRID = Grid((12, 14, 16), (3.0, 2.5, 2.0), (-15.0, -16.25, -16.5))


class Ball:
    """A region that knows its inside everywhere."""

    def __init__(self, centre, radius):
        self.centre, self.radius = np.asarray(centre), radius

    def mask(self, grid):
        points = grid.to_point(np.moveaxis(np.indices(grid.shape), 0, -1))
        return ((points - self.centre) ** 2).sum(-1) <= self.radius**2

    @property
    def volume_cc(self):
        return 4 / 3 * np.pi * self.radius**3 / 1000


def linear_dose(slope=0.5, base=30.0):
    points = GRID.to_point(np.moveaxis(np.indices(GRID.shape), 0, -1))
    return Dose(GRID, base + slope * points[..., 0])


def test_uniform_dose_is_that_dose_everywhere_on_the_curve():
    curve = DVH(np.full(7, 60.0), 0.01)
    assert [curve.dose_at(f) for f in (0, 0.02, 0.5, 0.95, 1)] == [60.0] * 5
    assert curve.volume_at([59.9, 60.0, 60.1]).tolist() == [1.0, 1.0, 0.0]
    assert (curve.mean, curve.minimum, curve.maximum) == (60.0, 60.0, 60.0)
    assert homogeneity(curve) == 0.0


def test_linear_interpolation_between_the_middles_of_samples():
    curve = DVH(np.array([30.0, 10.0, 40.0, 20.0]), 0.5)
    assert curve.dose_at(0.125) == 40.0
    assert curve.dose_at(0.25) == 35.0
    assert curve.dose_at(0.0) == 40.0
    assert curve.dose_at(1.0) == 10.0
    assert curve.volume_at(35.0) == 0.25
    assert curve.volume_cc == 2.0
    assert curve.dose_at_cc(0.5) == curve.dose_at(0.25)
    assert curve.dose_at_cc(99.0) == 10.0
    assert curve.volume_cc_at(20.0) == pytest.approx(2.0 * 0.625)


def test_curve_never_rises_and_inverts():
    curve = DVH(np.random.default_rng(3).gamma(3.0, 5.0, 400), 0.01)
    volumes = curve.volume_at(np.linspace(-1, 60, 500))
    assert (np.diff(volumes) <= 0).all()
    for fraction in (0.03, 0.4, 0.77, 0.98):
        assert curve.volume_at(curve.dose_at(fraction)) == pytest.approx(fraction, rel=1e-12)


def test_two_steps_with_equal_doses():
    curve = DVH(np.array([60.0] * 5 + [0.0] * 5), 0.1)
    assert curve.volume_at(60.0) == pytest.approx(0.45)
    assert curve.volume_at(30.0) == pytest.approx(0.5)
    assert curve.volume_at(0.0) == 1.0


def test_fractions_and_doses_that_cannot_be():
    curve = DVH(np.array([1.0, 2.0]), 0.1)
    with pytest.raises(PlanError, match=r"write 95 % as 0.95"):
        curve.dose_at(95)
    with pytest.raises(PlanError, match="must not be negative"):
        curve.dose_at_cc(-1)
    with pytest.raises(PlanError, match="not finite"):
        DVH(np.array([1.0, np.nan]), 0.1)


def test_small_ball_has_its_volume_and_dose():
    ball = Ball((0.3, -0.4, 0.9), 3.0)
    curve = structure_dvh(linear_dose(), ball)
    assert curve.volume_cc == pytest.approx(ball.volume_cc, rel=0.03)
    assert curve.mean == pytest.approx(30.0 + 0.5 * 0.3, abs=0.02)
    assert curve.maximum == pytest.approx(30.0 + 0.5 * 3.3, abs=0.2)


def test_structure_between_voxel_centres_is_found():
    centre = GRID.to_point([5.5, 6.5, 7.5])
    ball = Ball(centre, 0.9)
    assert not ball.mask(GRID).any()
    curve = structure_dvh(linear_dose(), ball)
    assert curve.mean == pytest.approx(30.0 + 0.5 * centre[0], abs=0.05)


def test_structure_outside_the_dose_grid_has_no_dose():
    curve = structure_dvh(linear_dose(), Ball((500.0, 0.0, 0.0), 5.0))
    assert np.isnan([curve.mean, curve.minimum, curve.maximum, curve.dose_at(0.5)]).all()
    assert np.isnan(curve.volume_at([1.0, 2.0])).all()


def test_large_structures_are_their_voxels():
    dose = linear_dose()
    mask = np.ones(GRID.shape, dtype=bool)
    mask[0] = False
    region = Structure("All", MaskShape(GRID, mask))
    curve = structure_dvh(dose, region)
    assert curve.mean == pytest.approx(dose.mean(region), rel=1e-14)
    assert curve.volume_cc == pytest.approx(region.volume_cc, rel=1e-12)


def test_every_structure_by_name():
    masks = {"A": np.zeros(GRID.shape, bool), "B": np.ones(GRID.shape, bool)}
    masks["A"][4:7, 4:7, 4:7] = True
    patient = Patient.from_arrays(
        np.zeros(GRID.shape), spacing=GRID.spacing, origin=GRID.origin, structures=masks
    )
    curves = dvh(linear_dose(), patient)
    assert list(curves) == ["A", "B"]
    assert curves["A"].volume_cc == pytest.approx(27 * GRID.voxel_volume_cc)


def test_conformity_by_hand():
    target = np.zeros(GRID.shape, dtype=bool)
    target[2:6, 2:6, 2:6] = True
    array = np.zeros(GRID.shape)
    array[2:6, 2:6, 2:4] = 60.0  # half of the target
    array[7:9, 2:6, 2:6] = 60.0  # as much outside
    region = MaskShape(GRID, target)
    dose = Dose(GRID, array)
    assert paddick_conformity(dose, region, 57.0) == pytest.approx(32**2 / (64 * 64))
    assert rtog_conformity(dose, region, 57.0) == pytest.approx(1.0)
    assert paddick_conformity(dose, region, 61.0) == 0.0
    with pytest.raises(PlanError, match="must be positive"):
        paddick_conformity(dose, region, 0.0)


@pytest.mark.parametrize("radius", [0.9, 3.0, 9.0])
def test_samples_are_a_linear_map_of_the_dose(radius):
    ball = Ball(GRID.to_point([5.5, 6.4, 7.3]), radius)
    dose = Dose(GRID, np.random.default_rng(5).gamma(2.0, 20.0, GRID.shape))
    samples = structure_samples(ball, GRID)
    curve = structure_dvh(dose, ball)
    assert samples.n == curve.doses.size
    assert samples.sample_volume_cc == curve.sample_volume_cc
    assert samples.mixing is not None
    np.testing.assert_allclose(samples.mixing.sum(axis=1), 1.0, rtol=1e-12)
    found = samples.doses(dose.array.ravel()[samples.voxels])
    np.testing.assert_allclose(np.sort(found)[::-1], curve.doses, rtol=1e-12)


def test_samples_of_whole_voxels_are_the_voxels():
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[2:8, 3:9, 4:10] = True
    samples = structure_samples(Structure("All", MaskShape(GRID, mask)), GRID)
    assert samples.mixing is None
    np.testing.assert_array_equal(samples.voxels, np.flatnonzero(mask))
