"""Compiled sampled search for the gamma index; the plain twin is ``_gamma_reference``.

Units and results are those of ``_gamma_kernels``. The search follows shells of growing radius r
(Wendling et al. 2007, Med. Phys. 34, 1647 [Wendling2007]_) and ends where r alone exceeds the
gamma found. It leaves out octants of a shell that cannot lower it: from a point whose own
difference is ``d``, along any straight way in an octant, trilinear dose changes by no more than r
times the steepest slope ``m`` in the cells there, so that ``r^2 + max(d - m r, 0)^2`` bounds gamma
from below.
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
    gz, gy, gx = 1.0 - fz, 1.0 - fy, 1.0 - fx  # both ends exact, unlike a + f (b - a)
    a = gx * values[at] + fx * values[at + jx]
    b = gx * values[at + jy] + fx * values[at + jy + jx]
    at += jz
    c = gx * values[at] + fx * values[at + jx]
    d = gx * values[at + jy] + fx * values[at + jy + jx]
    result = gz * (gy * a + fy * b) + fz * (gy * c + fy * d)
    if not math.isnan(result):
        return float(result)
    total = 0.0
    at -= jz
    for corner in range(8):
        wz = fz if corner & 4 else gz
        wy = fy if corner & 2 else gy
        wx = fx if corner & 1 else gx
        weight = wz * wy * wx
        if weight > 0.0:
            there = at + (jz if corner & 4 else 0) + (jy if corner & 2 else 0)
            total += weight * values[there + (jx if corner & 1 else 0)]
    return total


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
def _is_inside(shape: Int64, z: float, y: float, x: float) -> bool:
    """Whether a position is in the hull of the voxel centres."""
    return bool(
        -ROUNDING <= z <= shape[0] - 1.0 + ROUNDING
        and -ROUNDING <= y <= shape[1] - 1.0 + ROUNDING
        and -ROUNDING <= x <= shape[2] - 1.0 + ROUNDING
    )


@kernel
def _shell_part(
    values: Array, shape: Int64, point: Array, samples: Array, first: int, last: int, dose: float,
    least: float,
) -> float:  # fmt: skip
    """Lower of ``least`` and the difference of dose at samples of a shell that have a dose."""
    for s in range(first, last):
        z, y, x = point[0] + samples[s, 0], point[1] + samples[s, 1], point[2] + samples[s, 2]
        if _is_inside(shape, z, y, x):
            difference = abs(_trilinear(values, shape, z, y, x) - dose)
            least = min(least, difference)
    return least


@kernel
def _steepest(values: Array, at: int, step: int, j1: int, j2: int, sign: float) -> float:
    """Steepest change of dose times ``sign`` along the four edges of a cell in one direction."""
    a = values[at + step] - values[at]
    b = values[at + step + j1] - values[at + j1]
    c = values[at + step + j2] - values[at + j2]
    d = values[at + step + j1 + j2] - values[at + j1 + j2]
    if math.isnan(a + b + c + d):
        return np.inf
    return float(max(a * sign, b * sign, c * sign, d * sign))


@kernel
def _slope(
    values: Array, shape: Int64, steps: Array, point: Array, reach: Array, octant: int, sign: float
) -> float:  # fmt: skip
    """Steepest rise of dose times ``sign`` in an octant, per length; infinite beside no dose."""
    jz = shape[1] * shape[2] if shape[0] > 1 else 0
    jy = shape[2] if shape[1] > 1 else 0
    jx = 1 if shape[2] > 1 else 0
    z0, z1 = _cells_in_reach(point[0], reach[0], octant & 4, max(shape[0] - 1, 1))
    y0, y1 = _cells_in_reach(point[1], reach[1], octant & 2, max(shape[1] - 1, 1))
    x0, x1 = _cells_in_reach(point[2], reach[2], octant & 1, max(shape[2] - 1, 1))
    up_z = sign if octant & 4 else -sign
    up_y = sign if octant & 2 else -sign
    up_x = sign if octant & 1 else -sign
    slope_z = slope_y = slope_x = 0.0
    for z in range(z0, z1 + 1):
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                at = (z * shape[1] + y) * shape[2] + x
                slope_z = max(slope_z, _steepest(values, at, jz, jy, jx, up_z))
                slope_y = max(slope_y, _steepest(values, at, jy, jz, jx, up_y))
                slope_x = max(slope_x, _steepest(values, at, jx, jz, jy, up_x))
    slope_z, slope_y, slope_x = slope_z / steps[0], slope_y / steps[1], slope_x / steps[2]
    return math.sqrt(slope_z * slope_z + slope_y * slope_y + slope_x * slope_x)


@kernel
def _slopes(
    values: Array, shape: Int64, steps: Array, point: Array, own: float, limit: float,
    scale: float, reach: Array, slopes: Array,
) -> float:  # fmt: skip
    """Fills the steepest slope (8,) of each octant towards the reference dose; gives the steepest.

    ``own`` is the difference of dose at the point itself; infinite if it has none.
    """
    if math.isinf(own):
        slopes[:] = np.inf
        return np.inf
    for axis in range(3):
        reach[axis] = min(abs(own), limit) / steps[axis]
    sign = -1.0 if own > 0.0 else 1.0
    steepest = 0.0
    for octant in range(8):
        slopes[octant] = scale * _slope(values, shape, steps, point, reach, octant, sign)
        steepest = max(steepest, slopes[octant])
    return steepest


@kernel
def _sampled(
    values: Array, shape: Int64, steps: Array, samples: Array, starts: Int64, n_steps: int,
    limit: float, point: Array, beside: float, dose: float, scale: float, reach: Array,
    slopes: Array,
) -> float:  # fmt: skip
    """Gamma of one point by search over shells of samples; ``reach``, ``slopes`` are scratch."""
    own = np.inf
    if _is_inside(shape, point[0], point[1], point[2]):
        own = (_trilinear(values, shape, point[0], point[1], point[2]) - dose) * scale
        if math.isnan(own):
            own = np.inf
    best = own * own + beside
    last = starts.shape[0] - 1
    if last < 1 or best <= 1.0 / (n_steps * n_steps) + beside:
        return math.sqrt(best)
    steepest = _slopes(values, shape, steps, point, own, limit, scale, reach, slopes)
    likely = 1
    if not math.isinf(steepest):
        likely = round(n_steps * abs(own) * steepest / (1.0 + steepest * steepest))
        likely = min(max(likely, 1), last)
    for turn in range(last + 1):
        shell = likely if turn == 0 else turn
        if turn == likely:
            continue
        distance = shell / n_steps
        radius = distance * distance + beside
        if radius >= best or radius > limit * limit:
            if turn == 0:
                continue
            break
        for octant in range(8):
            bound = max(abs(own) - slopes[octant] * distance, 0.0)
            if radius + bound * bound >= best:
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
    values: Array, shape: Int64, steps: Array, samples: Array, starts: Int64, n_steps: int,
    limit: float, points: Array, beside: Array, doses: Array, tolerances: Array, out: Array,
) -> None:  # fmt: skip
    """Gamma (n,) by search over samples of the evaluated grid, trilinear.

    Rows ``starts[k, o]`` to ``starts[k, o + 1]`` of ``samples`` (m, 3) are the offsets in octant
    ``o`` (bits z, y, x: 1 upwards) of the shell of radius ``k / n_steps``. ``points`` have
    position 0 along axes with one voxel and lie a squared distance ``beside`` from the grid.
    """
    n = out.size
    for lane in prange(_LANES):
        reach, slopes = np.empty(3), np.empty(8)
        for block in range(lane * _BLOCK, n, _LANES * _BLOCK):
            for i in range(block, min(block + _BLOCK, n)):
                out[i] = _sampled(
                    values, shape, steps, samples, starts, n_steps, limit, points[i], beside[i],
                    doses[i], 1.0 / tolerances[i], reach, slopes,
                )  # fmt: skip
