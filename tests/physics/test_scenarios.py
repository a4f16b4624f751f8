"""Laws of set-up and range errors."""

from dataclasses import replace

import numpy as np
import pytest

from dosegrad.beams.steering import steer
from dosegrad.engines import PencilBeam
from dosegrad.influence.scenarios import Scenario
from dosegrad.patient.water import WaterMedium, water_medium


@pytest.fixture(scope="module")
def case(water_box, toy_machine):
    beams = steer(water_box, toy_machine, target="Target", gantry=[0.0, 90.0], spot_spacing=8.0)
    grid = water_box.ct.grid
    medium = water_medium(water_box, grid)
    weights = np.random.default_rng(0).random(beams.n_columns)
    return beams, medium, weights, np.arange(grid.n_voxels)


def test_moving_the_isocentre_is_moving_the_patient_the_other_way(case):
    beams, medium, weights, voxels = case
    shift = np.array([3.0, -1.5, 2.0])
    moved_grid = replace(medium.grid, origin=tuple(medium.grid.origin - shift))
    moved = WaterMedium(moved_grid, medium.stopping_power_ratio, medium.position)
    by_isocentre = PencilBeam().forward(
        medium, Scenario(tuple(shift)).apply(beams), weights, voxels
    )
    by_patient = PencilBeam().forward(moved, beams, weights, voxels)
    np.testing.assert_allclose(by_isocentre, by_patient, rtol=0, atol=1e-9 * by_patient.max())


def test_a_range_error_in_per_cent_is_one_of_stopping_power(case):
    beams, medium, weights, voxels = case
    scaled = WaterMedium(medium.grid, 1.035 * medium.stopping_power_ratio, medium.position)
    by_medium = PencilBeam().forward(scaled, beams, weights, voxels)
    by_engine = PencilBeam(range_percent=3.5).forward(medium, beams, weights, voxels)
    np.testing.assert_allclose(by_engine, by_medium, rtol=0, atol=1e-9 * by_medium.max())


def test_opposite_errors_of_range_nearly_cancel(case):
    """Depths of water behind the skin up to t are t (1 + p) + m: here 0 at 60 mm."""
    beams, medium, weights, voxels = case
    plain = PencilBeam().forward(medium, beams, weights, voxels)
    both = PencilBeam(range_percent=3.0, range_mm=-1.8).forward(medium, beams, weights, voxels)
    alone = PencilBeam(range_percent=3.0).forward(medium, beams, weights, voxels)
    assert np.abs(both - plain).sum() < 0.5 * np.abs(alone - plain).sum()
