"""Laws of the deterministic engine: nothing is looked up, ranges and spreads are physics."""

from dataclasses import replace

import numpy as np
import pytest
from pytest import approx

from dosegrad import Patient, Plan, compute_dose, load_machine
from dosegrad.engines import Yoda
from dosegrad.engines.yoda._march_arrays import Layers
from dosegrad.engines.yoda.materials import material_tables
from dosegrad.engines.yoda.range_march import RangeMarch
from dosegrad.engines.yoda.splitting import split_on_rings
from dosegrad.physics.materials import SCHNEIDER_BINS, WATER
from dosegrad.physics.stopping import csda_range, range_in_water

WHOLE = split_on_rings((1,))


def depth_dose(energy, std, tables, *, density=1.0, material=0, step=0.25):
    n = int(1.2 * float(range_in_water(energy)) / density / step)
    layers = Layers(
        family=np.zeros(1, np.int32),
        offsets=np.array([0, n]),
        step=np.arange(n, dtype=np.int32),
        material=np.full(n, material, np.int32),
        mass=np.full(n, 0.1 * step * density),
        n_steps=n,
    )
    return RangeMarch().prepare([energy], [std]).solve(layers, tables).lost[0] / step


def distal(curve, level, step=0.25):
    """Depth behind the peak where the dose is a share of the maximum, mm."""
    top = int(curve.argmax())
    i = top + int(np.argmax(curve[top:] < level * curve[top]))
    return step * (i + 0.5 - (level * curve[top] - curve[i]) / (curve[i - 1] - curve[i]))


@pytest.mark.parametrize("energy", [70.0, 120.0, 180.0, 230.0])
def test_distal_80_percent_is_the_csda_range(energy):
    tables = material_tables((WATER,), removal=None)
    found = distal(depth_dose(energy, 0.004 * energy, tables), 0.8)
    assert found == approx(float(range_in_water(energy)), rel=6e-4)


def test_more_straggling_broadens_the_fall_off_as_theory_says():
    tables = material_tables((WATER,), removal=None)
    more = replace(tables, straggling=1.2 * tables.straggling)
    widths = []
    for one in (tables, more):
        curve = depth_dose(150.0, 0.05, one)
        widths.append(distal(curve, 0.2) - distal(curve, 0.8))
    assert widths[1] / widths[0] == approx(np.sqrt(1.2), rel=0.015)


@pytest.mark.parametrize("density", [0.8, 1.3])
def test_density_moves_the_range_inversely(density):
    tables = material_tables((WATER,), removal=None)
    found = distal(depth_dose(110.0, 0.5, tables, density=density), 0.8)
    assert found == approx(float(range_in_water(110.0)) / density, rel=1e-3)


def test_range_in_bone_is_that_of_bone():
    bone = SCHNEIDER_BINS[18]
    tables = material_tables((WATER, bone), removal=None)
    found = distal(depth_dose(130.0, 0.5, tables, density=bone.density, material=1), 0.8)
    assert found == approx(float(csda_range(130.0, bone)), rel=1e-3)


@pytest.mark.parametrize("energy", [100.0, 150.0, 180.0])
def test_lateral_spread_at_the_end_of_range(energy):
    """2.1 to 2.5 % of the range, from a narrow spot."""
    machine = load_machine("research-protons", energy_std=0.5, spot_sigma=1.0)
    length = float(range_in_water(energy))
    shape, spacing = (41, int(1.1 * length / 2.0), 41), (1.0, 2.0, 1.0)
    patient = Patient.from_arrays(
        np.zeros(shape), spacing=spacing, origin=(-20.0, 1.0, -20.0), calibration="schneider-water"
    )
    plan = Plan.from_spots(
        machine, gantry=0, isocentre=(0.0, 0.0, 0.0), x=[0.0], y=[0.0], energy=[energy], weight=[1]
    )
    dose = compute_dose(patient, plan, engine=Yoda(nuclear=False, splitting=WHOLE)).array
    layer = dose[:, int(0.985 * length / 2.0)].sum(axis=0)
    x = np.arange(41) - 20.0
    near = layer > 0.2 * layer.max()
    curve = np.polyfit(x[near], np.log(layer[near]), 2)
    sigma = np.sqrt(-0.5 / curve[0] - 1.0 - 1.0 / 12.0)
    assert 0.0205 < sigma / length < 0.025
