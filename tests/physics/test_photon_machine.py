"""Commissioning tables of photon machines in water.

matRad's 6 MV file: tables computed from it by the published formula on a 0.5 mm raster, to 0.3 %.
The generic machines: beam quality, percentage depth dose, phantom scatter, output, penumbra and
depth of maximum of common flattened linacs, with the tolerances of such comparisons.
"""

from dataclasses import replace

import numpy as np
import pytest
from pytest import approx

from dosegrad.commissioning.photon_tables import (
    depth_of_maximum,
    output_factor,
    penumbra,
    percentage_depth_dose,
    tissue_phantom_ratio,
    water_dose,
    water_profile,
)
from dosegrad.engines.photon_kernel.engine import PhotonKernel
from dosegrad.geometry.grid import Grid
from dosegrad.machine.library import load_machine
from dosegrad.machine.photon import HeadScatter
from dosegrad.plan import Plan

OUTPUT = {
    20: 0.782, 30: 0.831, 40: 0.865, 50: 0.896, 60: 0.923, 80: 0.967,
    100: 1.0, 150: 1.057, 200: 1.097, 250: 1.123,
}  # fmt: skip
PHANTOM_SCATTER = {
    "generic-6mv": {
        40: 0.913, 50: 0.930, 60: 0.946, 80: 0.975, 100: 1.0, 150: 1.049, 200: 1.083, 250: 1.106,
    },
    "generic-10mv": {
        40: 0.936, 50: 0.950, 80: 0.982, 100: 1.0, 150: 1.034, 200: 1.057, 300: 1.083,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def matrad(data):
    return load_machine(data / "machines/photons_Generic.mat")


@pytest.mark.parametrize(
    ("field", "ssd", "top", "percent"),
    [
        (30, 900, 12, (79.56, 57.56, 41.85, 30.56, 16.45)),
        (50, 900, 12, (81.14, 59.88, 44.22, 32.70, 17.97)),
        (100, 900, 13, (83.61, 63.72, 48.29, 36.50, 20.79)),
        (200, 900, 13, (85.46, 67.13, 52.35, 40.61, 24.18)),
        (100, 1000, 13, (84.56, 65.34, 50.13, 38.31, 22.24)),
    ],
)
def test_depth_doses_of_the_matrad_file(matrad, field, ssd, top, percent):
    depths = [50.0, 100.0, 150.0, 200.0, 300.0]
    found = percentage_depth_dose(matrad, field=field, ssd=ssd, depth=depths)
    assert found == approx(percent, rel=0.003)
    assert depth_of_maximum(matrad, field=field, ssd=ssd) == approx(top, abs=0.5)


def test_other_numbers_of_the_matrad_file(matrad):
    ratios = [tissue_phantom_ratio(matrad, field=field) for field in (100, 40, 200)]
    assert ratios == approx([0.687, 0.647, 0.726], rel=0.003)
    found = [output_factor(matrad, field=field) for field in OUTPUT]
    assert found == approx(list(OUTPUT.values()), rel=0.003)
    width, half = penumbra(matrad)
    assert width == approx(6.1, abs=0.05)
    assert half == approx(50.15, abs=0.05)
    assert water_dose(matrad, field=50, ssd=900, depth=50)[0] == approx(1.0119, rel=0.003)


@pytest.mark.parametrize(("name", "quality"), [("generic-6mv", 0.667), ("generic-10mv", 0.735)])
def test_beam_quality_and_phantom_scatter_of_the_generic_machines(name, quality):
    machine = load_machine(name)
    assert tissue_phantom_ratio(machine) == approx(quality, abs=0.003)
    focal = replace(machine, head_scatter=HeadScatter())
    table = PHANTOM_SCATTER[name]
    found = [output_factor(focal, field=field) for field in table]
    assert found == approx(list(table.values()), rel=0.01)


def test_generic_6mv_resembles_common_linacs():
    machine = load_machine("generic-6mv")
    assert 66.0 <= percentage_depth_dose(machine, field=100, ssd=1000, depth=100)[0] <= 67.0
    found = [output_factor(machine, field=field) for field in OUTPUT]
    assert found == approx(list(OUTPUT.values()), rel=0.025)
    assert 5.0 <= penumbra(machine)[0] <= 8.0


@pytest.mark.parametrize(
    ("name", "low", "high"), [("generic-6mv", 12, 16), ("generic-10mv", 22, 25)]
)
def test_calibration_and_build_up_of_the_generic_machines(name, low, high):
    machine = load_machine(name)
    top = depth_of_maximum(machine, field=100, ssd=1000)
    assert low <= top <= high
    assert water_dose(machine, field=100, ssd=1000, depth=top)[0] == approx(0.01, rel=1e-4)
    assert 20.0 <= percentage_depth_dose(machine, field=100, ssd=1000, depth=0)[0] <= 35.0


def test_one_calibration_constant_serves_all_fields():
    """Dose of other fields is Sc Sp TPR and the inverse square away from the reference."""
    machine = load_machine("generic-6mv")
    focal = replace(machine, head_scatter=HeadScatter())
    reference = water_dose(machine, field=100, ssd=900, depth=100)[0]
    for field in (40.0, 200.0):
        scatter = output_factor(focal, field=field)
        head = output_factor(machine, field=field) / scatter
        dose = water_dose(machine, field=field, ssd=900, depth=100)[0]
        assert dose == approx(reference * head * scatter, rel=1e-12)
        assert head < 1.0 if field < 100 else head > 1.0


class Water:
    def __init__(self, grid):
        self.grid, self.electron_density = grid, np.ones(grid.shape)


@pytest.mark.parametrize("name", ["generic-6mv", "generic-10mv"])
def test_the_engine_gives_the_tables(name):
    """A single bixel of 60 mm on a tank whose skin is 100 mm before the isocentre."""
    machine = load_machine(name)
    grid = Grid((3, 40, 41), (4.0, 5.0, 3.0), (-60.0, -97.5, -4.0))
    plan = Plan.from_bixels(
        machine, gantry=0, isocentre=(0.0, 0.0, 0.0), x=[0.0], y=[0.0], width=60.0, weight=1.0
    )
    engine = PhotonKernel(lateral_cutoff=60.0)
    voxels = np.arange(grid.n_voxels)
    dose = engine.forward(Water(grid), plan.beams, plan.weights, voxels).reshape(grid.shape)
    depths = np.arange(40) * 5.0 + 2.5
    expected = water_dose(machine, field=60.0, ssd=900.0, depth=depths)
    assert dose[1, :, 20] == approx(expected, rel=2e-4)
    across = (np.arange(41) - 20) * 3.0
    profile = water_profile(machine, field=60.0, ssd=900.0, depth=102.5, off_axis=across)
    assert dose[1, 20] == approx(profile, rel=2e-3, abs=1e-3 * profile.max())
