"""Range-frame march, slowing down, fast mode: twins, the other solvers, energy, sharing."""

import numpy as np
import pytest
from pytest import approx

from dosegrad.engines.yoda import _range_march_reference, _slowing_reference
from dosegrad.engines.yoda._march_arrays import Layers, Media, Slowing
from dosegrad.engines.yoda.energy_grid import BeamletPaths, EnergyGrid
from dosegrad.engines.yoda.grid_march import march_on_grid
from dosegrad.engines.yoda.materials import material_tables
from dosegrad.engines.yoda.nuclear_rates import channel_rates, mass_removal
from dosegrad.engines.yoda.range_frame import solve_in_water
from dosegrad.engines.yoda.range_march import RangeMarch, empty_record
from dosegrad.engines.yoda.slowing import _water_power, slow_down
from dosegrad.engines.yoda.wet import prepare_wet
from dosegrad.errors import EnergyError
from dosegrad.physics.absorption import mass_absorption
from dosegrad.physics.materials import MATERIALS, SCHNEIDER_BINS, WATER
from dosegrad.physics.stopping import range_in_water

BONE, LUNG, AIR = SCHNEIDER_BINS[18], SCHNEIDER_BINS[1], SCHNEIDER_BINS[0]
MATERIALS_USED = (WATER, BONE, LUNG, AIR)
DENSITY = np.array([1.0, 1.61, 0.26, 0.0012])


def layers_of(pattern, step=1.0, family=0):
    """One path of materials, one a step."""
    material = np.asarray(pattern, dtype=np.int32)
    n = material.size
    return Layers(
        family=np.array([family], dtype=np.int32),
        offsets=np.array([0, n]),
        step=np.arange(n, dtype=np.int32),
        material=material,
        mass=0.1 * step * DENSITY[material],
        n_steps=n,
    )


def phantom(kind, n):
    z = np.arange(n) + 0.5
    patterns = {
        "water": np.zeros(n),
        "bone slab": np.where((z > 20) & (z < 30), 1, 0),
        "lung": np.where((z > 20) & (z < 60), 2, 0),
        "bone": np.ones(n),
        "mixed": np.where(z % 10 < 3, 1, np.where(z % 10 < 5, 2, np.where(z % 10 < 6, 3, 0))),
        "air gap": np.where((z > 30) & (z < 50), 3, 0),
    }
    return layers_of(patterns[kind])


@pytest.fixture(scope="module")
def nuclear():
    return material_tables(MATERIALS_USED, removal=mass_removal)


@pytest.fixture(scope="module")
def bare():
    return material_tables(MATERIALS_USED, removal=None)


def test_compiled_march_equals_plain_march(nuclear):
    layers = phantom("mixed", 60)
    march = RangeMarch().prepare([70.0], [0.7])
    record = march.solve(layers, nuclear)
    plain = empty_record(layers)
    media = Media(nuclear.values, nuclear.straggling, nuclear.step)
    _range_march_reference.march(march.families, media, layers, (0.4, 0.1, 10.0), plain)
    for name in record._fields:
        assert getattr(record, name) == approx(getattr(plain, name), rel=1e-9, abs=1e-11), name


def test_compiled_slowing_down_equals_plain(nuclear):
    layers = phantom("mixed", 80)
    result = slow_down(layers, nuclear, [90.0])
    shape = (1, layers.n_steps)
    plain = Slowing(np.zeros((1, shape[1] + 1)), np.zeros(layers.mass.size), *np.zeros((4, *shape)))
    media = Media(nuclear.values, nuclear.straggling, nuclear.step)

    power = _water_power(90.0, nuclear.values.shape[1], nuclear.step, "differential-moliere", 75.0)
    full = np.array([float(range_in_water(90.0))])
    _slowing_reference.slow_down(full, power[None], media, layers, 0, 0.3, plain)
    for name in result._fields:
        assert getattr(result, name) == approx(getattr(plain, name), rel=1e-9, abs=1e-12), name


@pytest.mark.parametrize(("energy", "std"), [(70.0, 0.6), (150.0, 1.0)])
def test_water_agrees_with_the_solver_of_commissioning(bare, energy, std):
    n = int(1.15 * range_in_water(energy))
    record = RangeMarch().prepare([energy], [std]).solve(phantom("water", n), bare)
    reference = -np.diff(solve_in_water(energy, np.arange(n + 1.0), energy_std=std).energy)
    assert abs(record.lost[0] - reference).max() < 1e-3 * reference.max()


def r80(deposit):
    top = int(np.argmax(deposit))
    level = 0.8 * deposit[top]
    i = top + int(np.argmax(deposit[top:] < level))
    return i - (level - deposit[i]) / (deposit[i - 1] - deposit[i])


BEAMS = ((100.0, 1.0), (150.0, 0.9), (200.0, 1.0), (230.0, 1.2))
KINDS = ("water", "bone slab", "lung", "bone", "mixed", "air gap")
#: Where the fast mode misses its limits: what beams straggle along a whole path of bone, or of
#: bone and lung, is not what they straggle in as much water.
MISSED = (("bone", 150.0), ("bone", 200.0), ("mixed", 200.0), ("bone", 230.0), ("mixed", 230.0))


def against_the_energy_grid(deposit, kind, energy, std):
    """Largest error in the depth dose, of the peak, and error of R80, mm; absorption on."""
    layers = phantom(kind, int(1.7 * range_in_water(energy)))
    fine = EnergyGrid(groups_per_std=3.0, loss_per_std=0.06)
    grid = fine.prepare(MATERIALS_USED, energy=energy, energy_std=std)
    paths = BeamletPaths(
        layers.material[None], 10 * layers.mass[None], np.ones((1, layers.n_steps))
    )
    solved = grid.solve(paths)
    reference = (solved.energy_lost - solved.energy_absorbed)[0]
    record = deposit(layers)
    found = (record.lost - record.absorbed)[0]
    wrong = abs(found - reference).max() / reference.max(), abs(r80(found) - r80(reference))
    print(f"{kind}, {energy:g} MeV: {100 * wrong[0]:.3f} %, {wrong[1]:.4f} mm")
    return wrong


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("energy", "std"), BEAMS)
def test_range_frame_against_the_energy_grid(kind, energy, std):
    """Limits: 0.15 % of the peak and 0.02 mm."""
    tables = material_tables(MATERIALS_USED, removal=lambda e, m: mass_absorption(e, m))
    march = RangeMarch().prepare([energy], [std])
    share, shift = against_the_energy_grid(
        lambda layers: march.solve(layers, tables), kind, energy, std
    )
    assert share < 1.5e-3
    assert shift < 0.02


@pytest.mark.parametrize(
    ("kind", "energy", "std"),
    [
        pytest.param(
            kind, *beam,
            marks=[pytest.mark.xfail(strict=True, reason="straggles like water: up to 1.6 %")]
            if (kind, beam[0]) in MISSED else [],
        )
        for kind in KINDS for beam in BEAMS
    ],
)  # fmt: skip
def test_fast_mode_against_the_energy_grid(kind, energy, std):
    """Limits: 1.2 % of the peak and 0.05 mm."""
    tables = material_tables(MATERIALS_USED, removal=lambda e, m: mass_absorption(e, m))
    solves = prepare_wet(RangeMarch().prepare([energy], [std]), tables)

    def along(layers):
        return solves.along(layers, slow_down(layers, tables, [energy], straight=True))

    share, shift = against_the_energy_grid(along, kind, energy, std)
    assert share < 1.2e-2
    assert shift < 0.05


def test_energy_is_kept(bare):
    march = RangeMarch().prepare([120.0], [1.0])
    record = march.solve(phantom("mixed", 160), bare)
    # The energy that the spectrum stands for, of which nothing is lost on whatever way.
    whole = march.solve(phantom("water", 160), bare).lost.sum()
    assert whole == approx(120.0, rel=1e-6)
    assert record.lost.sum() == approx(whole, rel=1e-10)
    assert record.number == approx(1.0, abs=1e-12)
    assert record.absorbed == approx(0.0, abs=1e-9)


def test_absorption_takes_protons_as_their_cross_section_says(nuclear):
    record = RangeMarch().prepare([150.0], [1.0]).solve(phantom("water", 20), nuclear)
    expected = float(mass_removal(np.array([145.0]))[0])
    assert record.number[0, -1] == approx(np.exp(-2.0 * expected), rel=2e-3)


def test_modes_agree_along_scattered_paths(nuclear):
    layers = phantom("bone slab", 100)
    march = RangeMarch().prepare([100.0], [1.0])
    slowing = slow_down(layers, nuclear, [100.0])
    long = layers._replace(mass=slowing.mass)
    fine = EnergyGrid(nuclear=False, groups_per_std=3.0, loss_per_std=0.06)
    grid = fine.prepare(MATERIALS_USED, energy=100.0, energy_std=1.0)
    records = [
        march.solve(long, nuclear),
        prepare_wet(march, nuclear).along(long, slowing),
        march_on_grid(grid, long, slowing),
    ]
    deposits = [(r.lost - r.absorbed)[0] for r in records]
    peak = deposits[0].max()
    assert deposits[1] == approx(deposits[0], abs=0.012 * peak)
    assert deposits[2] == approx(deposits[0], abs=0.008 * peak)
    scattered = [r.scattered[0, :70].cumsum()[5:] for r in records]
    assert scattered[1] == approx(scattered[0], rel=0.015)
    assert scattered[2] == approx(scattered[0], rel=0.015)
    lets = [r.let[0, :62] for r in records]  # the grid leaves out what is below 1 MeV
    assert lets[2] == approx(lets[0], rel=0.02)


def test_channels_scale_with_composition():
    energies = np.array([80.0, 150.0])
    water = channel_rates(energies)
    assert water.sum(axis=0) == approx(mass_removal(energies))
    carbon_free = channel_rates(energies, MATERIALS["aluminium"])
    assert carbon_free[1] == approx(0.0)
    assert channel_rates(energies, BONE)[1] == approx(0.049 / 0.111894 * water[1], rel=0.02)


def test_impossible_beams_are_refused():
    with pytest.raises(EnergyError, match="does not fit into the tables"):
        RangeMarch().prepare([5.0], [1.0])
    with pytest.raises(EnergyError, match="290"):
        RangeMarch().prepare([290.0], [1.0])
