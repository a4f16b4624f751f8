"""Log-file QA: what one fraction delivered against what was planned, in spots and in dose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from dosegrad.beams.deliveries import Delivery
from dosegrad.checks.spot_deviations import (
    DeliveryTolerances,
    SpotDeviations,
    compare_spots,
    delivered_plan,
    range_flags,
)
from dosegrad.dose import Dose
from dosegrad.engines.protocols import ForwardEngine, InfluenceEngine
from dosegrad.evaluation.dose_volume import structure_dvh
from dosegrad.evaluation.gamma_index import GammaMap, gamma
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan, compute_dose

__all__ = ["DeliveryCheck", "check_delivery"]

#: Volume fractions at which the doses of a structure are compared.
_LEVELS: Final = {"D2%": 0.02, "D50%": 0.5, "D95%": 0.95, "D98%": 0.98}


@dataclass(frozen=True, slots=True, eq=False)
class DeliveryCheck:
    """What :func:`check_delivery` found.

    Parameters
    ----------
    spots
        Deviations, spot by spot.
    flags
        What is out of tolerance, one sentence each.
    plan
        The plan as it was delivered, if every fraction had been as this one.
    planned_dose, delivered_dose
        Both recomputed by the same engine, whole course.
    gamma
        Delivered against planned.
    dose_differences
        By structure: delivered minus planned mean and D2%, D50%, D95%, D98%, Gy.
    warnings
        Of the record.
    """

    spots: SpotDeviations
    flags: tuple[str, ...]
    plan: Plan
    planned_dose: Dose
    delivered_dose: Dose
    gamma: GammaMap
    dose_differences: Mapping[str, Mapping[str, float]]
    warnings: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing was flagged."""
        return not self.flags

    def __str__(self) -> str:
        spots = self.spots
        lines = [
            f"{spots.delivered.size} spots delivered, {spots.planned.size} planned; mean deviation "
            f"{spots.mean_distance:.2f} mm, largest {spots.largest_distance:.2f} mm",
            f"meterset {spots.delivered['mu'].sum():.6g} of {spots.planned['mu'].sum():.6g}",
            f"gamma {100 * self.gamma.pass_rate:.2f} % of {self.gamma.n_evaluated} voxels",
            *(
                f"{name}: mean {values['mean']:+.3f} Gy, D95% {values['D95%']:+.3f} Gy"
                for name, values in self.dose_differences.items()
            ),
            *(f"out of tolerance: {flag}" for flag in self.flags),
            *(f"note: {note}" for note in self.warnings),
            "passed" if self.passed else "NOT passed",
        ]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """All figures as what JSON knows; spots are not listed one by one."""
        spots = self.spots
        return {
            "passed": self.passed,
            "flags": list(self.flags),
            "warnings": list(self.warnings),
            "n_planned": int(spots.planned.size),
            "n_delivered": int(spots.delivered.size),
            "n_missing": int(spots.missing.size),
            "mean_deviation_mm": spots.mean_distance,
            "largest_deviation_mm": spots.largest_distance,
            "meterset_planned": float(spots.planned["mu"].sum()),
            "meterset_delivered": float(spots.delivered["mu"].sum()),
            "gamma_pass_rate": float(self.gamma.pass_rate),
            "gamma_n_evaluated": int(self.gamma.n_evaluated),
            "dose_differences_gy": {n: dict(v) for n, v in self.dose_differences.items()},
        }


def check_delivery(
    patient: Patient,
    plan: Plan,
    delivery: Delivery,
    *,
    engine: str | InfluenceEngine | ForwardEngine | None = None,
    tolerances: DeliveryTolerances | None = None,
) -> DeliveryCheck:
    """Compare one delivered fraction with its plan, in spots and in dose.

    The delivered plan has the spots where they went and with what they got, as if every fraction
    had been as this one; both plans are computed by the same engine, so that differences are those
    of the delivery.

    Parameters
    ----------
    patient
        On whom.
    plan
        What was planned.
    delivery
        What one fraction delivered.
    engine
        As of :func:`dosegrad.compute_dose`.
    tolerances
        When to flag; by default 1 mm mean and 2 mm any position, 1 % and 0.01 MU, 1 mm of range,
        and 95 % of gamma at 2 %/2 mm.

    Raises
    ------
    PlanError
        If no delivered spot belongs to the plan.
    """
    limits = DeliveryTolerances() if tolerances is None else tolerances
    spots = compare_spots(plan, delivery)
    made = delivered_plan(plan, spots)
    bare = replace(plan, dose=None)
    planned_dose = compute_dose(patient, bare, engine=engine)
    delivered_dose = compute_dose(patient, made, engine=engine, grid=planned_dose.grid)
    compared = gamma(
        planned_dose,
        delivered_dose,
        percent=limits.gamma_percent,
        distance=limits.gamma_distance,
    )
    flags = [*spots.flags(limits), *range_flags(plan, spots, limits)]
    if compared.pass_rate < limits.pass_rate:
        flags.append(
            f"gamma {100 * compared.pass_rate:.1f} % at {limits.gamma_percent:g} %/"
            f"{limits.gamma_distance:g} mm, below {100 * limits.pass_rate:g} %"
        )
    return DeliveryCheck(
        spots=spots,
        flags=tuple(flags),
        plan=made,
        planned_dose=planned_dose,
        delivered_dose=delivered_dose,
        gamma=compared,
        dose_differences=_dose_differences(patient, planned_dose, delivered_dose),
        warnings=delivery.warnings,
    )


def _dose_differences(
    patient: Patient, planned: Dose, delivered: Dose
) -> dict[str, dict[str, float]]:
    found = {}
    for name, structure in patient.structures.items():
        before, after = structure_dvh(planned, structure), structure_dvh(delivered, structure)
        if not before.doses.size:
            continue
        differences = {"mean": after.mean - before.mean}
        differences |= {k: after.dose_at(v) - before.dose_at(v) for k, v in _LEVELS.items()}
        found[name] = differences
    return found
