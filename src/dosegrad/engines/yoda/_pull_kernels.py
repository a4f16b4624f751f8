"""Compiled pullback of the scoring of pencils; ``_pull_reference`` holds it in plain NumPy.

With the dose on the axis a and the factors f of the squared distances across, both linear between
the nodes of a profile, the response to a gradient g over voxels is

    R = sum_i g_i w a(s_i) exp(-f_x(s_i) x_i^2 - f_y(s_i) y_i^2)

which is linear in the doses at the nodes, and first order in the factors there.
"""

from __future__ import annotations

from math import ceil, exp, floor, sqrt

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.compiled import kernel, parallel_kernel, prange
from dosegrad.engines.yoda._scoring_arrays import Pencils, Profiles, Voxels

__all__ = ["pull_geometry", "pull_profiles"]


@kernel
def _span(
    voxels: Voxels,
    pencils: Pencils,
    profiles: Profiles,
    box: NDArray[np.int64],
    pencil: int,
    axis: int,
) -> tuple[int, int]:
    """First voxel along one axis in ``box`` that a beamlet may reach, and that after the last."""
    profile = pencils.profile[pencil]
    origin, u = pencils.origin[pencil, axis], pencils.axis[pencil, axis]
    radius = profiles.reach[profile, 1] * sqrt(max(1.0 - u * u, 0.0)) + 1e-9
    end = origin + u * profiles.reach[profile, 0]
    low = ceil((min(origin, end) - radius) / voxels.spacing[axis])
    high = floor((max(origin, end) + radius) / voxels.spacing[axis]) + 1
    return max(low, box[axis, 0]), min(high, box[axis, 1])


@kernel
def _part_of_row(a: Array, b: Array, length: float, radius: float, n: int) -> tuple[int, int]:
    """Voxels of a row between the ends of a beamlet and within its radius.

    ``a`` and ``b`` (3,): position of the row's first voxel along the beamlet and across, mm, and
    what each voxel adds.
    """
    low, high = 0.0, n - 1.0
    if abs(b[0]) > 1e-12:
        at_start, at_end = -a[0] / b[0], (length - a[0]) / b[0]
        low, high = max(low, min(at_start, at_end)), min(high, max(at_start, at_end))
    elif not 0.0 <= a[0] <= length:
        return 0, 0
    square = b[1] * b[1] + b[2] * b[2]
    mixed = a[1] * b[1] + a[2] * b[2]
    rest = a[1] * a[1] + a[2] * a[2] - radius * radius
    if square < 1e-18:
        if rest > 0.0:
            return 0, 0
    else:
        root = mixed * mixed - square * rest
        if root < 0.0:
            return 0, 0
        root = sqrt(root)
        low, high = max(low, (-mixed - root) / square), min(high, (-mixed + root) / square)
    return ceil(low - 1e-9), floor(high + 1e-9) + 1


@kernel
def _row(voxels: Voxels, pencils: Pencils, pencil: int, k: int, j: int, a: Array) -> None:
    """Position of the first voxel of a row along and across a beamlet, mm, into ``a`` (3,)."""
    z = k * voxels.spacing[0] - pencils.origin[pencil, 0]
    y = j * voxels.spacing[1] - pencils.origin[pencil, 1]
    x = -pencils.origin[pencil, 2]
    axis = pencils.axis[pencil]
    a[0] = z * axis[0] + y * axis[1] + x * axis[2]
    axis = pencils.across_x[pencil]
    a[1] = z * axis[0] + y * axis[1] + x * axis[2]
    axis = pencils.across_y[pencil]
    a[2] = z * axis[0] + y * axis[1] + x * axis[2]


@kernel
def _pull_pencil(
    voxels: Voxels,
    pencils: Pencils,
    profiles: Profiles,
    box: NDArray[np.int64],
    gradient: Array,
    pencil: int,
    out: Array,
) -> None:
    """The responses of one pencil's nodes, (nodes, 5), added to ``out``."""
    profile = pencils.profile[pencil]
    weight = pencils.weight[pencil]
    length, radius = profiles.reach[profile, 0], profiles.reach[profile, 1]
    values = profiles.values[profile]
    z_low, z_high = _span(voxels, pencils, profiles, box, pencil, 0)
    y_low, y_high = _span(voxels, pencils, profiles, box, pencil, 1)
    a, b = np.zeros(3), np.zeros(3)
    b[0] = voxels.spacing[2] * pencils.axis[pencil, 2]
    b[1] = voxels.spacing[2] * pencils.across_x[pencil, 2]
    b[2] = voxels.spacing[2] * pencils.across_y[pencil, 2]
    for k in range(z_low, z_high):
        for j in range(y_low, y_high):
            _row(voxels, pencils, pencil, k, j, a)
            first, last = _part_of_row(a, b, length, radius, voxels.shape[2])
            first, last = max(first, box[2, 0]), min(last, box[2, 1])
            row = (k * voxels.shape[1] + j) * voxels.shape[2]
            for i in range(first, last):
                given = gradient[row + i]
                if given == 0.0:
                    continue
                place = (a[0] + i * b[0]) / profiles.step
                node = min(max(int(place), 0), values.shape[0] - 2)
                share = place - node
                low, high = values[node], values[node + 1]
                p, q = a[1] + i * b[1], a[2] + i * b[2]
                p, q = p * p, q * q
                exponent = p * (low[1] + share * (high[1] - low[1]))
                exponent += q * (low[2] + share * (high[2] - low[2]))
                if exponent > profiles.farthest:
                    continue
                given *= weight * exp(-exponent)
                rest = 1.0 - share
                out[node, 0] += rest * given
                out[node + 1, 0] += share * given
                out[node, 1] += rest * rest * p * given
                out[node, 2] += share * rest * p * given
                out[node + 1, 1] += share * share * p * given
                out[node, 3] += rest * rest * q * given
                out[node, 4] += share * rest * q * given
                out[node + 1, 3] += share * share * q * given


@parallel_kernel
def pull_profiles(
    voxels: Voxels,
    pencils: Pencils,
    profiles: Profiles,
    box: NDArray[np.int64],
    gradient: Array,
    out: Array,
) -> None:
    """What the nodes of pencils do to the response with ``gradient`` (n_voxels,), into ``out``.

    ``box`` (3, 2): bounds of the voxels where the gradient is not 0. ``out`` (pencils, nodes, 5):
    by the dose at a node; then, along x and along y, minus the second derivative by the dose at a
    node and the factor there, and by the dose at a node and the factor at the one behind, or the
    other way round.
    """
    for pencil in prange(pencils.weight.size):
        _pull_pencil(voxels, pencils, profiles, box, gradient, pencil, out[pencil])


@kernel
def _pull_pencil_geometry(
    voxels: Voxels,
    pencils: Pencils,
    profiles: Profiles,
    box: NDArray[np.int64],
    gradient: Array,
    pencil: int,
    out: Array,
) -> None:
    """Gradient by the place and the vectors of one pencil, (4, 3), added to ``out``."""
    profile = pencils.profile[pencil]
    weight = pencils.weight[pencil]
    length, radius = profiles.reach[profile, 0], profiles.reach[profile, 1]
    values = profiles.values[profile]
    z_low, z_high = _span(voxels, pencils, profiles, box, pencil, 0)
    y_low, y_high = _span(voxels, pencils, profiles, box, pencil, 1)
    a, b, local = np.zeros(3), np.zeros(3), np.zeros(3)
    b[0] = voxels.spacing[2] * pencils.axis[pencil, 2]
    b[1] = voxels.spacing[2] * pencils.across_x[pencil, 2]
    b[2] = voxels.spacing[2] * pencils.across_y[pencil, 2]
    for k in range(z_low, z_high):
        for j in range(y_low, y_high):
            _row(voxels, pencils, pencil, k, j, a)
            first, last = _part_of_row(a, b, length, radius, voxels.shape[2])
            first, last = max(first, box[2, 0]), min(last, box[2, 1])
            row = (k * voxels.shape[1] + j) * voxels.shape[2]
            for i in range(first, last):
                given = gradient[row + i]
                if given == 0.0:
                    continue
                place = (a[0] + i * b[0]) / profiles.step
                node = min(max(int(place), 0), values.shape[0] - 2)
                share = place - node
                low, high = values[node], values[node + 1]
                p, q = a[1] + i * b[1], a[2] + i * b[2]
                by_x = low[1] + share * (high[1] - low[1])
                by_y = low[2] + share * (high[2] - low[2])
                exponent = p * p * by_x + q * q * by_y
                if exponent > profiles.farthest:
                    continue
                given *= weight * exp(-exponent)
                dose = low[0] + share * (high[0] - low[0])
                along = (high[0] - low[0]) - dose * (
                    p * p * (high[1] - low[1]) + q * q * (high[2] - low[2])
                )
                along *= given / profiles.step
                across_x, across_y = -2.0 * p * by_x * dose * given, -2.0 * q * by_y * dose * given
                local[0] = k * voxels.spacing[0] - pencils.origin[pencil, 0]
                local[1] = j * voxels.spacing[1] - pencils.origin[pencil, 1]
                local[2] = i * voxels.spacing[2] - pencils.origin[pencil, 2]
                for axis in range(3):
                    out[0, axis] -= along * pencils.axis[pencil, axis]
                    out[0, axis] -= across_x * pencils.across_x[pencil, axis]
                    out[0, axis] -= across_y * pencils.across_y[pencil, axis]
                    out[1, axis] += along * local[axis]
                    out[2, axis] += across_x * local[axis]
                    out[3, axis] += across_y * local[axis]


@parallel_kernel
def pull_geometry(
    voxels: Voxels,
    pencils: Pencils,
    profiles: Profiles,
    box: NDArray[np.int64],
    gradient: Array,
    out: Array,
) -> None:
    """Gradient of a response by origin, axis, across x and across y of pencils, (pencils, 4, 3)."""
    for pencil in prange(pencils.weight.size):
        _pull_pencil_geometry(voxels, pencils, profiles, box, gradient, pencil, out[pencil])
