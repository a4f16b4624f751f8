"""The loops over layers of movable energy in plain NumPy: the specification of the kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.influence._range_arrays import RangeTables
from dosegrad.influence._spot_arrays import SpotField
from dosegrad.influence._spot_reference import OPEN_UP_TO, window

__all__ = ["gather_ranges", "shift_layers"]


def shift_layers(
    field: SpotField,
    tables: RangeTables,
    shifts: Array,
    gaussians: NDArray[np.float64],
    limits: NDArray[np.float64],
    slopes: NDArray[np.float64],
) -> None:
    r"""Fill ``gaussians`` and ``limits`` of a field for layers shifted by ``shifts`` (n_layers,).

    Quantities at depth t are those of the tables at :math:`t - \delta`, by Catmull and Rom's
    cubics. ``slopes`` (n_layers, n, 2 k + 1) are their derivatives by the shift.
    """
    heads, n_channels = field.heads, tables.values.shape[2]
    for layer, shift in enumerate(shifts):
        for tile, stop in enumerate(field.stops[layer]):
            part = slice(int(heads[tile]), int(heads[tile]) + int(stop))
            nodes = tables.values[layer, tables.starts[tile] : tables.starts[tile + 1]]
            depth = tables.depths[part] - shift
            place = (np.minimum(depth, tables.ends[layer]) - tables.firsts[tile]) / tables.step
            m = np.clip(np.floor(place).astype(int), 1, len(nodes) - 3)
            f = (place - m)[:, None]
            a, b, c, d = (nodes[m + k] for k in (-1, 0, 1, 2))
            second, third = 2 * a - 5 * b + 4 * c - d, 3 * (b - c) + d - a
            value = b + 0.5 * f * (c - a + f * (second + f * third))
            by_place = 0.5 * (c - a) + f * (second + 1.5 * f * third)
            by_shift = np.where((depth < tables.ends[layer])[:, None], -by_place / tables.step, 0.0)
            scale = np.ones((depth.size, n_channels))
            scale[:, 1:-1:2] = tables.scales[part, None]
            scale[:, -1] = 1.0 / tables.scales[part]
            gaussians[layer, part] = (value * scale)[:, :-1]
            limits[layer, part] = (value * scale)[:, -1]
            slopes[layer, part] = by_shift * scale


def gather_ranges(
    field: SpotField,
    slopes: NDArray[np.float64],
    layers: NDArray[np.int64],
    spots: Array,
    g: Array,
    n_blocks: int,
    out: Array,
) -> None:
    """Derivative (n_spots,) by the shift of each spot's layer, given that by dose, ``g`` (n,)."""
    assert n_blocks > 0
    for j, (weight, x, y) in enumerate(spots):
        layer, total = int(layers[j]), 0.0
        for tile, stop in enumerate(field.stops[layer]):
            part = slice(int(field.heads[tile]), int(field.heads[tile]) + int(stop))
            r2 = (field.us[part] - x) ** 2 + (field.vs[part] - y) ** 2
            gaussians = field.gaussians[layer, part].astype(float)
            change = slopes[layer, part].astype(float)
            limits: Array = field.limits[layer, part].astype(float)
            falls = np.exp(-gaussians[:, 1::2] * r2[:, None])
            heights = gaussians[:, ::2]
            sums = (heights * falls).sum(axis=1)
            bent = ((change[:, :-1:2] - heights * change[:, 1::2] * r2[:, None]) * falls).sum(
                axis=1
            )
            open_, _ = window(r2, limits)
            width = limits * (1.0 - OPEN_UP_TO)
            s = np.clip((limits - r2) / width, 0.0, 1.0)
            opening = 6.0 * s * (1.0 - s) * r2 / (limits * width)
            total += float(g[part] @ (bent * open_ + sums * opening * change[:, -1]))
        out[j] = weight * total
