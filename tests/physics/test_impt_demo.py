"""What the teaching case of intensity modulated proton therapy promises."""

import numpy as np
import pytest

from dosegrad.cli.demo_case import plan_demo
from dosegrad.units import J_PER_MEV


@pytest.fixture(scope="module")
def demo():
    return plan_demo()


def test_all_goals_are_met_with_room_to_spare(demo):
    """A tenth of a gray at the prescription, a tenth of the limit everywhere else."""
    _, _, report = demo
    found = {(row.goal.structure, row.goal.metric.name): row for row in report}
    assert set(found) == {
        ("PTV", "D95%"),
        ("PTV", "D2%"),
        ("Cord", "Dmax"),
        ("Brainstem", "Dmax"),
    }
    assert report.all_met
    assert found["PTV", "D95%"].value > 60.1
    assert found["PTV", "D2%"].value < 64.2 - 1.0
    assert found["Cord", "Dmax"].value < 0.9 * 45.0
    assert found["Brainstem", "Dmax"].value < 0.9 * 54.0


def test_optimiser_ends_by_itself(demo):
    _, plan, _ = demo
    assert plan.message.startswith("converged")
    assert plan.fractions == 30
    assert [beam.gantry for beam in plan.beams] == [0.0, 45.0, 90.0, 135.0]
    assert plan.history[-1] < 1e-2 * plan.history[0]


def test_energy_given_to_the_patient_is_that_of_the_spots(demo):
    """Deposited is less than the protons brought: nuclear events and the rim take below 15 %."""
    _, plan, _ = demo
    grid = plan.dose.grid
    joule = plan.dose.array.sum() * grid.voxel_volume_cc * 1e-3  # Gy times kg of water
    beams = plan.beams
    sent = float(plan.weights @ beams.columns["energy"]) * 1e6 * J_PER_MEV
    assert 0.85 * sent < joule < sent


def test_dose_is_nearly_symmetric_along_the_extrusion(demo):
    """Section, fields and spot lattice are the same for z and -z."""
    _, plan, _ = demo
    dose = plan.dose.array
    mirrored = dose[::-1]
    inside = dose > 0.5 * dose.max()
    assert np.abs(dose - mirrored)[inside].max() < 0.05 * dose.max()
