"""A photon plan as its file states it, turned into segments of a machine."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.beams.apertures import Aperture, Apertures
from dosegrad.beams.beam import COLUMN_DTYPE, Beam, Beams
from dosegrad.errors import MachineError
from dosegrad.io.dicom.collimators import Collimators, Leaves
from dosegrad.io.dicom.photon_plans import ControlPoint, PhotonBeam, PhotonPlan
from dosegrad.machine.collimator import MultileafCollimator
from dosegrad.machine.kinds import Machine
from dosegrad.machine.library import load_machine
from dosegrad.machine.photon import PhotonMachine
from dosegrad.plan import Plan

__all__ = ["deliver_photons", "photon_machine_for"]

#: Jaws and leaves of a beam that states none stand so far out, mm.
_OPEN: Final = 200.0
#: Side of the bixels that stand for the fluence of the segments, mm.
_BIXEL: Final = 5.0
#: Sides of leaves may differ by this much, mm.
_SAME: Final = 0.05


def photon_machine_for(machine: Machine | str | Path) -> PhotonMachine:
    """The machine itself, or that of a name or file.

    Raises
    ------
    MachineError
        If it delivers no photons.
    """
    found = load_machine(machine) if isinstance(machine, (str, Path)) else machine
    if not isinstance(found, PhotonMachine):
        raise MachineError(
            f"machine {found.name!r} delivers {found.modality}, but the plan is for photons; "
            "choose a photon machine, such as 'generic-6mv'."
        )
    return found


def deliver_photons(
    plan: PhotonPlan, machine: PhotonMachine, *, position: str
) -> tuple[Plan, list[str]]:
    """The plan as segments for the whole course, and what had to be guessed.

    What is delivered between two control points becomes one segment, with leaves, jaws and gantry
    in the middle between both; so an arc is a row of static beams, one for each interval. Arcs that
    this program wrote say where their segments are, and these come back as they were. Columns are
    bixels of 5 mm whose weights are the fluence that the segments open.

    Parameters
    ----------
    plan
        As read.
    machine
        Whose dose it becomes; its leaves get the sides that the plan states.
    position
        How the patient lies, where the plan does not say.

    Raises
    ------
    MachineError
        If the machine is not calibrated, or the plan has beams or devices that are not modelled.
    """
    if machine.mu_per_weight is None:
        raise MachineError(
            f"machine {machine.name!r} is not calibrated in MU, so MU of a plan mean nothing to "
            "it; choose one that is, such as 'generic-6mv'."
        )
    notes: list[str] = []
    machine = _with_leaves(plan, machine, notes)
    fields: list[Beam] = []
    numbers: list[int] = []
    owners: list[int] = []
    apertures: list[Aperture] = []
    metersets: list[float] = []
    for field in plan.fields:
        _check(field, machine, notes)
        parts = _centres(field, machine) if field.is_centred else _intervals(field, machine)
        for meterset, gantry, middle in parts:
            beam = _beam(field, field.control_points[0], gantry, machine, position)
            if not fields or fields[-1] != beam or numbers[-1] != field.number:
                fields.append(beam)
                numbers.append(field.number)
            owners.append(len(fields) - 1)
            apertures.append(middle)
            metersets.append(meterset * plan.fractions)
    if not fields:
        raise MachineError("no beam of the plan has MU; export it again.")
    segments = Apertures.of(owners, apertures, metersets)
    columns, weights = _bixels(segments, machine)
    provenance = {
        "source": "DICOM RT plan",
        "machine": machine.name,
        "beam_numbers": tuple(numbers),
    }
    beams = Beams(machine, tuple(fields), columns)
    made = Plan(beams, weights, fractions=plan.fractions, provenance=provenance, apertures=segments)
    return made, notes


def _check(field: PhotonBeam, machine: PhotonMachine, notes: list[str]) -> None:
    """Whether the machine can deliver the beam; notes on what differs."""
    if field.radiation != "PHOTON":
        raise MachineError(
            f"beam {field.number} is of {field.radiation.lower() or 'unknown radiation'}, which is "
            "not modelled; leave it out of the plan."
        )
    if field.unmodelled:
        raise MachineError(
            f"beam {field.number} has {', '.join(field.unmodelled)}, which is not modelled; its "
            "dose would be wrong. Plan without."
        )
    for what, stated, own in (
        ("energy", field.energy, machine.energy),
        ("source distance", field.sad, machine.sad),
    ):
        if stated is not None and abs(stated - own) > 1e-3 * own:
            notes.append(
                f"beam {field.number}: {what} {stated:g} in the plan, {own:g} of machine "
                f"{machine.name!r}, which was taken"
            )


def _with_leaves(plan: PhotonPlan, machine: PhotonMachine, notes: list[str]) -> PhotonMachine:
    """The machine with the leaf sides that the plan states."""
    found: list[Array] = []
    for field in plan.fields:
        for point in field.control_points:
            for leaves in point.collimators.leaves:
                if leaves.axis != "x":
                    raise MachineError(
                        f"leaves of beam {field.number} move along {leaves.axis} of the "
                        "collimator, which is not modelled; turn the collimator by 90° instead."
                    )
                if not any(np.array_equal(leaves.boundaries, known) for known in found):
                    found.append(leaves.boundaries)
    if len(found) > 1:
        raise MachineError("beams of the plan have leaves of different sizes; split the plan.")
    own = machine.collimator
    if not found:
        return machine if own else replace(machine, collimator=MultileafCollimator.sixty_pairs())
    is_same = own is not None and own.boundaries.shape == found[0].shape
    if own is not None and is_same and np.abs(own.boundaries - found[0]).max() < _SAME:
        return machine
    notes.append(
        f"the plan has {found[0].size - 1} leaf pairs; machine {machine.name!r} was given these"
    )
    base = own or MultileafCollimator.sixty_pairs()
    return replace(machine, collimator=replace(base, boundaries=found[0]))


def _intervals(field: PhotonBeam, machine: PhotonMachine) -> list[tuple[float, float, Aperture]]:
    """MU of one fraction, gantry angle and aperture between successive control points."""
    points, travel = field.control_points, field.gantry_travel
    found = []
    for k, (before, after) in enumerate(pairwise(points)):
        meterset = after.meterset - before.meterset
        if meterset > 0:
            gantry = 0.5 * float(travel[k] + travel[k + 1]) % 360.0
            found.append((meterset, gantry, _middle(before, after, machine)))
    return found


def _centres(field: PhotonBeam, machine: PhotonMachine) -> list[tuple[float, float, Aperture]]:
    """MU of one fraction, gantry angle and aperture at every other control point."""
    points = field.control_points
    return [
        (
            points[k + 1].meterset - points[k - 1].meterset,
            points[k].gantry,
            _aperture(points[k].collimators, points[k].collimator, machine),
        )
        for k in range(1, len(points), 2)
    ]


def _middle(before: ControlPoint, after: ControlPoint, machine: PhotonMachine) -> Aperture:
    """The aperture half-way between two control points."""
    ends = [_aperture(point.collimators, point.collimator, machine) for point in (before, after)]
    first, last = ends
    jaws = 0.5 * (np.array(first.jaws) + np.array(last.jaws))
    return Aperture(
        (float(jaws[0]), float(jaws[1]), float(jaws[2]), float(jaws[3])),
        0.5 * (first.left + last.left),
        0.5 * (first.right + last.right),
        first.rotation,
    )


def _aperture(found: Collimators, rotation: float, machine: PhotonMachine) -> Aperture:
    assert machine.collimator is not None  # given above
    pairs = machine.collimator.pairs
    leaves: Leaves | None = found.leaves[0] if found.leaves else None
    out = np.full(pairs, _OPEN)
    left, right = (-out, out) if leaves is None else (leaves.positions[0], leaves.positions[1])
    x1, x2 = found.jaws_x or (-_OPEN, _OPEN)
    y1, y2 = found.jaws_y or (-_OPEN, _OPEN)
    return Aperture((x1, x2, y1, y2), left, right, rotation)


def _beam(
    field: PhotonBeam, point: ControlPoint, gantry: float, machine: PhotonMachine, position: str
) -> Beam:
    return Beam(
        gantry=gantry,
        couch=point.couch,
        isocentre=point.isocentre,
        sad=machine.sad,
        position=field.position or position,
    )


def _bixels(segments: Apertures, machine: PhotonMachine) -> tuple[NDArray[Any], Array]:
    """Columns and weights (n,) of the fluence that segments open, on a raster of bixels."""
    assert machine.mu_per_weight is not None
    edges = np.arange(-_OPEN, _OPEN + _BIXEL / 2, _BIXEL)
    centres = 0.5 * (edges[1:] + edges[:-1])
    y, x = (values.ravel() for values in np.meshgrid(centres, centres, indexing="ij"))
    columns, weights = [], []
    for beam in np.unique(segments.beam):
        fluence = np.zeros(x.size)
        for aperture, mu in zip(
            segments.of_beam(int(beam)), segments.of_beam(int(beam)).monitor_units, strict=True
        ):
            fluence += mu * _is_open(aperture, machine, x, y)
        lit = np.flatnonzero(fluence > 0)
        if not lit.size:  # narrower than a bixel, or shut: the axis stands for it
            lit = np.array([int(np.argmin(np.hypot(x, y)))])
        part = np.zeros(lit.size, dtype=COLUMN_DTYPE)
        part["beam"], part["x"], part["y"], part["size"] = beam, x[lit], y[lit], _BIXEL
        part["energy"] = machine.energy
        columns.append(part)
        weights.append(fluence[lit] / machine.mu_per_weight)
    table = np.concatenate(columns)
    table["ray"] = np.arange(table.size)
    return table, np.concatenate(weights)


def _is_open(aperture: Aperture, machine: PhotonMachine, x: Array, y: Array) -> Array:
    """1 where the points (n,) of the gantry frame lie in the opening, else 0."""
    assert machine.collimator is not None
    turn = np.deg2rad(aperture.rotation)
    u = np.cos(turn) * x + np.sin(turn) * y
    v = -np.sin(turn) * x + np.cos(turn) * y
    x1, x2, y1, y2 = aperture.jaws
    edges = machine.collimator.boundaries
    pair = np.clip(np.searchsorted(edges, v, side="right") - 1, 0, edges.size - 2)
    inside = (v >= max(y1, edges[0])) & (v < min(y2, edges[-1]))
    inside &= (u >= np.maximum(aperture.left[pair], x1)) & (
        u < np.minimum(aperture.right[pair], x2)
    )
    opened: Array = inside.astype(float)
    return opened
