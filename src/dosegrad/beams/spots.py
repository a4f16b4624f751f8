"""Spots and layers: lattices of rays, thinning of energies, and explicit spot lists."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosegrad.arrays import Array
from dosegrad.beams.beam import COLUMN_DTYPE, Beam, Beams, RangeShifter
from dosegrad.errors import BeamError, unknown_name
from dosegrad.geometry.grid import Triple
from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.machine.particle import ParticleMachine

__all__ = ["Lattice", "lattice_points", "peak_width", "spots_to_beams", "thin_layers"]

#: How rays are laid out in the isocentre plane.
Lattice: TypeAlias = Literal["square", "hexagonal"]


def spots_to_beams(
    machine: ParticleMachine,
    *,
    gantry: ArrayLike,
    couch: ArrayLike = 0.0,
    isocentre: Triple,
    x: ArrayLike,
    y: ArrayLike,
    energy: ArrayLike,
    position: str = "HFS",
    range_shifter: RangeShifter | None = None,
) -> Beams:
    """Beams of explicit spots.

    Spots with the same gantry and couch angle make one field; fields come in the order in which
    their first spots do, and spots keep their order within a field. So the columns are the spots
    as given if those are sorted by field.

    Parameters
    ----------
    machine
        What delivers them.
    gantry, couch
        Angles, degree: one for all spots, or one for each.
    isocentre
        (x, y, z), mm, patient LPS.
    x, y
        Spot positions in the isocentre plane of the IEC gantry frame, mm, shape (n,).
    energy
        MeV or MeV/u, each one of the machine's, (n,) or one for all.
    position
        How the patient lies.
    range_shifter
        In all fields.

    Raises
    ------
    BeamError
        If the numbers of values do not match, there is no spot, or the machine delivers none.
    EnergyError
        If an energy is none of the machine's.
    """
    if not isinstance(machine, ParticleMachine):
        raise BeamError(
            f"{machine!r} delivers no spots; give a particle machine, such as "
            'load_machine("generic-protons"), or bixels of a photon machine to Plan.from_bixels.'
        )
    try:
        values = np.broadcast_arrays(
            *(np.atleast_1d(np.asarray(v, dtype=float)) for v in (gantry, couch, x, y, energy))
        )
    except ValueError as error:
        shapes = {name: np.shape(v) for name, v in (("gantry", gantry), ("x", x), ("y", y))}
        raise BeamError(
            f"spots of shapes {shapes} and energies {np.shape(energy)} do not fit together; give "
            "one value for all spots or one for each."
        ) from error
    angles = np.column_stack([values[0].ravel(), values[1].ravel()])
    if angles.size == 0:
        raise BeamError("a plan needs at least one spot; give x, y and energy.")
    for level in np.unique(values[4]):
        machine.at_energy(float(level))

    _, first, field = np.unique(angles, axis=0, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))[field.reshape(-1)]
    order = np.argsort(rank, kind="stable")
    columns = np.zeros(order.size, dtype=COLUMN_DTYPE)
    columns["beam"] = rank[order]
    for name, given in (("x", values[2]), ("y", values[3]), ("energy", values[4])):
        columns[name] = given.ravel()[order]
    columns["ray"] = _ray_numbers(columns)
    fields = tuple(
        Beam(
            *(float(angles[i, 0]), float(angles[i, 1]), isocentre, machine.sad),
            position=position,
            range_shifter=range_shifter,
        )
        for i in np.sort(first)
    )
    return Beams(machine, fields, columns)


def _ray_numbers(columns: NDArray[np.void]) -> NDArray[np.int32]:
    """Number of each column's ray: same beam, same position."""
    keys = np.column_stack([columns[name] for name in ("beam", "x", "y")])
    _, rays = np.unique(keys, axis=0, return_inverse=True)
    return rays.reshape(-1).astype(np.int32)


def lattice_points(low: Array, high: Array, spacing: float, lattice: Lattice) -> Array:
    """Points (n, 2) of a lattice through the origin that lie between two corners, mm.

    The rows of the hexagonal lattice run along x, sqrt(3)/2 spacings apart, every second one
    shifted by half a spacing.

    Examples
    --------
    >>> corner = np.array([5.0, 5.0])
    >>> lattice_points(-corner, corner, 5.0, "square").shape
    (9, 2)
    >>> lattice_points(-corner, corner, 5.0, "hexagonal").round(2).tolist()[:2]
    [[-2.5, -4.33], [2.5, -4.33]]
    """
    if lattice not in ("square", "hexagonal"):
        raise unknown_name("lattice", lattice, ("square", "hexagonal"))
    pitch = spacing * (np.sqrt(0.75) if lattice == "hexagonal" else 1.0)
    rows = np.arange(np.ceil(low[1] / pitch - 1e-9), np.floor(high[1] / pitch + 1e-9) + 1)
    found = []
    for row in rows:
        shift = 0.5 * (row % 2) if lattice == "hexagonal" else 0.0
        first = np.ceil(low[0] / spacing - shift - 1e-9)
        last = np.floor(high[0] / spacing - shift + 1e-9)
        x = (np.arange(first, last + 1) + shift) * spacing
        found.append(np.column_stack([x, np.full(x.size, row * pitch)]))
    return np.concatenate(found) if found else np.empty((0, 2))


def peak_width(data: PencilBeamData) -> float:
    """Width of a Bragg peak between the depths where the dose is 80 % of its maximum, mm."""
    top = int(np.argmax(data.dose))
    level = 0.8 * data.dose[top]
    before = data.dose[: top + 1][::-1]
    behind = data.dose[top:]
    rise = data.depths[: top + 1][::-1]
    start = _crossing(rise, before, level)
    return _crossing(data.depths[top:], behind, level) - start


def _crossing(depths: Array, dose: Array, level: float) -> float:
    """Depth at which a curve that starts above ``level`` first meets it, or the curve's end."""
    below = np.flatnonzero(dose < level)
    if below.size == 0:
        return float(depths[-1])
    i = int(below[0])
    share = (dose[i - 1] - level) / (dose[i - 1] - dose[i])
    return float(depths[i - 1] + share * (depths[i] - depths[i - 1]))


def thin_layers(
    machine: ParticleMachine,
    needed: NDArray[np.bool_],
    *,
    spacing: float | None = None,
    peak_widths: float | None = None,
) -> NDArray[np.bool_]:
    """Which of the ``needed`` energies (n_energies,) remain as layers.

    From the deepest needed peak downwards layers are wanted every ``spacing`` mm, or every
    ``peak_widths`` times the width of the layer's own peak; each wish takes the needed energy
    whose peak is nearest. The mean spacing is the one asked for, or the machine's where that has
    fewer energies.
    """
    kept = np.zeros_like(needed)
    candidates = np.flatnonzero(needed)
    if candidates.size == 0:
        return kept
    peaks = machine.peaks
    depth = float(peaks[candidates[-1]])
    while depth > peaks[candidates[0]] - 1e-9:
        nearest = candidates[np.argmin(np.abs(peaks[candidates] - depth))]
        kept[nearest] = True
        step = spacing if peak_widths is None else peak_widths * peak_width(machine.data[nearest])
        depth -= float(step or 0.0)
    kept[candidates[0]] = True
    return kept
