"""Materials: composition, Bragg additivity, names."""

import pytest

from dosegrad.errors import MachineError, UnknownNameError
from dosegrad.physics.materials import (
    MATERIALS,
    SCHNEIDER_BINS,
    SCHNEIDER_LOWER_EDGES,
    WATER,
    Material,
    material,
)


@pytest.mark.parametrize("one", MATERIALS.values(), ids=str)
def test_fractions_sum_to_one(one):
    assert sum(one.fractions.values()) == pytest.approx(1.0, abs=1e-12)


def test_schneider_bins_are_24_in_order():
    assert len(SCHNEIDER_BINS) == len(SCHNEIDER_LOWER_EDGES) == 24
    assert sorted(SCHNEIDER_LOWER_EDGES) == list(SCHNEIDER_LOWER_EDGES)
    assert SCHNEIDER_BINS[8].name == "schneider-08"


def test_electrons_per_gram_of_water():
    assert WATER.z_over_a == pytest.approx(0.55508, abs=1e-4)  # ICRU 49


def test_i_value_follows_bragg():
    carbon = Material("c", 1.0, {"C": 3.0})
    assert carbon.i_value == pytest.approx(81.0)
    assert carbon.fractions == {"C": 1.0}


def test_unknown_names_are_told_with_a_guess():
    with pytest.raises(UnknownNameError, match="Did you mean 'water'"):
        material("watr")
    with pytest.raises(UnknownNameError, match="no element 'Xx'"):
        Material("x", 1.0, {"Xx": 1.0})
    with pytest.raises(MachineError, match="positive density"):
        Material("x", 0.0, {"H": 1.0})
