"""Compiled scoring of beamlets on voxels; ``_scoring_reference`` holds it in plain NumPy.

Voxels are walked row by row along x; of each row only the part within a beamlet's largest radius is
looked at. Threads own slices of the grid, or columns, so sums do not depend on their number.
"""

from __future__ import annotations

from math import ceil, exp, floor, sqrt

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.compiled import kernel, parallel_kernel, prange
from dosegrad.engines.yoda._scoring_arrays import Pencils, Profiles, Voxels

__all__ = ["add_dose", "score_columns"]


@kernel
def _span(
    voxels: Voxels, pencils: Pencils, profiles: Profiles, pencil: int, axis: int
) -> tuple[int, int]:
    """First voxel along one axis that a beamlet may reach, and the one after the last."""
    profile = pencils.profile[pencil]
    origin, u = pencils.origin[pencil, axis], pencils.axis[pencil, axis]
    radius = profiles.reach[profile, 1] * sqrt(max(1.0 - u * u, 0.0)) + 1e-9
    end = origin + u * profiles.reach[profile, 0]
    low = ceil((min(origin, end) - radius) / voxels.spacing[axis])
    high = floor((max(origin, end) + radius) / voxels.spacing[axis]) + 1
    return max(int(low), 0), min(int(high), voxels.shape[axis])


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
    return int(ceil(low - 1e-9)), int(floor(high + 1e-9)) + 1


@kernel
def _score(
    voxels: Voxels,
    pencils: Pencils,
    profiles: Profiles,
    pencil: int,
    slices: tuple[int, int],
    dose: Array,
    let_dose: Array,
) -> None:
    """Add the dose of one beamlet to some slices of ``dose`` and, if it has any, ``let_dose``."""
    profile = pencils.profile[pencil]
    weight = pencils.weight[pencil]
    length, radius = profiles.reach[profile, 0], profiles.reach[profile, 1]
    values = profiles.values[profile]
    z_low, z_high = _span(voxels, pencils, profiles, pencil, 0)
    y_low, y_high = _span(voxels, pencils, profiles, pencil, 1)
    a, b = np.zeros(3), np.zeros(3)
    b[0] = voxels.spacing[2] * pencils.axis[pencil, 2]
    b[1] = voxels.spacing[2] * pencils.across_x[pencil, 2]
    b[2] = voxels.spacing[2] * pencils.across_y[pencil, 2]
    for k in range(max(z_low, slices[0]), min(z_high, slices[1])):
        z = k * voxels.spacing[0] - pencils.origin[pencil, 0]
        for j in range(y_low, y_high):
            y = j * voxels.spacing[1] - pencils.origin[pencil, 1]
            x = -pencils.origin[pencil, 2]
            axis = pencils.axis[pencil]
            a[0] = z * axis[0] + y * axis[1] + x * axis[2]
            axis = pencils.across_x[pencil]
            a[1] = z * axis[0] + y * axis[1] + x * axis[2]
            axis = pencils.across_y[pencil]
            a[2] = z * axis[0] + y * axis[1] + x * axis[2]
            first, last = _part_of_row(a, b, length, radius, voxels.shape[2])
            row = (k * voxels.shape[1] + j) * voxels.shape[2]
            for i in range(first, last):
                place = (a[0] + i * b[0]) / profiles.step
                node = min(max(int(place), 0), values.shape[0] - 2)
                share = place - node
                low, high = values[node], values[node + 1]
                p, q = a[1] + i * b[1], a[2] + i * b[2]
                exponent = p * p * (low[1] + share * (high[1] - low[1]))
                exponent += q * q * (low[2] + share * (high[2] - low[2]))
                if exponent > profiles.farthest:
                    continue
                value = weight * (low[0] + share * (high[0] - low[0])) * exp(-exponent)
                dose[row + i] += value
                if let_dose.size > 0:
                    let_dose[row + i] += value * (low[3] + share * (high[3] - low[3]))


@parallel_kernel
def add_dose(
    voxels: Voxels,
    pencils: Pencils,
    profiles: Profiles,
    parts: NDArray[np.int64],
    dose: Array,
    let_dose: Array,
) -> None:
    """Add the dose of all beamlets to ``dose`` (n_voxels,), Gy; ``parts``: bounds of slices.

    ``let_dose``, keV/µm Gy, is of the same size, or empty where nobody asks for it.
    """
    for part in prange(parts.size - 1):
        for pencil in range(pencils.weight.size):
            slices = (parts[part], parts[part + 1])
            _score(voxels, pencils, profiles, pencil, slices, dose, let_dose)
