"""A small plan with influence and dose, as fixture ``planned``."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dosegrad.beams.steering import steer
from dosegrad.evaluation.clinical_goals import evaluate
from dosegrad.plan import Plan
from dosegrad.plan_dose import compute_dose

GOALS = (
    "Target: D95% >= 1 Gy",
    "Body: Dmax <= 0.001 Gy",
    "Body: V1Gy <= 50%",
    "Body: Dmean < 9 Gy",
)


@pytest.fixture(scope="session")
def planned(water_box, toy_machine):
    """Two fields with equal weights in a block of water."""
    patient = replace(
        water_box, structures={k: v for k, v in water_box.structures.items() if k != "Nothing"}
    )
    beams = steer(
        patient, toy_machine, target="Target", gantry=[0, 90], spot_spacing=10.0, layer_spacing=8.0
    )
    plan = Plan(beams, np.full(beams.n_columns, 200.0), fractions=2)
    dose = compute_dose(patient, plan)
    plan = replace(plan, dose=dose)
    return SimpleNamespace(
        patient=patient, plan=plan, dose=dose, report=evaluate(dose, patient, GOALS)
    )
