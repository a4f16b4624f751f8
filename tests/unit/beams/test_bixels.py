"""Steering of photon bixels, and explicit lists of them."""

import numpy as np
import pytest

from dosegrad.beams._reach import grown_target
from dosegrad.beams.beam import Beam
from dosegrad.beams.bixels import bixels_on_target, bixels_to_beams
from dosegrad.beams.steering import steer
from dosegrad.errors import BeamError, EnergyError, SettingsError, TargetError
from dosegrad.machine.library import load_machine
from dosegrad.plan import Plan


@pytest.fixture(scope="module")
def linac():
    return load_machine("generic-6mv")


def test_bixels_cover_the_grown_target(water_box, linac):
    beams = steer(water_box, linac, target="Target", gantry=[0, 90], bixel=5.0)
    assert len(beams) == 2
    columns = beams.columns
    assert set(columns["size"]) == {5.0}
    assert set(columns["energy"]) == {6.0}
    assert np.array_equal(columns["ray"], np.arange(columns.size))
    assert np.allclose(columns["x"] % 5.0, 0.0)
    # the target reaches 15 mm from its middle along x, 9 mm along z
    front = columns[beams.columns_of(0)]
    assert np.ptp(front["x"]) == 40.0  # edges of bixels at 22.5 mm
    assert np.ptp(front["y"]) == 25.0  # at 15 mm, where leaves have their sides
    assert np.allclose(front["y"] % 5.0, 2.5)


def test_a_larger_margin_means_more_bixels(water_box, linac):
    counts = [
        steer(water_box, linac, target="Target", gantry=0, bixel=5.0, **more).n_columns
        for more in ({"margin": 0.0}, {}, {"setup_margin": 5.0})
    ]
    assert counts[0] < counts[1] < counts[2]


def test_options_of_the_other_kind_are_refused(water_box, linac, toy_machine):
    with pytest.raises(SettingsError, match="spot_spacing cannot be set for a photon machine"):
        steer(water_box, linac, target="Target", gantry=0, spot_spacing=3.0)
    for wrong in ("5", 0.001):
        with pytest.raises(SettingsError, match=r"mm is not possible; give a width from 0\.5"):
            steer(water_box, linac, target="Target", gantry=0, bixel=wrong)
    with pytest.raises(SettingsError, match="layer_spacing cannot be set"):
        steer(water_box, linac, target="Target", gantry=0, layer_spacing=3.0)
    with pytest.raises(SettingsError, match=r"bixel of -5\.0 mm"):
        steer(water_box, linac, target="Target", gantry=0, bixel=-5.0)
    with pytest.raises(SettingsError, match="bixels are for photons"):
        steer(water_box, toy_machine, target="Target", gantry=0, bixel=5.0)


def test_a_beam_without_a_bixel_on_the_target_is_told(water_box, linac):
    region = grown_target(water_box, "Target", 0.0)
    beam = Beam(0.0, 0.0, region.centre, 1000.0)
    with pytest.raises(TargetError, match="no bixel of 5 mm from gantry 0°"):
        bixels_on_target(
            *(linac, [beam], [np.array([[100.0, 0.0]])], region, water_box.ct.grid),
            width=5.0,
            target="Target",
        )


def test_explicit_bixels_must_fit_together(linac):
    with pytest.raises(BeamError, match="do not fit together"):
        bixels_to_beams(linac, gantry=0, isocentre=(0, 0, 0), x=[0, 1], y=[0, 1, 2], width=5)
    with pytest.raises(BeamError, match="widths must be"):
        bixels_to_beams(linac, gantry=0, isocentre=(0, 0, 0), x=[0], y=[0], width=0)
    with pytest.raises(BeamError, match="at least one bixel"):
        bixels_to_beams(linac, gantry=0, isocentre=(0, 0, 0), x=[], y=[], width=5)


def test_only_photon_machines_deliver_bixels():
    helium = load_machine("generic-helium")
    with pytest.raises(BeamError, match=r"delivers no bixels; choose a photon machine"):
        Plan.from_bixels(helium, gantry=0, isocentre=(0, 0, 0), x=0.0, y=0.0, width=5.0, weight=1.0)


def test_energies_of_ions_are_told_per_nucleon():
    helium = load_machine("generic-helium")
    with pytest.raises(EnergyError, match=r"500\.00 MeV/u is not one of .* MeV/u in"):
        helium.at_energy(500.0)
    assert load_machine("generic-protons").energy_unit == "MeV"
