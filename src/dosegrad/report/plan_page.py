"""The page on a plan."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dosegrad import plot
from dosegrad.checks.structure_doses import FIGURES, DoseFigures
from dosegrad.dose import Dose
from dosegrad.evaluation.dose_volume import dvh
from dosegrad.evaluation.goals import Goal
from dosegrad.evaluation.report import Report, Row
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan
from dosegrad.report import common
from dosegrad.report.page import Page, Section, Standing, Table
from dosegrad.report.pictures import drawn, painted

__all__ = ["PlanSummary", "goal_value", "plan_content", "plan_page"]


@dataclass(frozen=True, slots=True, eq=False)
class PlanSummary:
    """A plan to be reported.

    Parameters
    ----------
    patient, plan
        Whose, and which.
    dose
        Dose to report, whole course.
    goals
        How it meets its clinical goals; may be empty.
    warnings
        What was guessed on the way.
    """

    patient: Patient
    plan: Plan
    dose: Dose
    goals: Report
    warnings: tuple[str, ...] = ()


def plan_page(subject: PlanSummary, name: str | None) -> Page:
    """The page for people."""
    patient, plan, dose, goals = subject.patient, subject.plan, subject.dose, subject.goals
    missed = sum(not row.met for row in goals)
    verdict = "no goals were given"
    if len(goals):
        verdict = f"{len(goals) - missed} of {len(goals)} goals met"
    who = common.subject_name(patient, name)
    sections = [
        Section("Dose", pictures=[painted(
            plot.dose_slices(patient, dose, beams=plan.beams),
            alt=f"Axial, coronal and sagittal slice of patient {who} with structures and dose",
            caption="CT, structures and dose through the target; lines of equal dose; arrows show "
            "where beams come from.",
        )]),
        Section(
            "Structures", tables=[_table(patient, dose)],
            pictures=[drawn(
                plot.dvh(dose, patient),
                alt="Cumulative dose-volume histograms of all structures",
                caption="Dose-volume histograms; the table above holds their key figures.",
            )],
        ),
        Section("Beams", tables=[common.beam_table(plan)]),
    ]  # fmt: skip
    if len(goals):
        sections.insert(0, Section("Goals", tables=[_goals(goals)]))
    facts = common.facts(patient, plan, dose, name)
    if plan.objective is not None:
        n = max(len(plan.history) - 1, 0)
        facts.append(("Objective", f"{plan.objective:.5g} after {n} iterations"))
    standing: Standing = "bad" if missed else ("good" if len(goals) else "plain")
    return Page(
        "Treatment plan", verdict, standing, facts, sections, (),
        (*subject.warnings, *goals.warnings),
        common.footer([dose]),
    )  # fmt: skip


def plan_content(subject: PlanSummary, name: str | None) -> dict[str, Any]:
    """The report for programs."""
    plan, dose = subject.plan, subject.dose
    return {
        **common.common_content("plan", subject.patient, plan, name),
        "verdict": "pass" if subject.goals.all_met else "fail",
        "passed": subject.goals.all_met,
        "reasons": [f"goal {row.goal} is missed" for row in subject.goals if not row.met],
        "warnings": [*subject.warnings, *subject.goals.warnings],
        "objective": plan.objective,
        "ended": plan.message,
        "goals": [
            {"goal": str(row.goal), "value": row.value, "unit": row.goal.unit, "met": row.met}
            for row in subject.goals
        ],
        "structures": [
            {"name": n, **asdict(f)} for n, f in _figures(subject.patient, dose).items()
        ],
        "provenance": dict(dose.provenance),
    }


def goal_value(goal: Goal, value: float | None) -> str:
    """A value in the unit of its goal."""
    unit = f" {goal.unit}" if goal.unit else ""
    text = common.number(value, 2 if goal.unit else 3)
    return text if text == "–" else text + unit


def _figures(patient: Patient, dose: Dose) -> dict[str, DoseFigures]:
    return {n: DoseFigures.of(c) for n, c in dvh(dose, patient).items() if c.doses.size}


def _table(patient: Patient, dose: Dose) -> Table:
    rows = [
        [name, common.number(patient.structures[name].volume_cc, 1),
         *(common.number(getattr(figures, key)) for key in FIGURES)]
        for name, figures in _figures(patient, dose).items()
    ]  # fmt: skip
    header = ["structure", "cm³", *FIGURES.values()]
    return Table(f"{dose.label.capitalize()} in {dose.unit}, whole course.", header, rows)


def _goals(goals: Report) -> Table:
    def cells(row: Row) -> list[str]:
        return [str(row.goal), goal_value(row.goal, row.value), "met" if row.met else "missed"]

    return Table(
        "Clinical goals.", ["goal", "value", "result"], [cells(row) for row in goals],
        ["good" if row.met else "bad" for row in goals],
    )  # fmt: skip
