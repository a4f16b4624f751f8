"""The loops over moving spots in plain NumPy: the specification of ``_spot_kernels``."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.influence._spot_arrays import SpotField

__all__ = ["OPEN_UP_TO", "add_spots", "count_voxels", "fill_spots", "gather_spots", "window"]

#: Part of the squared reach at which the window begins to close. As in ``_spot_kernels``.
OPEN_UP_TO: Final = 0.6


def window(r2: Array, limits: Array) -> tuple[Array, Array]:
    r"""Window on squared distances, and its derivative by them.

    .. math:: W = s^2 (3 - 2 s), \quad
       s = \min\left(\max\left(\frac{L - r^2}{(1 - a) L}, 0\right), 1\right)

    with L from ``limits`` and a = :data:`OPEN_UP_TO`: 1 up to a L, 0 from L on, with a continuous
    slope.
    """
    width = limits * (1.0 - OPEN_UP_TO)
    s = np.clip((limits - r2) / width, 0.0, 1.0)
    return s**2 * (3.0 - 2.0 * s), -6.0 * s * (1.0 - s) / width


def _in_depth(field: SpotField, layer: int) -> NDArray[np.int64]:
    """Voxels that a layer reaches in depth."""
    ranges = [
        np.arange(first, first + stop)
        for first, stop in zip(field.heads[:-1], field.stops[layer], strict=True)
    ]
    return np.concatenate(ranges)


def spot_dose(
    field: SpotField, layer: int, x: float, y: float
) -> tuple[NDArray[np.int64], Array, Array, Array]:
    r"""Voxels of a spot, its dose per weight there, and the derivatives by x and y.

    .. math:: D = W(r^2) \sum_k A_k \exp(-B_k r^2), \quad r^2 = (u - x)^2 + (v - y)^2
    """
    voxels = _in_depth(field, layer)
    du, dv = field.us[voxels] - x, field.vs[voxels] - y
    r2 = du**2 + dv**2
    heights, steepness = field.gaussians[layer][voxels].astype(float).reshape(r2.size, -1, 2).T
    parts = heights * np.exp(-steepness * r2)
    sums, fall = parts.sum(axis=0), -(parts * steepness).sum(axis=0)
    open_, closing = window(r2, field.limits[layer][voxels].astype(float))
    by_r2 = fall * open_ + sums * closing
    return voxels, sums * open_, -2.0 * du * by_r2, -2.0 * dv * by_r2


def add_spots(field: SpotField, layers: NDArray[np.int64], spots: Array, partial: Array) -> None:
    """Dose of ``spots`` (n_spots, 3), weight, x and y, added to ``partial`` (n_blocks, n)."""
    for j, (weight, x, y) in enumerate(spots):
        voxels, one, _, _ = spot_dose(field, int(layers[j]), float(x), float(y))
        partial[j % partial.shape[0], voxels] += weight * one


def gather_spots(
    field: SpotField,
    layers: NDArray[np.int64],
    spots: Array,
    g: Array,
    n_blocks: int,
    slopes: Array,
) -> None:
    """Derivatives (n_spots, 3) by weight, x and y, given that by dose, ``g`` (n,)."""
    assert n_blocks > 0
    for j, (weight, x, y) in enumerate(spots):
        voxels, one, by_x, by_y = spot_dose(field, int(layers[j]), float(x), float(y))
        slopes[j] = (g[voxels] @ one, weight * (g[voxels] @ by_x), weight * (g[voxels] @ by_y))


def _reached(field: SpotField, layer: int, x: float, y: float) -> tuple[NDArray[np.int64], Array]:
    """Voxels that a spot reaches, and its dose per weight and derivatives (3, n) there."""
    voxels, *values = spot_dose(field, layer, x, y)
    r2 = (field.us[voxels] - x) ** 2 + (field.vs[voxels] - y) ** 2
    inside = r2 < field.limits[layer, voxels]
    return voxels[inside], np.stack(values)[:, inside]


def count_voxels(
    field: SpotField,
    layers: NDArray[np.int64],
    spots: Array,
    n_blocks: int,
    counts: NDArray[np.int64],
) -> None:
    """Number of voxels (n_spots,) that each spot reaches."""
    assert n_blocks > 0
    for j, (_, x, y) in enumerate(spots):
        counts[j] = _reached(field, int(layers[j]), float(x), float(y))[0].size


def fill_spots(
    field: SpotField,
    layers: NDArray[np.int64],
    spots: Array,
    n_blocks: int,
    heads: NDArray[np.int64],
    voxels: NDArray[np.int32],
    values: NDArray[np.float32],
) -> None:
    """Voxels of each spot from ``heads`` (n_spots,) on, and its ``values`` (3, n) there."""
    assert n_blocks > 0
    for j, (_, x, y) in enumerate(spots):
        found, three = _reached(field, int(layers[j]), float(x), float(y))
        part = slice(int(heads[j]), int(heads[j]) + found.size)
        voxels[part], values[:, part] = found, three
