"""Dose of moving spots: derivatives, twins, and agreement with the standard engine."""

import numpy as np
import pytest

from dosegrad.beams.beam import COLUMN_DTYPE, Beam, Beams, RangeShifter
from dosegrad.engines.pencil_beam.engine import PencilBeam
from dosegrad.errors import PlanError
from dosegrad.influence import _spot_kernels, _spot_reference
from dosegrad.influence._spot_setup import coefficients
from dosegrad.influence.dose_map import dot_test
from dosegrad.influence.spot_map import SpotDoseMap
from dosegrad.patient.water import water_medium
from dosegrad.units import GY_PER_MEV_CM2_PER_G_PER_MM2


def spots(machine, seed=0, n=24, **beam):
    """Two beams of spots at random places, in four layers."""
    rng = np.random.default_rng(seed)
    columns = np.zeros(n, dtype=COLUMN_DTYPE)
    columns["beam"] = np.sort(np.arange(n) % 2)
    columns["ray"] = np.arange(n)
    columns["x"], columns["y"] = rng.uniform(-12.0, 12.0, (2, n))
    columns["energy"] = rng.choice([80.0, 90.0, 100.0, 115.0], n)
    settings = {"couch": 10.0, "isocentre": (1.0, -2.0, 3.0), "sad": machine.sad}
    fields = tuple(Beam(gantry=gantry, **settings | beam) for gantry in (25.0, 110.0))
    return Beams(machine, fields, columns)


@pytest.fixture(scope="module", params=["divergent", "parallel", "range shifter"])
def case(request, water_box, toy_machine):
    more = {
        "divergent": {},
        "parallel": {"sad": None},
        "range shifter": {"range_shifter": RangeShifter(20.0, 150.0)},
    }[request.param]
    beams = spots(toy_machine, **more)
    voxels = np.arange(0, water_box.ct.grid.n_voxels, 3)
    medium = water_medium(water_box, water_box.ct.grid)
    return SpotDoseMap.of(medium, beams, voxels, max_shift=5.0), beams


def variables(dose_map, beams, seed=1):
    rng = np.random.default_rng(seed)
    return dose_map.variables(beams, rng.uniform(0.2, 2.0, beams.n_columns))


def five_point(function, at, direction, step):
    near = function(at + step * direction) - function(at - step * direction)
    far = function(at + 2 * step * direction) - function(at - 2 * step * direction)
    return (8 * near - far) / (12 * step)


@pytest.mark.parametrize("seed", range(3))
def test_pullback_is_the_gradient(case, seed):
    dose_map, beams = case
    start = variables(dose_map, beams, seed)
    dose, pullback = dose_map.linearise(start)
    goal = dose * np.random.default_rng(seed).uniform(0.5, 1.5, dose.size)

    def objective(at):
        return 0.5 * float(((dose_map.linearise(at)[0] - goal) ** 2).sum())

    gradient, n = pullback(dose - goal), beams.n_columns
    for part in (slice(0, n), slice(n, 3 * n), slice(0, 3 * n)):
        direction = np.zeros(3 * n)
        direction[part] = np.random.default_rng(seed + 7).standard_normal(direction[part].size)
        numeric = five_point(objective, start, direction, 1e-4)
        assert gradient @ direction == pytest.approx(numeric, rel=1e-6)


def test_dot_test(case):
    dose_map, beams = case
    start = variables(dose_map, beams)
    assert dot_test(dose_map, start) < 1e-7  # a central difference of a curved map
    weights = np.zeros(start.size)
    weights[: beams.n_columns] = start[: beams.n_columns]
    g = np.random.default_rng(5).standard_normal(dose_map.n_voxels)
    dose, pullback = dose_map.linearise(start)  # linear in the weights
    assert dose @ g == pytest.approx(weights @ pullback(g), rel=1e-10)


def test_kernels_equal_their_twins(case):
    dose_map, beams = case
    start = dose_map._spots(variables(dose_map, beams))
    rng = np.random.default_rng(3)
    for beam in dose_map.beams:
        here = np.ascontiguousarray(start[beam.columns])
        sums = np.zeros((2, 4, beam.rows.size))
        slopes = np.zeros((2, len(here), 3))
        g = rng.standard_normal(beam.rows.size)
        for k, module in enumerate((_spot_kernels, _spot_reference)):
            module.add_spots(beam.field, beam.layers, here, sums[k])
            module.gather_spots(beam.field, beam.layers, here, g, 4, slopes[k])
        np.testing.assert_allclose(*sums, rtol=1e-9, atol=1e-12 * sums.max())
        np.testing.assert_allclose(*slopes, rtol=1e-8, atol=1e-10 * np.abs(slopes).max())


def test_exponential():
    x = np.concatenate([-np.linspace(0.0, 50.0, 5001), [-700.0]])
    found = np.array([_spot_kernels.exponential(v) for v in x])
    np.testing.assert_allclose(found, np.exp(x), rtol=2e-11)
    assert _spot_kernels.OPEN_UP_TO == _spot_reference.OPEN_UP_TO


def test_dose_is_near_that_of_the_standard_engine(water_box, toy_machine):
    beams = spots(toy_machine, n=60)
    medium = water_medium(water_box, water_box.ct.grid)
    voxels = np.arange(water_box.ct.grid.n_voxels)
    weights = np.ones(beams.n_columns)
    dose_map = SpotDoseMap.of(medium, beams, voxels)
    ours = dose_map.linearise(dose_map.variables(beams, weights))[0]
    standard = PencilBeam().forward(medium, beams, weights, voxels)
    assert np.abs(ours - standard).max() < 0.02 * standard.max()
    assert ours.sum() == pytest.approx(standard.sum(), rel=5e-3)


def test_window_keeps_the_integral_of_each_depth(toy_machine):
    data = toy_machine.at_energy(100.0)
    depths, variances = np.linspace(0.0, 80.0, 9), np.linspace(16.0, 30.0, 9)
    found = coefficients(data, depths, variances, 0.995)
    dose = np.interp(depths, data.depths, data.dose) * GY_PER_MEV_CM2_PER_G_PER_MM2
    for k in range(depths.size):
        r2 = np.linspace(0.0, found[2][k], 20001)
        profile = found[0][:, k] @ np.exp(-np.outer(found[1][:, k], r2))
        kept = np.pi * np.trapezoid(profile * _spot_reference.window(r2, found[2][k])[0], r2)
        assert kept == pytest.approx(dose[k], rel=1e-6)


def test_variables_of_another_size_are_refused(case):
    dose_map, _ = case
    with pytest.raises(PlanError, match="weights, then x, then y"):
        dose_map.linearise(np.ones(3))
