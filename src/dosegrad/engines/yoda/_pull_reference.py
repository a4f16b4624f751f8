"""Pullback of the scoring of pencils in plain NumPy; the same numbers as ``_pull_kernels``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.engines.yoda._scoring_arrays import Pencils, Profiles, Voxels

__all__ = ["pull_geometry", "pull_profiles"]


def _hits(
    voxels: Voxels, pencils: Pencils, profiles: Profiles, gradient: Array, pencil: int
) -> tuple[Any, ...]:
    """Of the voxels that a pencil reaches: position, node, share, s, x, y, gradient times dose."""
    n = int(voxels.shape.prod())
    indices = np.stack(np.unravel_index(np.arange(n), tuple(voxels.shape)), axis=1)
    local = indices * voxels.spacing - pencils.origin[pencil]
    s, x, y = (local @ v[pencil] for v in (pencils.axis, pencils.across_x, pencils.across_y))
    profile = pencils.profile[pencil]
    table = profiles.values[profile]
    node = np.clip((s / profiles.step).astype(int), 0, len(table) - 2)
    share = s / profiles.step - node
    f = table[node, 1:3] + share[:, None] * (table[node + 1, 1:3] - table[node, 1:3])
    exponent = x**2 * f[:, 0] + y**2 * f[:, 1]
    length, radius = profiles.reach[profile]
    hit = (s >= -1e-12) & (s <= length + 1e-9) & (x**2 + y**2 <= radius**2 + 1e-9)
    hit &= (exponent <= profiles.farthest) & (gradient != 0)
    given = gradient * pencils.weight[pencil] * np.exp(-exponent)
    return tuple(v[hit] for v in (local, node, share, x, y, f, given))


def pull_profiles(
    voxels: Voxels,
    pencils: Pencils,
    profiles: Profiles,
    box: NDArray[np.int64],
    gradient: Array,
    out: Array,
) -> None:
    """What the nodes of pencils do to the response with ``gradient`` (n_voxels,), into ``out``."""
    for pencil in range(pencils.weight.size):
        _, node, share, x, y, _, given = _hits(voxels, pencils, profiles, gradient, pencil)
        rest = 1.0 - share
        for column, values in ((0, given * rest), (1, given * x**2 * rest**2)):
            np.add.at(out[pencil, :, column], node, values)
        np.add.at(out[pencil, :, 0], node + 1, given * share)
        np.add.at(out[pencil, :, 1], node + 1, given * x**2 * share**2)
        np.add.at(out[pencil, :, 2], node, given * x**2 * share * rest)
        np.add.at(out[pencil, :, 3], node, given * y**2 * rest**2)
        np.add.at(out[pencil, :, 3], node + 1, given * y**2 * share**2)
        np.add.at(out[pencil, :, 4], node, given * y**2 * share * rest)


def pull_geometry(
    voxels: Voxels,
    pencils: Pencils,
    profiles: Profiles,
    box: NDArray[np.int64],
    gradient: Array,
    out: Array,
) -> None:
    """Gradient of a response by origin, axis, across x and across y of pencils, (pencils, 4, 3)."""
    for pencil, profile in enumerate(pencils.profile):
        local, node, share, x, y, f, given = _hits(voxels, pencils, profiles, gradient, pencil)
        table = profiles.values[profile]
        low, high = table[node], table[node + 1]
        dose = low[:, 0] + share * (high[:, 0] - low[:, 0])
        slope = x**2 * (high[:, 1] - low[:, 1]) + y**2 * (high[:, 2] - low[:, 2])
        along = given * (high[:, 0] - low[:, 0] - dose * slope) / profiles.step
        by_x, by_y = -2.0 * x * f[:, 0] * dose * given, -2.0 * y * f[:, 1] * dose * given
        vectors = [v[pencil] for v in (pencils.axis, pencils.across_x, pencils.across_y)]
        for number, (vector, values) in enumerate(zip(vectors, (along, by_x, by_y), strict=True)):
            out[pencil, 0] -= values.sum() * vector
            out[pencil, number + 1] += values @ local
