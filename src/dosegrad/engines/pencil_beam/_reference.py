"""The pencil beam's loops in plain NumPy: the specification of ``_kernels``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.engines.pencil_beam._arrays import Biology, Rays, Scene, Tables

__all__ = ["add_dose", "count_entries", "fill_entries"]


def column_entries(
    scene: Scene, rays: Rays, tables: Tables, ray: int, column: int
) -> tuple[NDArray[np.int64], Array, Array]:
    r"""Voxels, doses and LET of one column.

    .. math:: D = Z(t) \sum_k w_k(t) \frac{\exp(-r^2 / 2 s_k^2)}{2 \pi s_k^2}, \quad
       s_k^2 = s_0^2 + \sigma_k(t)^2

    with r the distance perpendicular to the ray and t the water-equivalent depth.
    """
    x, y, *direction, thickness = rays.axes[ray]
    r2 = (np.cross(scene.points - (x, y, 0.0), direction) ** 2).sum(axis=1)
    energy = int(rays.energies[column])
    knots = slice(int(tables.starts[energy]), int(tables.starts[energy + 1]))
    depths = tables.depths[knots]
    depth = np.maximum(ray_depths(scene, rays, ray) + thickness, depths[0])

    near, far = (tables.reach[start : start + depths.size, 0] for start in rays.reaches[column])
    reach = np.interp(depth, depths, near + rays.shares[column] * (far - near))
    found = np.flatnonzero((r2 <= reach) & (depth <= depths[-1]))

    values = tables.values[knots, ::2]
    dose, let, *gaussians = (np.interp(depth[found], depths, v) for v in values.T)
    lateral = np.zeros(found.size)
    for sigma, weight in zip(gaussians[::2], gaussians[1::2], strict=True):
        variance = sigma**2 + rays.variances[column]
        lateral += weight * np.exp(-0.5 * r2[found] / variance) / (2.0 * np.pi * variance)
    return found, dose * lateral, let


def ray_depths(scene: Scene, rays: Rays, ray: int) -> Array:
    """Depths (n_voxels,), mm: the voxels' own, or those on the ray beside them."""
    profile = rays.profiles[ray]
    if profile.size == 0:
        return scene.depths
    x, y, *direction, _ = rays.axes[ray]
    along = (scene.points - (x, y, 0.0)) @ direction
    stations = rays.stations[0] + rays.stations[1] * np.arange(profile.size)
    return np.asarray(np.interp(along, stations, profile))


def linear_quadratic(
    tables: Tables, biology: Biology, energy: int, depth: Array, tissue: NDArray[np.int32]
) -> tuple[Array, Array]:
    """Alpha, 1/Gy, and beta, 1/Gy2, at depths (n,), mm, in tissues of these classes (n,)."""
    knots = slice(int(tables.starts[energy]), int(tables.starts[energy + 1]))
    alpha, beta = np.zeros((2, depth.size))
    for k in np.unique(tissue):
        here = tissue == k
        for values, column in ((alpha, 4 * k), (beta, 4 * k + 2)):
            table = biology.tables[knots, column]
            values[here] = np.interp(depth[here], tables.depths[knots], table)
    return alpha, beta


def _columns_on(rays: Rays, first: int, last: int) -> list[tuple[int, int]]:
    """Ray and column of all columns on some rays."""
    return [
        (ray, int(column))
        for ray in range(first, last)
        for column in rays.columns[rays.offsets[ray] : rays.offsets[ray + 1]]
    ]


def count_entries(
    scene: Scene, rays: Rays, tables: Tables, first: int, last: int, counts: NDArray[np.int64]
) -> None:
    """Number of entries of each column on the rays from ``first`` to before ``last``."""
    for ray, column in _columns_on(rays, first, last):
        counts[column] = column_entries(scene, rays, tables, ray, column)[0].size


def fill_entries(
    scene: Scene,
    rays: Rays,
    tables: Tables,
    factor: float,
    first: int,
    last: int,
    heads: NDArray[np.int64],
    indices: NDArray[np.int32],
    dose: NDArray[np.float32],
    let_dose: NDArray[np.float32],
    biology: Biology,
    alpha_dose: NDArray[np.float32],
    sqrt_beta_dose: NDArray[np.float32],
) -> None:
    """Rows and values of the columns on some rays, into the arrays of the whole matrix."""
    for ray, column in _columns_on(rays, first, last):
        voxels, values, let = column_entries(scene, rays, tables, ray, column)
        part = slice(int(heads[column]), int(heads[column]) + voxels.size)
        indices[part] = scene.rows[voxels]
        dose[part] = factor * values
        if let_dose.size > 0:
            let_dose[part] = factor * values * let
        if alpha_dose.size > 0:
            depth = ray_depths(scene, rays, ray)[voxels] + rays.axes[ray, 5]
            energy, tissue = int(rays.energies[column]), biology.tissue[scene.rows[voxels]]
            alpha, beta = linear_quadratic(tables, biology, energy, depth, tissue)
            alpha_dose[part] = factor * values * alpha
            sqrt_beta_dose[part] = factor * values * np.sqrt(beta)


def add_dose(
    scene: Scene,
    rays: Rays,
    tables: Tables,
    weights: Array,
    parts: NDArray[np.int64],
    first: int,
    last: int,
    dose: Array,
) -> None:
    """Dose (n_rows,) of the rays ``first`` to before ``last``, added to all voxels."""
    assert parts[-1] == scene.blocks.shape[0]
    for ray, column in _columns_on(rays, first, last):
        found, values, _ = column_entries(scene, rays, tables, ray, column)
        dose[scene.rows[found]] += weights[column] * values
