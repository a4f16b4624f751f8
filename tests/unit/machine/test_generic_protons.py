"""The packaged proton machine: complete, plausible, and the same when made again."""

import numpy as np
import pytest

from dosegrad.commissioning.generic_protons import build_energy, energies
from dosegrad.machine.library import load_machine
from dosegrad.physics.stopping import range_in_water


@pytest.fixture(scope="module")
def machine():
    return load_machine("generic-protons")


def test_energies_cover_70_to_230_mev(machine):
    np.testing.assert_allclose(machine.energies, energies())
    assert machine.energies[0] == 70.0
    assert machine.energies[-1] == 230.0
    steps = np.diff(machine.ranges)
    assert (steps > 1.0).all()
    assert (steps < 7.0).all()


def test_ranges_are_those_of_water(machine):
    np.testing.assert_allclose(machine.ranges, range_in_water(machine.energies), rtol=4e-3)
    assert (machine.peaks < machine.ranges).all()


def test_tables_are_plausible(machine):
    for beam in machine.data:
        assert (beam.dose >= 0).all()
        assert beam.dose[-1] < 1e-3 * beam.dose.max()
        np.testing.assert_allclose(beam.weights.sum(axis=0), 1.0, atol=1e-6)
        assert (beam.weights >= 0).all()
        assert (beam.sigmas[1] >= beam.sigmas[0]).all()
        assert (np.diff(beam.sigmas[0]) >= -1e-6).all()
        assert 0.3 < beam.let[0] < 1.5
        assert beam.let[np.searchsorted(beam.depths, beam.peak)] < 12.0
        near = (beam.depths > beam.peak - 3.0) & (beam.depths < beam.range + 3.0)
        assert np.diff(beam.depths[near]).max() < 0.2501
        deposited = np.trapezoid(beam.dose, beam.depths) / 10.0
        assert 0.9 < deposited / beam.energy < 1.0


def test_spot_in_air(machine):
    first, last = machine.data[0], machine.data[-1]
    assert first.spot_sigma(machine.nozzle_distance) == pytest.approx(6.0, abs=0.01)
    assert last.spot_sigma(machine.nozzle_distance) == pytest.approx(3.0, abs=0.01)
    for beam in machine.data:
        assert (np.diff(beam.focus_sigma) > 0).all()


def test_layers_make_a_smooth_spread_out_peak(machine):
    # Every layer, weights by non-negative least squares to a flat 40 mm: ripple under 1.5 %.
    from scipy.optimize import nnls

    depths = np.arange(90.0, 130.0, 0.25)
    layers = [b for b in machine.data if 87.0 < b.range < 134.0]
    curves = np.array([np.interp(depths, b.depths, b.dose) for b in layers]).T
    weights, _ = nnls(curves, np.ones(depths.size))
    assert np.abs(curves @ weights - 1.0).max() < 0.015


@pytest.mark.parametrize("index", [0, 30])
def test_making_an_energy_again_gives_the_stored_numbers(machine, index):
    stored = machine.data[index]
    again = build_energy(stored.energy)
    assert again.range == pytest.approx(stored.range, abs=1e-9)
    for name in ("depths", "dose", "sigmas", "weights", "let", "focus_sigma"):
        ours, theirs = getattr(again, name), getattr(stored, name)
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-6 * np.abs(theirs).max())


def test_dose_falls_behind_every_peak():
    """Energy balance near the end of range once put steps of 2 % of the peak behind it."""
    for data in load_machine("generic-protons").data:
        top = int(np.argmax(data.dose))
        rises = np.diff(data.dose[top:])
        assert rises.max() < 1e-3 * data.dose[top], data
