"""RT Plan files (photons, electrons) read into beams with every control point resolved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, TypeAlias

import numpy as np

from dosegrad.arrays import Array, readonly
from dosegrad.errors import CapabilityError, FileFormatError
from dosegrad.io.dicom.attributes import integer, items, optional_numbers, text
from dosegrad.io.dicom.collimators import Collimators, read_collimators
from dosegrad.io.dicom.plan_headers import (
    FractionGroup,
    check_flat,
    control_points,
    cumulative_weights,
    final_weight,
    meterset_unit,
    patient_positions,
    read_fraction_group,
    structure_sets,
    treatment_beams,
)
from dosegrad.io.dicom.stream import read_data_set, reading

__all__ = [
    "ARC_DESCRIPTION",
    "RT_PLAN",
    "ControlPoint",
    "PhotonBeam",
    "PhotonPlan",
    "read_photon_plan",
]

RT_PLAN: Final = "1.2.840.10008.5.1.4.1.1.481.5"

#: BeamDescription of arcs whose control points alternate: see :attr:`PhotonBeam.is_centred`.
ARC_DESCRIPTION: Final = "segments at every other control point, MU half before and half after"

#: How the gantry moves to the next control point, seen by somebody who faces it.
Rotation: TypeAlias = Literal["clockwise", "counter-clockwise", "none"]

_ROTATIONS: Final[dict[str, Rotation]] = {"CW": "clockwise", "CC": "counter-clockwise"}
#: The last cumulative weight may differ from the declared one by this part.
_SUM_TOLERANCE: Final = 1e-3

#: Values that hold until a later control point states them again, and how many numbers each has.
_STATE: Final = (
    ("GantryAngle", 1),
    ("BeamLimitingDeviceAngle", 1),
    ("PatientSupportAngle", 1),
    ("IsocenterPosition", 3),
    ("DoseRateSet", 1),
)

_DEVICES: Final = (
    ("NumberOfWedges", "WedgeSequence", "wedge"),
    ("NumberOfCompensators", "CompensatorSequence", "compensator"),
    ("NumberOfBoli", "ReferencedBolusSequence", "bolus"),
    ("NumberOfBlocks", "BlockSequence", "block"),
    ("", "ApplicatorSequence", "applicator"),
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ControlPoint:
    """State of a beam at one moment; nothing is left to be looked up in an earlier point.

    Parameters
    ----------
    meterset
        MU delivered in one fraction up to here.
    gantry, collimator, couch
        Angles, degree, IEC 61217.
    rotation
        How the gantry turns from here to the next point.
    isocentre
        (x, y, z), mm, patient LPS.
    collimators
        Jaws and leaves.
    dose_rate
        MU per minute; None where not stated.
    """

    meterset: float
    gantry: float
    collimator: float
    couch: float
    rotation: Rotation
    isocentre: tuple[float, float, float]
    collimators: Collimators
    dose_rate: float | None

    def __repr__(self) -> str:
        return f"ControlPoint({self.meterset:g} MU at {self.gantry:g}°)"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PhotonBeam:
    """A field of an RT Plan.

    Parameters
    ----------
    number, name, machine_name
        As the plan calls them.
    radiation
        ``"PHOTON"``, ``"ELECTRON"``... as the file says.
    energy
        Nominal: MV for photons, MeV for electrons.
    sad
        Source to isocentre, mm; None where not stated.
    position
        How the patient lies; empty where not stated.
    meterset
        MU of one fraction.
    control_points
        At least one, in order; the last one's meterset is that of the beam.
    unmodelled
        Devices in the beam that this record does not hold: ``"wedge"``, ``"block"``...
    is_centred
        Whether the file says that the second, fourth... control points are segments whose MU are
        delivered half before and half after, and the others lie half-way; so this program writes
        arcs.
    """

    number: int
    name: str
    machine_name: str
    radiation: str
    energy: float
    sad: float | None
    position: str
    meterset: float
    control_points: tuple[ControlPoint, ...]
    unmodelled: tuple[str, ...]
    is_centred: bool = False

    def __repr__(self) -> str:
        return f"PhotonBeam({self.meterset:g} MU, {len(self.control_points)} control points)"

    @property
    def metersets(self) -> Array:
        """MU of one fraction up to each control point (points,)."""
        return readonly(np.array([p.meterset for p in self.control_points]))

    @property
    def gantry_travel(self) -> Array:
        """Gantry angle at each control point (points,), degree, without jumps.

        The direction of rotation decides which way an arc passes 0 or 180, so an arc from 179 to
        181 counter-clockwise is one of 358 degree.
        """
        angles = [self.control_points[0].gantry]
        for before, after in zip(self.control_points, self.control_points[1:], strict=False):
            step = after.gantry - before.gantry
            if before.rotation == "clockwise":
                step = step % 360.0
            elif before.rotation == "counter-clockwise":
                step = -((-step) % 360.0)
            angles.append(angles[-1] + step)
        return readonly(np.array(angles))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PhotonPlan:
    """A plan of photon or electron beams as its file states it.

    Parameters
    ----------
    fields
        The beams that treat.
    group
        Number of fractions, metersets and doses by beam number.
    instance
        SOPInstanceUID.
    structure_sets
        SOPInstanceUIDs of the structure sets that it refers to.
    frame_of_reference
        UID, empty where the file does not say.
    warnings
        What was left out, repaired or guessed.
    """

    fields: tuple[PhotonBeam, ...]
    group: FractionGroup
    instance: str
    structure_sets: frozenset[str]
    frame_of_reference: str
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        meterset = sum(field.meterset for field in self.fields)
        return f"PhotonPlan({len(self.fields)} beams, {meterset:.5g} MU a fraction)"

    @property
    def fractions(self) -> int:
        """Number of fractions of the course."""
        return self.group.fractions

    @property
    def monitor_units(self) -> Array:
        """MU of one fraction by beam (beams,)."""
        return readonly(np.array([field.meterset for field in self.fields]))

    @property
    def beams(self) -> NoReturn:
        """Always an error: beams that can be computed need a photon machine.

        Raises
        ------
        CapabilityError
            Always.
        """
        raise CapabilityError(
            "the plan holds jaws, leaves and MU as its file states them, and no photon machine "
            "that turns them into dose. Look at plan.fields, or use a plan for ions."
        )


def read_photon_plan(path: str | Path) -> PhotonPlan:
    """The beams of an RT Plan: static, IMRT, arcs; every control point complete.

    A control point that does not state a value has that of the point before. The meterset at a
    control point is BeamMeterset times CumulativeMetersetWeight over
    FinalCumulativeMetersetWeight.

    Raises
    ------
    FileFormatError
        If the file is damaged, cut off, or no RT Plan, or jaws, leaves and weights contradict
        what is declared.
    """
    path = Path(path)
    data_set = read_data_set(path)
    with reading(path, "RT plan"):
        if text(data_set, "SOPClassUID") != RT_PLAN:
            raise FileFormatError(f"{path.name}: is DICOM, but no RT plan; give the RTPLAN file.")
        group = read_fraction_group(data_set, path)
        beams, notes = treatment_beams(data_set, "BeamSequence", group, path)
        positions = patient_positions(data_set, path)
        fields = tuple(
            _read_beam(beam, number, meterset, positions, path) for number, beam, meterset in beams
        )
        for field in fields:
            if field.unmodelled:
                devices = ", ".join(field.unmodelled)
                notes.append(f"{path.name}: beam {field.number} has a {devices}, not read")
        return PhotonPlan(
            fields,
            group,
            text(data_set, "SOPInstanceUID"),
            structure_sets(data_set, path),
            text(data_set, "FrameOfReferenceUID"),
            tuple(notes),
        )


def _read_beam(
    beam: Any, number: int, meterset: float, positions: dict[int, str], path: Path
) -> PhotonBeam:
    """One beam; ``meterset`` is that of a fraction."""
    if meterset_unit(beam, number, path) != "MU":
        raise FileFormatError(f"{path.name}: beam {number} of photons does not count MU.")
    points = control_points(beam, "ControlPointSequence", number, path)
    check_flat(points, number, path)
    energy = optional_numbers(points[0], "NominalBeamEnergy", 1, path)
    if energy is None:
        raise FileFormatError(f"{path.name}: beam {number} has no energy; export the plan again.")
    sad = optional_numbers(beam, "SourceAxisDistance", 1, path)
    setup = integer(beam, "ReferencedPatientSetupNumber", path, default=0)
    return PhotonBeam(
        number=number,
        name=text(beam, "BeamName")[:64],
        machine_name=text(beam, "TreatmentMachineName")[:16],
        radiation=text(beam, "RadiationType").upper(),
        energy=energy[0],
        sad=sad[0] if sad else None,
        position=positions.get(setup, next(iter(positions.values()), "")),
        meterset=meterset,
        control_points=_resolve(beam, points, number, meterset, path),
        unmodelled=tuple(
            name
            for count, sequence, name in _DEVICES
            if (count and integer(beam, count, path, default=0)) or items(beam, sequence, path)
        ),
        is_centred=text(beam, "BeamDescription") == ARC_DESCRIPTION and len(points) % 2 == 1,
    )


def _resolve(
    beam: Any, points: tuple[Any, ...], number: int, meterset: float, path: Path
) -> tuple[ControlPoint, ...]:
    """Control points, each with all its values."""
    shares = _shares(beam, points, number, path)
    collimators = read_collimators(beam, points, number, path)
    state: dict[str, tuple[float, ...]] = {"BeamLimitingDeviceAngle": (0.0,)}
    state["PatientSupportAngle"] = (0.0,)
    rotation: Rotation = "none"
    resolved = []
    for point, share, devices in zip(points, shares, collimators, strict=True):
        for keyword, count in _STATE:
            given = optional_numbers(point, keyword, count, path)
            if given is not None:
                state[keyword] = given
        missing = {"GantryAngle", "IsocenterPosition"} - set(state)
        if missing:
            raise FileFormatError(
                f"{path.name}: beam {number} has no {' and no '.join(sorted(missing))}; export "
                "the plan again."
            )
        turns = text(point, "GantryRotationDirection").upper()
        rotation = _ROTATIONS.get(turns, "none") if turns else rotation
        x, y, z = state["IsocenterPosition"]
        resolved.append(
            ControlPoint(
                meterset=meterset * float(share),
                gantry=state["GantryAngle"][0],
                collimator=state["BeamLimitingDeviceAngle"][0],
                couch=state["PatientSupportAngle"][0],
                rotation=rotation,
                isocentre=(x, y, z),
                collimators=devices,
                dose_rate=state["DoseRateSet"][0] if "DoseRateSet" in state else None,
            )
        )
    return tuple(resolved)


def _shares(beam: Any, points: tuple[Any, ...], number: int, path: Path) -> Array:
    """Share of the meterset delivered up to each control point (points,)."""
    weights = cumulative_weights(points, number, path)
    if weights is None:
        raise FileFormatError(
            f"{path.name}: a control point of beam {number} has no CumulativeMetersetWeight; "
            "export the plan again."
        )
    final = final_weight(beam, number, path)
    if abs(weights[-1] - final) > _SUM_TOLERANCE * final:
        raise FileFormatError(
            f"{path.name}: control points of beam {number} end at {weights[-1] / final:.4%} of the "
            "declared meterset; some are missing or were written wrongly. Export the plan again."
        )
    shares: Array = weights / final
    return shares
