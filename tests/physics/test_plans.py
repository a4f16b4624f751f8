"""What any sensible plan has, whatever its objectives leave unsaid."""

import pytest

from dosegrad import compute_influence, load_machine, optimise, phantom, steer
from dosegrad import objectives as obj


@pytest.mark.slow
def test_a_wish_for_the_target_alone_leaves_no_hot_spot_elsewhere():
    """Spots that only graze the target once took thousands of Gy where no objective looked."""
    patient = phantom("head")
    beams = steer(patient, load_machine("generic-protons"), target="CTV", gantry=[60, 300])
    influence = compute_influence(patient, beams)
    plan = optimise(influence, {"CTV": [obj.SquaredDeviation(60.0, weight=100)]}, fractions=30)
    assert plan.dose.mean(patient.structures["CTV"]) == pytest.approx(60.0, rel=0.01)
    assert plan.dose.array.max() < 1.5 * 60.0
