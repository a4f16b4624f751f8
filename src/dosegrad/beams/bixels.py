"""Bixels: where photon beams are steered, and explicit bixel lists."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array
from dosegrad.beams._reach import GrownTarget, ray_ends
from dosegrad.beams.beam import COLUMN_DTYPE, Beam, Beams
from dosegrad.errors import BeamError, TargetError
from dosegrad.geometry.grid import Grid, Triple
from dosegrad.geometry.rays import crossings
from dosegrad.machine.photon import PhotonMachine

__all__ = ["bixels_on_target", "bixels_to_beams"]


def bixels_on_target(
    machine: PhotonMachine,
    fields: Sequence[Beam],
    lattices: Sequence[Array],
    region: GrownTarget,
    grid: Grid,
    *,
    width: float,
    target: str,
) -> Beams:
    """Beams of the bixels whose central rays cross a grown target.

    Parameters
    ----------
    machine
        What delivers them.
    fields, lattices
        Beams, and the points (n, 2) of the bixel lattice of each that come into question, mm.
    region
        The target with its margin.
    grid
        Grid of the CT.
    width
        Side of a bixel in the isocentre plane, mm.
    target
        Name of the target, for messages.

    Raises
    ------
    TargetError
        If no bixel of a beam meets the target.
    """
    parts = []
    n_rays = 0
    for index, (beam, centres) in enumerate(zip(fields, lattices, strict=True)):
        found = crossings(region.grid, region.mask, *ray_ends(beam, centres, grid))
        chosen = centres[np.diff(found.offsets) > 0]
        if len(chosen) == 0:
            raise TargetError(
                f"no bixel of {width:g} mm from gantry {beam.gantry:g}° meets target {target!r}; "
                "use smaller bixels or a larger margin, or move the isocentre."
            )
        part = np.zeros(len(chosen), dtype=COLUMN_DTYPE)
        part["beam"], part["ray"] = index, n_rays + np.arange(len(chosen))
        part["x"], part["y"] = chosen.T
        part["size"] = width
        n_rays += len(chosen)
        parts.append(part)
    columns = np.concatenate(parts)
    columns["energy"] = machine.energy
    return Beams(machine, tuple(fields), columns)


def bixels_to_beams(
    machine: PhotonMachine,
    *,
    gantry: ArrayLike,
    couch: ArrayLike = 0.0,
    isocentre: Triple,
    x: ArrayLike,
    y: ArrayLike,
    width: ArrayLike,
    position: str = "HFS",
) -> Beams:
    """Beams of explicit bixels.

    Bixels with the same gantry and couch angle make one field; fields come in the order in which
    their first bixels do, and bixels keep their order within a field.

    Parameters
    ----------
    machine
        What delivers them.
    gantry, couch
        Angles, degree: one for all bixels, or one for each.
    isocentre
        (x, y, z), mm, patient LPS.
    x, y
        Centres in the isocentre plane of the IEC gantry frame, mm, shape (n,).
    width
        Side of each square bixel in that plane, mm, (n,) or one for all.
    position
        How the patient lies.

    Raises
    ------
    BeamError
        If the machine is not one of photons, the numbers of values do not match, there is no
        bixel, or one has no width.
    """
    if getattr(machine, "modality", None) != "photons":
        raise BeamError(
            f"{machine!r} delivers no bixels; choose a photon machine, such as "
            'load_machine("generic-6mv"), or give spots of a particle machine to Plan.from_spots.'
        )
    try:
        values = np.broadcast_arrays(
            *(np.atleast_1d(np.asarray(v, dtype=float)) for v in (gantry, couch, x, y, width))
        )
    except ValueError as error:
        raise BeamError(
            f"bixels of shapes {np.shape(x)} and {np.shape(y)} and widths {np.shape(width)} do "
            "not fit together; give one value for all bixels or one for each."
        ) from error
    angles = np.column_stack([values[0].ravel(), values[1].ravel()])
    if angles.size == 0:
        raise BeamError("a plan needs at least one bixel; give x, y and width.")
    if not (np.isfinite(values[4]).all() and values[4].min() > 0):
        raise BeamError("bixel widths must be finite and positive; give them in mm, such as 5.")
    _, first, field = np.unique(angles, axis=0, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))[field.reshape(-1)]
    order = np.argsort(rank, kind="stable")
    columns = np.zeros(order.size, dtype=COLUMN_DTYPE)
    columns["beam"], columns["ray"] = rank[order], np.arange(order.size)
    for name, given in (("x", values[2]), ("y", values[3]), ("size", values[4])):
        columns[name] = given.ravel()[order]
    columns["energy"] = machine.energy
    fields = tuple(
        Beam(float(angles[i, 0]), float(angles[i, 1]), isocentre, machine.sad, position=position)
        for i in np.sort(first)
    )
    return Beams(machine, fields, columns)
