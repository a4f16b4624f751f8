"""Objectives from the records that patient and plan files hold, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, Final, cast

from dosegrad.errors import PlanError, unknown_name
from dosegrad.objectives.complication import LogisticNTCP, LymanNTCP
from dosegrad.objectives.dose_volume_penalty import MaxDVH, MinDVH
from dosegrad.objectives.equivalent_uniform_dose import EUD
from dosegrad.objectives.extremes import SoftMaximum, SoftMinimum
from dosegrad.objectives.homogeneity import Homogeneity
from dosegrad.objectives.mean import MeanDose, SquaredMeanDeviation
from dosegrad.objectives.mean_tail import LowerMeanTail, UpperMeanTail
from dosegrad.objectives.protocols import Objective
from dosegrad.objectives.squared import SquaredDeviation, SquaredOverdose, SquaredUnderdose
from dosegrad.objectives.tumour_control import TCP
from dosegrad.objectives.voxel_limits import DoseFallOff
from dosegrad.patient.records import ObjectiveRecord

__all__ = ["KINDS", "from_record", "to_record"]

#: Name in files -> objective.
KINDS: Final[Mapping[str, type[Any]]] = MappingProxyType(
    {
        cls.kind: cls
        for cls in (
            SquaredDeviation,
            SquaredOverdose,
            SquaredUnderdose,
            MeanDose,
            SquaredMeanDeviation,
            MaxDVH,
            MinDVH,
            EUD,
            SoftMaximum,
            SoftMinimum,
            UpperMeanTail,
            LowerMeanTail,
            Homogeneity,
            TCP,
            LymanNTCP,
            LogisticNTCP,
            DoseFallOff,
        )
    }
)


def from_record(record: ObjectiveRecord) -> Objective:
    """The objective that a record states.

    Raises
    ------
    UnknownNameError
        If there is no objective of that kind, or it has no setting of that name.
    PlanError
        If a setting is missing or out of range.

    Examples
    --------
    >>> from_record(ObjectiveRecord("max-dvh", 20.0, {"dose": 50.0, "volume": 0.3}))
    MaxDVH(dose=50.0, volume=0.3, weight=20.0)
    """
    if record.kind not in KINDS:
        raise unknown_name("kind of objective", record.kind, KINDS)
    cls = KINDS[record.kind]
    known = [f.name for f in fields(cls) if f.name != "weight"]
    for name in record.settings:
        if name not in known:
            raise unknown_name(f"setting of objective {record.kind!r}", name, known)
    try:
        return cast(Objective, cls(**record.settings, weight=record.weight))
    except TypeError:
        missing = [name for name in known if name not in record.settings]
        raise PlanError(
            f"objective {record.kind!r} has the settings {dict(record.settings)}; it takes "
            f"{', '.join(known)}. Add {' and '.join(missing)}."
        ) from None


def to_record(objective: Objective) -> ObjectiveRecord:
    """The record that states ``objective`` in a file."""
    settings = {
        f.name: getattr(objective, f.name)
        for f in fields(cast(Any, objective))
        if f.name != "weight"
    }
    return ObjectiveRecord(objective.kind, objective.weight, settings)
