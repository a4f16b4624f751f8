"""Dose of layers whose energy moves: derivatives, twins, and agreement with fixed energies."""

import numpy as np
import pytest

from dosegrad.beams.beam import COLUMN_DTYPE, Beam, Beams
from dosegrad.errors import PlanError
from dosegrad.influence import _range_kernels, _range_reference
from dosegrad.influence.dose_map import dot_test
from dosegrad.influence.range_map import LayerDoseMap, layers_of
from dosegrad.influence.spot_map import SpotDoseMap
from dosegrad.patient.water import water_medium

MOST = 2.0


def field(gantry):
    return Beam(gantry=gantry, couch=10.0, isocentre=(1.0, -2.0, 3.0), sad=2000.0)


@pytest.fixture(scope="module")
def case(water_box, toy_machine):
    """Two beams of spots at random places, in four layers."""
    rng, n = np.random.default_rng(0), 24
    columns = np.zeros(n, dtype=COLUMN_DTYPE)
    columns["beam"] = np.sort(np.arange(n) % 2)
    columns["ray"] = np.arange(n)
    columns["x"], columns["y"] = rng.uniform(-12.0, 12.0, (2, n))
    columns["energy"] = rng.choice([80.0, 90.0, 100.0, 115.0], n)
    beams = Beams(toy_machine, tuple(field(gantry) for gantry in (25.0, 110.0)), columns)
    voxels = np.arange(0, water_box.ct.grid.n_voxels, 2)
    medium = water_medium(water_box, water_box.ct.grid)
    options = {"max_shift": 5.0}
    moving = LayerDoseMap.of(medium, beams, voxels, max_range_shift=MOST, **options)
    return moving, SpotDoseMap.of(medium, beams, voxels, **options), beams


def variables(moving, beams, seed=1):
    rng = np.random.default_rng(seed)
    found = moving.variables(beams, rng.uniform(0.2, 2.0, beams.n_columns))
    found[-moving.n_layers :] = rng.uniform(-0.9 * MOST, 0.9 * MOST, moving.n_layers)
    return found


def test_layers_are_numbered_by_beam_and_energy(case):
    moving, _, beams = case
    found, numbers = layers_of(beams)
    assert found.size == moving.n_layers == numbers.max() + 1
    np.testing.assert_array_equal(found["energy"][numbers], beams.columns["energy"])
    np.testing.assert_array_equal(found["beam"][numbers], beams.columns["beam"])


def test_without_shifts_it_is_the_map_of_fixed_energies(case):
    moving, fixed, beams = case
    weights = np.random.default_rng(3).uniform(0.2, 2.0, beams.n_columns)
    here = moving.linearise(moving.variables(beams, weights))[0]
    there = fixed.linearise(fixed.variables(beams, weights))[0]
    assert np.abs(here - there).max() < 1.5e-2 * there.max()


@pytest.mark.parametrize("seed", range(3))
def test_pullback_is_the_gradient(case, seed):
    moving, _, beams = case
    start = variables(moving, beams, seed)
    dose, pullback = moving.linearise(start)
    assert dose.max() > 0
    goal = dose * np.random.default_rng(seed).uniform(0.5, 1.5, dose.size)

    def objective(at):
        return 0.5 * float(((moving.linearise(at)[0] - goal) ** 2).sum())

    gradient, n = pullback(dose - goal), beams.n_columns
    for part, step, tolerance in (
        (slice(0, n), 1e-4, 1e-6),
        (slice(n, 3 * n), 1e-4, 1e-6),
        (slice(3 * n, None), 1e-4, 1e-5),
    ):
        direction = np.zeros(start.size)
        size = direction[part].size
        direction[part] = np.random.default_rng(seed + 7).standard_normal(size)
        ahead = objective(start + step * direction) - objective(start - step * direction)
        far = objective(start + 2 * step * direction) - objective(start - 2 * step * direction)
        numeric = (8 * ahead - far) / (12 * step)
        assert gradient @ direction == pytest.approx(numeric, rel=tolerance)


def test_dot_test(case):
    moving, _, beams = case
    assert dot_test(moving, variables(moving, beams), step=1e-6) < 1e-5


def test_a_shifted_layer_is_that_of_the_neighbouring_energy(water_box, toy_machine):
    """Along the axis of one spot, between energies that are 5 MeV apart."""
    columns = np.zeros(1, dtype=COLUMN_DTYPE)
    medium, grid = water_medium(water_box, water_box.ct.grid), water_box.ct.grid
    voxels = np.arange(grid.n_voxels)
    doses = []
    shift = float(toy_machine.at_energy(85.0).range - toy_machine.at_energy(80.0).range)
    for energy, moved in ((80.0, shift), (85.0, 0.0)):
        columns["energy"] = energy
        beams = Beams(toy_machine, (field(0.0),), columns.copy())
        dose_map = LayerDoseMap.of(medium, beams, voxels, max_range_shift=6.0)
        at = dose_map.variables(beams, np.ones(1))
        at[-1] = moved
        doses.append(dose_map.linearise(at)[0])
    assert np.abs(doses[0] - doses[1]).max() < 0.12 * doses[1].max()
    assert doses[0].sum() == pytest.approx(doses[1].sum(), rel=0.05)


def test_kernels_do_what_their_twins_do(case):
    moving, _, _ = case
    rng = np.random.default_rng(5)
    beam, tables = moving.spots.beams[0], moving.tables[0]
    shifts = rng.uniform(-MOST, MOST, beam.field.stops.shape[0])
    made = []
    for twin in (_range_kernels, _range_reference):
        filled = beam.field._replace(
            gaussians=np.zeros_like(beam.field.gaussians), limits=np.ones_like(beam.field.limits)
        )
        slopes = np.zeros((*filled.limits.shape, filled.gaussians.shape[2] + 1))
        twin.shift_layers(filled, tables, shifts, filled.gaussians, filled.limits, slopes)
        made.append((filled.gaussians, filled.limits, slopes))
    for compiled, plain in zip(*made, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-10, atol=1e-12 * np.abs(plain).max())
    filled = beam.field._replace(gaussians=made[1][0], limits=made[1][1])
    spots = rng.uniform(-8.0, 8.0, (beam.columns.size, 3)) ** 2 - 20.0
    g = rng.standard_normal(beam.rows.size)
    found = np.zeros((2, beam.columns.size))
    for twin, out in zip((_range_kernels, _range_reference), found, strict=True):
        twin.gather_ranges(filled, made[1][2], beam.layers, spots, g, 16, out)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9, atol=1e-12 * np.abs(found[1]).max())


def test_wrong_variables_are_told(case):
    moving, _, _ = case
    with pytest.raises(PlanError, match="then the shifts of layers"):
        moving.linearise(np.zeros(3))
