"""Histograms and goals for the page: exact ones of a plan, quick ones while it is being made."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final

import numpy as np

from dosegrad.arrays import Array, IntArray
from dosegrad.dose import Dose
from dosegrad.evaluation.clinical_goals import evaluate
from dosegrad.evaluation.dose_volume import DVH, structure_dvh
from dosegrad.evaluation.goals import Goal
from dosegrad.influence.matrix import Influence
from dosegrad.influence.products import multiply
from dosegrad.patient.patient import Patient

__all__ = [
    "LiveCurves",
    "bands",
    "curve_content",
    "goal_content",
    "histograms",
    "quick_goals",
    "top_dose",
]

#: Points of a curve.
_POINTS: Final = 141
#: Rows of a structure that quick histograms look at, at most.
_MOST_ROWS: Final = 15_000
#: Share of the time that quick histograms may take, and the time between two at least, s.
_SHARE: Final = 0.15
_PAUSE: Final = 0.25


def histograms(dose: Dose, patient: Patient) -> dict[str, DVH]:
    """Exact histograms of all structures."""
    return {name: structure_dvh(dose, s) for name, s in patient.structures.items()}


def top_dose(dose: Dose, prescribed: float) -> float:
    """Dose at which the axis of a histogram ends."""
    return 1.08 * max(float(np.nanmax(dose.array, initial=0.0)), prescribed, 1e-3)


def curve_content(curves: Mapping[str, DVH], top: float) -> dict[str, Any]:
    """Curves as percent of volume at equal steps of dose from 0 to ``top``, and their figures."""
    places = np.linspace(0.0, top, _POINTS)
    found = []
    for name, curve in curves.items():
        points = [] if not curve.doses.size else _percent(curve, places)
        figures = {
            "mean": _known(curve.mean), "min": _known(curve.minimum), "max": _known(curve.maximum)
        }  # fmt: skip
        found.append({"name": name, "points": points, **figures})
    return {"top": top, "curves": found}


def goal_content(dose: Dose, patient: Patient, sentences: Iterable[str]) -> list[dict[str, Any]]:
    """What became of each goal; one about a structure that is not there has no value."""
    rows = []
    for sentence in sentences:
        goal = Goal.parse(sentence)
        if goal.structure not in patient.structures:
            rows.append(_goal_row(goal, float("nan"), met=False))
            continue
        row = evaluate(dose, patient, [goal])[0]
        rows.append(_goal_row(goal, row.value, met=row.met))
    return rows


def quick_goals(
    curves: Mapping[str, DVH], dose: Dose, patient: Patient, sentences: Iterable[str]
) -> list[dict[str, Any]]:
    """What became of each goal by curves at hand."""
    rows = []
    for sentence in sentences:
        goal = Goal.parse(sentence)
        structure, curve = patient.structures.get(goal.structure), curves.get(goal.structure)
        value = float("nan")
        if structure is not None and curve is not None:
            value = goal.metric.value(dose, structure, curve, goal.unit)
        rows.append(_goal_row(goal, value, met=goal.is_met_by(value)))
    return rows


def bands(doses: Sequence[Dose], patient: Patient, top: float) -> list[dict[str, Any]]:
    """Lowest and highest volume of every structure over scenarios, at the doses of the curves."""
    places = np.linspace(0.0, top, _POINTS)
    found = []
    for name, structure in patient.structures.items():
        rows = []
        for dose in doses:
            values = dose.array[structure.mask(dose.grid)]
            if values.size and np.isfinite(values).all():
                rows.append(_percent(DVH(values, dose.grid.voxel_volume_cc), places))
        if rows:
            table = np.array(rows)
            low, high = table.min(axis=0).tolist(), table.max(axis=0).tolist()
            found.append({"name": name, "low": low, "high": high})
    return found


@dataclass(slots=True, eq=False)
class LiveCurves:
    """Quick histograms and goals of weights, as often as they cost little.

    Structures with many voxels are sampled; their curves then differ from the exact ones by less
    than the width of a line.
    """

    influence: Influence
    goals: tuple[str, ...]
    top: float
    _rows: dict[str, IntArray] = field(default_factory=dict)
    _next: float = 0.0

    def __post_init__(self) -> None:
        grid, voxels = self.influence.grid, self.influence.voxels
        for name, structure in self.influence.patient.structures.items():
            inside = np.flatnonzero(structure.mask(grid))
            rows = np.searchsorted(voxels, inside)
            rows = rows[(rows < voxels.size)]
            rows = rows[np.isin(voxels[rows], inside)]
            self._rows[name] = rows[:: max(rows.size // _MOST_ROWS, 1)]

    def is_due(self) -> bool:
        """Whether it is time for the next ones."""
        return time.monotonic() >= self._next

    def content(self, weights: Array) -> dict[str, Any]:
        """Curves and goals of ``weights`` (n_columns,)."""
        start = time.monotonic()
        rows = multiply(self.influence.matrix, weights)
        volume = self.influence.grid.voxel_volume_cc
        curves = {name: DVH(rows[part], volume) for name, part in self._rows.items()}
        dose = self.influence.on_grid(rows)
        verdicts = quick_goals(curves, dose, self.influence.patient, self.goals)
        now = time.monotonic()
        self._next = now + max(_PAUSE, (now - start) / _SHARE)
        return {"dvh": curve_content(curves, self.top), "goals": verdicts}


def _percent(curve: DVH, places: Array) -> list[float]:
    percent: list[float] = np.round(100.0 * curve.volume_at(places), 2).tolist()
    return percent


def _goal_row(goal: Goal, value: float, *, met: bool) -> dict[str, Any]:
    return {
        "text": str(goal),
        "value": _known(value),
        "unit": goal.unit,
        "met": bool(met),
        "mark": _mark(goal),
        "least": ">" in goal.comparator,
        "structure": goal.structure,
    }


def _mark(goal: Goal) -> list[float] | None:
    """Where a goal lies among the curves, (Gy, percent); ``None`` if it is no point of a curve."""
    metric = goal.metric
    if metric.kind == "dose-at-percent" and metric.number is not None:
        return [goal.limit, metric.number]
    if metric.kind == "volume-at-dose" and metric.number is not None and goal.unit == "%":
        return [metric.number, goal.limit]
    if metric.kind in ("maximum", "minimum"):
        return [goal.limit, 0.0 if metric.kind == "maximum" else 100.0]
    return None


def _known(value: float) -> float | None:
    return round(float(value), 4) if isfinite(value) else None
