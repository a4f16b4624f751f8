"""What the compiled loop of the TG-71 engine computes, in plain NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dosegrad.arrays import Array
from dosegrad.engines.tg71.model import penumbra
from dosegrad.engines.tg71.tables import Curve, Sheet

__all__ = ["PlaneField", "PlaneTables", "add_plane_dose", "ellipse_depth"]


class PlaneTables(NamedTuple):
    """Tables as arrays: phantom scatter, TPR (depth, side) and off-axis ratio (depth, length)."""

    sides: Array
    scatter: Array
    tpr_depths: Array
    tpr_sides: Array
    tpr: Array
    oar_depths: Array
    oar_lengths: Array
    oar: Array


class PlaneField(NamedTuple):
    """A beam as numbers: Gy/MU before what depends on the point, and lengths in mm."""

    output: float
    side: float
    half_width: float
    sad: float
    reference: float
    wedge_slope: float


def add_plane_dose(
    tables: PlaneTables,
    field: PlaneField,
    distance: Array,
    lateral: Array,
    water: Array,
    dose: Array,
) -> None:
    """Add the dose per MU of a beam to ``dose`` (n,).

    ``distance`` from the source along the axis, ``lateral`` off it with a sign, and ``water``
    above the point, each (n,), mm.
    """
    grown, off_axis = distance / field.sad, np.abs(lateral)
    side = field.side * grown
    dose += (
        field.output
        * Curve("S_p", tables.sides, tables.scatter).at(side)
        * Sheet("TPR", tables.tpr_depths, tables.tpr_sides, tables.tpr).at(water, side)
        * Sheet("OAR", tables.oar_depths, tables.oar_lengths, tables.oar).at(water, off_axis)
        * penumbra(field.half_width * grown, off_axis)
        * (field.reference / distance) ** 2
        * np.exp(field.wedge_slope * lateral / grown)
    )


def ellipse_depth(semi_x: float, semi_y: float, source: Array, points: Array, depth: Array) -> None:
    """Length, mm, in an ellipse about the origin from the source to points (n, 2), in ``depth``.

    A ray enters at the smaller solution t of ``|(source + t (point - source)) / semi| = 1``.
    """
    scale = np.array([semi_x, semi_y])
    rays = points - source
    u, s = rays / scale, source / scale
    a, b, c = (u * u).sum(-1), (u * s).sum(-1), float(s @ s) - 1.0
    with np.errstate(invalid="ignore"):
        entry = (-b - np.sqrt(b * b - a * c)) / a
    lengths = np.hypot(rays[:, 0], rays[:, 1])
    depth[:] = np.maximum(np.nan_to_num((1.0 - entry) * lengths), 0.0)
