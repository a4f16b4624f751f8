"""Log-file QA of photons: what leaves, gantry and monitor did, and the dose that this makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dosegrad.beams.photon_deliveries import PhotonRecord
from dosegrad.checks.dose_comparison import DoseComparison, compare_doses
from dosegrad.checks.photon_segments import (
    apertures_of,
    delivered_photon_plan,
    leaf_distance,
    match_records,
    segments_of,
    turned,
)
from dosegrad.checks.spot_deviations import beam_numbers
from dosegrad.engines.protocols import ForwardEngine, InfluenceEngine
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan

__all__ = [
    "PhotonBeamDeviations",
    "PhotonDeliveryCheck",
    "PhotonTolerances",
    "check_photon_delivery",
]


@dataclass(frozen=True, slots=True)
class PhotonTolerances:
    """Deviations from which a delivery of photons is flagged.

    Parameters
    ----------
    leaf_rms, leaf_percentile, any_leaf
        Root mean square, 95th percentile and maximum of the deviations of leaf tips, mm.
    jaws
        Of any jaw, mm.
    gantry, collimator
        Of any sample, degree.
    mu_percent
        Of the meterset of a beam.
    plan_leaves
        How far the leaves that the machine was told may be from the plan's on average, mm.
    gamma_percent, gamma_distance, pass_rate
        Criteria of the dose comparison, and the share of voxels that must meet them.
    excess_percent
        Of a dose beyond what was planned around it, % of the planned maximum.
    """

    leaf_rms: float = 1.0
    leaf_percentile: float = 1.0
    any_leaf: float = 2.0
    jaws: float = 1.0
    gantry: float = 1.0
    collimator: float = 1.0
    mu_percent: float = 1.0
    plan_leaves: float = 1.0
    gamma_percent: float = 2.0
    gamma_distance: float = 2.0
    pass_rate: float = 0.95
    excess_percent: float = 5.0


@dataclass(frozen=True, slots=True)
class PhotonBeamDeviations:
    """How one beam was delivered, while the beam was on.

    Parameters
    ----------
    number
        Of the beam in the plan.
    leaf_rms, leaf_percentile, largest_leaf
        Root mean square, 95th percentile and maximum of deviations of tips in the field, mm.
    largest_jaw
        mm.
    largest_gantry, largest_collimator
        Degree.
    mu_planned, mu_delivered
        Of the fraction.
    plan_leaves
        Mean distance of the leaves that the machine was told from the plan's, mm.
    """

    number: int
    leaf_rms: float
    leaf_percentile: float
    largest_leaf: float
    largest_jaw: float
    largest_gantry: float
    largest_collimator: float
    mu_planned: float
    mu_delivered: float
    plan_leaves: float

    @property
    def mu_percent(self) -> float:
        """Delivered minus planned MU, % of planned."""
        return 100.0 * (self.mu_delivered / self.mu_planned - 1.0)

    def limits(self, tolerances: PhotonTolerances) -> list[tuple[str, float, float, str]]:
        """What was found and is tolerated: words, both values, unit."""
        t = tolerances
        return [
            ("leaves (RMS)", self.leaf_rms, t.leaf_rms, "mm"),
            ("leaves (95th percentile)", self.leaf_percentile, t.leaf_percentile, "mm"),
            ("leaves (largest)", self.largest_leaf, t.any_leaf, "mm"),
            ("jaws", self.largest_jaw, t.jaws, "mm"),
            ("gantry", self.largest_gantry, t.gantry, "°"),
            ("collimator", self.largest_collimator, t.collimator, "°"),
            ("meterset", abs(self.mu_percent), t.mu_percent, "%"),
            ("record against plan, leaves", self.plan_leaves, t.plan_leaves, "mm"),
        ]

    def flags(self, tolerances: PhotonTolerances) -> list[str]:
        """Sentences on what is out of tolerance."""
        return [
            f"beam {self.number}: {words} off by {found:.2f} {unit}, more than {limit:g} {unit}"
            for words, found, limit, unit in self.limits(tolerances)
            if found > limit
        ]


@dataclass(frozen=True, slots=True, eq=False)
class PhotonDeliveryCheck:
    """What :func:`check_photon_delivery` found.

    Parameters
    ----------
    beams
        Deviations by beam.
    records
        Record of each of them.
    tolerances
        From which deviations are flagged.
    flags
        What is out of tolerance, one sentence each.
    doses
        Planned and delivered dose, in all and beam by beam.
    warnings
        Of the records.
    """

    beams: tuple[PhotonBeamDeviations, ...]
    records: tuple[PhotonRecord, ...]
    tolerances: PhotonTolerances
    flags: tuple[str, ...]
    doses: DoseComparison
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        verdict = "passed" if self.passed else f"{len(self.flags)} out of tolerance"
        return f"PhotonDeliveryCheck({len(self.beams)} beams, {verdict})"

    @property
    def passed(self) -> bool:
        """Whether nothing was flagged."""
        return not self.flags

    def __str__(self) -> str:
        gamma = self.doses.gamma
        lines = [
            *(
                f"beam {b.number}: leaves RMS {b.leaf_rms:.2f} mm, 95 % within "
                f"{b.leaf_percentile:.2f} mm, largest {b.largest_leaf:.2f} mm; "
                f"{b.mu_delivered:.5g} of {b.mu_planned:.5g} MU; gantry {b.largest_gantry:.2f}°"
                for b in self.beams
            ),
            f"gamma {100 * gamma.pass_rate:.2f} % of {gamma.n_evaluated} voxels",
            self.doses.maxima,
            *(
                f"{name}: mean {values['mean']:+.3f} Gy, D95% {values['D95%']:+.3f} Gy"
                for name, values in self.doses.differences.items()
            ),
            *(f"out of tolerance: {flag}" for flag in self.flags),
            *(f"note: {note}" for note in self.warnings),
            "passed" if self.passed else "NOT passed",
        ]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """All figures as what JSON knows."""
        return {
            "passed": self.passed,
            "flags": list(self.flags),
            "warnings": list(self.warnings),
            "beams": [
                {
                    "number": b.number,
                    "leaf_rms_mm": b.leaf_rms,
                    "leaf_percentile_95_mm": b.leaf_percentile,
                    "largest_leaf_mm": b.largest_leaf,
                    "largest_jaw_mm": b.largest_jaw,
                    "largest_gantry_degree": b.largest_gantry,
                    "largest_collimator_degree": b.largest_collimator,
                    "meterset_planned": b.mu_planned,
                    "meterset_delivered": b.mu_delivered,
                    "record_against_plan_leaves_mm": b.plan_leaves,
                }
                for b in self.beams
            ],
            "gamma_pass_rate": float(self.doses.gamma.pass_rate),
            "gamma_n_evaluated": int(self.doses.gamma.n_evaluated),
            **self.doses.excess.to_json(),
            "dose_differences_gy": self.doses.differences,
            "dose_changes": [each.to_json() for each in self.doses.beams],
        }


def check_photon_delivery(
    patient: Patient,
    plan: Plan,
    records: Sequence[PhotonRecord],
    *,
    engine: str | InfluenceEngine | ForwardEngine | None = None,
    tolerances: PhotonTolerances | None = None,
) -> PhotonDeliveryCheck:
    """Compare the records of one fraction with a plan of apertures, in motion and in dose.

    Each segment of the plan gets the MU that were delivered during it, and the mean of leaves, jaws
    and gantry by these MU, as if every fraction had been as this one; both doses are computed in
    field mode.

    Parameters
    ----------
    patient, plan
        Who was treated, and how.
    records
        One for each beam, in any order.
    engine
        As of :func:`dosegrad.compute_dose`.
    tolerances
        When to flag; the defaults are this project's.

    Raises
    ------
    PlanError
        If the plan has no apertures, or records and beams do not belong together.
    """
    limits = PhotonTolerances() if tolerances is None else tolerances
    matched = match_records(plan, records)
    beams = tuple(_deviations(plan, number, record) for number, record in matched.items())
    doses = compare_doses(
        patient,
        plan,
        delivered_photon_plan(plan, matched),
        numbers=beam_numbers(plan),
        engine=engine,
        percent=limits.gamma_percent,
        distance=limits.gamma_distance,
    )
    flags = [flag for beam in beams for flag in beam.flags(limits)]
    notes = dict.fromkeys(note for record in records for note in record.warnings)
    return PhotonDeliveryCheck(
        beams,
        tuple(matched.values()),
        limits,
        (*flags, *doses.flags(limits.pass_rate, limits.excess_percent)),
        doses,
        tuple(notes),
    )


def _deviations(plan: Plan, number: int, record: PhotonRecord) -> PhotonBeamDeviations:
    apertures, mine = apertures_of(plan), segments_of(plan, number)
    on, told, did = record.beam_on, record.planned, record.delivered
    off = np.abs(record.leaf_deviations)
    gantry, collimator = (
        float(np.abs(turned(getattr(did, name)[on] - getattr(told, name)[on])).max(initial=0.0))
        for name in ("gantry", "collimator")
    )
    return PhotonBeamDeviations(
        number=number,
        leaf_rms=float(np.sqrt((off**2).mean())) if off.size else 0.0,
        leaf_percentile=float(np.percentile(off, 95.0)) if off.size else 0.0,
        largest_leaf=float(off.max(initial=0.0)),
        largest_jaw=float(np.abs(did.jaws[on] - told.jaws[on]).max(initial=0.0)),
        largest_gantry=gantry,
        largest_collimator=collimator,
        mu_planned=float(apertures.monitor_units[mine].sum()) / plan.fractions,
        mu_delivered=did.total,
        plan_leaves=leaf_distance(plan, mine, record),
    )
