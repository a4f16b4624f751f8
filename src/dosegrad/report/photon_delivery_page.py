"""The page on a delivered fraction of photons."""

from __future__ import annotations

from typing import Any

from dosegrad import plot
from dosegrad.checks.photon_deliveries import PhotonBeamDeviations, PhotonDeliveryCheck
from dosegrad.report import common
from dosegrad.report.delivery_parts import (
    beam_changes,
    dose_content,
    dose_sections,
    tolerance_table,
)
from dosegrad.report.page import Page, Section, Table
from dosegrad.report.pictures import drawn

__all__ = ["photon_delivery_content", "photon_delivery_page"]


def photon_delivery_page(check: PhotonDeliveryCheck, name: str | None) -> Page:
    """The page for people."""
    doses = check.doses
    sections = [
        Section("Motion", tables=[_tolerances(check)], pictures=[_picture(check)]),
        Section("Beams", tables=[_beams(check.beams), *beam_changes(doses)]),
        *dose_sections(doses, check.tolerances.pass_rate, check.tolerances.excess_percent),
    ]
    planned = sum(each.mu_planned for each in check.beams)
    delivered = sum(each.mu_delivered for each in check.beams)
    facts = [
        *common.facts(doses.patient, doses.planned_plan, doses.planned, name),
        ("Records", ", ".join(dict.fromkeys(r.source for r in check.records))),
        ("Meterset of the fraction", f"{delivered:.5g} of {planned:.5g} MU"),
    ]
    verdict = "within tolerance" if check.passed else f"{len(check.flags)} out of tolerance"
    words = f"{verdict}: {len(check.beams)} beams, gamma {100 * doses.gamma.pass_rate:.1f} %"
    return Page(
        "Delivered fraction", words, "good" if check.passed else "bad", facts, sections,
        check.flags, check.warnings, common.footer([doses.delivered]),
    )  # fmt: skip


def photon_delivery_content(check: PhotonDeliveryCheck, name: str | None) -> dict[str, Any]:
    """The report for programs."""
    doses, figures = check.doses, check.to_json()
    return {
        **common.common_content("photon-delivery", doses.patient, doses.planned_plan, name),
        "verdict": "pass" if check.passed else "fail",
        "passed": check.passed,
        "reasons": list(check.flags),
        "warnings": list(check.warnings),
        "goals": [],
        "beams": figures["beams"],
        **dose_content(doses),
    }


def _tolerances(check: PhotonDeliveryCheck) -> Table:
    """The worst beam of each quantity beside its tolerance."""
    rows = []
    for lines in zip(*(beam.limits(check.tolerances) for beam in check.beams), strict=True):
        words, found, limit, unit = max(lines, key=lambda line: line[1])
        rows.append(
            (words, f"{common.number(found)} {unit}", f"{limit:g} {unit}", not found > limit)
        )
    return tolerance_table(rows)


def _picture(check: PhotonDeliveryCheck) -> Any:
    figure = plot.leaf_deviations(
        [record.leaf_deviations for record in check.records],
        [f"beam {beam.number}" for beam in check.beams],
        largest=check.tolerances.any_leaf,
    )
    return drawn(
        figure,
        alt="Histogram of the deviations of leaf tips, and their root mean square by leaf pair",
        caption="Leaf tips in the field while the beam was on: (a) all samples by deviation; "
        "(b) root mean square of each leaf, left and right bank of all beams.",
    )


def _beams(beams: tuple[PhotonBeamDeviations, ...]) -> Table:
    header = ["beam", "planned (MU)", "delivered (MU)", "difference", "RMS (mm)",
              "95 % (mm)", "largest (mm)", "jaws (mm)", "gantry", "collimator"]  # fmt: skip
    rows = [
        [
            str(b.number), common.number(b.mu_planned, 1), common.number(b.mu_delivered, 1),
            f"{common.number(b.mu_percent, 2, sign=True)} %", common.number(b.leaf_rms),
            common.number(b.leaf_percentile), common.number(b.largest_leaf),
            common.number(b.largest_jaw), f"{common.number(b.largest_gantry)}°",
            f"{common.number(b.largest_collimator)}°",
        ]
        for b in beams
    ]  # fmt: skip
    return Table(
        "Meterset, and deviations while the beam was on: of leaf tips in the field (root mean "
        "square, 95th percentile, largest), jaws and angles.",
        header,
        rows,
    )
