"""Compiled loop of the TG-71 engine; ``_reference`` holds the same in plain NumPy."""

from __future__ import annotations

from math import erf, exp

from dosegrad.arrays import Array
from dosegrad.compiled import kernel
from dosegrad.engines.tg71._reference import PlaneField, PlaneTables

__all__ = ["add_plane_dose"]

# The edge of a field; see ``model.penumbra``.
SHARE, SLOW, FAST, OPEN = 0.173, 0.0456, 0.2892, 0.01  # slopes in 1/mm


@kernel
def _below(nodes: Array, value: float) -> int:
    """Index of the last node not above ``value``, of all but the last."""
    low, high = 0, nodes.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if nodes[middle] <= value:
            low = middle
        else:
            high = middle
    return low


@kernel
def _curve(nodes: Array, values: Array, place: float) -> float:
    if nodes.size == 1:
        return float(max(values[0], 0.0))
    i = _below(nodes, place)
    s = (place - nodes[i]) / (nodes[i + 1] - nodes[i])
    return float(max(values[i] + s * (values[i + 1] - values[i]), 0.0))


@kernel
def _sheet(depths: Array, lengths: Array, values: Array, depth: float, length: float) -> float:
    i, j, s, t = 0, 0, 0.0, 0.0
    right, below = 0, 0
    if depths.size > 1:
        i, below = _below(depths, depth), 1
        s = (depth - depths[i]) / (depths[i + 1] - depths[i])
    if lengths.size > 1:
        j, right = _below(lengths, length), 1
        t = (length - lengths[j]) / (lengths[j + 1] - lengths[j])
    near = values[i, j] + t * (values[i, j + right] - values[i, j])
    far = values[i + below, j] + t * (values[i + below, j + right] - values[i + below, j])
    return float(max(near + s * (far - near), 0.0))


@kernel
def add_plane_dose(
    tables: PlaneTables,
    field: PlaneField,
    distance: Array,
    lateral: Array,
    water: Array,
    dose: Array,
) -> None:
    """Add the dose per MU of a beam to ``dose`` (n,); see ``_reference``."""
    for k in range(distance.size):
        grown, off_axis = distance[k] / field.sad, abs(lateral[k])
        side = field.side * grown
        inside = field.half_width * grown - off_axis
        slow, fast = 0.5 * (erf(SLOW * inside) + 1.0), 0.5 * (erf(FAST * inside) + 1.0)
        edge = OPEN + (1.0 - OPEN) * (SHARE * slow + (1.0 - SHARE) * fast)
        square = (field.reference / distance[k]) ** 2
        wedge = exp(field.wedge_slope * lateral[k] / grown)
        dose[k] += (
            field.output
            * _curve(tables.sides, tables.scatter, side)
            * _sheet(tables.tpr_depths, tables.tpr_sides, tables.tpr, water[k], side)
            * _sheet(tables.oar_depths, tables.oar_lengths, tables.oar, water[k], off_axis)
            * edge
            * square
            * wedge
        )
