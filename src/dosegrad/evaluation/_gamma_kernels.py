"""Compiled exact search for the gamma index; the plain twin is ``_gamma_reference``.

Positions are fractional indices (z, y, x) on the evaluated grid, lengths are in units of the
distance criterion and doses in Gy divided by each point's dose criterion. Every kernel writes one
gamma per reference point: at most ``limit``, infinite where no evaluated dose is in reach.

The exact search is that of Ju et al. 2008, Med. Phys. 35, 879 [Ju2008]_: the nearest point of a
piecewise linear surface. Cells are cut into the simplices of Kuhn, whose vertices follow a path
along the axes, so that the edges ``V_j - V_{j-1}`` of every face are at right angles and each
face has its minimum in closed form. With ``a_j`` the squared length of edge j, ``Q_j`` the scalar
product of the edge and the way from the first vertex to the point, ``G_j`` the rise of dose along
it and ``c`` the difference of dose, extrapolated to the foot of the point, the parameters are

    ``s_j = Q_j / a_j - c (G_j / a_j) / (1 + sum G^2 / a)``,  inside if ``1 >= s_1 >= ... >= 0``,

and the squared distance is that to the plane of the face plus ``c^2 / (1 + sum G^2 / a)``. If the
foot lies outside, the minimum is on a face whose condition fails.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.compiled import kernel, parallel_kernel, prange

Int64: TypeAlias = NDArray[np.int64]

# Points are dealt in blocks to lanes and lanes to threads, so that a slow region is shared.
_LANES = 64
_BLOCK = 32


@kernel
def _edge(best: float, r: float, d: float, e: float, q: float, a: float) -> float:
    """Lower of ``best`` and the squared distance to an edge with end doses ``d`` and ``e``."""
    if math.isnan(d) or math.isnan(e):
        if not math.isnan(d):
            best = min(best, r + q * q / a + d * d)
        if not math.isnan(e):
            best = min(best, r + (q - a) * (q - a) / a + e * e)
        return best
    rise = e - d
    part = (q - d * rise) / (a + rise * rise)
    part = min(max(part, 0.0), 1.0)
    off = q - part * a
    dose = d + part * rise
    return min(best, r + off * off / a + dose * dose)


@kernel
def _triangle(
    best: float,
    r: float,
    d0: float,
    d1: float,
    d2: float,
    q1: float,
    q2: float,
    a1: float,
    a2: float,
) -> float:
    """Lower of ``best`` and the squared distance to a triangle."""
    g1, g2 = d1 - d0, d2 - d1
    t1, t2 = q1 / a1, q2 / a2
    c = d0 + g1 * t1 + g2 * t2
    part = 1.0 / (1.0 + g1 * g1 / a1 + g2 * g2 / a2)
    plane = r + c * c * part
    if plane >= best:
        return best
    missing = math.isnan(plane)
    s1, s2 = t1 - c * part * g1 / a1, t2 - c * part * g2 / a2
    if 1.0 >= s1 >= s2 >= 0.0:
        return plane
    if missing or s1 > 1.0:
        off = q1 - a1
        best = _edge(best, r + off * off / a1, d1, d2, q2, a2)
    if missing or s1 < s2:
        off = t1 - t2
        best = _edge(best, r + off * off * a1 * a2 / (a1 + a2), d0, d2, q1 + q2, a1 + a2)
    if missing or s2 < 0.0:
        best = _edge(best, r + q2 * t2, d0, d1, q1, a1)
    return best


@kernel
def _tetrahedron(
    best: float, d0: float, d1: float, d2: float, d3: float,
    q1: float, q2: float, q3: float, a1: float, a2: float, a3: float,
) -> float:  # fmt: skip
    """Lower of ``best`` and the squared distance to a tetrahedron."""
    g1, g2, g3 = d1 - d0, d2 - d1, d3 - d2
    t1, t2, t3 = q1 / a1, q2 / a2, q3 / a3
    c = d0 + g1 * t1 + g2 * t2 + g3 * t3
    part = 1.0 / (1.0 + g1 * g1 / a1 + g2 * g2 / a2 + g3 * g3 / a3)
    plane = c * c * part
    if plane >= best:
        return best
    missing = math.isnan(plane)
    s1 = t1 - c * part * g1 / a1
    s2 = t2 - c * part * g2 / a2
    s3 = t3 - c * part * g3 / a3
    if 1.0 >= s1 >= s2 >= s3 >= 0.0:
        return plane
    if missing or s1 > 1.0:
        off = q1 - a1
        best = _triangle(best, off * off / a1, d1, d2, d3, q2, q3, a2, a3)
    if missing or s1 < s2:
        off = t1 - t2
        r = off * off * a1 * a2 / (a1 + a2)
        best = _triangle(best, r, d0, d2, d3, q1 + q2, q3, a1 + a2, a3)
    if missing or s2 < s3:
        off = t2 - t3
        r = off * off * a2 * a3 / (a2 + a3)
        best = _triangle(best, r, d0, d1, d3, q1, q2 + q3, a1, a2 + a3)
    if missing or s3 < 0.0:
        best = _triangle(best, q3 * t3, d0, d1, d2, q1, q2, a1, a2)
    return best


@kernel
def _cell_3d(
    best: float, v: Array, at: int, jz: int, jy: int, jx: int, dose: float, scale: float,
    qz: float, qy: float, qx: float, az: float, ay: float, ax: float,
) -> float:  # fmt: skip
    """Lower of ``best`` and the squared distance to the six tetrahedra of a cell."""
    d000 = (v[at] - dose) * scale
    d001 = (v[at + jx] - dose) * scale
    d010 = (v[at + jy] - dose) * scale
    d011 = (v[at + jy + jx] - dose) * scale
    d100 = (v[at + jz] - dose) * scale
    d101 = (v[at + jz + jx] - dose) * scale
    d110 = (v[at + jz + jy] - dose) * scale
    d111 = (v[at + jz + jy + jx] - dose) * scale
    best = _tetrahedron(best, d000, d100, d110, d111, qz, qy, qx, az, ay, ax)
    best = _tetrahedron(best, d000, d100, d101, d111, qz, qx, qy, az, ax, ay)
    best = _tetrahedron(best, d000, d010, d110, d111, qy, qz, qx, ay, az, ax)
    best = _tetrahedron(best, d000, d010, d011, d111, qy, qx, qz, ay, ax, az)
    best = _tetrahedron(best, d000, d001, d101, d111, qx, qz, qy, ax, az, ay)
    return _tetrahedron(best, d000, d001, d011, d111, qx, qy, qz, ax, ay, az)


@kernel
def _cell_2d(
    best: float, r: float, v: Array, at: int, j1: int, j2: int, dose: float, scale: float,
    q1: float, q2: float, a1: float, a2: float,
) -> float:  # fmt: skip
    """Lower of ``best`` and the squared distance to the two triangles of a cell."""
    d00 = (v[at] - dose) * scale
    d01 = (v[at + j2] - dose) * scale
    d10 = (v[at + j1] - dose) * scale
    d11 = (v[at + j1 + j2] - dose) * scale
    best = _triangle(best, r, d00, d10, d11, q1, q2, a1, a2)
    return _triangle(best, r, d00, d01, d11, q2, q1, a2, a1)


@kernel
def _outside(position: float, low: float, high: float) -> float:
    """How far a position lies outside an interval."""
    return max(low - position, position - high, 0.0)


@kernel
def _box(point: Array, z: float, y: float, x: float, cell: Int64, steps: Array) -> float:
    """Squared distance from a point to the box of a cell."""
    dz = _outside(point[0], z, z + cell[0]) * steps[0]
    dy = _outside(point[1], y, y + cell[1]) * steps[1]
    dx = _outside(point[2], x, x + cell[2]) * steps[2]
    return float(dz * dz + dy * dy + dx * dx)


@kernel
def _cell(
    best: float, values: Array, at: int, n_y: int, n_x: int, cell: Int64, steps: Array,
    point: Array, z: int, y: int, x: int, dose: float, scale: float,
) -> float:  # fmt: skip
    """Lower of ``best`` and the squared distance to the simplices of one cell."""
    az, ay, ax = steps[0] * steps[0], steps[1] * steps[1], steps[2] * steps[2]
    qz, qy, qx = (point[0] - z) * az, (point[1] - y) * ay, (point[2] - x) * ax
    jz, jy = n_y * n_x, n_x
    in_z, in_y, in_x = cell[0] > 0, cell[1] > 0, cell[2] > 0
    if in_z and in_y and in_x:
        return _cell_3d(
            best, values, at, jz, jy, 1, dose, scale, qz, qy, qx, az, ay, ax
        )  # fmt: skip
    r = 0.0
    if not in_z:
        r += qz * qz / az
    if not in_y:
        r += qy * qy / ay
    if not in_x:
        r += qx * qx / ax
    if in_y and in_x:
        return _cell_2d(best, r, values, at, jy, 1, dose, scale, qy, qx, ay, ax)
    if in_z and in_x:
        return _cell_2d(best, r, values, at, jz, 1, dose, scale, qz, qx, az, ax)
    if in_z and in_y:
        return _cell_2d(best, r, values, at, jz, jy, dose, scale, qz, qy, az, ay)
    first = (values[at] - dose) * scale
    if in_z:
        return _edge(best, r, first, (values[at + jz] - dose) * scale, qz, az)
    if in_y:
        return _edge(best, r, first, (values[at + jy] - dose) * scale, qy, ay)
    if in_x:
        return _edge(best, r, first, (values[at + 1] - dose) * scale, qx, ax)
    return float(min(best, r + first * first))


@kernel
def _nearest(
    values: Array, shape: Int64, point: Array, steps: Array, dose: float, scale: float
) -> float:
    """Squared distance to the nearest voxel centre; infinite if it has no dose."""
    z = min(max(round(point[0]), 0), shape[0] - 1)
    y = min(max(round(point[1]), 0), shape[1] - 1)
    x = min(max(round(point[2]), 0), shape[2] - 1)
    dz, dy, dx = (point[0] - z) * steps[0], (point[1] - y) * steps[1], (point[2] - x) * steps[2]
    off = (values[(z * shape[1] + y) * shape[2] + x] - dose) * scale
    if math.isnan(off):
        return np.inf
    return float(dz * dz + dy * dy + dx * dx + off * off)


@kernel
def _exact(
    values: Array, lowest: Array, highest: Array, shape: Int64, steps: Array, cell: Int64,
    offsets: Int64, bounds: Array, limit: float, point: Array, dose: float, scale: float,
) -> float:  # fmt: skip
    """Gamma of one point by search over cells, nearest first."""
    farthest = limit * limit
    best = _nearest(values, shape, point, steps, dose, scale)
    seen = best <= farthest
    best = min(best, farthest)
    nz, ny, nx = shape[0] - cell[0], shape[1] - cell[1], shape[2] - cell[2]
    z0 = math.floor(point[0]) if cell[0] > 0 else 0
    y0 = math.floor(point[1]) if cell[1] > 0 else 0
    x0 = math.floor(point[2]) if cell[2] > 0 else 0
    for k in range(bounds.size):
        if bounds[k] >= best and seen:
            break
        z, y, x = int(z0 + offsets[k, 0]), int(y0 + offsets[k, 1]), int(x0 + offsets[k, 2])
        if z < 0 or y < 0 or x < 0 or z >= nz or y >= ny or x >= nx:
            continue
        box = _box(point, z, y, x, cell, steps)
        at = (z * ny + y) * nx + x
        low, high = (lowest[at] - dose) * scale, (highest[at] - dose) * scale
        if math.isnan(low) or box > farthest:
            continue
        at = (z * shape[1] + y) * shape[2] + x
        if not seen and math.isinf(low):  # distance alone tells whether a dose is in reach
            near = _cell(
                np.inf, values, at, shape[1], shape[2], cell, steps, point, z, y, x, dose, 0.0
            )  # fmt: skip
            if near > farthest:
                continue
        seen = True
        off = max(low, -high, 0.0)
        if box + off * off >= best:
            continue
        best = _cell(
            best, values, at, shape[1], shape[2], cell, steps, point, z, y, x, dose, scale
        )  # fmt: skip
    return math.sqrt(best) if seen else np.inf


@parallel_kernel
def exact(
    values: Array, lowest: Array, highest: Array, shape: Int64, steps: Array, cell: Int64,
    offsets: Int64, bounds: Array, limit: float,
    points: Array, doses: Array, tolerances: Array, out: Array,
) -> None:  # fmt: skip
    """Gamma (n,) by exact search over the simplices of the evaluated grid.

    ``values`` is flat; ``lowest`` and ``highest`` are the flat doses of the cells' corners;
    ``cell`` (3,) is 1 along axes with cells and 0 along those with one voxel; ``offsets`` (m, 3)
    are cells from the one that holds a point, in order of ``bounds`` (m,), their squared distance
    at least.
    """
    n = out.size
    for lane in prange(_LANES):
        for block in range(lane * _BLOCK, n, _LANES * _BLOCK):
            for i in range(block, min(block + _BLOCK, n)):
                out[i] = _exact(
                    values, lowest, highest, shape, steps, cell, offsets, bounds, limit,
                    points[i], doses[i], 1.0 / tolerances[i],
                )  # fmt: skip


@parallel_kernel
def corner_doses(values: Array, shape: Int64, cell: Int64, lowest: Array, highest: Array) -> None:
    """Lowest and highest dose at a cell's corners; NaN if none has one, infinite if one has not."""
    ny, nx = shape[1] - cell[1], shape[2] - cell[2]
    for z in prange(shape[0] - cell[0]):
        for y in range(ny):
            for x in range(nx):
                low, high, missing = np.inf, -np.inf, 0
                for i in range(z, z + cell[0] + 1):
                    for j in range(y, y + cell[1] + 1):
                        for k in range(x, x + cell[2] + 1):
                            value = values[(i * shape[1] + j) * shape[2] + k]
                            missing += math.isnan(value)
                            low, high = min(low, value), max(high, value)
                if missing > 0:
                    full = (1 + cell[0]) * (1 + cell[1]) * (1 + cell[2])
                    low, high = (np.nan, np.nan) if missing == full else (-np.inf, np.inf)
                at = (z * ny + y) * nx + x
                lowest[at], highest[at] = low, high
