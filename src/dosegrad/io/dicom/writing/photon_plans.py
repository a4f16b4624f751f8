"""An RT Plan written from a photon plan with apertures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.beams.apertures import Aperture, Apertures
from dosegrad.beams.beam import Beam
from dosegrad.errors import OutputError
from dosegrad.io.dicom.identifiers import make_uid
from dosegrad.io.dicom.photon_plans import RT_PLAN
from dosegrad.io.dicom.writing.arcs import ARC_DESCRIPTION, add_turn, arc_points, turns
from dosegrad.io.dicom.writing.data_sets import Identity, decimal, decimals, sequence
from dosegrad.io.dicom.writing.plan_headers import (
    WrittenPlan,
    fraction_group,
    plan_data_set,
    save_plan_file,
)
from dosegrad.machine.collimator import MultileafCollimator
from dosegrad.machine.photon import PhotonMachine
from dosegrad.plan import Plan

__all__ = ["write_photon_plan"]

#: Distance from the source to leaves and jaws, mm: files need one, generic machines have none.
_LEAVES_AT: Final = 510.0
_JAWS_AT: Final = {"ASYMX": 450.0, "ASYMY": 400.0}


def write_photon_plan(
    plan: Plan, structure_set: str, folder: Path, identity: Identity
) -> WrittenPlan:
    """Write every beam's segments, step and shoot, two control points for each; arcs as one beam.

    MU of a segment are those of the plan over its fractions. Leaves and jaws are in the frame of
    the collimator at the isocentre plane.

    Raises
    ------
    OutputError
        If the plan has no apertures, its machine counts no MU or has leaves that cannot stand so,
        a beam has no segment with MU, or the file cannot be written.
    """
    machine, apertures = _deliverable(plan)
    groups = turns(plan)
    segments = [_segments(plan, apertures, group) for group in groups]
    instance = make_uid("plan", identity.study, structure_set, _digest(plan, apertures))
    data = plan_data_set(plan, identity, RT_PLAN, instance, structure_set)
    totals = [float(each.monitor_units.sum()) / plan.fractions for each in segments]
    data.FractionGroupSequence = sequence([fraction_group(plan.fractions, totals)])
    positions = list(dict.fromkeys(beam.position for beam in plan.beams))
    data.BeamSequence = sequence(
        _beam(
            number,
            [plan.beams[k] for k in group],
            each,
            plan.fractions,
            machine,
            positions.index(plan.beams[group[0]].position) + 1,
        )
        for number, (group, each) in enumerate(zip(groups, segments, strict=True), start=1)
    )
    save_plan_file(data, structure_set, folder)
    return WrittenPlan(instance, tuple(range(1, len(segments) + 1)), RT_PLAN)


def _segments(plan: Plan, apertures: Apertures, group: list[int]) -> Apertures:
    """Segments of one beam of the file: all of an arc, else those with MU."""
    if len(group) > 1:
        return apertures.chosen(np.flatnonzero(np.isin(apertures.beam, group)))
    mine = apertures.of_beam(group[0])
    mine = mine.chosen(np.flatnonzero(mine.monitor_units > 0))
    if not len(mine):
        gantry = plan.beams[group[0]].gantry
        raise OutputError(f"the beam at gantry {gantry:g}° has no segment with MU; leave it out.")
    return mine


def _deliverable(plan: Plan) -> tuple[PhotonMachine, Apertures]:
    """The machine and the apertures of a plan that can be written."""
    machine = plan.beams.machine
    if not isinstance(machine, PhotonMachine) or plan.apertures is None:
        raise OutputError(
            "a photon plan is written as the jaws and leaves that deliver it, and this one has "
            "none; make them with sequence(plan)."
        )
    if machine.mu_per_weight is None:
        raise OutputError(
            f"machine {machine.name!r} is not calibrated in MU, which the file must hold; plan "
            "with a machine that is, such as 'generic-6mv'."
        )
    broken = _collimator(machine).broken_limits(plan.apertures.left, plan.apertures.right)
    if broken:
        raise OutputError(
            f"machine {machine.name!r} cannot deliver the plan: {'; '.join(broken)}. Sequence it "
            "again, or give the machine the limits of its leaves: replace(machine, "
            "collimator=...)."
        )
    return machine, plan.apertures


def _digest(plan: Plan, apertures: Apertures) -> str:
    """Text that changes with any change of what is written."""
    digest = hashlib.sha256(f"{plan.beams.machine.name} {plan.fractions}".encode())
    digest.update(repr([repr(beam) for beam in plan.beams]).encode())
    for name in ("beam", "monitor_units", "jaws", "left", "right", "rotation"):
        digest.update(np.ascontiguousarray(getattr(apertures, name)).tobytes())
    return digest.hexdigest()


def _beam(
    number: int,
    fields: list[Beam],
    segments: Apertures,
    fractions: int,
    machine: PhotonMachine,
    setup: int,
) -> Any:
    """An item of the BeamSequence."""
    from pydicom.dataset import Dataset

    collimator = _collimator(machine)
    metersets = segments.monitor_units / fractions
    item = Dataset()
    item.Manufacturer = item.ManufacturerModelName = "dosegrad"
    item.TreatmentMachineName = machine.name[:16]
    item.PrimaryDosimeterUnit = "MU"
    item.SourceAxisDistance = decimal(machine.sad)
    item.BeamLimitingDeviceSequence = sequence(_devices(collimator))
    item.BeamNumber = number
    item.BeamName = f"Beam {number}"
    item.BeamType = "STATIC" if len(segments) == 1 else "DYNAMIC"
    if len(fields) > 1:
        item.BeamDescription = ARC_DESCRIPTION
    item.RadiationType = "PHOTON"
    item.TreatmentDeliveryType = "TREATMENT"
    item.NumberOfWedges = item.NumberOfCompensators = item.NumberOfBoli = item.NumberOfBlocks = 0
    item.FinalCumulativeMetersetWeight = decimal(float(metersets.sum()))
    make = _arc if len(fields) > 1 else _control_points
    points = list(make(fields, segments, metersets, machine.energy))
    item.NumberOfControlPoints = len(points)
    item.ControlPointSequence = sequence(points)
    item.ReferencedPatientSetupNumber = setup
    return item


def _collimator(machine: PhotonMachine) -> MultileafCollimator:
    assert machine.collimator is not None  # a plan with apertures has one
    return machine.collimator


def _devices(collimator: MultileafCollimator) -> Iterator[Any]:
    from pydicom.dataset import Dataset

    for kind, distance in _JAWS_AT.items():
        jaws = Dataset()
        jaws.RTBeamLimitingDeviceType = kind
        jaws.SourceToBeamLimitingDeviceDistance = decimal(distance)
        jaws.NumberOfLeafJawPairs = 1
        yield jaws
    leaves = Dataset()
    leaves.RTBeamLimitingDeviceType = "MLCX"
    leaves.SourceToBeamLimitingDeviceDistance = decimal(_LEAVES_AT)
    leaves.NumberOfLeafJawPairs = collimator.pairs
    leaves.LeafPositionBoundaries = decimals(collimator.boundaries)
    yield leaves


def _arc(fields: list[Beam], segments: Apertures, metersets: Array, energy: float) -> Iterator[Any]:
    """Control points of a turning gantry; leaves and MU move evenly between them."""
    from pydicom.dataset import Dataset

    total = float(metersets.sum())
    states = list(arc_points(fields, segments, metersets))
    for index, state in enumerate(states):
        point = Dataset()
        point.ControlPointIndex = index
        point.CumulativeMetersetWeight = decimal(
            total if index + 1 == len(states) else state.meterset
        )
        if index == 0:
            _add_geometry(point, fields[0], state.aperture, energy)
        add_turn(point, state)
        point.BeamLimitingDevicePositionSequence = sequence(_positions(state.aperture))
        yield point


def _control_points(
    fields: list[Beam], segments: Apertures, metersets: Array, energy: float
) -> Iterator[Any]:
    """Two control points a segment: leaves stand, then its MU are delivered."""
    from pydicom.dataset import Dataset

    ends = np.cumsum(metersets)
    for k, aperture in enumerate(segments):
        for closing, cumulative in enumerate((ends[k] - metersets[k], ends[k])):
            point = Dataset()
            point.ControlPointIndex = 2 * k + closing
            last = closing and k + 1 == len(segments)
            point.CumulativeMetersetWeight = decimal(float(ends[-1] if last else cumulative))
            if k == closing == 0:
                _add_geometry(point, fields[0], aperture, energy)
            if not closing:
                point.BeamLimitingDevicePositionSequence = sequence(_positions(aperture))
                if k:
                    point.BeamLimitingDeviceAngle = decimal(aperture.rotation)
                    point.BeamLimitingDeviceRotationDirection = "NONE"
            yield point


def _positions(aperture: Aperture) -> Iterator[Any]:
    from pydicom.dataset import Dataset

    banks = np.concatenate([aperture.left, aperture.right])
    for kind, values in (
        ("ASYMX", aperture.jaws[:2]), ("ASYMY", aperture.jaws[2:]), ("MLCX", banks),
    ):  # fmt: skip
        item = Dataset()
        item.RTBeamLimitingDeviceType = kind
        item.LeafJawPositions = decimals(values)
        yield item


def _add_geometry(point: Any, beam: Beam, aperture: Aperture, energy: float) -> None:
    """What the first control point states for all."""
    point.NominalBeamEnergy = decimal(energy)
    point.DoseRateSet = None
    point.GantryAngle = decimal(beam.gantry)
    point.GantryRotationDirection = "NONE"
    point.BeamLimitingDeviceAngle = decimal(aperture.rotation)
    point.BeamLimitingDeviceRotationDirection = "NONE"
    point.PatientSupportAngle = decimal(beam.couch)
    point.PatientSupportRotationDirection = "NONE"
    point.TableTopEccentricAngle = "0"
    point.TableTopEccentricRotationDirection = "NONE"
    point.TableTopVerticalPosition = None
    point.TableTopLongitudinalPosition = None
    point.TableTopLateralPosition = None
    point.IsocenterPosition = decimals(beam.isocentre)
    point.SourceToSurfaceDistance = None
