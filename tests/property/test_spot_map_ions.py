"""Moving spots of helium and carbon: derivatives, the standard engine, and a plan that improves."""

import numpy as np
import pytest

from dosegrad import load_machine, optimise_spots, phantom, steer
from dosegrad import objectives as obj
from dosegrad.beams.beam import COLUMN_DTYPE, Beam, Beams
from dosegrad.influence.range_map import LayerDoseMap
from dosegrad.influence.spot_map import SpotDoseMap
from dosegrad.patient.water import water_medium

IONS = ("generic-helium", "generic-carbon")
GOALS = {
    "Target": [obj.SquaredDeviation(50.0, weight=100)],
    "Core": [obj.SquaredOverdose(20.0, weight=30)],
    "Body": [obj.MeanDose(weight=1)],
}


@pytest.fixture(scope="module", params=IONS)
def machine(request):
    return load_machine(request.param)


@pytest.fixture(scope="module")
def beams(machine):
    """Two beams of spots at random places, in the two layers of least energy."""
    rng, n = np.random.default_rng(0), 16
    columns = np.zeros(n, dtype=COLUMN_DTYPE)
    columns["beam"] = np.sort(np.arange(n) % 2)
    columns["ray"] = np.arange(n)
    columns["x"], columns["y"] = rng.uniform(-12.0, 12.0, (2, n))
    columns["energy"] = rng.choice(np.sort(machine.energies)[:2], n)
    settings = {"couch": 10.0, "isocentre": (1.0, -2.0, 3.0), "sad": machine.sad}
    fields = tuple(Beam(gantry=gantry, **settings) for gantry in (25.0, 110.0))
    return Beams(machine, fields, columns)


def five_point(function, at, direction, step):
    near = function(at + step * direction) - function(at - step * direction)
    far = function(at + 2 * step * direction) - function(at - 2 * step * direction)
    return (8 * near - far) / (12 * step)


def slopes(dose_map, start, parts):
    """Derivative by the pullback and by differences along a random direction in each part."""
    dose, pullback = dose_map.linearise(start)
    rng = np.random.default_rng(2)
    goal = dose * rng.uniform(0.5, 1.5, dose.size)
    gradient = pullback(dose - goal)

    def objective(at):
        return 0.5 * float(((dose_map.linearise(at)[0] - goal) ** 2).sum())

    for part in parts:
        direction = np.zeros(start.size)
        direction[part] = rng.standard_normal(direction[part].size)
        yield gradient @ direction, five_point(objective, start, direction, 1e-4)


def test_derivatives_by_weight_and_position(beams, water_box):
    grid = water_box.ct.grid
    voxels = np.arange(0, grid.n_voxels, 3)
    dose_map = SpotDoseMap.of(water_medium(water_box, grid), beams, voxels, max_shift=5.0)
    n = beams.n_columns
    start = dose_map.variables(beams, np.random.default_rng(1).uniform(0.2, 2.0, n))
    assert dose_map.linearise(start)[0].max() > 0
    for exact, numeric in slopes(dose_map, start, (slice(0, n), slice(n, 3 * n))):
        assert exact == pytest.approx(numeric, rel=1e-6)


def test_derivatives_by_energy_of_layers(beams, water_box):
    grid = water_box.ct.grid
    voxels = np.arange(0, grid.n_voxels, 3)
    moving = LayerDoseMap.of(
        water_medium(water_box, grid), beams, voxels, max_shift=5.0, max_range_shift=2.0
    )
    rng = np.random.default_rng(1)
    start = moving.variables(beams, rng.uniform(0.2, 2.0, beams.n_columns))
    start[-moving.n_layers :] = rng.uniform(-1.5, 1.5, moving.n_layers)
    for exact, numeric in slopes(moving, start, (slice(start.size - moving.n_layers, None),)):
        assert exact == pytest.approx(numeric, rel=1e-5)


@pytest.mark.slow
def test_a_plan_improves_as_spots_move(machine):
    """Wide spacing: fixed spots leave ripple, moved ones less, at no more spots."""
    patient = phantom("c-shape")
    beams = steer(
        patient,
        machine,
        target="Target",
        gantry=[45, 315],
        spot_spacing=9.0,
        layer_spacing=12.0,
    )
    still, moved = (
        optimise_spots(
            patient,
            beams,
            GOALS,
            max_shift=shift,
            dose_spacing=(5.0, 5.0, 5.0),
            max_iterations=60,
        )
        for shift in (0.01, 6.0)
    )
    assert moved.objective < 0.3 * still.objective
    assert moved.n_spots <= beams.n_columns
