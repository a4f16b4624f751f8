"""Sets out the search for gamma: positions, cells by distance, samples on shells."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, Volume
from dosegrad.errors import SettingsError
from dosegrad.geometry.grid import Grid

__all__ = ["cells_by_distance", "search", "shells"]

Int64: TypeAlias = NDArray[np.int64]

#: Positions this close to a voxel centre, in voxels, are taken to be on it.
_SAME_PLACE = 1e-9
#: More samples or cells than this in reach of one point are a mistake in the settings.
_MOST_IN_REACH = 20_000_000


def search(
    grid: Grid,
    values: Volume,
    points: Array,
    doses: Array,
    tolerances: Array,
    *,
    distance: float,
    limit: float,
    steps: int | None,
) -> Array:
    """Gamma (n,) of points with ``doses``, up to ``limit``; infinite where no dose is in reach.

    ``points`` (n, 3) are fractional indices on ``grid``. The search is exact if ``steps`` is
    None, else over that many shells per ``distance``, mm.
    """
    shape = np.asarray(grid.shape, dtype=np.int64)
    spacing = np.asarray(grid.spacing) / distance
    flat = np.where(np.isfinite(values), values, np.nan).ravel()
    points = _settled(points)
    if steps is None:
        return _exact(flat, shape, spacing, points, doses, tolerances, limit)
    return _sampled(flat, shape, spacing, points, doses, tolerances, limit, steps)


def _exact(
    values: Array, shape: Int64, spacing: Array, points: Array, doses: Array, tolerances: Array,
    limit: float,
) -> Array:  # fmt: skip
    from dosegrad.evaluation._gamma_kernels import corner_doses, exact

    cell = (shape > 1).astype(np.int64)
    low, high = np.empty((2, int(np.prod(shape - cell))))
    corner_doses(values, shape, cell, low, high)
    offsets, bounds = cells_by_distance(points, shape, spacing, limit)
    out = np.empty(len(doses))
    exact(
        values, low, high, shape, spacing, cell, offsets, bounds, limit, points, doses, tolerances,
        out,
    )  # fmt: skip
    return out


def _sampled(
    values: Array, shape: Int64, spacing: Array, points: Array, doses: Array, tolerances: Array,
    limit: float, steps: int,
) -> Array:  # fmt: skip
    from dosegrad.evaluation._gamma_shell_kernels import sampled

    searched = shape > 1
    samples, starts = shells(spacing, searched, steps, limit)
    beside = (((points * spacing) ** 2) * ~searched).sum(axis=1)
    inner = np.ascontiguousarray(points * searched)
    out = np.empty(len(doses))
    sampled(
        values, shape, spacing, samples, starts, steps, limit, inner, beside, doses, tolerances, out
    )
    # The first shell is the point itself, or its foot, which may lie beyond the limit.
    return np.where(beside <= limit**2, out, np.inf)


def cells_by_distance(
    points: Array, shape: Int64, spacing: Array, limit: float
) -> tuple[Int64, Array]:
    """Cells (m, 3) relative to that of a point, and their least squared distance (m,), rising."""
    axes, parts = [], []
    for axis in range(3):
        n = int(shape[axis])
        if n == 1:
            axes.append(np.zeros(1, dtype=np.int64))
            parts.append(np.zeros(1))
            continue
        fraction = points[:, axis] - np.floor(points[:, axis])
        reach = int(np.ceil(limit / spacing[axis])) + 1
        below, above = points[:, axis].min(), points[:, axis].max()
        first = max(-reach, int(np.floor(-above)) - 1)
        last = min(reach, int(np.ceil(n - below)) + 1)
        offset = np.arange(first, last + 1)
        gap = np.maximum(np.maximum(offset - fraction.max(), fraction.min() - offset - 1), 0.0)
        axes.append(offset)
        parts.append((gap * spacing[axis]) ** 2)
    _check_number(float(np.prod([float(len(a)) for a in axes])), "cells")
    bounds = (parts[0][:, None, None] + parts[1][:, None] + parts[2]).ravel()
    order = np.argsort(bounds, kind="stable")
    order = order[bounds[order] <= limit**2]
    offsets = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=-1)
    return np.ascontiguousarray(offsets[order]), np.ascontiguousarray(bounds[order])


def shells(
    spacing: Array, searched: NDArray[np.bool_], steps: int, limit: float
) -> tuple[Array, Int64]:
    """Samples (m, 3), voxels, on shells ``1 / steps`` apart, and where shells and octants start.

    On a sphere they lie on circles around its pole, on a circle at equal angles, in both cases no
    more than ``1 / steps`` apart; along a line there are two.
    """
    n_shells = int(np.floor(limit * steps + 1e-9)) + 1
    axes = np.flatnonzero(searched)
    expected = {0: 1.0, 1: 2.0, 2: 3.2 * n_shells, 3: 4.2 * n_shells**2}[len(axes)] * n_shells
    _check_number(expected, "samples")
    parts, starts = [], np.zeros((n_shells, 9), dtype=np.int64)
    total = 0
    for k in range(n_shells if len(axes) else 1):
        unit = _unit_samples(k, len(axes))
        shell = np.zeros((len(unit), 3))
        shell[:, axes] = unit * (k / steps) / spacing[axes]
        shell[np.abs(shell) < 1e-12] = 0.0
        octant = (shell >= 0) @ np.array([4, 2, 1])
        parts.append(shell[np.argsort(octant, kind="stable")])
        starts[k] = total + np.searchsorted(np.sort(octant), np.arange(9))
        total += len(shell)
    return np.concatenate(parts), starts[: len(parts)]


def _unit_samples(k: int, dimensions: int) -> Array:
    """Directions (n, dimensions) to the samples of shell ``k``, whose radius is ``k`` steps."""
    if k == 0 or dimensions == 0:
        return np.zeros((1, dimensions))
    if dimensions == 1:
        return np.array([[1.0], [-1.0]])
    if dimensions == 2:
        angle = _turn(k)
        return np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    rings = []
    for polar in np.linspace(0.0, np.pi, int(np.ceil(np.pi * k)) + 1):
        angle = _turn(k * np.sin(polar))
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * np.sin(polar)
        rings.append(np.column_stack([ring, np.full(len(ring), np.cos(polar))]))
    return np.concatenate(rings)


def _turn(radius: float) -> Array:
    """Angles around a circle of ``radius`` steps, at most one step apart."""
    return np.linspace(0.0, 2 * np.pi, int(np.ceil(2 * np.pi * radius)) + 1, endpoint=False)


def _settled(points: Array) -> Array:
    """Positions with those that are on a voxel centre but for rounding put there."""
    nearest = np.rint(points)
    settled = np.where(np.abs(points - nearest) < _SAME_PLACE, nearest, points)
    return np.ascontiguousarray(settled)


def _check_number(number: float, what: str) -> None:
    if number > _MOST_IN_REACH:
        raise SettingsError(
            f"gamma would look at {number:.1g} {what} around each point; lower max_gamma, steps "
            "or distance."
        )
