"""Profiles of beamlets in plain NumPy; the same values as ``_profile_kernels``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.engines.yoda._scoring_arrays import FINE, Edges

__all__ = ["fill_profiles"]


def fill_profiles(
    edges: Edges,
    path: NDArray[np.int64],
    variance: Array,
    shape: tuple[float, float, float],
    limits: tuple[float, float, float, float],
    values: Array,
    reach: Array,
) -> None:
    """Fill ``values`` (profiles, nodes, 4) and ``reach`` (profiles, 2) of ``Profiles``."""
    half, *blur = shape
    scale, farthest, negligible, step = limits
    nodes = np.arange(values.shape[1]) / FINE
    places = np.arange(edges.mass.shape[1])
    for row, number in enumerate(path):
        deposit, mass, let = (
            np.interp(nodes + half, places, e[number]) - np.interp(nodes - half, places, e[number])
            for e in edges
        )
        x, y = (np.interp(nodes, places, v) + b for v, b in zip(variance[row], blur, strict=True))
        safe_mass, safe_deposit = np.where(mass > 0, mass, 1.0), np.where(deposit > 0, deposit, 1.0)
        values[row, :, 0] = np.where(mass > 0, scale * deposit / safe_mass / np.sqrt(x * y), 0.0)
        values[row, :, 1], values[row, :, 2] = 0.5 / x, 0.5 / y
        values[row, :, 3] = np.where(deposit > 0, let / safe_deposit, 0.0)
        used = np.flatnonzero(values[row, :, 0] > negligible * max(values[row, :, 0].max(), 0.0))
        if used.size:
            widest = np.maximum(x, y)[used].max()
            reach[row] = used[-1] * step / FINE, np.sqrt(2.0 * farthest * widest)
