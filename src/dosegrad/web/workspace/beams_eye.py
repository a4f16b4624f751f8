"""Beams for the page: what a list tells, where they come from, and what they see."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.beams.beam import Beam, Beams
from dosegrad.patient.patient import Patient
from dosegrad.patient.structures import Structure

__all__ = ["beam_content", "spot_table"]

#: Pixels of an outline along a side at most; fewer where voxels are larger.
_PIXELS: Final = 96
_LEAST: Final = 0.75
#: Structures whose outline a beam's-eye view shows, at most.
_MOST: Final = 6


def spot_table(beams: Beams, weights: Array | None) -> Array:
    """One row for each column (n, 6): beam, x, y, energy, size, weight."""
    columns = beams.columns
    shown = np.zeros(beams.n_columns) if weights is None else weights
    names = ("beam", "x", "y", "energy", "size")
    table: Array = np.column_stack([*(columns[name].astype(float) for name in names), shown])
    return table


def beam_content(patient: Patient, beams: Beams, target: str | None) -> list[dict[str, Any]]:
    """What is told of each beam, with outlines of structures as it sees them."""
    seen = _seen(patient, target)
    coarse = _LEAST * max(patient.ct.grid.spacing)
    surfaces = [(s, _surface(patient, s)) for s in seen]
    found = []
    for index, beam in enumerate(beams):
        columns = beams.columns[beams.columns_of(index)]
        energies = np.unique(columns["energy"])
        reach = 1.25 * max(float(np.abs(columns["x"]).max()), float(np.abs(columns["y"]).max()))
        source = beam.source
        found.append(
            {
                "gantry": beam.gantry,
                "couch": beam.couch,
                "isocentre": list(beam.isocentre),
                "direction": beam.direction.tolist(),
                "source": None if source is None else source.tolist(),
                "across": beam.rotation[:, 0].tolist(),
                "along": beam.rotation[:, 1].tolist(),
                "columns": int(columns.size),
                "energies": [float(energies[0]), float(energies[-1])],
                "layers": int(energies.size),
                "shifter": None if beam.range_shifter is None else beam.range_shifter.thickness,
                "halfWidth": [float(np.abs(columns[a]).max()) for a in ("x", "y")],
                "reach": reach,
                "outlines": [
                    {"name": s.name, **_outline(beam, points, reach, coarse)}
                    for s, points in surfaces
                ],
            }
        )
    return found


def _seen(patient: Patient, target: str | None) -> list[Structure]:
    """The target and organs, largest first so that small ones are drawn on top."""
    others = [s for s in patient.structures.values() if s.role != "external" and s.name != target]
    chosen = sorted(others, key=lambda s: -s.volume_cc)[: _MOST - 1]
    first = patient.structures.get(target or "")
    return [*chosen, *([first] if first is not None else [])]


def _surface(patient: Patient, structure: Structure) -> Array:
    """Voxels at the border of a structure as points (n, 3)."""
    grid = patient.ct.grid
    mask = structure.mask(grid)
    inner = mask.copy()
    for axis in range(3):
        for step in (1, -1):
            inner &= np.roll(mask, step, axis=axis)
    points: Array = grid.voxel_points(np.flatnonzero(mask & ~inner))
    return points[:: max(len(points) // 20_000, 1)]


def _outline(beam: Beam, points: Array, reach: float, coarse: float) -> dict[str, Any]:
    """Shadow of points in the isocentre plane: rows of bits from low y, in hexadecimal."""
    if not len(points):
        return {"pixels": 0, "rows": ""}
    local = beam.to_gantry(points)
    if beam.sad is not None:
        local = local * (beam.sad / (beam.sad - local[:, 2:]))
    pixels = max(min(_PIXELS, int(2 * reach / coarse)), 8)
    size = 2 * reach / pixels
    place = np.floor((local[:, :2] + reach) / size).astype(int)
    inside = ((place >= 0) & (place < pixels)).all(axis=1)
    shadow = np.zeros((pixels, pixels), dtype=bool)
    shadow[place[inside, 1], place[inside, 0]] = True
    shadow = _filled(shadow)
    return {"pixels": pixels, "rows": np.packbits(shadow, bitorder="little").tobytes().hex()}


def _filled(shadow: Any) -> Any:
    """Gaps between points closed."""
    from scipy.ndimage import binary_closing, binary_fill_holes

    padded = np.pad(shadow, 4)
    closed = binary_fill_holes(binary_closing(padded, np.ones((3, 3)), iterations=3))
    return closed[4:-4, 4:-4]
