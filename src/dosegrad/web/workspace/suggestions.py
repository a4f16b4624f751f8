"""What a case suggests to be planned, so that a first plan is three buttons away."""

from __future__ import annotations

from typing import Any, Final

from dosegrad.errors import DosegradError
from dosegrad.patient.patient import Patient
from dosegrad.patient.records import ObjectiveRecord
from dosegrad.web.workspace.schemas import ObjectiveState, PlanSettings

__all__ = ["suggest"]

#: What targets get where nothing tells, Gy.
_NO_PRESCRIPTION: Final = 60.0


def _wish(structure: str, kind: str, weight: float, **settings: float) -> ObjectiveState:
    return ObjectiveState(structure=structure, kind=kind, weight=weight, settings=dict(settings))


def _target(name: str, dose: float) -> list[ObjectiveState]:
    return [
        _wish(name, "squared-deviation", 100.0, dose=dose),
        _wish(name, "squared-underdose", 200.0, dose=round(0.99 * dose, 2)),
    ]


_SUGGESTED: Final[dict[str, dict[str, Any]]] = {
    "c-shape": {
        "gantry": [0.0, 135.0, 225.0],
        "objectives": [
            *_target("Target", 50.0),
            _wish("Core", "squared-overdose", 30.0, dose=15.0),
            _wish("Body", "mean-dose", 1.0),
        ],
        "goals": ["Target: D95% >= 48 Gy", "Target: D2% <= 54 Gy", "Core: D5% <= 25 Gy"],
        "fractions": 25,
    },
    "head": {
        "gantry": [60.0, 300.0],
        "objectives": [
            *_target("CTV", 60.0),
            _wish("Brainstem", "squared-overdose", 40.0, dose=50.0),
            _wish("Body", "mean-dose", 1.0),
        ],
        "goals": ["CTV: D95% >= 57 Gy", "CTV: D2% <= 64.2 Gy", "Brainstem: D0.03cc <= 54 Gy"],
    },
    "prostate": {
        "gantry": [90.0, 270.0],
        "objectives": [
            *_target("PTV", 78.0),
            _wish("Rectum", "squared-overdose", 20.0, dose=50.0),
            _wish("Bladder", "squared-overdose", 20.0, dose=50.0),
            _wish("Body", "mean-dose", 1.0),
        ],
        "goals": ["PTV: D95% >= 74.1 Gy", "Rectum: V60Gy <= 25 %", "Bladder: V65Gy <= 25 %"],
        "fractions": 39,
    },
    "impt-2d": {
        "gantry": [0.0, 45.0, 90.0, 135.0],
        "objectives": [
            *_target("PTV", 60.0),
            _wish("Cord", "squared-overdose", 20.0, dose=20.0),
            _wish("Brainstem", "squared-overdose", 20.0, dose=20.0),
            _wish("Body", "mean-dose", 4.0),
        ],
        "goals": [
            "PTV: D95% >= 57 Gy", "PTV: D2% <= 64.2 Gy", "Cord: Dmax <= 45 Gy",
            "Brainstem: Dmax <= 54 Gy",
        ],
        "margin": 9.0,
        "spot_spacing": 9.0,
    },
}  # fmt: skip


def suggest(patient: Patient, phantom: str | None) -> PlanSettings:
    """Settings for a first plan: a phantom's own, or what the case's objectives and roles tell."""
    targets = [name for name, s in patient.structures.items() if s.role == "target"]
    content: dict[str, Any] = {"target": targets[0] if targets else None}
    known = _SUGGESTED.get(phantom or "")
    if known is not None:
        first = known["objectives"][0].structure
        wishes = _nowhere_hotter(patient, known["objectives"])
        return PlanSettings(**{**content, "target": first, **known, "objectives": wishes})
    wishes = _from_patient(patient) or _from_roles(patient)
    if phantom is not None or not patient.objectives:
        wishes = _nowhere_hotter(patient, wishes)
    asked = [w for w in wishes if w.structure in targets and "dose" in w.settings]
    if asked:
        best = max(asked, key=lambda w: float(w.settings["dose"]))
        content["target"] = best.structure
        dose = float(best.settings["dose"])
        content["goals"] = [
            f"{best.structure}: D95% >= {0.95 * dose:.4g} Gy",
            f"{best.structure}: D2% <= {1.07 * dose:.4g} Gy",
        ]
    return PlanSettings(**content, gantry=[0.0, 120.0, 240.0], objectives=wishes)


def _nowhere_hotter(patient: Patient, wishes: list[ObjectiveState]) -> list[ObjectiveState]:
    """The wishes, and that organs and what lies between them get no more than the target.

    Each organ needs its own: where structures overlap, an objective acts in the innermost alone.
    """
    known = {w.structure for w in wishes if w.kind == "squared-overdose"}
    targets = {name for name, s in patient.structures.items() if s.role == "target"}
    asked = [float(w.settings.get("dose", 0.0)) for w in wishes if w.structure in targets]
    if not any(asked):
        return wishes
    others = [name for name in patient.structures if name not in targets | known]
    return [*wishes, *(_wish(name, "squared-overdose", 200.0, dose=max(asked)) for name in others)]


def _from_patient(patient: Patient) -> list[ObjectiveState]:
    """Objectives that came with the patient, as far as the page can show them."""
    found = []
    for structure, records in patient.objectives.items():
        for record in records:
            try:
                found.append(_state(structure, record))
            except (ValueError, DosegradError):
                continue
    return found


def _state(structure: str, record: ObjectiveRecord) -> ObjectiveState:
    return ObjectiveState(
        structure=structure,
        kind=record.kind,
        weight=record.weight,
        settings=dict(record.settings),
    )


def _from_roles(patient: Patient) -> list[ObjectiveState]:
    wishes: list[ObjectiveState] = []
    for name, structure in patient.structures.items():
        if structure.role == "target":
            wishes += _target(name, _NO_PRESCRIPTION)
        elif structure.role == "organ":
            wishes.append(_wish(name, "mean-dose", 1.0))
        else:
            wishes.append(_wish(name, "mean-dose", 1.0))
    return wishes
