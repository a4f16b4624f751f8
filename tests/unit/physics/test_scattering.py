"""Straggling and scattering: published values and measured widths."""

import numpy as np
import pytest

from dosegrad.errors import EnergyError, UnknownNameError
from dosegrad.physics.materials import MATERIALS
from dosegrad.physics.scattering import mass_scattering_power, scattering_length
from dosegrad.physics.stopping import energy_of_range, range_in_water
from dosegrad.physics.straggling import mass_straggling


def width_at(depth, energy, model, water_i_value=75.0):
    """Fermi-Eyges spread of a thin beam in water at ``depth``, mm."""
    edges = np.linspace(0.0, depth, 20001)
    middle = 0.5 * (edges[1:] + edges[:-1])
    left = range_in_water(energy, water_i_value=water_i_value) - middle
    energies = energy_of_range(left, water_i_value=water_i_value)
    power = mass_scattering_power(energies, initial_energy=energy, model=model)
    return np.sqrt((power * 0.1 * (depth - middle) ** 2).sum() * (edges[1] - edges[0]))


def test_straggling_of_water():
    expected = [0.0880, 0.0969, 0.1076]
    np.testing.assert_allclose(mass_straggling([10.0, 100.0, 200.0]), expected, atol=6e-5)


@pytest.mark.parametrize(
    ("model", "expected"),
    [("moliere", (0.995, 1.84, 3.66, 5.92)), ("differential-moliere", (0.910, 1.71, 3.47, 5.69))],
)
def test_width_at_the_end_of_range(model, expected):
    widths = [
        width_at(float(range_in_water(energy)), energy, model)
        for energy in (70.0, 100.0, 150.0, 200.0)
    ]
    np.testing.assert_allclose(widths, expected, rtol=8e-3)


@pytest.mark.parametrize("energy", [100.0, 150.0, 200.0])
def test_width_is_a_known_share_of_the_range(energy):
    depth = float(range_in_water(energy))
    assert 0.021 < width_at(depth, energy, "differential-moliere") / depth < 0.025


def test_width_agrees_with_monte_carlo():
    # 100 MeV, 75.5 mm deep, scattering alone: MCsquare 1.65 mm.
    width = width_at(75.5, 100.0, "differential-moliere", water_i_value=78.0)
    assert width == pytest.approx(1.65, rel=0.05)


def test_born_scatters_a_little_more_than_moliere_and_less_than_point_nuclei():
    energies = np.array([20.0, 60.0, 180.0])
    born = mass_scattering_power(energies, model="born")
    moliere = mass_scattering_power(energies, model="moliere")
    assert (born / moliere > 1.0).all()
    assert (born / moliere < 1.12).all()
    assert (mass_scattering_power(energies, model="paper") > moliere).all()


def test_heavy_material_scatters_more_per_gram():
    assert scattering_length(MATERIALS["water"]) == pytest.approx(46.88)
    assert scattering_length(MATERIALS["aluminium"]) < scattering_length(MATERIALS["water"])


def test_what_cannot_be_asked_is_told():
    with pytest.raises(EnergyError, match="energy before the first scatterer"):
        mass_scattering_power(100.0)
    with pytest.raises(EnergyError, match="energy before the first scatterer"):
        mass_scattering_power(100.0, initial_energy=90.0)
    with pytest.raises(UnknownNameError, match="Did you mean 'moliere'"):
        mass_scattering_power(100.0, model="molier")
