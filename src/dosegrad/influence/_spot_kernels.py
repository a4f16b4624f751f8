"""Compiled loops over moving spots; ``_spot_reference`` holds the same in plain NumPy.

For each spot the voxels in its reach are picked first; what follows runs over them alone, one
quantity at a time and without branches, so that vector units can take it. Blocks of spots run side
by side, each into dose of its own; the number of blocks is that of the array given, so that results
do not depend on the number of threads.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dosegrad.compiled import kernel, parallel_kernel, prange
from dosegrad.influence._spot_arrays import SpotField

__all__ = ["add_spots", "count_voxels", "fill_spots", "gather_spots"]

#: Part of the squared reach at which the window begins to close. As in ``_spot_reference``.
OPEN_UP_TO = 0.6

_PER_LN2 = 1.4426950408889634
_LN2 = 0.6931471805599453
#: Adding it to a number below 2^51 leaves the nearest whole number in the lowest bits.
_ROUND = 6755399441055744.0
_LOWEST = -700.0

Row: TypeAlias = NDArray[np.float64]
Row2: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = NDArray[np.int32]


@kernel
def exponential(x: float) -> float:
    """The function exp(x) of -700 <= x <= 0, to 1e-11 of its value, without look-up or branch."""
    moved = x * _PER_LN2 + _ROUND
    f = x - (moved - _ROUND) * _LN2
    series = 1.0 + f * (
        1.0
        + f
        * (
            1 / 2
            + f
            * (
                1 / 6
                + f
                * (
                    1 / 24
                    + f * (1 / 120 + f * (1 / 720 + f * (1 / 5040 + f * (1 / 40320 + f / 362880))))
                )
            )
        )
    )
    # 2^n: n is added to the exponent's bits
    power = np.float64(moved).view(np.int64) << np.int64(52)
    bits = np.float64(series).view(np.int64) + power
    return float(np.int64(bits).view(np.float64))


@kernel
def _misses(field: SpotField, layer: int, tile: int, x: float, y: float) -> bool:
    """Whether a spot of a layer reaches no voxel of a tile."""
    if field.stops[layer, tile] == 0:
        return True
    du = max(field.boxes[tile, 0] - x, 0.0, x - field.boxes[tile, 1])
    dv = max(field.boxes[tile, 2] - y, 0.0, y - field.boxes[tile, 3])
    reach = field.reaches[layer, tile]
    return bool(du * du + dv * dv >= reach * reach)


@kernel
def _pick(field: SpotField, layer: int, x: float, y: float, numbers: Numbers, r2: Row) -> int:
    """Number of voxels that a spot reaches; which they are, and their squared distances.

    Every voxel of a tile is written and only those in reach are kept, so that nothing hangs on a
    branch that the processor cannot foresee.
    """
    n = 0
    limits = field.limits[layer]
    for tile in range(field.boxes.shape[0]):
        if _misses(field, layer, tile, x, y):
            continue
        first = field.heads[tile]
        for i in range(first, first + field.stops[layer, tile]):
            du, dv = field.us[i] - x, field.vs[i] - y
            squared = du * du + dv * dv
            numbers[n], r2[n] = i, squared
            n += squared < limits[i]
    return n


@kernel
def _look_up(gaussians: NDArray[np.float32], k: int, numbers: Numbers, work: Row2) -> None:
    """Heights and steepness of one Gaussian at the voxels picked, into rows 3 and 4 of ``work``."""
    heights, steepness = work[3], work[4]
    for m in range(numbers.size):
        at = np.uint64(numbers[m])
        heights[m] = gaussians[at, 2 * k]
        steepness[m] = gaussians[at, 2 * k + 1]


@kernel
def _add_gaussian(n: int, work: Row2) -> None:
    """Add one Gaussian to row 1 of ``work``."""
    r2, sums, heights, steepness = work[0], work[1], work[3], work[4]
    for m in range(n):
        sums[m] += heights[m] * exponential(max(-steepness[m] * r2[m], _LOWEST))


@kernel
def _add_slope(n: int, work: Row2) -> None:
    """Add one Gaussian to row 1 of ``work``, and its derivative by squared distance to row 2."""
    r2, sums, fall, heights, steepness = work[0], work[1], work[2], work[3], work[4]
    for m in range(n):
        one = heights[m] * exponential(max(-steepness[m] * r2[m], _LOWEST))
        sums[m] += one
        fall[m] -= one * steepness[m]


@kernel
def _take(values: NDArray[np.float32], numbers: Numbers, out: Row) -> None:
    """Values at the voxels picked."""
    for m in range(numbers.size):
        out[m] = values[np.uint64(numbers[m])]


@kernel
def _put_window(n: int, work: Row2) -> None:
    """Put the window on the sums in row 1; row 3 holds where it has closed."""
    r2, sums, limits = work[0], work[1], work[3]
    for m in range(n):
        s = min(max((limits[m] - r2[m]) / (limits[m] * (1.0 - OPEN_UP_TO)), 0.0), 1.0)
        sums[m] *= s * s * (3.0 - 2.0 * s)


@kernel
def _put_window_on_slopes(n: int, work: Row2) -> None:
    """Put the window on sums (row 1) and derivative (row 2), and the factors of row 4 on both."""
    r2, sums, fall, limits, factors = work[0], work[1], work[2], work[3], work[4]
    for m in range(n):
        width = limits[m] * (1.0 - OPEN_UP_TO)
        s = min(max((limits[m] - r2[m]) / width, 0.0), 1.0)
        window = s * s * (3.0 - 2.0 * s)
        fall[m] = factors[m] * (fall[m] * window - sums[m] * (6.0 * s * (1.0 - s)) / width)
        sums[m] *= factors[m] * window


@kernel
def _spot_sums(
    field: SpotField, layer: int, x: float, y: float, numbers: Numbers, work: Row2
) -> int:
    """Number of voxels that a spot reaches; which they are, and its dose in row 1 of ``work``."""
    n = _pick(field, layer, x, y, numbers, work[0])
    work[1, :n] = 0.0
    for k in range(field.gaussians.shape[2] >> 1):
        _look_up(field.gaussians[layer], k, numbers[:n], work)
        _add_gaussian(n, work)
    _take(field.limits[layer], numbers[:n], work[3])
    _put_window(n, work)
    return n


@parallel_kernel
def add_spots(
    field: SpotField,
    layers: NDArray[np.int64],
    spots: NDArray[np.float64],
    partial: NDArray[np.float64],
) -> None:
    """Dose of ``spots`` (n_spots, 3), weight, x and y, added to ``partial`` (n_blocks, n).

    ``layers`` (n_spots,): layer of each spot. The dose is the sum over blocks.
    """
    n_blocks, room = partial.shape
    for block in prange(n_blocks):
        numbers, work = np.empty(room + 1, dtype=np.int32), np.empty((5, room + 1))
        dose, sums = partial[block], work[1]
        for j in range(block, spots.shape[0], n_blocks):
            weight, layer = spots[j, 0], layers[j]
            if weight == 0.0:
                continue
            n = _spot_sums(field, layer, spots[j, 1], spots[j, 2], numbers, work)
            for m in range(n):
                dose[np.uint64(numbers[m])] += weight * sums[m]


@kernel
def _spot_slopes(
    field: SpotField, layer: int, x: float, y: float, numbers: Numbers, work: Row2
) -> int:
    """Number of voxels that a spot reaches, their numbers, and sums and slopes without window."""
    n = _pick(field, layer, x, y, numbers, work[0])
    work[1:3, :n] = 0.0
    for k in range(field.gaussians.shape[2] >> 1):
        _look_up(field.gaussians[layer], k, numbers[:n], work)
        _add_slope(n, work)
    _take(field.limits[layer], numbers[:n], work[3])
    return n


@kernel
def _sum_up(us: Row, vs: Row, x: float, y: float, numbers: Numbers, work: Row2) -> Row:
    """Sum of row 1, and minus those of row 2 times 2 (u - x) and 2 (v - y)."""
    sums, fall = work[1], work[2]
    total = np.zeros(3)
    by_weight, by_x, by_y = 0.0, 0.0, 0.0
    for m in range(numbers.size):
        at = np.uint64(numbers[m])
        by_weight += sums[m]
        by_x += fall[m] * (us[at] - x)
        by_y += fall[m] * (vs[at] - y)
    total[0], total[1], total[2] = by_weight, -2.0 * by_x, -2.0 * by_y
    return total


@parallel_kernel
def gather_spots(
    field: SpotField,
    layers: NDArray[np.int64],
    spots: NDArray[np.float64],
    g: NDArray[np.float64],
    n_blocks: int,
    slopes: NDArray[np.float64],
) -> None:
    """Derivatives (n_spots, 3) by weight, x and y, given that by dose, ``g`` (n,)."""
    room = g.size
    for block in prange(n_blocks):
        numbers, work = np.empty(room + 1, dtype=np.int32), np.empty((5, room + 1))
        for j in range(block, spots.shape[0], n_blocks):
            x, y, layer = spots[j, 1], spots[j, 2], layers[j]
            n = _spot_slopes(field, layer, x, y, numbers, work)
            for m in range(n):
                work[4, m] = g[np.uint64(numbers[m])]
            _put_window_on_slopes(n, work)
            found = _sum_up(field.us, field.vs, x, y, numbers[:n], work)
            slopes[j, 0] = found[0]
            slopes[j, 1] = spots[j, 0] * found[1]
            slopes[j, 2] = spots[j, 0] * found[2]


@parallel_kernel
def count_voxels(
    field: SpotField,
    layers: NDArray[np.int64],
    spots: NDArray[np.float64],
    n_blocks: int,
    counts: NDArray[np.int64],
) -> None:
    """Number of voxels (n_spots,) that each spot reaches."""
    room = field.us.size + 1
    for block in prange(n_blocks):
        numbers, r2 = np.empty(room, dtype=np.int32), np.empty(room)
        for j in range(block, spots.shape[0], n_blocks):
            counts[j] = _pick(field, layers[j], spots[j, 1], spots[j, 2], numbers, r2)


@parallel_kernel
def fill_spots(
    field: SpotField,
    layers: NDArray[np.int64],
    spots: NDArray[np.float64],
    n_blocks: int,
    heads: NDArray[np.int64],
    voxels: NDArray[np.int32],
    values: NDArray[np.float32],
) -> None:
    """Voxels of each spot from ``heads`` (n_spots,) on, and its ``values`` there.

    ``values`` (3, n): dose per weight and its derivatives by x and y.
    """
    room = field.us.size + 1
    for block in prange(n_blocks):
        numbers, work = np.empty(room, dtype=np.int32), np.empty((5, room))
        for j in range(block, spots.shape[0], n_blocks):
            x, y = spots[j, 1], spots[j, 2]
            n = _spot_slopes(field, layers[j], x, y, numbers, work)
            work[4, :n] = 1.0
            _put_window_on_slopes(n, work)
            at = heads[j]
            for m in range(n):
                number = np.uint64(numbers[m])
                voxels[at + m] = numbers[m]
                values[0, at + m] = work[1, m]
                values[1, at + m] = -2.0 * work[2, m] * (field.us[number] - x)
                values[2, at + m] = -2.0 * work[2, m] * (field.vs[number] - y)
