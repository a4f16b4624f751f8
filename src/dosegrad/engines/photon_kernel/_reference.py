"""The photon engine's loops in plain NumPy: the specification of ``_kernels``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from dosegrad.arrays import Array
from dosegrad.engines.photon_kernel._arrays import Bixels, FieldMap, Profiles, Scene

__all__ = ["add_dose", "add_field", "count_entries", "fill_entries", "find_maxima"]


def column_entries(
    scene: Scene, bixels: Bixels, profiles: Profiles, column: int
) -> tuple[NDArray[np.int64], Array]:
    r"""Voxels and doses of one column, all within its radius and not below its floor.

    .. math:: D = \Psi \sum_k f_k [F * G * K_k](|x|, |y|)

    with f_k the voxel's depth factors and the convolved bixel between nodes bilinear.
    """
    a, b, c = bixels.frames[column].reshape(3, 3)
    depth = scene.points @ c
    lateral = np.column_stack([scene.points @ a, scene.points @ b]) / depth[:, None]
    near = np.flatnonzero((lateral**2).sum(axis=1) <= bixels.reaches[column] ** 2)
    kind = bixels.kinds[column]
    side, start = int(profiles.sides[kind]), int(profiles.starts[kind])
    nodes = (profiles.first[kind] + np.arange(side)) * profiles.raster
    quadrant = profiles.values[start : start + side * side].reshape(side, side, -1)
    place = lateral[near] + profiles.shift
    place = np.clip(np.abs(place) if profiles.mirrored else place, nodes[0], nodes[-1])
    convolved = RegularGridInterpolator((nodes, nodes), quadrant)(place[:, ::-1])
    dose = bixels.scales[column] * (scene.factors[near] * convolved).sum(axis=1)
    kept = dose >= bixels.floors[column]
    return near[kept], dose[kept]


def find_maxima(
    scene: Scene,
    bixels: Bixels,
    profiles: Profiles,
    first: int,
    last: int,
    maxima: NDArray[np.float64],
) -> None:
    """Highest dose of each of the columns from ``first`` to before ``last``, Gy per weight."""
    for column in range(first, last):
        dose = column_entries(scene, bixels, profiles, column)[1]
        maxima[column] = dose.max(initial=0.0)


def count_entries(
    scene: Scene,
    bixels: Bixels,
    profiles: Profiles,
    first: int,
    last: int,
    counts: NDArray[np.int64],
) -> None:
    """Number of entries of each of the columns from ``first`` to before ``last``."""
    for column in range(first, last):
        counts[column] = column_entries(scene, bixels, profiles, column)[0].size


def fill_entries(
    scene: Scene,
    bixels: Bixels,
    profiles: Profiles,
    first: int,
    last: int,
    heads: NDArray[np.int64],
    indices: NDArray[np.int32],
    dose: NDArray[np.float32],
) -> None:
    """Rows and values of some columns, into the arrays of the whole matrix from ``heads`` on."""
    for column in range(first, last):
        voxels, values = column_entries(scene, bixels, profiles, column)
        part = slice(int(heads[column]), int(heads[column]) + voxels.size)
        indices[part] = scene.rows[voxels]
        dose[part] = values


def add_dose(
    scene: Scene,
    bixels: Bixels,
    profiles: Profiles,
    weights: NDArray[np.float64],
    parts: NDArray[np.int64],
    first: int,
    last: int,
    dose: NDArray[np.float64],
) -> None:
    """Dose (n_rows,) of the columns ``first`` to before ``last``, added to all voxels."""
    assert parts[-1] == scene.blocks.shape[0]
    for column in range(first, last):
        voxels, values = column_entries(scene, bixels, profiles, column)
        dose[scene.rows[voxels]] += weights[column] * values


def add_field(scene: Scene, field: FieldMap, sad: float, dose: NDArray[np.float64]) -> None:
    """Dose (n_rows,) of a whole field, added to all voxels within its map; bilinear."""
    projected = scene.points[:, :2] * (-sad / scene.points[:, 2:])
    cosine, sine = field.turn
    turned = projected @ np.array([[cosine, -sine], [sine, cosine]])
    axes = [field.low[k] + field.raster * np.arange(field.values.shape[1 - k]) for k in (1, 0)]
    sampled = RegularGridInterpolator(axes, field.values, bounds_error=False, fill_value=0.0)
    dose[scene.rows] += (scene.factors * sampled(turned[:, ::-1])).sum(axis=1)
