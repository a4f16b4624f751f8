"""The page on a plan and today's CT."""

from __future__ import annotations

from typing import Any, Final

from dosegrad import plot
from dosegrad.checks.adaptation import Adaptation
from dosegrad.checks.forecasts import GoalForecast, with_ct
from dosegrad.checks.structure_doses import reference_dose
from dosegrad.report import common
from dosegrad.report.page import Page, Section, Standing, Table
from dosegrad.report.pictures import drawn, painted
from dosegrad.report.plan_page import goal_value

__all__ = ["adapt_content", "adapt_page"]

_VERDICTS: Final[dict[str, tuple[str, Standing]]] = {
    "pass": ("pass: the plan holds today", "good"),
    "undecided": ("undecided: recompute the dose", "doubtful"),
    "re-plan": ("re-plan", "bad"),
}
_GOAL_STANDINGS: Final[dict[str, Standing]] = {
    "met": "good",
    "unclear": "doubtful",
    "missed": "bad",
}
_LABELS: Final = ("plan CT", "today")
#: Of the reference dose: full scale of the differences drawn.
_SCALE: Final = 0.1


def adapt_page(case: Adaptation, name: str | None) -> Page:
    """The page for people."""
    words, standing = _VERDICTS[case.verdict]
    sections = [_changes(case), _anatomy(case)]
    if case.goals:
        sections.insert(0, Section("Goals", tables=[_goals(case)]))
    if case.recomputed is not None:
        sections += _recomputed(case)
    sections.append(Section("Beams", tables=[common.beam_table(case.plan)]))
    facts = [
        *common.facts(case.patient, case.plan, case.planned, name),
        ("Alignment", _alignment(case)),
        ("Changes predicted by", case.method or "unknown"),
    ]
    doses = [d for d in (case.recomputed,) if d is not None]
    return Page(
        "Plan on today's CT", words, standing, facts, sections, case.reasons, case.warnings,
        common.footer(doses),
    )  # fmt: skip


def adapt_content(case: Adaptation, name: str | None) -> dict[str, Any]:
    """The report for programs."""
    found = case.registration
    return {
        **common.common_content("adapt", case.patient, case.plan, name),
        "verdict": case.verdict,
        "passed": case.passed,
        "reasons": list(case.reasons),
        "warnings": list(case.warnings),
        "method": case.method,
        "registration": None
        if found is None
        else {
            "shift_mm": found.shift,
            "angle_degree": found.angle,
            "difference_hu": list(found.difference),
        },
        "changes": [
            {"name": c.name, "role": c.role, "before": c.before, "change": c.change,
             "uncertainty": c.uncertainty, "recomputed": c.recomputed}
            for c in case.changes
        ],
        "goals": [
            {"goal": str(g.goal), "unit": g.goal.unit, "before": g.before,
             "predicted": g.predicted, "uncertainty": g.uncertainty, "standing": g.standing,
             "how": g.how, "recomputed": g.recomputed}
            for g in case.goals
        ],
        "structures": [each.to_json() for each in case.structures],
        "provenance": {} if case.recomputed is None else dict(case.recomputed.provenance),
    }  # fmt: skip


def _alignment(case: Adaptation) -> str:
    found = case.registration
    if found is None:
        return "none: taken as it lies"
    x, y, z = (common.number(float(v), 1) for v in found.shift)
    return f"rigid: {x}, {y}, {z} mm and {found.angle:.1f}°"


def _changes(case: Adaptation) -> Section:
    header = ["structure", "plan (Gy)", "today (Gy)", "change (Gy)", "uncertainty (Gy)", "change"]
    known = case.recomputed is not None
    if known:
        header.insert(5, "recomputed (Gy)")
    rows = []
    for each in case.changes:
        row = [
            each.name, common.number(each.before), common.number(each.after),
            common.number(each.change, sign=True), common.number(each.uncertainty),
            _percent(each.change, each.before),
        ]  # fmt: skip
        if known:
            row.insert(5, common.number(each.recomputed, sign=True))
        rows.append(row)
    words = [
        "Changes of mean doses follow from the adjoint of the dose, without computing it again; "
        "the uncertainty comes from the term that the prediction leaves out."
    ]
    return Section("Mean doses", words, [Table("Mean dose by structure.", header, rows)])


def _percent(change: float, before: float) -> str:
    return "–" if not before > 0 else f"{common.number(100 * change / before, 1, sign=True)} %"


def _goals(case: Adaptation) -> Table:
    header = ["goal", "plan", "predicted", "±", "by", "result"]
    known = case.recomputed is not None
    if known:
        header.insert(5, "recomputed")
    rows, standings = [], []
    for each in case.goals:
        row = [
            str(each.goal), goal_value(each.goal, each.before),
            goal_value(each.goal, each.predicted), common.number(each.uncertainty), each.how,
        ]  # fmt: skip
        if known:
            row.append(goal_value(each.goal, each.recomputed))
        standing = _standing(each)
        rows.append([*row, standing])
        standings.append(_GOAL_STANDINGS[standing])
    return Table("Clinical goals today.", header, rows, standings)


def _standing(each: GoalForecast) -> str:
    if each.recomputed is None:
        return each.standing
    return "met" if each.goal.is_met_by(each.recomputed) else "missed"


def _anatomy(case: Adaptation) -> Section:
    today = with_ct(case.patient, case.today)
    return Section(
        "Anatomy",
        pictures=[
            painted(
                plot.dose_slices(today, case.planned, beams=case.plan.beams),
                alt="Axial, coronal and sagittal slice of today's CT with structures and dose of "
                "the plan",
                caption="Today's CT, aligned, with the structures and the dose of the plan; the "
                "outline of the body is today's.",
            )
        ],
    )


def _recomputed(case: Adaptation) -> list[Section]:
    assert case.recomputed is not None
    assert case.recomputed_planned is not None
    assert case.patient_today is not None
    limit = _SCALE * reference_dose(case.patient, case.planned)
    difference = case.recomputed.difference(case.recomputed_planned)
    figure = plot.compare_dvh(
        case.patient, case.recomputed_planned, case.recomputed, labels=_LABELS,
        later=case.patient_today,
    )  # fmt: skip
    return [
        Section(
            "Recomputed dose",
            ["Both doses are of the same engine; structures of today were carried along by "
             "deformable registration."],
            [common.structure_table(case.structures, labels=_LABELS, unit="Gy")],
            [
                painted(
                    plot.difference_slices(case.patient_today, difference, limit=limit),
                    alt="Slices of today's CT with the difference of the recomputed doses",
                    caption=f"Today's minus the plan's dose; colours reach {limit:.2f} Gy "
                    f"({100 * _SCALE:g} % of the target dose) either way.",
                ),
                drawn(
                    figure,
                    alt="Dose-volume histograms of all structures on the plan CT and today",
                    caption="Dose-volume histograms: plan CT dashed, today solid.",
                ),
            ],
        )
    ]  # fmt: skip
