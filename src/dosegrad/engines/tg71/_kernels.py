"""Compiled loop of the TG-71 engine; ``_reference`` holds the same in plain NumPy."""

from __future__ import annotations

from math import erf, exp, hypot, sqrt

from dosegrad.arrays import Array
from dosegrad.compiled import kernel
from dosegrad.engines.tg71._reference import PlaneField, PlaneTables

__all__ = ["add_plane_dose", "ellipse_depth"]

# The edge of a field; see ``model.penumbra``.
SHARE, SLOW, FAST, OPEN = 0.173, 0.0456, 0.2892, 0.01  # slopes in 1/mm


@kernel
def _below(nodes: Array, value: float, hint: int) -> int:
    """Index of the last node not above ``value``, of all but the last, looked for from ``hint``.

    Neighbouring points have neighbouring indices, so that walking is quicker than bisection.
    """
    i = hint
    while i > 0 and nodes[i] > value:
        i -= 1
    while i < nodes.size - 2 and nodes[i + 1] <= value:
        i += 1
    return i


@kernel
def _mixed(values: Array, i: int, j: int, s: float, t: float) -> float:
    """Between four neighbours of a table, or two where it has one row or column."""
    below, right = min(1, values.shape[0] - 1), min(1, values.shape[1] - 1)
    near = values[i, j] + t * (values[i, j + right] - values[i, j])
    far = values[i + below, j] + t * (values[i + below, j + right] - values[i + below, j])
    return float(max(near + s * (far - near), 0.0))


@kernel
def _share(nodes: Array, i: int, value: float) -> float:
    """How far ``value`` is from node i to the next one."""
    if nodes.size == 1:
        return 0.0
    return float((value - nodes[i]) / (nodes[i + 1] - nodes[i]))


@kernel
def ellipse_depth(semi_x: float, semi_y: float, source: Array, points: Array, depth: Array) -> None:
    """Length, mm, in an ellipse from the source to points (n, 2); see ``_reference``."""
    sx, sy = source[0] / semi_x, source[1] / semi_y
    c = sx * sx + sy * sy - 1.0
    for k in range(depth.size):
        dx, dy = points[k, 0] - source[0], points[k, 1] - source[1]
        ux, uy = dx / semi_x, dy / semi_y
        a, b = ux * ux + uy * uy, ux * sx + uy * sy
        inner = b * b - a * c
        depth[k] = 0.0
        if inner >= 0.0:
            entry = (-b - sqrt(inner)) / a
            depth[k] = max((1.0 - entry) * hypot(dx, dy), 0.0)


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
    scatter, row, column, deep, out = 0, 0, 0, 0, 0
    for k in range(distance.size):
        grown, off_axis = distance[k] / field.sad, abs(lateral[k])
        side = field.side * grown
        inside = field.half_width * grown - off_axis
        slow, fast = 0.5 * (erf(SLOW * inside) + 1.0), 0.5 * (erf(FAST * inside) + 1.0)
        edge = OPEN + (1.0 - OPEN) * (SHARE * slow + (1.0 - SHARE) * fast)
        square = (field.reference / distance[k]) ** 2
        wedge = 1.0
        if field.wedge_slope != 0.0:
            wedge = exp(field.wedge_slope * lateral[k] / grown)
        scatter = _below(tables.sides, side, scatter)
        row = _below(tables.tpr_depths, water[k], row)
        column = _below(tables.tpr_sides, side, column)
        deep = _below(tables.oar_depths, water[k], deep)
        out = _below(tables.oar_lengths, off_axis, out)
        s = _share(tables.tpr_depths, row, water[k])
        t = _share(tables.tpr_sides, column, side)
        u = _share(tables.oar_depths, deep, water[k])
        v = _share(tables.oar_lengths, out, off_axis)
        w = _share(tables.sides, scatter, side)
        above = min(scatter + 1, tables.sides.size - 1)
        low = tables.scatter[scatter]
        dose[k] += (
            field.output
            * max(low + w * (tables.scatter[above] - low), 0.0)
            * _mixed(tables.tpr, row, column, s, t)
            * _mixed(tables.oar, deep, out, u, v)
            * edge
            * square
            * wedge
        )
