"""Nonelastic cross sections against check points of Tripathi's parametrisation."""

import numpy as np
import pytest

from dosegrad.errors import UnknownNameError
from dosegrad.physics.absorption import mass_absorption, nonelastic_cross_section


def test_oxygen():
    energies = [10.0, 20.0, 50.0, 100.0, 150.0, 200.0]
    expected = [478.0, 534.0, 415.0, 308.0, 273.0, 262.0]
    np.testing.assert_allclose(nonelastic_cross_section(energies, "O"), expected, rtol=4e-3)


def test_water():
    assert mass_absorption(100.0) == pytest.approx(0.0103, abs=5e-5)


def test_hydrogen_absorbs_nothing_and_slow_protons_never():
    assert nonelastic_cross_section(150.0, "H") == 0.0
    assert nonelastic_cross_section([0.0, 1.0], "O").tolist() == [0.0, 0.0]


@pytest.mark.parametrize("energy", [50.0, 100.0, 150.0, 230.0])
def test_cross_sections_grow_with_the_nucleus(energy):
    symbols = ("C", "N", "O", "Mg", "P", "Ca", "Ti")
    areas = [float(nonelastic_cross_section(energy, symbol)) for symbol in symbols]
    assert areas == sorted(areas)


def test_unknown_nucleus_is_told():
    with pytest.raises(UnknownNameError, match="no nucleus 'U'"):
        nonelastic_cross_section(100.0, "U")
