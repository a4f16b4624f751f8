"""The ideal machine: any energy, phase spaces, errors."""

import numpy as np
import pytest
from pytest import approx

from dosegrad import load_machine
from dosegrad.errors import EnergyError, MachineError
from dosegrad.machine.phase_space import phase_space
from dosegrad.physics.stopping import range_in_water


def test_any_energy_between_10_and_250_mev():
    machine = load_machine("research-protons", energy_std=1.0, spot_sigma=3.0, sad=2000.0)
    assert machine.sad == 2000.0
    data = machine.at_energy(123.456)
    assert data.energy == 123.456
    assert data.range == approx(float(range_in_water(123.456)), abs=0.5)
    with pytest.raises(EnergyError, match=r"260\.00 MeV is outside"):
        machine.at_energy(260.0)


def test_phase_space_of_the_ideal_beam_lies_at_the_isocentre_in_vacuum():
    machine = load_machine("research-protons", energy_std=0.7, spot_sigma=4.0, divergence=0.1)
    space = phase_space(machine, 100.0)
    assert (space.energy, space.energy_std, space.distance) == (100.0, 0.7, 0.0)
    assert space.variance == approx(16.0)
    assert space.angular == approx(np.radians(0.1) ** 2)
    assert not space.in_air


def test_phase_space_of_a_machine_gives_its_spot_in_air():
    machine = load_machine("generic-protons")
    data = machine.data[4]
    space = phase_space(machine, data.energy)
    drift = data.focus_distance
    a2, a1, a0 = space.variance[0], space.covariance[0], space.angular[0]
    straight = a2 + 2 * a1 * drift + a0 * drift**2
    assert np.sqrt(straight) == approx(data.focus_sigma, rel=0.06)
    assert space.in_air
    assert space.energy_std == data.energy_spread


def test_impossible_beams_are_refused():
    with pytest.raises(MachineError, match="spot_sigma -1"):
        load_machine("research-protons", spot_sigma=-1.0)
