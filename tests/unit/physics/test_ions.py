"""Ions: stopping, ranges, reactions, tracks."""

import numpy as np
import pytest

from dosegrad.errors import EnergyError
from dosegrad.physics.ion_reactions import (
    FRAGMENTS,
    angular_variance,
    fragment_yields,
    local_energy,
    momentum_spread,
    reaction_cross_section,
    reaction_rate,
)
from dosegrad.physics.ions import (
    IONS,
    effective_charge,
    energy_of_ion_range,
    ion_range,
    ion_scattering_power,
    ion_stopping_power,
    range_straggling,
)
from dosegrad.physics.scattering import mass_scattering_power
from dosegrad.physics.stopping import mass_stopping_power, range_in_water

CARBON, HELIUM, OXYGEN, PROTON = (IONS[n] for n in ("12C", "4He", "16O", "1H"))


def test_a_proton_is_a_proton():
    energies = np.array([5.0, 70.0, 150.0, 290.0])
    np.testing.assert_allclose(
        ion_stopping_power(energies, PROTON), mass_stopping_power(energies), rtol=1e-12
    )
    np.testing.assert_allclose(ion_range(energies, PROTON), range_in_water(energies), rtol=2e-3)


@pytest.mark.parametrize(
    ("energy", "expected"), [(100.0, 25.7), (200.0, 86.5), (300.0, 171.0), (400.0, 276.0)]
)
def test_ranges_of_carbon(energy, expected):
    """Within 1 %; a third of the proton's, as A/Z^2 says, but for charge exchange."""
    assert float(ion_range(energy, CARBON)) == pytest.approx(expected, rel=0.01)
    third = float(ion_range(energy, PROTON)) / 3.0
    assert 0.0 < float(ion_range(energy, CARBON)) - third < 0.1


def test_helium_has_the_range_of_protons_of_the_same_speed():
    energies = np.array([60.0, 150.0, 220.0])
    np.testing.assert_allclose(ion_range(energies, HELIUM), ion_range(energies, PROTON), atol=0.02)


def test_range_and_energy_are_inverse():
    for ion in (PROTON, HELIUM, CARBON):
        energies = np.array([0.01, 0.5, 20.0, 400.0])
        found = energy_of_ion_range(ion_range(energies, ion), ion)
        np.testing.assert_allclose(found, energies, rtol=1e-5)
    assert float(energy_of_ion_range(-1.0, CARBON)) == 0.0


def test_energies_beyond_the_tables_are_refused():
    with pytest.raises(EnergyError, match="above 0 to 700 MeV/u"):
        ion_stopping_power(800.0, CARBON)
    with pytest.raises(EnergyError, match=r"range 9000\.0 mm of 12C in water is beyond"):
        energy_of_ion_range(9000.0, CARBON)


def test_slow_ions_pick_up_electrons():
    charges = effective_charge([400.0, 10.0, 1.0, 0.1], 6)
    assert charges[0] == pytest.approx(6.0, abs=1e-9)
    assert (np.diff(charges) < 0).all()


def test_straggling_and_scattering_scale_with_mass_and_charge():
    assert range_straggling(100.0, CARBON) * np.sqrt(12) == pytest.approx(
        float(range_straggling(100.0, PROTON))
    )
    power = float(ion_scattering_power(100.0, CARBON, initial_energy=200.0))
    protons = float(mass_scattering_power(100.0, initial_energy=200.0))
    assert power == pytest.approx(0.25 * protons * 0.1)


@pytest.mark.parametrize(
    ("energy", "expected", "error"),
    [(83.0, 965.0, 30.0), (200.0, 864.0, 45.0), (300.0, 858.0, 60.0)],
)
def test_cross_section_of_carbon_on_carbon(energy, expected, error):
    """Measured by Kox 1987; two standard deviations."""
    found = float(reaction_cross_section(energy, CARBON, CARBON))
    assert found == pytest.approx(expected, abs=2.0 * error)


def test_hydrogen_is_the_projectile_in_the_frame_of_the_ion():
    a = reaction_cross_section([50.0, 200.0], CARBON, PROTON)
    b = reaction_cross_section([50.0, 200.0], PROTON, CARBON)
    np.testing.assert_allclose(a, b, rtol=1e-12)


def test_mean_free_paths_in_water():
    """Carbon about 25 cm, helium about twice that, protons of the order of a metre."""
    paths = [1.0 / float(reaction_rate(200.0, i)) for i in (CARBON, HELIUM, PROTON)]
    assert 190.0 < paths[0] < 270.0
    assert 350.0 < paths[1] < 550.0
    assert 900.0 < paths[2] < 1300.0
    assert float(reaction_rate(0.5, CARBON)) == 0.0


@pytest.mark.parametrize("name", ["12C", "11B", "9Be", "7Li", "4He", "3He"])
def test_charge_and_nucleons_of_fragments(name):
    """Charge is conserved; nucleons that are missing left as neutrons."""
    yields = fragment_yields(name)
    assert sum(n * IONS[k].charge for k, n in yields.items()) == pytest.approx(IONS[name].charge)
    nucleons = sum(n * IONS[k].nucleons for k, n in yields.items())
    assert 0.6 * IONS[name].nucleons < nucleons < IONS[name].nucleons
    assert all(IONS[k].nucleons < IONS[name].nucleons for k in yields)


def test_tables_of_fragments_hold_known_ions():
    for name, table in FRAGMENTS.items():
        assert set(table) <= IONS.keys()
        charge = sum(n * IONS[k].charge for k, n in table.items())
        assert charge == pytest.approx(IONS[name].charge, abs=0.01)


def test_momentum_of_fragments():
    """A nucleon less or a lone nucleon: the reduced width itself; angles fall with energy."""
    assert momentum_spread(IONS["11C"], CARBON) == pytest.approx(90.0)
    assert momentum_spread(PROTON, CARBON) == pytest.approx(90.0)
    assert momentum_spread(HELIUM, CARBON) > 140.0
    slow, fast = angular_variance([50.0, 300.0], HELIUM, CARBON)
    assert 0.0 < fast < slow
    assert float(local_energy(400.0, CARBON)) == 30.0
    assert float(local_energy(2.0, CARBON)) == pytest.approx(2.4)
