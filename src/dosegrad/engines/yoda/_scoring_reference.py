"""Scoring of beamlets in plain NumPy; the same doses as ``_scoring_kernels``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from dosegrad.arrays import Array
from dosegrad.engines.yoda._scoring_arrays import Pencils, Profiles, Voxels

__all__ = ["add_aligned", "add_dose"]


def add_dose(
    voxels: Voxels,
    pencils: Pencils,
    profiles: Profiles,
    parts: NDArray[np.int64],
    dose: Array,
    let_dose: Array,
) -> None:
    """Add the dose of all beamlets to ``dose`` (n_voxels,), Gy; ``parts``: bounds of slices."""
    places = _places(voxels)
    sliced = _in_slices(voxels, parts)
    for pencil, profile in enumerate(pencils.profile):
        local = places - pencils.origin[pencil]
        s, x, y = (local @ v[pencil] for v in (pencils.axis, pencils.across_x, pencils.across_y))
        values = _values(profiles, profile, s)
        length, radius = profiles.reach[profile]
        exponent = x**2 * values[1] + y**2 * values[2]
        inside = (s >= -1e-12) & (s <= length + 1e-9) & (x**2 + y**2 <= radius**2 + 1e-9)
        inside &= sliced & (exponent <= profiles.farthest)
        added = np.where(inside, pencils.weight[pencil] * values[0] * np.exp(-exponent), 0.0)
        dose += added
        if let_dose.size:
            let_dose += added * values[3]


def add_aligned(
    voxels: Voxels,
    pencils: Pencils,
    profiles: Profiles,
    axes: NDArray[np.int64],
    parts: NDArray[np.int64],
    dose: Array,
    let_dose: Array,
) -> None:
    """As :func:`add_dose`, for beamlets that run along ``axes[0]`` of the grid."""
    places = _places(voxels)
    sliced = _in_slices(voxels, parts)
    kept = 1.0 - np.exp(-profiles.farthest)
    for pencil, profile in enumerate(pencils.profile):
        local = places - pencils.origin[pencil]
        s = local[:, axes[0]] * pencils.axis[pencil, axes[0]]
        values = _values(profiles, profile, s)
        length, radius = profiles.reach[profile]
        inside = sliced & (s >= 0) & (s <= length)
        mean = np.ones(len(places))
        for axis, factor, blur in zip(axes[1:], values[1:3], profiles.blur, strict=True):
            variance = 0.5 / factor
            across, half = local[:, axis], 0.5 * voxels.spacing[axis]
            scale = 1.0 / np.sqrt(2.0 * np.maximum(variance - blur, 1e-3 * blur))
            upper, lower = erf((across + half) * scale), erf((across - half) * scale)
            mean *= 0.25 * (upper - lower) / half
            inside &= (np.abs(across) <= 4.0 * np.sqrt(variance)) & (np.abs(across) <= radius)
        amount = pencils.weight[pencil] * kept * values[0] * np.pi / np.sqrt(values[1] * values[2])
        added = np.where(inside, amount * mean, 0.0)
        dose += added
        if let_dose.size:
            let_dose += added * values[3]


def _places(voxels: Voxels) -> Array:
    """Centres (n, 3) of voxels, (z, y, x) mm from that of the first."""
    indices = np.stack(
        np.unravel_index(np.arange(voxels.shape.prod()), tuple(voxels.shape)), axis=1
    )
    return np.asarray(indices * voxels.spacing)


def _in_slices(voxels: Voxels, parts: NDArray[np.int64]) -> NDArray[np.bool_]:
    slices = np.arange(voxels.shape.prod()) // (voxels.shape[1] * voxels.shape[2])
    return np.asarray((slices >= parts[0]) & (slices < parts[-1]))


def _values(profiles: Profiles, profile: int, s: Array) -> Array:
    """Profile at the depths ``s`` (4, n)."""
    table = profiles.values[profile]
    nodes = profiles.step * np.arange(len(table))
    return np.stack([np.interp(s, nodes, table[:, q]) for q in range(4)])
