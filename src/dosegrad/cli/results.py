"""A plan's results as text and as JSON content."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dosegrad.cli.planning import Planned

if TYPE_CHECKING:
    from dosegrad.dose import Dose
    from dosegrad.evaluation.report import Report
    from dosegrad.patient.patient import Patient

__all__ = [
    "as_text",
    "dose_statistics",
    "plan_summary",
    "report_content",
    "statistics_as_text",
]


def report_content(report: Report) -> Any:
    """What ``report.to_json()`` says, as Python values."""
    return json.loads(report.to_json())


def plan_summary(planned: Planned) -> dict[str, object]:
    """The plan in a few figures."""
    plan = planned.plan
    return {
        "machine": plan.beams.machine.name,
        "gantry": [beam.gantry for beam in plan.beams],
        "couch": [beam.couch for beam in plan.beams],
        "n_spots": plan.n_spots,
        "fractions": plan.fractions,
        "quantity": planned.dose.quantity,
        "objective": plan.objective,
        "iterations": max(len(plan.history) - 1, 0),
        "ended": plan.message,
        "goals_met": planned.report.all_met,
        **_in_scenarios(planned),
    }


def _in_scenarios(planned: Planned) -> dict[str, object]:
    """Of a robust plan: how many scenarios, and whether goals are met in all of them."""
    if planned.in_scenarios is None:
        return {}
    return {
        "n_scenarios": len(planned.plan.scenario_doses),
        "goals_met_in_scenarios": planned.in_scenarios.all_met,
    }


def dose_statistics(dose: Dose, patient: Patient) -> dict[str, dict[str, float | None]]:
    """Mean, D95%, D2% and maximum, Gy, by structure; ``None`` where it has no dose."""
    from dosegrad.evaluation.dose_volume import dvh

    curves = dvh(dose, patient)
    return {
        name: {
            "mean": _finite(curve.mean),
            "d95": _finite(curve.dose_at(0.95)),
            "d2": _finite(curve.dose_at(0.02)),
            "maximum": _finite(curve.maximum),
        }
        for name, curve in curves.items()
    }


def statistics_as_text(
    statistics: Mapping[str, Mapping[str, float | None]], unit: str = "Gy"
) -> str:
    """:func:`dose_statistics` as a table."""
    width = max([len("structure"), *map(len, statistics)])
    lines = [f"{'structure':<{width}}  {'mean':>8} {'D95%':>8} {'D2%':>8} {'maximum':>8}  ({unit})"]
    for name, figures in statistics.items():
        cells = (f"{'-' if v is None else format(v, '.2f'):>8}" for v in figures.values())
        lines.append(f"{name:<{width}}  {' '.join(cells)}")
    return "\n".join(lines)


def as_text(planned: Planned) -> str:
    """Plan, goals and dose statistics for people."""
    plan = planned.plan
    fields = ", ".join(f"{beam.gantry:g}°" for beam in plan.beams)
    noun = "bixels" if plan.beams.machine.modality == "photons" else "spots"
    parts = [
        f"{plan.n_spots} {noun} of {plan.beams.machine.name}, gantry {fields}; "
        f"{plan.fractions} fraction{'s' if plan.fractions > 1 else ''}"
    ]
    if plan.objective is not None:
        parts[0] += f"; objective {plan.objective:.5g}, {plan.message}"
    if list(planned.report):
        parts.append(str(planned.report))
    if planned.in_scenarios is not None:
        n = len(planned.plan.scenario_doses)
        parts.append(f"the worst of {n} scenarios\n\n{planned.in_scenarios.worst()}")
    statistics = dose_statistics(planned.dose, planned.patient)
    parts.append(statistics_as_text(statistics, planned.dose.unit))
    return "\n\n".join(parts)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
