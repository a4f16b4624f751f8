"""The page on a delivered fraction of spots."""

from __future__ import annotations

from typing import Any

import numpy as np

from dosegrad import plot
from dosegrad.checks.deliveries import DeliveryCheck
from dosegrad.checks.spot_deviations import beam_numbers
from dosegrad.report import common
from dosegrad.report.delivery_parts import (
    beam_changes,
    dose_content,
    dose_sections,
    tolerance_table,
)
from dosegrad.report.page import Page, Section, Table
from dosegrad.report.pictures import drawn

__all__ = ["delivery_content", "delivery_page"]


def delivery_page(check: DeliveryCheck, name: str | None) -> Page:
    """The page for people."""
    doses, spots = check.doses, check.spots
    sections = [
        Section("Spots", tables=[_tolerances(check)], pictures=[_positions(check)]),
        Section("Meterset", pictures=[_metersets(check)]),
        Section("Beams", tables=[_beams(check), *beam_changes(doses)]),
        *dose_sections(doses, check.tolerances.pass_rate, check.tolerances.excess_percent),
    ]
    facts = [
        *common.facts(doses.patient, doses.planned_plan, doses.planned, name),
        ("Record", check.source or "not stated"),
        ("Meterset of the fraction", f"{_delivered(check):.5g} of {_planned(check):.5g} MU"),
    ]
    verdict = "within tolerance" if check.passed else f"{len(check.flags)} out of tolerance"
    words = f"{verdict}: {spots.delivered.size} spots, gamma {100 * check.gamma.pass_rate:.1f} %"
    return Page(
        "Delivered fraction", words, "good" if check.passed else "bad", facts, sections,
        check.flags, check.warnings, common.footer([doses.delivered]),
    )  # fmt: skip


def delivery_content(check: DeliveryCheck, name: str | None) -> dict[str, Any]:
    """The report for programs."""
    doses, spots, limits = check.doses, check.spots, check.tolerances
    return {
        **common.common_content("delivery", doses.patient, doses.planned_plan, name),
        "verdict": "pass" if check.passed else "fail",
        "passed": check.passed,
        "reasons": list(check.flags),
        "warnings": list(check.warnings),
        "goals": [],
        "record": check.source,
        "tolerances": {
            "mean_position_mm": limits.mean_position,
            "any_position_mm": limits.any_position,
            "mu_percent": limits.mu_percent,
            "mu": limits.mu,
            "range_mm": limits.range,
            "gamma_pass_rate": limits.pass_rate,
            "excess_percent": limits.excess_percent,
        },
        "spots": {
            "planned": int(spots.planned.size),
            "delivered": int(spots.delivered.size),
            "missing": int(spots.missing.size),
            "not_planned": int(np.count_nonzero(spots.planned_of < 0)),
            "not_in_dose": int(check.not_in_dose.size),
            "meterset_not_in_dose": float(check.not_in_dose["mu"].sum()),
            "mean_deviation_mm": spots.mean_distance,
            "largest_deviation_mm": spots.largest_distance,
            "meterset_planned": _planned(check),
            "meterset_delivered": _delivered(check),
            "largest_meterset_deviation": float(np.abs(spots.mu_differences).max()),
        },
        **dose_content(doses),
    }


def _planned(check: DeliveryCheck) -> float:
    return float(check.spots.planned["mu"].sum())


def _delivered(check: DeliveryCheck) -> float:
    return float(check.spots.delivered["mu"].sum())


def _tolerances(check: DeliveryCheck) -> Table:
    spots, limits = check.spots, check.tolerances
    layers = spots.layer_means()
    worst = max(layers.values(), default=float("nan"))
    n_extra = int(np.count_nonzero(spots.planned_of < 0))
    n_missing = int(np.count_nonzero(spots.planned["mu"][spots.missing] > 0))
    n_lacking = check.not_in_dose.size
    n_off = int(np.count_nonzero(spots.out_of_meterset(limits)))
    return tolerance_table(
        [
            ("distance, any spot", f"{common.number(spots.largest_distance)} mm",
             f"{limits.any_position:g} mm", not spots.largest_distance > limits.any_position),
            ("distance, mean of the worst layer", f"{common.number(worst)} mm",
             f"{limits.mean_position:g} mm", not worst > limits.mean_position),
            ("spots with a wrong meterset", str(n_off),
             f"none by {limits.mu_percent:g} % and {limits.mu:g} MU", n_off == 0),
            ("range, any layer", f"{common.number(check.range_difference)} mm",
             f"{limits.range:g} mm", not check.range_difference > limits.range),
            ("planned spots not delivered", str(n_missing), "none", n_missing == 0),
            ("delivered spots not planned", str(n_extra), "none", n_extra == 0),
            ("delivered spots not in the dose", str(n_lacking), "none", n_lacking == 0),
        ]
    )  # fmt: skip


def _positions(check: DeliveryCheck) -> Any:
    spots, limits = check.spots, check.tolerances
    figure = plot.spot_deviations(
        spots.delivered, spots.shifts, mean=limits.mean_position, largest=limits.any_position
    )
    return drawn(
        figure,
        alt="Histogram of the distance of spots from their places, and maps of the first beams",
        caption="(a) All spots by their distance from the planned place; (b …) planned places in "
        "the isocentre plane, coloured by distance, the farthest on top.",
    )


def _metersets(check: DeliveryCheck) -> Any:
    spots, limits = check.spots, check.tolerances
    figure = plot.meterset_deviations(
        spots.planned, spots.mu_delivered, percent=limits.mu_percent, least=limits.mu
    )
    return drawn(
        figure,
        alt="Deviation of the meterset of spots against their planned meterset, and a histogram",
        caption="Meterset of one fraction: delivered minus planned; a spot is out of tolerance "
        f"if it is off by more than {limits.mu_percent:g} % and {limits.mu:g} MU.",
    )


def _beams(check: DeliveryCheck) -> Table:
    spots, plan = check.spots, check.doses.planned_plan
    gantry = dict(zip(beam_numbers(plan), plan.beams, strict=True))
    rows = []
    for change in check.doses.beams:
        mine = spots.delivered["beam"] == change.number
        known = spots.distances[mine]
        known = known[np.isfinite(known)]
        planned = float(spots.planned["mu"][spots.planned["beam"] == change.number].sum())
        got = float(spots.delivered["mu"][mine].sum())
        share = 100.0 * (got - planned) / planned if planned > 0 else float("nan")
        rows.append([
            str(change.number), f"{gantry[change.number].gantry:g}°", str(np.count_nonzero(mine)),
            common.number(float(known.mean()) if known.size else None),
            common.number(float(known.max()) if known.size else None),
            common.number(planned, 1), common.number(got, 1),
            f"{common.number(share, 2, sign=True)} %", common.number(change.largest_change),
        ])  # fmt: skip
    header = ["beam", "gantry", "spots", "mean (mm)", "largest (mm)", "planned (MU)",
              "delivered (MU)", "difference", "dose, any voxel (Gy)"]  # fmt: skip
    return Table(
        "Distances of spots and meterset of the fraction; largest change of the dose in any voxel, "
        "whole course.", header, rows,
    )  # fmt: skip
