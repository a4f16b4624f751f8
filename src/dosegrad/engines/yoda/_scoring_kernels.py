"""Compiled scoring of beamlets on voxels; ``_scoring_reference`` holds it in plain NumPy.

Voxels are walked row by row along x; of each row only the part within a beamlet's largest radius is
looked at. Threads own slices of the grid, or columns, so sums do not depend on their number.
"""

from __future__ import annotations

from math import ceil, erf, exp, factorial, floor, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.compiled import kernel, parallel_kernel, prange
from dosegrad.engines.yoda._scoring_arrays import Pencils, Profiles, Voxels

__all__ = ["add_aligned", "add_dose"]

_NODES, _LARGE = 32, 6.0  # of the error function: nodes per unit; from here on it is 1


def _series() -> Array:
    """Coefficients (nodes, 7) of the Taylor series of the error function about its nodes.

    Its derivatives are Hermite polynomials times the Gaussian.
    """
    rows = []
    for x in np.arange(int(_LARGE * _NODES) + 1) / _NODES:
        slope, row = 2.0 / sqrt(pi) * exp(-x * x), [erf(x)]
        before, here = 0.0, 1.0
        for n in range(1, 7):
            row.append((-1.0) ** (n - 1) * here * slope / factorial(n))
            before, here = here, 2.0 * x * here - 2.0 * (n - 1) * before
        rows.append(row)
    return np.array(rows)


_SERIES = _series()


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
    return max(low, 0), min(high, int(voxels.shape[axis]))


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


@kernel
def _erf(x: float) -> float:
    """The error function to 1e-14, from its Taylor series about the nearest node."""
    size = abs(x)
    if not size < _LARGE:
        return 1.0 if x > 0.0 else -1.0
    node = int(size * _NODES + 0.5)
    d = size - node / _NODES
    c = _SERIES[node]
    value = c[0] + d * (c[1] + d * (c[2] + d * (c[3] + d * (c[4] + d * (c[5] + d * c[6])))))
    return float(value if x > 0.0 else -value)


@kernel
def _means(
    centre: float, factor: float, blur: float, spacing: float, bounds: tuple[int, int], out: Array
) -> tuple[int, int]:
    """Means of a Gaussian over voxels along one axis into ``out``; first and after the last.

    ``centre``: its place, mm from the centre of the first voxel; ``factor``: 1/2 over its
    variance with that of a voxel, ``blur``.
    """
    variance = 0.5 / factor
    radius = 4.0 * sqrt(variance)
    first = max(bounds[0], ceil((centre - radius) / spacing))
    last = min(bounds[1], floor((centre + radius) / spacing) + 1)
    scale = 1.0 / sqrt(2.0 * max(variance - blur, 1e-3 * blur))
    before = _erf(((first - 0.5) * spacing - centre) * scale)
    for i in range(first, last):
        after = _erf(((i + 0.5) * spacing - centre) * scale)
        out[i] = 0.5 * (after - before) / spacing
        before = after
    return first, last


@kernel
def _add_line(factor: float, given: Array, out: Array) -> None:
    """Add ``factor`` times ``given`` to ``out``, neighbours in memory, several at once."""
    for j in range(out.size):
        out[j] += factor * given[j]


@kernel
def _score_aligned(
    voxels: Voxels,
    pencils: Pencils,
    profiles: Profiles,
    axes: NDArray[np.int64],
    pencil: int,
    slices: tuple[int, int],
    dose: Array,
    let_dose: Array,
    means: Array,
) -> None:
    """Add the dose of one beamlet along an axis of the grid to some slices."""
    values = profiles.values[pencils.profile[pencil]]
    weight = pencils.weight[pencil] * (1.0 - exp(-profiles.farthest))
    low, high, stride = np.zeros(3, np.int64), np.zeros(3, np.int64), np.ones(3, np.int64)
    for axis in range(3):
        low[axis], high[axis] = _span(voxels, pencils, profiles, pencil, axis)
    low[0], high[0] = max(low[0], slices[0]), min(high[0], slices[1])
    stride[1] = voxels.shape[2]
    stride[0] = voxels.shape[1] * voxels.shape[2]
    along, p, q = axes[0], axes[1], axes[2]
    flipped = p > q  # the inner loop runs along the axis whose voxels are neighbours
    for k in range(low[along], high[along]):
        s = k * voxels.spacing[along] - pencils.origin[pencil, along]
        place = s * pencils.axis[pencil, along] / profiles.step
        if place < 0.0 or place * profiles.step > profiles.reach[pencils.profile[pencil], 0]:
            continue
        node = min(int(place), values.shape[0] - 2)
        share = place - node
        a, b = values[node], values[node + 1]
        factors = (a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2]))
        amount = weight * (a[0] + share * (b[0] - a[0])) * pi / sqrt(factors[0] * factors[1])
        let = a[3] + share * (b[3] - a[3])
        p_low, p_high = _means(
            *(pencils.origin[pencil, p], factors[0], profiles.blur[0], voxels.spacing[p]),
            *((low[p], high[p]), means[0]),
        )
        q_low, q_high = _means(
            *(pencils.origin[pencil, q], factors[1], profiles.blur[1], voxels.spacing[q]),
            *((low[q], high[q]), means[1]),
        )
        outer, inner = (means[1], means[0]) if flipped else (means[0], means[1])
        i_low, i_high, j_low, j_high = p_low, p_high, q_low, q_high
        i_stride, j_stride = stride[p], stride[q]
        if flipped:
            i_low, i_high, j_low, j_high = q_low, q_high, p_low, p_high
            i_stride, j_stride = stride[q], stride[p]
        for i in range(i_low, i_high):
            row = k * stride[along] + i * i_stride
            part = amount * outer[i]
            if j_stride == 1:
                _add_line(part, inner[j_low:j_high], dose[row + j_low : row + j_high])
            else:
                for j in range(j_low, j_high):
                    dose[row + j * j_stride] += part * inner[j]
            if let_dose.size > 0:
                for j in range(j_low, j_high):
                    let_dose[row + j * j_stride] += part * inner[j] * let


@parallel_kernel
def add_aligned(
    voxels: Voxels,
    pencils: Pencils,
    profiles: Profiles,
    axes: NDArray[np.int64],
    parts: NDArray[np.int64],
    dose: Array,
    let_dose: Array,
) -> None:
    """As :func:`add_dose`, for beamlets that run along ``axes[0]`` of the grid.

    Their x and y across are along ``axes[1]`` and ``axes[2]``.
    """
    longest = max(voxels.shape[0], voxels.shape[1], voxels.shape[2])
    for part in prange(parts.size - 1):
        means = np.zeros((2, longest))
        for pencil in range(pencils.weight.size):
            slices = (parts[part], parts[part + 1])
            _score_aligned(voxels, pencils, profiles, axes, pencil, slices, dose, let_dose, means)
