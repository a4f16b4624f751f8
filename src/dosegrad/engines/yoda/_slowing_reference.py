"""Slowing down along paths in plain NumPy; the same results as ``_slowing_kernels``."""

from __future__ import annotations

import numpy as np

from dosegrad.arrays import Array
from dosegrad.engines.yoda._march_arrays import Layers, Media, Slowing

__all__ = ["slow_down"]


def slow_down(
    full: Array,
    power: Array,
    media: Media,
    layers: Layers,
    water: int,
    widest: float,
    out: Slowing,
) -> None:
    """Slow beams of ranges ``full`` (families,), mm, down along all paths; fills ``out``."""
    ranges = media.step * np.arange(media.values.shape[1])

    def value(material: int, quantity: int, residual: float) -> float:
        return float(np.interp(residual, ranges, media.values[material, :, quantity]))

    for path, family in enumerate(layers.family):
        depth, angular = 0.0, 0.0
        for entry in range(layers.offsets[path], layers.offsets[path + 1]):
            k, material = layers.step[entry], layers.material[entry]
            out.depth[path, k:] = depth
            mass = layers.mass[entry] * (1.0 + min(angular, widest))
            half = 5.0 * mass * value(material, 0, full[family] - depth)
            left = full[family] - depth - half
            kappa, removal = value(material, 0, left), value(material, 1, left)
            scattering = mass * value(material, 2, left)
            depth += 10.0 * mass * kappa
            out.mass[entry] = mass
            out.removal[path, k] += mass * removal
            out.excess[path, k] += mass * (removal - kappa * value(water, 1, left))
            out.scattering[path, k] += scattering
            out.water[path, k] += layers.mass[entry] * kappa
            if left > 0:
                angular += scattering * float(np.interp(left, ranges, power[family]))
            out.depth[path, k + 1 :] = depth
