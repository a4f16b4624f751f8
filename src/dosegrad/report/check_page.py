"""The page on a recomputed plan."""

from __future__ import annotations

from typing import Any, Final

from dosegrad import plot
from dosegrad.checks.plan_check import PlanCheck
from dosegrad.checks.structure_doses import reference_dose
from dosegrad.evaluation.gamma_index import GammaMap
from dosegrad.report import common
from dosegrad.report.page import Page, Section, Standing, Table
from dosegrad.report.pictures import drawn, painted
from dosegrad.report.plan_page import goal_value

__all__ = ["check_content", "check_page"]

_STANDINGS: Final[dict[str, Standing]] = {
    "pass": "good",
    "investigate": "doubtful",
    "fail": "bad",
}
_JUDGED: Final[dict[str, Standing]] = {"pass": "good", "investigate": "doubtful", "act": "bad"}
_LABELS: Final = ("planned", "recomputed")
#: Of the reference dose: full scale of the differences drawn.
_SCALE: Final = 0.05


def check_page(check: PlanCheck, name: str | None) -> Page:
    """The page for people."""
    sections = [_gamma_section(check), _dose_section(check), _structure_section(check)]
    if len(check.goals):
        sections.insert(0, Section("Goals", tables=[_goals(check)]))
    sections.append(Section("Beams", tables=[common.beam_table(check.plan)]))
    rate = f"gamma {100 * check.gamma.pass_rate:.1f} %"
    criteria = f"{check.protocol.percent:g} %/{check.protocol.distance:g} mm"
    facts = [
        *common.facts(check.patient, check.plan, check.planned, name),
        ("Recomputed by", str(check.recomputed.provenance.get("engine", "unknown engine"))),
        ("Judged by", f"{check.protocol.name}, {criteria}"),
    ]
    return Page(
        "Independent dose check", f"{check.verdict}: {rate} at {criteria}",
        _STANDINGS[check.verdict], facts, sections, check.reasons, check.warnings,
        common.footer([check.recomputed]),
    )  # fmt: skip


def check_content(check: PlanCheck, name: str | None) -> dict[str, Any]:
    """The report for programs."""
    protocol = check.protocol
    return {
        **common.common_content("check", check.patient, check.plan, name),
        "verdict": check.verdict,
        "passed": check.passed,
        "reasons": list(check.reasons),
        "warnings": list(check.warnings),
        "protocol": {
            "name": protocol.name,
            "tolerance": protocol.tolerance,
            "action": protocol.action,
        },
        "gamma": [_gamma_content(each) for each in check.gammas],
        "structures": [
            {"name": each.name, "role": each.role, "planned": content["before"],
             "recomputed": content["after"]}
            for each in check.structures
            for content in (each.to_json(),)
        ],
        "goals": [
            {"goal": str(after.goal), "unit": after.goal.unit, "planned": before.value,
             "planned_met": before.met, "recomputed": after.value, "met": after.met}
            for before, after in zip(check.planned_goals, check.goals, strict=True)
        ],
        "provenance": dict(check.recomputed.provenance),
    }  # fmt: skip


def _gamma_content(result: GammaMap) -> dict[str, Any]:
    settings, histogram = result.settings, result.histogram()
    return {
        "percent": settings.percent,
        "distance_mm": settings.distance,
        "local": settings.local,
        "threshold_percent": settings.threshold,
        "normalisation_gy": settings.normalisation,
        "pass_rate": result.pass_rate,
        "n_evaluated": result.n_evaluated,
        "n_beyond": result.n_beyond,
        "mean": result.mean,
        "median": result.median,
        "maximum": result.maximum,
        "histogram": {"edges": histogram.edges, "counts": histogram.counts},
    }


def _gamma_section(check: PlanCheck) -> Section:
    protocol, result = check.protocol, check.gamma
    judged = protocol.verdict(result)
    rows = []
    for number, each in enumerate(check.gammas):
        s = each.settings
        cells = [f"{s.percent:g} %/{s.distance:g} mm", f"{100 * each.pass_rate:.2f} %"]
        cells += [str(each.n_evaluated)]
        cells += [common.number(v) for v in (each.mean, each.median, each.maximum)]
        rows.append([*cells, judged if number == 0 else "–"])
    header = ["criteria", "passing", "voxels", "mean gamma", "median", "maximum", "result"]
    caption = (
        f"Recomputed against planned dose within the body, voxels above "
        f"{protocol.threshold:g} % of the maximum. The first line is judged: tolerance "
        f"{100 * protocol.tolerance:g} %, action {100 * protocol.action:g} %."
    )
    standings: list[Standing] = ["plain"] * len(rows)
    standings[0] = _JUDGED[judged]
    picture = painted(
        plot.gamma(result),
        alt=f"Gamma on the slice with most failing voxels, and a histogram of gamma: "
        f"{100 * result.pass_rate:.1f} % pass",
        caption="(a) The slice with most failing voxels, blue where gamma passes, red where it "
        "fails; (b) all voxels by gamma.",
    )
    return Section("Gamma", tables=[Table(caption, header, rows, standings)], pictures=[picture])


def _dose_section(check: PlanCheck) -> Section:
    limit = _SCALE * reference_dose(check.patient, check.planned)
    difference = check.recomputed.difference(check.planned)
    return Section(
        "Dose",
        pictures=[
            painted(
                plot.dose_slices(check.patient, check.recomputed, beams=check.plan.beams),
                alt="Axial, coronal and sagittal slice with structures and the recomputed dose",
                caption="Recomputed dose through the target.",
            ),
            painted(
                plot.difference_slices(check.patient, difference, limit=limit),
                alt="The same slices with the difference of the doses",
                caption=f"Recomputed minus planned dose; colours reach {limit:.2f} Gy "
                f"({100 * _SCALE:g} % of the target dose) either way.",
            ),
        ],
    )


def _structure_section(check: PlanCheck) -> Section:
    figure = plot.compare_dvh(check.patient, check.planned, check.recomputed, labels=_LABELS)
    return Section(
        "Structures",
        tables=[common.structure_table(check.structures, labels=_LABELS, unit="Gy")],
        pictures=[
            drawn(
                figure,
                alt="Dose-volume histograms of all structures by planned and recomputed dose",
                caption="Dose-volume histograms: planned dashed, recomputed solid.",
            )
        ],
    )


def _goals(check: PlanCheck) -> Table:
    pairs = list(zip(check.planned_goals, check.goals, strict=True))
    rows = [
        [str(after.goal), goal_value(after.goal, before.value), goal_value(after.goal, after.value),
         "met" if after.met else "missed"]
        for before, after in pairs
    ]  # fmt: skip
    header = ["goal", "planned", "recomputed", "result"]
    standings: list[Standing] = ["good" if after.met else "bad" for _, after in pairs]
    return Table("Clinical goals, judged by the recomputed dose.", header, rows, standings)
