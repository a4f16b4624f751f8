"""Arcs: limits of leaves, gantry and dose rate, and trajectories that keep them."""

from dataclasses import replace

import numpy as np
import pytest
from pytest import approx

from dosegrad import objectives as obj
from dosegrad.errors import PlanError, SettingsError
from dosegrad.evaluation.arc_delivery import arc_delivery
from dosegrad.machine.library import load_machine
from dosegrad.optimisation.arcs import optimise_arc
from dosegrad.patient.patient import Patient

WISHES = {"Target": [obj.SquaredDeviation(20.0, weight=100)], "Body": [obj.MeanDose(weight=1)]}
#: Half a turn in steps of 15 degree, the last one across 0.
ANGLES = tuple((270.0 + 15.0 * k) % 360.0 for k in range(9))


@pytest.fixture(scope="module")
def patient():
    shape = (14, 24, 24)
    z, y, x = np.mgrid[:14, :24, :24]
    target = (abs(z - 6.5) < 3) & (np.hypot(y - 11.5, x - 11.5) < 4)
    return Patient.from_arrays(
        np.zeros(shape),
        spacing=(6.0, 5.0, 5.0),
        structures={"Target": target, "Body": np.ones(shape, bool)},
        roles={"Target": "target", "Body": "external"},
        calibration="schneider-water",
    )


@pytest.fixture(scope="module")
def arc(patient):
    return optimise_arc(
        *(patient, load_machine("generic-6mv"), WISHES),
        target="Target",
        gantry=ANGLES,
        fields=3,
        fractions=10,
        turn_time=40.0,
        max_iterations=15,
    )


def test_an_arc_keeps_all_limits_of_the_machine(arc):
    delivery = arc_delivery(arc)
    limits, leaves = arc.beams.machine.arc, arc.beams.machine.collimator
    assert delivery.is_possible
    assert delivery.total <= 40.0 + 1e-6
    assert delivery.gantry_speeds.max() <= limits.gantry_speed * 1.00001
    assert delivery.dose_rates.max() <= limits.dose_rate * 1.00001
    assert delivery.leaf_speeds.max() <= leaves.leaf_speed * 1.00001
    assert leaves.broken_limits(arc.apertures.left, arc.apertures.right) == ()
    assert "within all limits" in repr(delivery)


@pytest.mark.parametrize("limits", [{"interdigitation": False}, {"span": 20.0}])
def test_an_arc_keeps_strict_limits_of_leaves(patient, limits):
    linac = load_machine("generic-6mv")
    strict = replace(linac, collimator=replace(linac.collimator, **limits))
    plan = optimise_arc(
        *(patient, strict, WISHES),
        target="Target",
        gantry=ANGLES,
        fields=3,
        fractions=10,
        bixel=10.0,
        turn_time=40.0,
        max_iterations=9,
    )
    assert arc_delivery(plan).broken == ()
    assert plan.dose.mean(patient.structures["Target"]) == approx(20.0, rel=0.1)


def test_times_and_rates_make_all_of_the_units(arc):
    delivery = arc_delivery(arc)
    rate = arc.beams.machine.arc.dose_rate
    in_steps = (delivery.dose_rates * delivery.times).sum() / 60.0
    at_ends = rate * delivery.ends.sum() / 60.0
    assert in_steps + at_ends == approx(arc.monitor_units / arc.fractions)
    assert delivery.total == approx(delivery.times.sum() + delivery.ends.sum())


def test_a_dose_beyond_the_dose_rate_is_told(patient, arc):
    assert "dose rate" not in arc.message
    hasty = optimise_arc(
        *(patient, load_machine("generic-6mv"), WISHES),
        target="Target",
        gantry=ANGLES,
        fields=3,
        bixel=10.0,
        turn_time=40.0,
        max_iterations=3,
    )
    assert hasty.dose.mean(patient.structures["Target"]) < 15.0
    assert "of 20 Gy, as the dose rate limits 9 control points" in hasty.message
    assert "turn_time" in hasty.message


def test_an_arc_gives_the_target_its_dose(patient, arc):
    assert arc.dose.mean(patient.structures["Target"]) == approx(20.0, rel=0.05)
    assert arc.objective < 0.5 * arc.history[0]
    assert len(arc.apertures) == len(ANGLES)
    assert arc.fractions == 10


def test_what_is_too_fast_is_told(arc):
    slow = replace(arc.beams.machine, arc=replace(arc.beams.machine.arc, least_gantry_speed=5.0))
    late = arc_delivery(replace(arc, beams=replace(arc.beams, machine=slow)))
    assert not late.is_possible
    assert any("the gantry turns at" in words for words in late.broken)
    weak = replace(arc.apertures, monitor_units=np.full(len(ANGLES), 1e-3))
    assert any("the dose rate is" in w for w in arc_delivery(replace(arc, apertures=weak)).broken)


def test_wrong_requests_are_told(patient, arc):
    linac = load_machine("generic-6mv")
    with pytest.raises(SettingsError, match="from 12 fields is not possible"):
        optimise_arc(patient, linac, WISHES, target="Target", gantry=ANGLES, fields=12)
    with pytest.raises(SettingsError, match="the gantry needs at least"):
        optimise_arc(patient, linac, WISHES, target="Target", gantry=ANGLES, turn_time=1.0)
    with pytest.raises(SettingsError, match="must turn one way"):
        optimise_arc(patient, linac, WISHES, target="Target", gantry=(0, 90, 45), fields=2)
    with pytest.raises(PlanError, match="one aperture for each beam"):
        arc_delivery(replace(arc, apertures=arc.apertures.chosen(np.arange(3))))
