"""The re-planning trigger: whether a plan still holds on today's CT.

The adjoint of the dose predicts how the mean dose of every structure changes, with an uncertainty.
Goals on mean doses follow from that. Other goals are estimated from two quick computations of the
whole dose in water-equivalent depths, on the CT of the plan and on today's, whose difference is
added to the dose of the plan; how far their mean doses are from the prediction of the adjoint
counts as their uncertainty. On demand the dose is recomputed on both CTs by the full engine, on
today's with structures that a deformable registration carried along.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from dosegrad.checks.forecasts import (
    SURE,
    GoalForecast,
    MeanChange,
    compute_on,
    forecast_goals,
    predict_changes,
    with_ct,
)
from dosegrad.checks.structure_doses import (
    StructureDoses,
    compare_structures,
    reference_dose,
)
from dosegrad.checks.subjects import Metal, calibrated, check_metal, physical_dose, subject
from dosegrad.dose import Dose
from dosegrad.engines.yoda.engine import Yoda
from dosegrad.errors import CapabilityError, PatientError, PlanError, unknown_name
from dosegrad.evaluation.clinical_goals import evaluate
from dosegrad.evaluation.goals import Goal
from dosegrad.influence.build import resolve_engine
from dosegrad.io.dicom.study import Study
from dosegrad.patient.ct import CT
from dosegrad.patient.patient import Patient
from dosegrad.patient.registration import Registration, register
from dosegrad.patient.structures import Structure
from dosegrad.plan import Plan
from dosegrad.plan_dose import compute_dose

__all__ = ["AdaptVerdict", "Adaptation", "Alignment", "adapt"]

#: What the trigger says: the plan holds, it does not, or the prediction is too uncertain to tell.
AdaptVerdict: TypeAlias = Literal["pass", "re-plan", "undecided"]
#: How today's CT is brought to the plan: registered rigidly, or taken as it lies.
Alignment: TypeAlias = Literal["rigid", "none"]


#: What a patient who was scanned anew does not show: shifts, mm, and HU that remain after
#: alignment. A head that swells by 5 mm all around leaves 345 HU.
_FAR: Final = 50.0
_UNLIKE: Final = 500.0


@dataclass(frozen=True, slots=True, eq=False)
class Adaptation:
    """What :func:`adapt` found.

    Parameters
    ----------
    patient, plan, planned
        As read; the plan's dose, whole course, without RBE.
    today
        Today's CT on the grid of the plan's CT.
    registration
        How it came there; None if it was taken as it lies.
    changes
        Of the mean dose of every structure, predicted.
    goals
        Clinical goals today.
    verdict
        ``"pass"``, ``"re-plan"`` or ``"undecided"``.
    reasons
        Why it is not ``"pass"``.
    method
        How changes were predicted.
    warnings
        On reading and predicting.
    recomputed_planned, recomputed
        Doses by the full engine on the CT of the plan and on today's; None unless asked for.
    patient_today
        Today's CT with structures carried along; None unless recomputed.
    structures
        Dose figures of the recomputed doses, before and after; empty unless recomputed.
    """

    patient: Patient
    plan: Plan
    planned: Dose
    today: CT
    registration: Registration | None
    changes: tuple[MeanChange, ...]
    goals: tuple[GoalForecast, ...]
    verdict: AdaptVerdict
    reasons: tuple[str, ...]
    method: str
    warnings: tuple[str, ...]
    recomputed_planned: Dose | None = None
    recomputed: Dose | None = None
    patient_today: Patient | None = None
    structures: tuple[StructureDoses, ...] = ()

    def __repr__(self) -> str:
        how = "predicted" if self.recomputed is None else "recomputed"
        return f"Adaptation({self.verdict}, {len(self.changes)} structures {how})"

    @property
    def passed(self) -> bool:
        """Whether the plan holds."""
        return self.verdict == "pass"


def adapt(
    study: Study,
    today: CT,
    *,
    goals: Iterable[str | Goal] = (),
    engine: str | Yoda = "yoda",
    alignment: Alignment = "rigid",
    tolerance_percent: float = 3.0,
    recompute: bool = False,
    metal: Metal = "refuse",
) -> Adaptation:
    """Whether the plan of a study still holds on today's CT.

    With goals, the plan passes if all are met today, is to be made anew if one is missed, and stays
    undecided if the prediction cannot tell; recomputing then decides. Without
    goals, mean doses of structures must not change by more than ``tolerance_percent`` of the mean
    target dose: of targets either way, of organs upwards.

    Parameters
    ----------
    study
        CT, structures and ion plan, read with a machine, and the plan's dose if there is one.
    today
        Today's CT of the patient in the same position.
    goals
        Clinical goals, such as ``"Brainstem: Dmean <= 20 Gy"``, of the dose without RBE.
    engine
        The deterministic engine, by name or with settings.
    alignment
        ``"rigid"``: today's CT is registered to that of the plan first; ``"none"``: both share a
        frame and the patient lies as in the plan.
    tolerance_percent
        For plans without goals.
    recompute
        Whether to compute the doses on both CTs and decide by these.
    metal
        Whether voxels above the HU calibration are refused, or count as its upper end.

    Raises
    ------
    FileFormatError, CapabilityError, MachineError, PlanError
        If the study lacks CT or plan, is not for protons, or was read without a machine; if a
        goal cannot be understood.
    PatientError
        If today's CT shows another position or has nothing in common with that of the plan.
    """
    patient, plan = subject(study)
    full = _deterministic(engine)
    parsed = [goal if isinstance(goal, Goal) else Goal.parse(goal) for goal in goals]
    for goal in parsed:
        patient.structure(goal.structure)
    highest = float(patient.calibration.edges[-1])
    notes = [*study.warnings]
    for ct in (patient.ct, today):
        notes += check_metal(ct, highest, metal)
    patient = replace(patient, ct=calibrated(patient.ct, highest))
    today = calibrated(today, highest)
    if today.position != patient.ct.position:
        raise PatientError(
            f"today's CT shows the patient in position {today.position}, the plan is for "
            f"{patient.ct.position}; scan the patient as planned."
        )
    if alignment not in get_args(Alignment):
        raise unknown_name("alignment", alignment, get_args(Alignment))
    if not tolerance_percent > 0:
        raise PlanError(
            f"a tolerance of {tolerance_percent} % is not possible; give a positive one, such as 3."
        )
    registration = register(patient.ct, today) if alignment == "rigid" else None
    on_plan = today if registration is None else registration.resample(today)
    notes += _doubts(registration)
    planned, more = _planned(study, patient, plan, full)
    plan = replace(plan, dose=planned)
    named = [goal.structure for goal in parsed]
    changes, method = predict_changes(patient, plan, planned, on_plan, full, also=named)
    forecasts = forecast_goals(patient, plan, planned, on_plan, parsed, changes, full)
    case = Adaptation(
        patient, plan, planned, on_plan, registration, changes, forecasts, "undecided", (), method,
        tuple(dict.fromkeys([*notes, *more])),
    )  # fmt: skip
    if recompute:
        case = _recomputed(case, full)
    verdict, reasons = _judge(case, tolerance_percent)
    return replace(case, verdict=verdict, reasons=reasons)


def _doubts(registration: Registration | None) -> list[str]:
    """Why today's CT may not be one of this patient as planned."""
    if registration is None:
        return []
    doubts = []
    shift, apart = float(np.linalg.norm(registration.shift)), registration.difference[1]
    if shift > _FAR:
        doubts.append(
            f"today's CT was shifted by {shift:.0f} mm to lie as in the plan (usual: below "
            f"{_FAR:.0f} mm); make sure that it shows this patient and the same region"
        )
    if apart > _UNLIKE:
        doubts.append(
            f"today's CT still differs by {apart:.0f} HU after alignment (usual: below "
            f"{_UNLIKE:.0f} HU); it may show another patient or region: do not trust the verdict"
        )
    return doubts


def _deterministic(engine: str | Yoda) -> Yoda:
    made = resolve_engine(engine)
    if not isinstance(made, Yoda):
        raise CapabilityError(
            f"engine {type(made).__name__} has no adjoint, so changes of dose cannot be predicted; "
            "use engine 'yoda'."
        )
    return made


def _planned(study: Study, patient: Patient, plan: Plan, engine: Yoda) -> tuple[Dose, list[str]]:
    """The plan's dose, computed if the study has none."""
    if study.dose is not None:
        return physical_dose(study.dose)
    made = compute_dose(patient, plan, engine=engine)
    return made, ["the study holds no dose; that of the plan was computed"]


def _recomputed(case: Adaptation, engine: Yoda) -> Adaptation:
    """The case with doses of the full engine on both CTs."""
    patient, planned = case.patient, case.planned
    bent = register(patient.ct, case.today, method="deformable")
    outline = with_ct(patient, case.today)
    external = patient.external
    structures: Mapping[str, Structure] = {
        name: outline.structures[name]
        if external is not None and name == external.name
        else bent.carry(structure, grid=case.today.grid)
        for name, structure in patient.structures.items()
    }
    later = replace(outline, structures=structures)
    before = compute_on(patient, case.plan, planned.grid, engine)
    after = compute_on(later, case.plan, planned.grid, engine)
    rows = compare_structures(patient, before, after, later=later)
    by_name = {row.name: row.after.mean - row.before.mean for row in rows}
    changes = tuple(replace(c, recomputed=by_name.get(c.name)) for c in case.changes)
    report = evaluate(after, later, [g.goal for g in case.goals])
    goals = tuple(
        replace(g, recomputed=row.value) for g, row in zip(case.goals, report, strict=True)
    )
    return replace(
        case, changes=changes, goals=goals, recomputed_planned=before, recomputed=after,
        patient_today=later, structures=rows,
    )  # fmt: skip


def _judge(case: Adaptation, tolerance_percent: float) -> tuple[AdaptVerdict, tuple[str, ...]]:
    if case.goals:
        return _judge_goals(case)
    return _judge_changes(case, tolerance_percent)


def _judge_goals(case: Adaptation) -> tuple[AdaptVerdict, tuple[str, ...]]:
    missed, unclear = [], []
    for each in case.goals:
        unit = f" {each.goal.unit}" if each.goal.unit else ""
        if each.recomputed is not None:
            if not each.goal.is_met_by(each.recomputed):
                missed.append(f"goal {each.goal} is missed: {each.recomputed:.2f}{unit} today")
        elif each.standing == "missed":
            missed.append(
                f"goal {each.goal} is predicted to be missed: {each.predicted:.2f} ± "
                f"{each.uncertainty:.2f}{unit} today"
            )
        elif each.standing == "unclear":
            unclear.append(
                f"goal {each.goal} cannot be told from a prediction of {each.predicted:.2f} ± "
                f"{each.uncertainty:.2f}{unit}; recompute the dose"
            )
    verdict: AdaptVerdict = "re-plan" if missed else ("undecided" if unclear else "pass")
    return verdict, (*missed, *unclear)


def _judge_changes(
    case: Adaptation, tolerance_percent: float
) -> tuple[AdaptVerdict, tuple[str, ...]]:
    limit = tolerance_percent / 100.0 * reference_dose(case.patient, case.planned)
    missed, unclear = [], []
    for each in case.changes:
        if each.role == "external":
            continue
        known = each.recomputed is not None
        change = each.change if each.recomputed is None else each.recomputed
        size = abs(change) if each.role == "target" else change
        blur = 0.0 if known else SURE * each.uncertainty
        words = f"mean dose of {each.name} changes by {change:+.2f} Gy"
        if size - blur > limit:
            missed.append(f"{words}, more than {limit:.2f} Gy ({tolerance_percent:g} %)")
        elif size + blur > limit:
            unclear.append(f"{words} ± {each.uncertainty:.2f} Gy; the limit is {limit:.2f} Gy")
    verdict: AdaptVerdict = "re-plan" if missed else ("undecided" if unclear else "pass")
    return verdict, (*missed, *unclear)
