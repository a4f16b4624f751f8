"""The case of ``dosegrad demo``: four proton fields on the built-in IMPT section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dosegrad.evaluation.report import Report
    from dosegrad.patient.patient import Patient
    from dosegrad.plan import Plan

__all__ = ["GOALS", "plan_demo"]

#: What the plan is judged by, for 60 Gy in 30 fractions.
GOALS: Final = (
    "PTV: D95% >= 60 Gy",
    "PTV: D2% <= 64.2 Gy",
    "Cord: Dmax <= 45 Gy",
    "Brainstem: Dmax <= 54 Gy",
)

_GANTRY: Final = (0.0, 45.0, 90.0, 135.0)
_FRACTIONS: Final = 30


def plan_demo() -> tuple[Patient, Plan, Report]:
    """Patient ``impt-2d``, a plan for it of 60 Gy in 30 fractions, and how that meets its goals.

    Spots and layers are as coarse as the depth of the target allows, so that the plan is ready in
    seconds: there a spot's standard deviation is 5 to 7 mm, and a Bragg peak is 5 to 10 mm wide at
    80 % of its dose.
    """
    from dosegrad.beams.steering import steer
    from dosegrad.evaluation.clinical_goals import evaluate
    from dosegrad.influence.build import compute_influence
    from dosegrad.machine.library import load_machine
    from dosegrad.objectives import MeanDose, SquaredDeviation, SquaredOverdose, SquaredUnderdose
    from dosegrad.optimisation.optimise import optimise
    from dosegrad.patient.phantoms import phantom

    patient = phantom("impt-2d")
    machine = load_machine("generic-protons")
    beams = steer(
        patient,
        machine,
        target="PTV",
        gantry=_GANTRY,
        spot_spacing=9.0,
        lattice="hexagonal",
        layer_spacing=5.0,
        margin=9.0,
    )
    influence = compute_influence(patient, beams)
    plan = optimise(
        influence,
        {
            "PTV": [SquaredDeviation(60.8, weight=100), SquaredUnderdose(60.4, weight=200)],
            "Cord": [SquaredOverdose(20.0, weight=20)],
            "Brainstem": [SquaredOverdose(20.0, weight=20)],
            "Body": [MeanDose(weight=4)],
        },
        fractions=_FRACTIONS,
        tolerance=0.02,
    )
    dose = influence.dose(plan.weights) if plan.dose is None else plan.dose
    return patient, plan, evaluate(dose, patient, GOALS)
