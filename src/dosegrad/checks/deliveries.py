"""Log-file QA: what one fraction delivered against what was planned, in spots and in dose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosegrad.beams.deliveries import Delivery
from dosegrad.checks.dose_comparison import DoseComparison, compare_doses
from dosegrad.checks.likely_causes import likely_causes
from dosegrad.checks.record_notes import record_notes
from dosegrad.checks.spot_deviations import (
    DeliveryTolerances,
    SpotDeviations,
    beam_numbers,
    compare_spots,
    delivered_plan,
    not_in_plan,
    range_difference,
    range_flags,
)
from dosegrad.checks.spot_gradients import with_predictions
from dosegrad.dose import Dose
from dosegrad.engines.pencil_beam.engine import PencilBeam
from dosegrad.engines.protocols import ForwardEngine, InfluenceEngine
from dosegrad.evaluation.gamma_index import GammaMap
from dosegrad.influence.build import default_engine, resolve_engine
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan

__all__ = ["DeliveryCheck", "check_delivery"]


@dataclass(frozen=True, slots=True, eq=False)
class DeliveryCheck:
    """What :func:`check_delivery` found.

    Parameters
    ----------
    spots
        Deviations, spot by spot.
    tolerances
        From which deviations are flagged.
    flags
        What is out of tolerance, one sentence each.
    doses
        Planned and delivered dose, both recomputed, in all and beam by beam.
    source
        Kind of the record.
    warnings
        Of the record, and what it may be if it does not fit the plan.
    """

    spots: SpotDeviations
    tolerances: DeliveryTolerances
    flags: tuple[str, ...]
    doses: DoseComparison
    source: str = ""
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        verdict = "passed" if self.passed else f"{len(self.flags)} out of tolerance"
        return f"DeliveryCheck({self.spots.delivered.size} spots, {verdict})"

    @property
    def passed(self) -> bool:
        """Whether nothing was flagged."""
        return not self.flags

    @property
    def plan(self) -> Plan:
        """The plan as it was delivered, if every fraction had been as this one."""
        return self.doses.delivered_plan

    @property
    def planned_dose(self) -> Dose:
        """Dose of the plan, whole course."""
        return self.doses.planned

    @property
    def delivered_dose(self) -> Dose:
        """Dose of :attr:`plan`, whole course."""
        return self.doses.delivered

    @property
    def gamma(self) -> GammaMap:
        """Delivered against planned dose."""
        return self.doses.gamma

    @property
    def not_in_dose(self) -> NDArray[Any]:
        """Delivered spots that the delivered dose lacks, since no beam data are there for them."""
        return not_in_plan(self.doses.planned_plan, self.spots)

    @property
    def dose_differences(self) -> dict[str, dict[str, float]]:
        """By structure: delivered minus planned mean and D2%, D50%, D95%, D98%, Gy."""
        return self.doses.differences

    @property
    def range_difference(self) -> float:
        """Largest difference of the ranges of recorded and planned energies, mm."""
        return range_difference(self.doses.planned_plan, self.spots)

    def __str__(self) -> str:
        spots = self.spots
        lines = [
            f"{spots.delivered.size} spots delivered, {spots.planned.size} planned; mean deviation "
            f"{spots.mean_distance:.2f} mm, largest {spots.largest_distance:.2f} mm",
            f"meterset {spots.delivered['mu'].sum():.6g} of {spots.planned['mu'].sum():.6g}",
            f"gamma {100 * self.gamma.pass_rate:.2f} % of {self.gamma.n_evaluated} voxels",
            self.doses.maxima,
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
        spots, left_out = self.spots, self.not_in_dose
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
            "n_not_planned": int(np.count_nonzero(spots.planned_of < 0)),
            "n_not_in_dose": int(left_out.size),
            "meterset_not_in_dose": float(left_out["mu"].sum()),
            **self.doses.excess.to_json(),
            "dose_differences_gy": self.dose_differences,
            "beams": [each.to_json() for each in self.doses.beams],
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
    of the delivery. Recorded energies count as the planned ones next to them. Spots that were not
    planned are in the dose if the machine has their energy; if not, a warning tells what the dose
    lacks. Doses are computed beam by beam, which tells what each beam changes; with the
    pencil beam the same is predicted by the derivatives by positions and weights.

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
        95 % of gamma at 2 %/2 mm, and 5 % of the planned maximum where no such dose was planned.

    Raises
    ------
    PlanError
        If no delivered spot belongs to the plan.
    CapabilityError
        If the plan is for photons.
    """
    limits = DeliveryTolerances() if tolerances is None else tolerances
    chosen = resolve_engine(default_engine(plan.beams) if engine is None else engine)
    spots = compare_spots(plan, delivery)
    doses = compare_doses(
        patient,
        plan,
        delivered_plan(plan, spots),
        numbers=beam_numbers(plan),
        engine=chosen,
        percent=limits.gamma_percent,
        distance=limits.gamma_distance,
    )
    if isinstance(chosen, PencilBeam):
        grid = doses.planned.grid
        changes = with_predictions(doses.beams, patient, plan, spots, engine=chosen, grid=grid)
        doses = replace(doses, beams=changes)
    flags = [
        *spots.flags(limits),
        *range_flags(plan, spots, limits),
        *doses.flags(limits.pass_rate, limits.excess_percent),
    ]
    notes = (
        *delivery.warnings,
        *record_notes(plan, spots),
        *likely_causes(spots, plan.fractions),
    )
    return DeliveryCheck(spots, limits, tuple(flags), doses, source=delivery.source, warnings=notes)
