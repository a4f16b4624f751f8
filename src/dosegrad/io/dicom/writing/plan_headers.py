"""What photon and ion plans have in common when they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dosegrad.io.dicom.folder import STRUCTURE_SET
from dosegrad.io.dicom.writing.data_sets import (
    Identity,
    decimal,
    new_data_set,
    reference,
    save,
    sequence,
)
from dosegrad.plan import Plan

__all__ = ["WrittenPlan", "fraction_group", "plan_data_set", "save_plan_file"]


@dataclass(frozen=True, slots=True)
class WrittenPlan:
    """SOPInstanceUID of a written plan, its SOP class, and the number of each of its beams."""

    instance: str
    numbers: tuple[int, ...]
    sop_class: str


def plan_data_set(
    plan: Plan, identity: Identity, sop_class: str, instance: str, structure_set: str
) -> Any:
    """A plan's data set without its beams; setups are numbered by the order of positions."""
    from pydicom.dataset import Dataset

    data = new_data_set(identity, sop_class, instance, "RTPLAN", "plan")
    data.InstanceNumber = 1
    data.FrameOfReferenceUID = identity.frame_of_reference
    data.PositionReferenceIndicator = ""
    data.RTPlanLabel = "dosegrad"
    data.RTPlanDate = data.RTPlanTime = ""
    data.PlanIntent = "RESEARCH"
    data.RTPlanGeometry = "PATIENT" if structure_set else "TREATMENT_DEVICE"
    setups = []
    positions = dict.fromkeys(beam.position for beam in plan.beams)
    for number, position in enumerate(positions, start=1):
        setup = Dataset()
        setup.PatientSetupNumber = number
        setup.PatientPosition = position
        setups.append(setup)
    data.PatientSetupSequence = sequence(setups)
    return data


def fraction_group(fractions: int, totals: Sequence[float]) -> Any:
    """The only fraction group; ``totals`` are MU of one fraction by beam."""
    from pydicom.dataset import Dataset

    beams = []
    for number, total in enumerate(totals, start=1):
        beam = Dataset()
        beam.BeamMeterset = decimal(total)
        beam.ReferencedBeamNumber = number
        beams.append(beam)
    group = Dataset()
    group.FractionGroupNumber = 1
    group.NumberOfFractionsPlanned = fractions
    group.NumberOfBeams = len(beams)
    group.NumberOfBrachyApplicationSetups = 0
    group.ReferencedBeamSequence = sequence(beams)
    return group


def save_plan_file(data: Any, structure_set: str, folder: Path) -> None:
    """Write a plan's data set as ``RP.dcm``, with its reference to the structures.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    if structure_set:
        data.ReferencedStructureSetSequence = sequence([reference(STRUCTURE_SET, structure_set)])
    data.ApprovalStatus = "UNAPPROVED"
    save(data, folder / "RP.dcm")
