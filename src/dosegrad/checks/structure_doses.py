"""Figures of the dose in every structure, before and after something."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from dosegrad.dose import Dose
from dosegrad.evaluation.dose_volume import DVH, structure_dvh
from dosegrad.patient.patient import Patient
from dosegrad.patient.structures import Role

__all__ = ["FIGURES", "DoseFigures", "StructureDoses", "compare_structures", "reference_dose"]

#: Names of the figures, as people write them.
FIGURES: Final = {
    "mean": "mean",
    "d98": "D98%",
    "d95": "D95%",
    "d50": "D50%",
    "d2": "D2%",
    "maximum": "max",
}


@dataclass(frozen=True, slots=True)
class DoseFigures:
    """Mean, near-minimum, median, near-maximum and maximum dose of a structure, Gy."""

    mean: float
    d98: float
    d95: float
    d50: float
    d2: float
    maximum: float

    @classmethod
    def of(cls, curve: DVH) -> DoseFigures:
        """Those of a histogram."""
        d98, d95, d50, d2 = (curve.dose_at(v) for v in (0.98, 0.95, 0.5, 0.02))
        return cls(curve.mean, d98, d95, d50, d2, curve.maximum)


@dataclass(frozen=True, slots=True)
class StructureDoses:
    """A structure's dose figures by two doses."""

    name: str
    role: Role
    volume_cc: float
    before: DoseFigures
    after: DoseFigures

    def to_json(self) -> dict[str, Any]:
        """As what JSON knows."""
        return asdict(self)


def compare_structures(
    patient: Patient, before: Dose, after: Dose, *, later: Patient | None = None
) -> tuple[StructureDoses, ...]:
    """Figures of all structures that have a dose in both; ``later`` has those of ``after``."""
    found = []
    for name, structure in patient.structures.items():
        second = structure if later is None else later.structures[name]
        curves = structure_dvh(before, structure), structure_dvh(after, second)
        if all(curve.doses.size for curve in curves):
            first, last = (DoseFigures.of(curve) for curve in curves)
            found.append(StructureDoses(name, structure.role, structure.volume_cc, first, last))
    return tuple(found)


def reference_dose(patient: Patient, dose: Dose) -> float:
    """Highest mean dose of a target, Gy, that stands for 100 %; else the maximum."""
    means = [structure_dvh(dose, s).mean for s in patient.structures.values() if s.role == "target"]
    known = [mean for mean in means if mean > 0]
    return max(known) if known else float(dose.array.max())
