"""Energy grid against theory: range, order of convergence, energy balance, window, width."""

import numpy as np
import pytest
from pytest import approx
from scipy.integrate import trapezoid
from scipy.interpolate import CubicSpline

from dosegrad.engines.yoda._energy_grid_operators import legendre
from dosegrad.engines.yoda.energy_grid import BeamletPaths, EnergyGrid
from dosegrad.physics.absorption import mass_absorption
from dosegrad.physics.materials import MATERIALS, WATER
from dosegrad.physics.stopping import energy_of_range, range_in_water


def water_paths(n_steps, length=1.0, density=1.0):
    shape = (1, n_steps)
    return BeamletPaths(np.zeros(shape), np.full(shape, density), np.full(shape, length))


def solve(energy, energy_std, paths, material=WATER, **settings):
    grid = EnergyGrid(**settings).prepare([material], energy=energy, energy_std=energy_std)
    return grid, grid.solve(paths)


def distal_80(deposit, length):
    """Depth of 80 % of the peak behind it, from the spline of the energy left so far."""
    edges = length * np.arange(deposit.size + 1)
    curve = CubicSpline(edges, np.append(0.0, np.cumsum(deposit)))
    depths = np.linspace(0.0, edges[-1], 200_001)
    values = curve(depths, 1)
    last = np.flatnonzero(values >= 0.8 * values.max())[-1]
    share = (values[last] - 0.8 * values.max()) / (values[last] - values[last + 1])
    return depths[last] + share * depths[1]


@pytest.mark.parametrize("energy", [70.0, 100.0, 150.0, 200.0, 230.0])
def test_distal_80_is_at_the_range(energy):
    expected = float(range_in_water(energy))
    paths = water_paths(int(2.2 * expected), length=0.5)
    _, transport = solve(energy, 0.005 * energy, paths, nuclear=False)
    assert distal_80(transport.energy_lost[0], 0.5) == approx(expected, rel=2e-4)


def test_order_in_depth():
    paths = water_paths(1, length=15.0)
    settings = {"nuclear": False, "window": 0.0}
    states = [
        solve(60.0, 1.0, paths, loss_per_std=step, **settings)[1].record.states
        for step in (0.1, 0.05, 0.0125)
    ]
    coarse, fine = (np.linalg.norm(s - states[-1]) for s in states[:-1])
    assert np.log2(coarse / fine) >= 2.8


def test_order_in_energy():
    energies = np.linspace(30.0, 55.0, 5001)
    counts = (1.5, 3.0, 8.0)
    spectra = []
    for count in counts:
        grid, transport = solve(
            60.0,
            1.0,
            water_paths(1, length=15.0),
            nuclear=False,
            groups_per_std=count,
            loss_per_std=0.02,
            window=1e-10,
        )
        x, group = np.modf((energies - grid.mesh.lowest) / grid.mesh.width)
        state = transport.record.states[0, 0, group.astype(int)]
        spectra.append((state.T * legendre(2.0 * x - 1.0)).sum(axis=0))
    coarse, fine = (np.linalg.norm(s - spectra[-1]) for s in spectra[:-1])
    assert np.log2(coarse / fine) >= 2.8


@pytest.mark.parametrize("window", [1e-6, 0.0])
def test_energy_is_conserved(window):
    grid, transport = solve(100.0, 1.0, water_paths(100), window=window)
    initial = float((grid.operators.rows[1] * grid.initial_states()[0]).sum())
    assert initial == approx(100.0, rel=1e-8)
    assert transport.energy_lost.sum() == approx(initial, rel=1e-10)
    local = transport.deposit(0.6).sum() + 0.4 * transport.energy_absorbed.sum()
    assert local == approx(initial, rel=1e-10)


@pytest.mark.parametrize("nuclear", [True, False])
def test_window_against_full_grid(nuclear):
    paths = water_paths(90)
    _, moving = solve(100.0, 1.0, paths, nuclear=nuclear)
    _, full = solve(100.0, 1.0, paths, nuclear=nuclear, window=0.0)
    difference = np.abs(moving.energy_lost - full.energy_lost).max()
    assert difference <= 2e-4 * full.energy_lost.max()


def test_default_steps_keep_half_a_percent_of_the_peak():
    paths = water_paths(90)
    _, default = solve(100.0, 1.0, paths, nuclear=False)
    _, fine = solve(100.0, 1.0, paths, nuclear=False, groups_per_std=4.0, loss_per_std=0.04)
    difference = np.abs(default.energy_lost - fine.energy_lost).max()
    assert difference <= 5e-3 * fine.energy_lost.max()


def test_nuclei_absorb_but_do_not_move_the_range():
    paths = water_paths(180, length=0.5)
    _, without = solve(100.0, 0.5, paths, nuclear=False)
    _, absorbed = solve(100.0, 0.5, paths)
    peaks = [distal_80(t.deposit(0.0)[0], 0.5) for t in (without, absorbed)]
    assert peaks[1] == approx(peaks[0], abs=0.01)
    assert without.number[0, 100] == approx(1.0, abs=1e-4)  # less what windows cut off
    energies = energy_of_range(range_in_water(100.0) - np.linspace(0.0, 50.0, 501))
    expected = np.exp(-0.1 * trapezoid(mass_absorption(energies), dx=0.1))
    assert absorbed.number[0, 100] == approx(expected, abs=1e-4)


def test_range_scales_with_density():
    bone = MATERIALS["schneider-20"]
    ends = []
    for density in (1.0, 2.0):
        paths = water_paths(200, length=1.0 / density, density=density)
        _, transport = solve(100.0, 1.0, paths, material=bone, nuclear=False)
        ends.append(distal_80(transport.energy_lost[0], 1.0 / density))
    assert ends[0] == approx(2.0 * ends[1], rel=1e-12)


def test_let_is_the_stopping_power_of_a_narrow_beam():
    grid, transport = solve(100.0, 0.2, water_paths(2, length=0.05), nuclear=False)
    # 7.289 MeV cm2/g at 100 MeV.
    assert transport.let[0, 0] == approx(0.729, abs=0.001)
    assert grid.mesh.width == approx(0.15)


def test_spread_grows_as_straggling_says():
    """Variance after a thin layer: compression by S(E1)/S(E2) aside, T times depth."""
    grid, transport = solve(200.0, 0.5, water_paths(1, length=2.0), nuclear=False)
    state = transport.record.states[0, 0]
    mesh = grid.mesh
    number, mean, square = (
        float((mesh.row(mesh.nodes**power) * state).sum()) for power in range(3)
    )
    variance = square / number - (mean / number) ** 2
    # 0.25 before; T = 0.1076 MeV2 cm2/g; slower protons lose more: d ln S/dE = -0.0036 per MeV.
    assert variance == approx((0.25 + 0.2 * 0.1076) * 1.0066, rel=3e-3)
