"""Openings of jaws and leaves, and plans that hold them."""

from dataclasses import replace

import numpy as np
import pytest

from dosegrad.beams.apertures import Aperture, Apertures
from dosegrad.errors import BeamError, PlanError
from dosegrad.io.archive import load_plan
from dosegrad.machine.library import load_machine
from dosegrad.plan import Plan


@pytest.fixture(scope="module")
def linac():
    return load_machine("generic-6mv")


def plan_of(linac, **more):
    return Plan.from_bixels(
        linac, gantry=[0, 90], isocentre=(0, 0, 0), x=0, y=0, width=5.0, weight=1.0, **more
    )


def segments(linac, beams=(0, 1)):
    opening = Apertures.open_field(linac.collimator, width=40.0, height=30.0, monitor_units=7.0)
    return Apertures.of(beams, [opening[0]] * len(beams), [7.0, 5.5][: len(beams)])


def test_an_aperture_knows_its_open_pairs(linac):
    left = np.full(60, -30.0)
    right = np.full(60, -30.0)
    right[29:31] = 10.0
    aperture = Aperture((-25, 25, -20, 20), left, right)
    assert np.flatnonzero(aperture.is_open).tolist() == [29, 30]
    assert repr(aperture) == "Aperture(50 × 40 mm, 2 pairs)"


def test_overlaps_and_lengths_are_refused():
    with pytest.raises(BeamError, match="overlap"):
        Aperture((0, 1, 0, 1), np.array([1.0]), np.array([0.0]))
    with pytest.raises(BeamError, match="no pairs"):
        Aperture((0, 1, 0, 1), np.zeros(2), np.zeros(3))
    with pytest.raises(BeamError, match="must be finite"):
        Aperture((0, np.inf, 0, 1), np.zeros(2), np.zeros(2))
    one = Aperture((0, 1, 0, 1), np.zeros(2), np.ones(2))
    with pytest.raises(BeamError, match="as many beams"):
        Apertures.of([0, 0], [one], [1.0])
    with pytest.raises(BeamError, match="ordered by beam"):
        Apertures.of([1, 0], [one, one], [1.0, 1.0])
    with pytest.raises(BeamError, match="not be negative"):
        Apertures.of([0], [one], [-1.0])


def test_a_plan_tells_its_monitor_units(linac):
    plan = replace(plan_of(linac), apertures=segments(linac))
    assert plan.monitor_units == 12.5
    assert "2 segments of 12.5 MU" in repr(plan)
    assert plan_of(linac).monitor_units is None


def test_apertures_must_fit_beams_and_machine(linac):
    with pytest.raises(PlanError, match="names a beam"):
        replace(plan_of(linac), apertures=segments(linac, (0, 2)))
    narrow = Apertures.of([0], [Aperture((0, 1, 0, 1), np.zeros(2), np.ones(2))], [1.0])
    with pytest.raises(PlanError, match="2 leaf pairs do not fit"):
        replace(plan_of(linac), apertures=narrow)


def test_a_plan_with_apertures_is_read_as_it_was_written(linac, tmp_path):
    plan = replace(plan_of(linac), apertures=segments(linac))
    plan.save(tmp_path / "plan.npz")
    again = load_plan(tmp_path / "plan.npz")
    for name in ("beam", "monitor_units", "jaws", "left", "right", "rotation"):
        assert np.array_equal(getattr(again.apertures, name), getattr(plan.apertures, name))
    assert again.beams.machine.collimator.pairs == 60
    assert again.beams.machine.arc == linac.arc
