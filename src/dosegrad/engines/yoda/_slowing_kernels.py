"""Compiled slowing down along paths; ``_slowing_reference`` holds it in plain NumPy."""

from __future__ import annotations

from dosegrad.arrays import Array
from dosegrad.compiled import kernel, parallel_kernel, prange
from dosegrad.engines.yoda._march_arrays import Layers, Media, Slowing

__all__ = ["slow_down"]


@kernel
def _value(media: Media, material: int, quantity: int, residual: float) -> float:
    """One quantity of a material at a residual range, mm."""
    place = min(max(residual / media.step, 0.0), media.values.shape[1] - 1.000001)
    index = int(place)
    low = media.values[material, index, quantity]
    return float(low + (place - index) * (media.values[material, index + 1, quantity] - low))


@kernel
def _power(table: Array, step: float, residual: float) -> float:
    """Scattering power of water, rad2 cm2/g, at a residual range, mm."""
    place = min(max(residual / step, 0.0), table.size - 1.000001)
    index = int(place)
    return float(table[index] + (place - index) * (table[index + 1] - table[index]))


@kernel
def _slow_path(
    full: Array,
    power: Array,
    media: Media,
    layers: Layers,
    water: int,
    widest: float,
    out: Slowing,
    path: int,
) -> None:
    """All steps of one path."""
    family = layers.family[path]
    depth, angular = 0.0, 0.0
    entry, stop = layers.offsets[path], layers.offsets[path + 1]
    for k in range(layers.n_steps):
        while entry < stop and layers.step[entry] == k:
            material = layers.material[entry]
            mass = layers.mass[entry] * (1.0 + min(angular, widest))
            out.mass[entry] = mass
            half = 5.0 * mass * _value(media, material, 0, full[family] - depth)
            left = full[family] - depth - half
            kappa = _value(media, material, 0, left)
            removal = _value(media, material, 1, left)
            scattering = mass * _value(media, material, 2, left)
            depth += 10.0 * mass * kappa
            out.removal[path, k] += mass * removal
            out.excess[path, k] += mass * (removal - kappa * _value(media, water, 1, left))
            out.scattering[path, k] += scattering
            out.water[path, k] += layers.mass[entry] * kappa
            if left > 0.0:
                angular += scattering * _power(power[family], media.step, left)
            entry += 1
        out.depth[path, k + 1] = depth


@parallel_kernel
def slow_down(
    full: Array,
    power: Array,
    media: Media,
    layers: Layers,
    water: int,
    widest: float,
    out: Slowing,
) -> None:
    """Slow beams of ranges ``full`` (families,), mm, down along all paths; fills ``out``.

    ``power`` (families, ranges): mass scattering power of water at the residual ranges of
    ``media``, rad2 cm2/g; ``water``: its number among the materials; ``widest``: angular variance
    beyond which paths get no longer, 0 for straight ones.
    """
    for path in prange(layers.family.size):
        _slow_path(full, power, media, layers, water, widest, out, path)
