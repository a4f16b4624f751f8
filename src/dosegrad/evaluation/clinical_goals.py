"""Evaluation of clinical goals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import cast

from dosegrad.dose import Dose
from dosegrad.errors import PlanError
from dosegrad.evaluation.dose_volume import share_outside, structure_dvh
from dosegrad.evaluation.goals import Goal
from dosegrad.evaluation.report import Report, Row
from dosegrad.patient.patient import Patient

__all__ = ["evaluate"]


def evaluate(dose: Dose | Sequence[Dose], patient: Patient, goals: Iterable[str | Goal]) -> Report:
    """How a dose meets clinical goals, on whole structures.

    Parameters
    ----------
    dose
        A dose, or those of several scenarios.
    patient
        Whose structures the goals name.
    goals
        Sentences such as ``"PTV: D95% >= 57 Gy"``, or parsed goals.

    Returns
    -------
        One row for each goal and dose; ``.worst()`` has the worst dose of each goal. Where part
        of a structure lies outside the dose grid, a warning says how much; values are those of
        the rest, and goals that ask for at least so much read "no dose".

    Raises
    ------
    PlanError
        If a goal cannot be understood.
    UnknownNameError
        If the patient has no such structure.
    """
    if isinstance(goals, str):
        goals = [goals]
    parsed = [g if isinstance(g, Goal) else Goal.parse(g) for g in goals]
    doses = _as_doses(dose)
    names = dict.fromkeys(goal.structure for goal in parsed)
    structures = {name: patient.structure(name) for name in names}
    rows = []
    missing: dict[str, float] = {}
    for number, one in enumerate(doses):
        curves = {name: structure_dvh(one, s) for name, s in structures.items()}
        shares = {n: share_outside(s, one.grid, curves[n].volume_cc) for n, s in structures.items()}
        missing |= {name: share for name, share in shares.items() if share > missing.get(name, 0)}
        for goal in parsed:
            name = goal.structure
            value = goal.metric.value(one, structures[name], curves[name], goal.unit)
            if shares[name] and _asks_for_all(goal):
                value = math.nan
            rows.append(Row(goal, value, goal.is_met_by(value), number))
    warnings = (
        f"{100 * share:.2g} % of {name} lies outside the dose grid; its values are of the rest"
        for name, share in missing.items()
    )
    return Report(tuple(rows), tuple(warnings))


def _asks_for_all(goal: Goal) -> bool:
    """Whether dose that is not known could make the value worse; not so for a volume in cm3."""
    return ">" in goal.comparator and goal.unit != "cc"


def _as_doses(dose: object) -> list[Dose]:
    doses = list(dose) if isinstance(dose, Sequence) else [dose]
    if not doses:
        raise PlanError("there is no dose to evaluate; give a dose, or those of the scenarios.")
    for one in doses:
        if not isinstance(one, Dose):
            raise PlanError(
                f"{type(one).__name__} is no dose; give a Dose, such as plan.dose, or several."
            )
    return cast(list[Dose], doses)
