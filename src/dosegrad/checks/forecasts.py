"""What changes when the patient does: mean doses by the adjoint, goals by that or a quick dose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from scipy.ndimage import binary_dilation

from dosegrad.checks.subjects import covering, part_of
from dosegrad.dose import Dose
from dosegrad.dose_change.anatomy import body_today
from dosegrad.engines.yoda.engine import Yoda
from dosegrad.errors import PatientError
from dosegrad.evaluation.clinical_goals import evaluate
from dosegrad.evaluation.dose_volume import structure_dvh
from dosegrad.evaluation.goals import Goal
from dosegrad.geometry.grid import Grid
from dosegrad.patient.ct import CT
from dosegrad.patient.patient import Patient
from dosegrad.patient.structures import MaskShape, Role
from dosegrad.plan import Plan
from dosegrad.plan_dose import compute_dose

__all__ = [
    "GoalForecast",
    "MeanChange",
    "Standing",
    "compute_on",
    "forecast_goals",
    "predict_changes",
    "with_ct",
]

#: What a prediction says of a goal.
Standing: TypeAlias = Literal["met", "missed", "unclear"]

#: A value is known to within so many of its uncertainties.
SURE: Final = 2.0
#: How far outside the outline of the plan today's body is looked for, mm; what is farther is couch.
_MARGIN: Final = 30.0


@dataclass(frozen=True, slots=True)
class MeanChange:
    """Predicted change of a structure's mean dose.

    Parameters
    ----------
    name, role
        Of the structure.
    before
        Mean of the plan's dose, Gy.
    change, uncertainty
        Predicted, Gy.
    recomputed
        Change between two full computations, each with the structure where it lies, Gy; None
        where nothing was recomputed.
    """

    name: str
    role: Role
    before: float
    change: float
    uncertainty: float
    recomputed: float | None = None

    @property
    def after(self) -> float:
        """Predicted mean dose, Gy."""
        return self.before + self.change


@dataclass(frozen=True, slots=True)
class GoalForecast:
    """A clinical goal today.

    Parameters
    ----------
    goal
        What is wanted.
    before
        Value by the plan's dose.
    predicted, uncertainty
        Value today, in the unit of the goal.
    standing
        ``"met"`` or ``"missed"`` by more than twice the uncertainty, else ``"unclear"``.
    how
        ``"adjoint"`` for mean doses, ``"quick dose"`` for all else.
    recomputed
        Value by the recomputed dose of today; None where nothing was recomputed.
    """

    goal: Goal
    before: float
    predicted: float
    uncertainty: float
    standing: Standing
    how: str
    recomputed: float | None = None


def _names(patient: Patient, dose: Dose, also: Sequence[str]) -> list[str]:
    """Targets, organs and those that are named ``also``, if they have voxels on the dose grid."""
    return [
        name
        for name, structure in patient.structures.items()
        if (structure.role != "external" or name in also) and structure.mask(dose.grid).any()
    ]


def _adjoint() -> Callable[..., Any]:
    """The function that prepares predictions."""
    found: Callable[..., Any] = import_module("dosegrad").prepare_dose_change
    return found


def predict_changes(
    patient: Patient,
    plan: Plan,
    planned: Dose,
    today: CT,
    engine: Yoda,
    *,
    also: Sequence[str] = (),
) -> tuple[tuple[MeanChange, ...], str]:
    """Changes of mean doses by the adjoint, and how they were predicted.

    Those of all targets and organs, and of structures named ``also``.

    Raises
    ------
    PatientError
        If no target or organ has a voxel on the dose grid.
    """
    from dosegrad.objectives import MeanDose

    names = _names(patient, planned, also)
    if not names:
        raise PatientError(
            "the study has neither target nor organ on the dose grid whose dose could be followed; "
            "add the structure set of the plan."
        )
    predict = _adjoint()(
        patient,
        plan,
        response=MeanDose().on(names[0]),
        engine=engine,
        structures=names,
        grid=covering(planned.grid, patient),
    )
    change = predict(today)
    found = [
        MeanChange(
            name,
            patient.structures[name].role,
            planned.mean(patient.structures[name]),
            float(change.by_structure[name]),
            float(change.uncertainty_by_structure[name]),
        )
        for name in names
    ]
    return tuple(found), str(change.method)


def forecast_goals(
    patient: Patient,
    plan: Plan,
    planned: Dose,
    today: CT,
    goals: Sequence[Goal],
    changes: Sequence[MeanChange],
    engine: Yoda,
) -> tuple[GoalForecast, ...]:
    """Every goal on today's CT; ``changes`` are those of mean doses."""
    if not goals:
        return ()
    by_name = {change.name: change for change in changes}
    before = evaluate(planned, patient, goals)
    quick = _quick(patient, plan, planned, today, engine) if not all(map(_is_mean, goals)) else None
    after = before if quick is None else evaluate(quick, patient, goals)
    found = []
    for goal, first, second in zip(goals, before, after, strict=True):
        change = by_name.get(goal.structure)
        if change is None:
            value, uncertainty, how = float("nan"), float("nan"), "no dose"
        elif _is_mean(goal):
            value, uncertainty, how = first.value + change.change, change.uncertainty, "adjoint"
        else:
            assert quick is not None
            moved = quick.mean(patient.structures[goal.structure]) - change.before
            apart = abs(moved - change.change) + change.uncertainty
            value, how = second.value, "quick dose"
            uncertainty = (
                apart if goal.unit == "Gy" else _volume_uncertainty(goal, quick, patient, apart)
            )
        found.append(
            GoalForecast(
                goal, first.value, value, uncertainty, _standing(goal, value, uncertainty), how
            )
        )
    return tuple(found)


def _is_mean(goal: Goal) -> bool:
    return goal.metric.kind == "mean" and goal.unit == "Gy"


def _volume_uncertainty(goal: Goal, dose: Dose, patient: Patient, apart: float) -> float:
    """What a shift of the whole dose by ``apart``, Gy, does to the value of a goal."""
    structure = patient.structures[goal.structure]
    values = []
    for sign in (-1.0, 1.0):
        shifted = replace(dose, array=np.maximum(dose.array + sign * apart, 0.0))
        curve = structure_dvh(shifted, structure)
        values.append(goal.metric.value(shifted, structure, curve, goal.unit))
    return 0.5 * abs(values[1] - values[0])


def _quick(patient: Patient, plan: Plan, planned: Dose, today: CT, engine: Yoda) -> Dose:
    """The plan's dose and what changes in water-equivalent depths."""
    quick = replace(engine, mode="wet")
    before = compute_on(patient, plan, planned.grid, quick)
    after = compute_on(with_ct(patient, today), plan, planned.grid, quick)
    array = np.maximum(planned.array + after.array - before.array, 0.0)
    return replace(planned, array=array, provenance=after.provenance)


def compute_on(patient: Patient, plan: Plan, grid: Grid, engine: Yoda) -> Dose:
    """Dose of a plan on ``grid``, with all of the body in the way of the beams."""
    whole = compute_dose(
        patient, replace(plan, dose=None), engine=engine, grid=covering(grid, patient)
    )
    return part_of(whole, grid)


def with_ct(patient: Patient, today: CT) -> Patient:
    """The patient with another CT on the same grid, and the body that dose changes take it for.

    What is more than 30 mm outside the outline of the plan, such as a couch, stays outside.
    """
    found = replace(patient, ct=today)
    external, shown = patient.external, body_today(patient, today)
    if external is None or shown is None:
        return found
    before = external.mask(today.grid)
    steps = [max(round(_MARGIN / s), 1) for s in today.grid.spacing]
    near = before
    for axis, n in enumerate(steps):
        line = np.ones([2 * n + 1 if k == axis else 1 for k in range(3)], dtype=bool)
        near = binary_dilation(near, line)
    outline = replace(external, shape=MaskShape(today.grid, shown & near))
    return replace(found, structures={**patient.structures, external.name: outline})


def _standing(goal: Goal, value: float, uncertainty: float) -> Standing:
    margin = goal.margin(value)
    if np.isnan(margin) or np.isnan(uncertainty):
        return "unclear"
    if margin >= SURE * uncertainty and goal.is_met_by(value):
        return "met"
    return "missed" if margin < -SURE * uncertainty else "unclear"
