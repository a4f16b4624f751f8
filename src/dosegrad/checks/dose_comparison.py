"""Delivered against planned dose: in all, by structure, and beam by beam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dosegrad.arrays import Mask
from dosegrad.beams.beam import Beams
from dosegrad.checks.excess_dose import ExcessDose, find_excess
from dosegrad.checks.structure_doses import StructureDoses, compare_structures
from dosegrad.dose import Dose
from dosegrad.engines.protocols import ForwardEngine, InfluenceEngine
from dosegrad.evaluation.gamma_index import GammaMap, gamma
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan
from dosegrad.plan_dose import prepare_dose

__all__ = ["BeamChange", "DoseComparison", "beam_part", "compare_doses"]


@dataclass(frozen=True, slots=True)
class BeamChange:
    """What one beam's delivery does to the dose.

    Parameters
    ----------
    number
        Of the beam in plan and record.
    gantry
        Angle, degree; of an arc, that at its begin.
    mean_changes
        Delivered minus planned mean dose by structure, Gy, whole course, recomputed.
    largest_change
        Largest change in any voxel, Gy, whole course.
    predicted
        ``mean_changes`` by the derivatives of the dose by positions and weights of spots, without
        computing it again; empty if the engine has none.
    """

    number: int
    gantry: float
    mean_changes: Mapping[str, float]
    largest_change: float
    predicted: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As what JSON knows."""
        return {
            "number": self.number,
            "gantry": self.gantry,
            "mean_changes_gy": dict(self.mean_changes),
            "largest_change_gy": self.largest_change,
            "predicted_mean_changes_gy": dict(self.predicted),
        }


@dataclass(frozen=True, slots=True, eq=False)
class DoseComparison:
    """The dose of a plan and of its delivery, by one engine.

    Parameters
    ----------
    patient
        On whom.
    planned_plan, delivered_plan
        What was planned, and what would be given if every fraction had been as the recorded one.
    planned, delivered
        Their doses, whole course.
    gamma
        Delivered against planned, wherever either reaches the threshold.
    excess
        Where delivered dose goes furthest beyond what was planned around it.
    structures
        Figures of both doses in every structure.
    beams
        What each beam changes, in the order of the plan.
    """

    patient: Patient
    planned_plan: Plan
    delivered_plan: Plan
    planned: Dose
    delivered: Dose
    gamma: GammaMap
    excess: ExcessDose
    structures: tuple[StructureDoses, ...]
    beams: tuple[BeamChange, ...]

    def __repr__(self) -> str:
        rate = f"gamma {100 * self.gamma.pass_rate:.1f} %"
        return f"DoseComparison({len(self.beams)} beams, {rate})"

    @property
    def differences(self) -> dict[str, dict[str, float]]:
        """By structure: delivered minus planned mean and D2%, D50%, D95%, D98%, Gy."""
        names = {"mean": "mean", "D2%": "d2", "D50%": "d50", "D95%": "d95", "D98%": "d98"}
        return {
            each.name: {
                shown: getattr(each.after, name) - getattr(each.before, name)
                for shown, name in names.items()
            }
            for each in self.structures
        }

    @property
    def maxima(self) -> str:
        """Highest doses in words."""
        found = self.excess
        return (
            f"highest dose {found.delivered_maximum:.2f} Gy, planned {found.planned_maximum:.2f} Gy"
        )

    def flags(self, pass_rate: float, excess: float) -> list[str]:
        """Sentences if fewer voxels than ``pass_rate`` (a share) agree, or on an excess dose.

        ``excess`` is the largest one tolerated, percent of the highest planned dose.
        """
        beyond = self.excess.flags(excess)
        if self.gamma.pass_rate >= pass_rate:
            return beyond
        settings = self.gamma.settings
        return [
            *beyond,
            f"gamma {100 * self.gamma.pass_rate:.1f} % at {settings.percent:g} %/"
            f"{settings.distance:g} mm, below {100 * pass_rate:g} %",
        ]


def compare_doses(
    patient: Patient,
    planned: Plan,
    delivered: Plan,
    *,
    numbers: Sequence[int],
    delivered_numbers: Sequence[int] | None = None,
    engine: str | InfluenceEngine | ForwardEngine | None,
    percent: float,
    distance: float,
) -> DoseComparison:
    """Doses of a plan and of its delivery, computed beam by beam by one engine.

    Parameters
    ----------
    patient, planned, delivered
        Whom, and both plans.
    numbers, delivered_numbers
        Number of the beam that each field of either plan belongs to; the fields of an arc have
        the same. By default those of both plans agree.
    engine
        As of :func:`dosegrad.compute_dose`.
    percent, distance
        Criteria of gamma.
    """
    bare = replace(planned, dose=None)
    dose_of = prepare_dose(patient, planned, engine=engine)
    theirs = numbers if delivered_numbers is None else delivered_numbers
    totals: list[Dose | None] = [None, None]
    masks: dict[str, Mask] = {}
    beams = []
    for number in dict.fromkeys([*numbers, *theirs]):
        pair = [_part_dose(dose_of, bare, numbers, number)]
        pair.append(_part_dose(dose_of, delivered, theirs, number))
        known = next(dose for dose in pair if dose is not None)
        masks = masks or _masks(patient, known)
        before, after = (np.zeros(known.grid.shape) if d is None else d.array for d in pair)
        change = after - before
        beams.append(
            BeamChange(
                number,
                _first_gantry(bare, numbers, delivered, theirs, number),
                {name: float(change[mask].mean()) for name, mask in masks.items()},
                float(np.abs(change).max()),
            )
        )
        totals = [_sum(known, total, dose) for total, dose in zip(totals, pair, strict=True)]
    first, second = totals
    assert first is not None
    assert second is not None
    return DoseComparison(
        patient,
        planned,
        delivered,
        first,
        second,
        gamma(first, second, percent=percent, distance=distance, threshold_on="either"),
        find_excess(first, second, distance=distance),
        compare_structures(patient, first, second),
        tuple(beams),
    )


def beam_part(plan: Plan, fields: Sequence[int]) -> Plan | None:
    """The plan with some of its fields alone; ``None`` if these hold no spot."""
    chosen = np.asarray(fields, dtype=np.int64)
    columns = plan.beams.columns
    mine = np.isin(columns["beam"], chosen)
    if not mine.any():
        return None
    table = np.array(columns[mine])
    table["beam"] = np.searchsorted(chosen, table["beam"])
    beams = Beams(plan.beams.machine, tuple(plan.beams[int(k)] for k in chosen), table)
    apertures = plan.apertures
    if apertures is not None:
        kept = apertures.chosen(np.flatnonzero(np.isin(apertures.beam, chosen)))
        apertures = replace(kept, beam=np.searchsorted(chosen, kept.beam))
    return Plan(beams, plan.weights[mine], fractions=plan.fractions, apertures=apertures)


def _part_dose(dose_of: Any, plan: Plan, numbers: Sequence[int], number: int) -> Dose | None:
    fields = [k for k, each in enumerate(numbers) if each == number]
    part = beam_part(plan, fields) if fields else None
    found: Dose | None = None if part is None else dose_of(part)
    return found


def _first_gantry(
    planned: Plan, numbers: Sequence[int], delivered: Plan, theirs: Sequence[int], number: int
) -> float:
    if number in numbers:
        return planned.beams[list(numbers).index(number)].gantry
    return delivered.beams[list(theirs).index(number)].gantry


def _sum(known: Dose, total: Dose | None, part: Dose | None) -> Dose:
    """Both added; nothing counts as zero."""
    if total is None:
        total = replace(known, array=np.zeros(known.grid.shape))
    return total if part is None else replace(total, array=total.array + part.array)


def _masks(patient: Patient, dose: Dose) -> dict[str, Mask]:
    found = {name: each.mask(dose.grid) for name, each in patient.structures.items()}
    return {name: mask for name, mask in found.items() if mask.any()}
