"""The files of the ion machines, and the settings that they are made from."""

from dataclasses import replace

import numpy as np
import pytest

from dosegrad import load_machine
from dosegrad.commissioning import generic_carbon, generic_helium
from dosegrad.commissioning.ion_base_data import ion_data
from dosegrad.commissioning.ion_machine import GENERIC_TISSUES, ion_energies, spot_in_air
from dosegrad.commissioning.ion_matching import match_ion_curves, peak_width
from dosegrad.errors import MachineError
from dosegrad.physics.ions import IONS, ion_range

MADE = {"generic-carbon": generic_carbon.SETTINGS, "generic-helium": generic_helium.SETTINGS}


@pytest.mark.parametrize("name", list(MADE))
def test_a_rerun_gives_the_numbers_of_the_file(name):
    machine, settings = load_machine(name), MADE[name]
    np.testing.assert_array_equal(machine.energies, ion_energies(settings))
    for number in (3, 60):
        energy = float(machine.energies[number])
        again = ion_data(
            *(energy, IONS[settings.ion]),
            width=settings.width(energy),
            tissues=GENERIC_TISSUES,
            focus=spot_in_air(settings, energy),
        )
        filed = machine.data[number]
        for table in ("depths", "dose", "sigmas", "weights", "let", "alpha", "beta"):
            np.testing.assert_allclose(
                getattr(filed, table), getattr(again, table), rtol=2e-6, atol=1e-7
            )
        assert filed.range == pytest.approx(again.range, abs=1e-6)


@pytest.mark.parametrize("name", list(MADE))
def test_tables_are_complete(name):
    machine = load_machine(name)
    assert machine.has_biology
    np.testing.assert_array_equal(machine.tissues, GENERIC_TISSUES)
    np.testing.assert_allclose([len(d.sigmas) for d in machine.data], 2)
    np.testing.assert_allclose(machine.ranges, ion_range(machine.energies, _ion(name)), atol=2.5)
    assert machine.monitor.particles_per_mu(200.0) == 1e6
    for data in machine.data[::20]:
        np.testing.assert_allclose(data.weights.sum(axis=0), 1.0, atol=1e-6)
        assert (data.alpha >= 0).all()
        assert data.depths[-1] > 1.9 * data.range


def _ion(name):
    return IONS[MADE[name].ion]


@pytest.mark.parametrize("name", list(MADE))
def test_neighbouring_peaks_make_a_smooth_one(name):
    """Peaks two standard deviations apart: best non-negative weights ripple below 2 %."""
    from scipy.optimize import nnls

    machine = load_machine(name)
    depths = np.linspace(100.0, 140.0, 161)
    chosen = [d for d in machine.data if 95.0 < d.peak < 146.0]
    matrix = np.column_stack([np.interp(depths, d.depths, d.dose) for d in chosen])
    weights, _ = nnls(matrix, np.ones(depths.size))
    assert np.abs(matrix @ weights - 1.0).max() < 0.02


def test_without_ripple_filter_peaks_are_sharper():
    settings = generic_carbon.SETTINGS
    bare = replace(settings, filter_std=0.0)
    assert bare.width(200.0) < 0.5 * settings.width(200.0)
    assert ion_energies(bare).size > 1.2 * ion_energies(settings).size


def test_alpha_is_that_of_photons_for_sparse_tracks():
    """Fast helium at the entrance is little worse than photons; the peak of carbon much worse."""
    helium, carbon = load_machine("generic-helium"), load_machine("generic-carbon")
    fast = helium.data[-1].alpha[0]
    assert 0.05 < fast[0] < 0.15
    deep = carbon.data[60]
    assert deep.alpha[0].max() > 0.9
    at_peak = int(deep.dose.argmax())
    assert deep.alpha[2][at_peak] > deep.alpha[0][at_peak]


def test_only_ions_are_matched(toy_machine):
    with pytest.raises(MachineError, match="delivers protons"):
        match_ion_curves(toy_machine, 100.0)


def test_width_of_a_known_peak():
    depths = np.linspace(0.0, 100.0, 4001)
    dose = np.exp(-0.5 * ((depths - 60.0) / 3.0) ** 2)
    assert peak_width(depths, dose) == pytest.approx(6.0 * np.sqrt(-2 * np.log(0.6)), rel=1e-2)
