"""What plans for photons and for ions have in common: fractions, metersets, set-ups, references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from dosegrad.arrays import Array
from dosegrad.errors import FileFormatError
from dosegrad.geometry.frames import PATIENT_POSITIONS
from dosegrad.io.dicom.attributes import (
    integer,
    items,
    numbers,
    optional_numbers,
    text,
)
from dosegrad.io.dicom.limits import MAX_CONTROL_POINTS

__all__ = [
    "FractionGroup",
    "MetersetUnit",
    "check_flat",
    "control_points",
    "cumulative_weights",
    "final_weight",
    "meterset_unit",
    "patient_positions",
    "read_fraction_group",
    "structure_sets",
    "treatment_beams",
]

#: What a meterset counts: monitor units, or particles.
MetersetUnit: TypeAlias = Literal["MU", "NP"]

#: Angles that must be 0, because tilted tables and gantries are not modelled.
_FLAT: Final = (
    "TableTopPitchAngle",
    "TableTopRollAngle",
    "TableTopEccentricAngle",
    "GantryPitchAngle",
    "HeadFixationAngle",
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FractionGroup:
    """Number of fractions, and for each beam by its number the meterset and dose of one fraction.

    ``doses`` (Gy) and ``dose_points`` (3,) mm hold beams whose file gives them.
    """

    number: int
    fractions: int
    metersets: Mapping[int, float]
    doses: Mapping[int, float]
    dose_points: Mapping[int, Array]

    def __repr__(self) -> str:
        return f"FractionGroup({self.fractions} fractions, {len(self.metersets)} beams)"


def read_fraction_group(data_set: Any, path: Path) -> FractionGroup:
    """The only fraction group of a plan.

    Raises
    ------
    FileFormatError
        If there is none or more than one, a number of fractions or beams does not fit, or there
        are brachytherapy applications.
    """
    groups = items(data_set, "FractionGroupSequence", path)
    if len(groups) != 1:
        raise FileFormatError(
            f"{path.name}: {len(groups)} fraction groups; a plan with exactly one can be read. "
            "Export each fraction group as a plan of its own."
        )
    group = groups[0]
    if integer(group, "NumberOfBrachyApplicationSetups", path, default=0):
        raise FileFormatError(
            f"{path.name}: holds brachytherapy, which is not supported; export an external plan."
        )
    fractions = integer(group, "NumberOfFractionsPlanned", path, default=0)
    if fractions < 1:
        raise FileFormatError(
            f"{path.name}: does not say how many fractions are planned, so the dose of the course "
            "is unknown. Export the plan with NumberOfFractionsPlanned."
        )
    listed = items(group, "ReferencedBeamSequence", path)
    declared = integer(group, "NumberOfBeams", path, default=len(listed))
    if declared != len(listed):
        raise FileFormatError(
            f"{path.name}: its fraction group declares {declared} beams but lists {len(listed)}; "
            "the file was cut off or written wrongly. Export the plan again."
        )
    metersets, doses, points = _per_beam(listed, path)
    return FractionGroup(
        integer(group, "FractionGroupNumber", path, default=1), fractions, metersets, doses, points
    )


def _per_beam(
    listed: tuple[Any, ...], path: Path
) -> tuple[Mapping[int, float], Mapping[int, float], Mapping[int, Array]]:
    """Meterset, dose and dose point by beam number."""
    metersets: dict[int, float] = {}
    doses: dict[int, float] = {}
    points: dict[int, Array] = {}
    seen: set[int] = set()
    for each in listed:
        number = integer(each, "ReferencedBeamNumber", path)
        if number in seen:
            raise FileFormatError(
                f"{path.name}: its fraction group lists beam {number} twice; export the plan again."
            )
        seen.add(number)
        meterset = optional_numbers(each, "BeamMeterset", 1, path)
        dose = optional_numbers(each, "BeamDose", 1, path)
        point = optional_numbers(each, "BeamDoseSpecificationPoint", 3, path)
        if meterset is not None:
            metersets[number] = meterset[0]
        if dose is not None:
            doses[number] = dose[0]
        if point is not None:
            points[number] = np.array(point)
    return MappingProxyType(metersets), MappingProxyType(doses), MappingProxyType(points)


def treatment_beams(
    data_set: Any, keyword: str, group: FractionGroup, path: Path
) -> tuple[list[tuple[int, Any, float]], list[str]]:
    """Number, item and meterset of every beam that treats, in the order of the file, and notes.

    Metersets are matched by beam number, never by order; beams for set-up are left out.

    Raises
    ------
    FileFormatError
        If numbers repeat, a beam that treats has no meterset, a meterset has no beam, or none is
        left.
    """
    beams: list[tuple[int, Any, float]] = []
    others: list[str] = []
    numbered: set[int] = set()
    for beam in items(data_set, keyword, path):
        number = integer(beam, "BeamNumber", path)
        if number in numbered:
            raise FileFormatError(f"{path.name}: two beams have number {number}; export it again.")
        numbered.add(number)
        kind = text(beam, "TreatmentDeliveryType").upper()
        if kind not in {"", "TREATMENT"}:
            others.append(f"{number} ({kind.lower()})")
            continue
        meterset = group.metersets.get(number)
        if meterset is None or meterset < 0:
            raise FileFormatError(
                f"{path.name}: no meterset (BeamMeterset) for beam {number}; without it nothing "
                "can be delivered. Export the plan after its dose was computed."
            )
        beams.append((number, beam, meterset))
    lost = sorted(set(group.metersets) - numbered)
    if lost or not beams:
        what = f"beams {', '.join(map(str, lost))} are" if lost else "every treatment beam is"
        raise FileFormatError(
            f"{path.name}: {what} missing; the file was cut off or written wrongly. Export the "
            "plan again."
        )
    notes = [f"{path.name}: beams that do not treat left out: {', '.join(others)}"]
    return beams, notes if others else []


def control_points(beam: Any, keyword: str, number: int, path: Path) -> tuple[Any, ...]:
    """Control points of a beam, as many as it declares.

    Raises
    ------
    FileFormatError
        If there are more or fewer: a plan that was cut off reads like a shorter plan.
    """
    found = items(beam, keyword, path)
    declared = integer(beam, "NumberOfControlPoints", path, default=len(found))
    if declared != len(found) or not found:
        raise FileFormatError(
            f"{path.name}: beam {number} declares {declared} control points but holds "
            f"{len(found)}; it was cut off or written wrongly. Export the plan again."
        )
    if len(found) > MAX_CONTROL_POINTS:
        raise FileFormatError(
            f"{path.name}: beam {number} has more than {MAX_CONTROL_POINTS} control points; split "
            "the plan."
        )
    return found


def cumulative_weights(points: tuple[Any, ...], number: int, path: Path) -> Array | None:
    """Cumulative meterset weights (points,), or None where any is missing.

    Raises
    ------
    FileFormatError
        If they fall from one control point to the next.
    """
    values = [optional_numbers(p, "CumulativeMetersetWeight", 1, path) for p in points]
    if any(v is None for v in values):
        return None
    weights = np.array([v[0] for v in values if v is not None])
    if (np.diff(weights) < 0).any() or weights[0] < 0:
        raise FileFormatError(
            f"{path.name}: cumulative meterset weights of beam {number} fall; the file was written "
            "wrongly. Export the plan again."
        )
    return weights


def patient_positions(data_set: Any, path: Path) -> dict[int, str]:
    """Patient position by number of the set-up; empty where the file does not say."""
    found = {}
    for setup in items(data_set, "PatientSetupSequence", path):
        position = text(setup, "PatientPosition").upper()
        if position and position not in PATIENT_POSITIONS:
            raise FileFormatError(
                f"{path.name}: PatientPosition is none of {', '.join(PATIENT_POSITIONS)}; a "
                "patient who lies is needed."
            )
        found[integer(setup, "PatientSetupNumber", path, default=0)] = position
    return found


def structure_sets(data_set: Any, path: Path) -> frozenset[str]:
    """SOPInstanceUIDs of the structure sets that a plan refers to."""
    named = items(data_set, "ReferencedStructureSetSequence", path)
    return frozenset(text(each, "ReferencedSOPInstanceUID") for each in named) - {""}


def check_flat(points: tuple[Any, ...], number: int, path: Path) -> None:
    """Refuses tables and gantries that are pitched or rolled in any control point."""
    for point in points:
        for keyword in _FLAT:
            angle = optional_numbers(point, keyword, 1, path)
            turned = angle is not None and abs((angle[0] + 180.0) % 360.0 - 180.0) > 1e-3
            if turned:
                raise FileFormatError(
                    f"{path.name}: beam {number} has a {keyword} other than 0, which is not "
                    "modelled; the dose would be in the wrong place. Plan without it."
                )


def meterset_unit(beam: Any, number: int, path: Path) -> MetersetUnit:
    """Whether a beam counts monitor units or particles."""
    unit = text(beam, "PrimaryDosimeterUnit").upper()
    if unit == "NP":
        return "NP"
    if unit != "MU":
        raise FileFormatError(
            f"{path.name}: beam {number} counts neither MU nor particles (PrimaryDosimeterUnit); "
            "export the plan again."
        )
    return "MU"


def final_weight(beam: Any, number: int, path: Path) -> float:
    """FinalCumulativeMetersetWeight of a beam, positive."""
    final = numbers(beam, "FinalCumulativeMetersetWeight", 1, path)[0]
    if final <= 0:
        raise FileFormatError(
            f"{path.name}: FinalCumulativeMetersetWeight of beam {number} is not positive; export "
            "the plan again."
        )
    return final
