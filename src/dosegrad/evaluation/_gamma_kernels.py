"""Compiled search for the gamma index; the plain twin is ``_gamma_reference``.

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

The sampled search follows shells of growing radius (Wendling et al. 2007 [Wendling2007]_).
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.compiled import kernel, parallel_kernel, prange

Int64: TypeAlias = NDArray[np.int64]

#: Samples this far outside the evaluated grid, in voxels, are rounding and count as on its face.
ROUNDING = 1e-9

# Points are dealt in blocks to lanes and lanes to threads, so that a slow region is shared.
_LANES = 64
_BLOCK = 32
# Shells searched before the doses in reach are looked up to leave out whole octants.
_FIRST_SHELLS = 3


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
        seen = True
        off = max(low, -high, 0.0)
        if box + off * off >= best:
            continue
        at = (z * shape[1] + y) * shape[2] + x
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
    """Lowest and highest dose at the corners of each cell; NaN if none has a dose."""
    ny, nx = shape[1] - cell[1], shape[2] - cell[2]
    for z in prange(shape[0] - cell[0]):
        for y in range(ny):
            for x in range(nx):
                low, high = np.inf, -np.inf
                for i in range(z, z + cell[0] + 1):
                    for j in range(y, y + cell[1] + 1):
                        for k in range(x, x + cell[2] + 1):
                            value = values[(i * shape[1] + j) * shape[2] + k]
                            if not math.isnan(value):
                                low, high = min(low, value), max(high, value)
                at = (z * ny + y) * nx + x
                lowest[at] = low if low <= high else np.nan
                highest[at] = high if low <= high else np.nan


@kernel
def _trilinear(values: Array, shape: Int64, z: float, y: float, x: float) -> float:
    """Dose at a position inside the grid; NaN where a dose that counts is missing."""
    z = min(max(z, 0.0), shape[0] - 1.0)
    y = min(max(y, 0.0), shape[1] - 1.0)
    x = min(max(x, 0.0), shape[2] - 1.0)
    i = min(int(z), max(shape[0] - 2, 0))
    j = min(int(y), max(shape[1] - 2, 0))
    k = min(int(x), max(shape[2] - 2, 0))
    fz, fy, fx = z - i, y - j, x - k
    jz = shape[1] * shape[2] if shape[0] > 1 else 0
    jy = shape[2] if shape[1] > 1 else 0
    jx = 1 if shape[2] > 1 else 0
    at = (i * shape[1] + j) * shape[2] + k
    a = values[at] + fx * (values[at + jx] - values[at])
    b = values[at + jy] + fx * (values[at + jy + jx] - values[at + jy])
    at += jz
    c = values[at] + fx * (values[at + jx] - values[at])
    d = values[at + jy] + fx * (values[at + jy + jx] - values[at + jy])
    a += fy * (b - a)
    c += fy * (d - c)
    result = a + fz * (c - a)
    if not math.isnan(result):
        return float(result)
    total = 0.0
    at -= jz
    for corner in range(8):
        wz = fz if corner & 4 else 1.0 - fz
        wy = fy if corner & 2 else 1.0 - fy
        wx = fx if corner & 1 else 1.0 - fx
        weight = wz * wy * wx
        if weight > 0.0:
            there = at + (jz if corner & 4 else 0) + (jy if corner & 2 else 0)
            total += weight * values[there + (jx if corner & 1 else 0)]
    return total


@kernel
def _octant_bound(
    lowest: Array, highest: Array, shape: Int64, cell: Int64, point: Array, reach: Array,
    octant: int, dose: float, scale: float,
) -> float:  # fmt: skip
    """Least squared difference of dose in an octant around a point; infinite if it has none."""
    least = np.inf
    nz, ny, nx = shape[0] - cell[0], shape[1] - cell[1], shape[2] - cell[2]
    z0, z1 = _cells_in_reach(point[0], reach[0], octant & 4, nz)
    y0, y1 = _cells_in_reach(point[1], reach[1], octant & 2, ny)
    x0, x1 = _cells_in_reach(point[2], reach[2], octant & 1, nx)
    for z in range(z0, z1 + 1):
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                at = (z * ny + y) * nx + x
                low, high = (lowest[at] - dose) * scale, (highest[at] - dose) * scale
                if not math.isnan(low):
                    least = min(least, max(low, -high, 0.0))
    return least * least


@kernel
def _cells_in_reach(position: float, reach: float, upwards: int, n: int) -> tuple[int, int]:
    """First and last cell along an axis that a point reaches in one direction."""
    if upwards:
        first = min(math.floor(position), n - 1)
        last = math.floor(position + reach - ROUNDING)
    else:
        first = math.floor(position - reach + ROUNDING)
        last = math.floor(position - ROUNDING)
    return max(first, 0), min(last, n - 1)


@kernel
def _shell_part(
    values: Array, shape: Int64, point: Array, samples: Array, first: int, last: int, dose: float,
    least: float,
) -> float:  # fmt: skip
    """Lower of ``least`` and the difference of dose at samples of a shell that have a dose."""
    top_z, top_y, top_x = shape[0] - 1.0, shape[1] - 1.0, shape[2] - 1.0
    for s in range(first, last):
        z, y, x = point[0] + samples[s, 0], point[1] + samples[s, 1], point[2] + samples[s, 2]
        outside = max(-z, -y, -x, z - top_z, y - top_y, x - top_x)
        if outside <= ROUNDING:
            difference = abs(_trilinear(values, shape, z, y, x) - dose)
            least = min(least, difference)
    return least


@kernel
def _sampled(
    values: Array, lowest: Array, highest: Array, shape: Int64, steps: Array, cell: Int64,
    samples: Array, starts: Int64, n_steps: int, limit: float, point: Array, beside: float,
    dose: float, scale: float, reach: Array, bounds: Array,
) -> float:  # fmt: skip
    """Gamma of one point by search over shells of samples; ``reach``, ``bounds`` are scratch."""
    bounds[:] = 0.0
    best = np.inf
    for shell in range(starts.shape[0]):
        radius = (shell / n_steps) ** 2 + beside
        if radius >= best or radius > limit * limit:
            break
        if shell == _FIRST_SHELLS:
            for axis in range(3):
                reach[axis] = min(math.sqrt(best), limit) / steps[axis]
            for octant in range(8):
                bounds[octant] = _octant_bound(
                    lowest, highest, shape, cell, point, reach, octant, dose, scale
                )  # fmt: skip
        for octant in range(8):
            if bounds[octant] + radius >= best:
                continue
            least = _shell_part(
                values, shape, point, samples, starts[shell, octant], starts[shell, octant + 1],
                dose, math.sqrt(best - radius) / scale,
            )  # fmt: skip
            off = least * scale
            best = min(best, radius + off * off)
    return math.sqrt(best)


@parallel_kernel
def sampled(
    values: Array, lowest: Array, highest: Array, shape: Int64, steps: Array, cell: Int64,
    samples: Array, starts: Int64, n_steps: int, limit: float,
    points: Array, beside: Array, doses: Array, tolerances: Array, out: Array,
) -> None:  # fmt: skip
    """Gamma (n,) by search over samples of the evaluated grid, trilinear.

    Rows ``starts[k, o]`` to ``starts[k, o + 1]`` of ``samples`` (m, 3) are the offsets in octant
    ``o`` (bits z, y, x: 1 upwards) of the shell of radius ``k / n_steps``. ``points`` have
    position 0 along axes with one voxel and lie a squared distance ``beside`` from the grid.
    """
    n = out.size
    for lane in prange(_LANES):
        reach, bounds = np.empty(3), np.empty(8)
        for block in range(lane * _BLOCK, n, _LANES * _BLOCK):
            for i in range(block, min(block + _BLOCK, n)):
                out[i] = _sampled(
                    values, lowest, highest, shape, steps, cell, samples, starts, n_steps, limit,
                    points[i], beside[i], doses[i], 1.0 / tolerances[i], reach, bounds,
                )  # fmt: skip
