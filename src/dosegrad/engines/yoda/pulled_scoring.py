"""The pullback of the scoring: what the doses on the axes of pencils do to responses."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.engines.yoda._response_arrays import Lateral
from dosegrad.engines.yoda._scoring_arrays import FINE, Pencils, Profiles
from dosegrad.engines.yoda.scoring import FARTHEST, GRAY, voxels_of
from dosegrad.geometry.grid import Grid

__all__ = ["Axes", "Window", "at_nodes", "on_axis", "only", "pull_scoring", "unimportant"]

_IDLE: Final = 1e-3  # of what pencils can give to a response that may be left out


@dataclass(frozen=True, slots=True, eq=False)
class Axes:
    """Pencils with what lies along their axes.

    Parameters
    ----------
    pencils
        Straight lines on the grid, one profile each.
    energy, mass
        Summed up to the edges of the steps (pencils, edges), MeV per particle and g/cm2.
    added
        Variance that scattering added there, mm2.
    variance
        Variances along x and y at the nodes, with those of a voxel, mm2, (pencils, 2, nodes).
    ends
        Steps of each pencil that matter, (pencils,).
    step
        Length of a step, mm.
    half
        Half a voxel along the beam, in steps.
    blur
        Variances of a voxel across, mm2, (2,).
    """

    pencils: Pencils
    energy: Array
    mass: Array
    added: Array
    variance: Array
    ends: Array
    step: float
    half: float
    blur: Array


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The nodes of pencils at which responses can be, and pencils that begin there.

    ``places`` (pencils, nodes): numbers of the nodes; ``inside``: the same within the profiles.
    """

    places: NDArray[np.int64]
    inside: NDArray[np.int64]
    variance: Array
    pencils: Pencils
    profiles: Profiles


def window_of(axes: Axes, gradients: Array, grid: Grid) -> Window:
    """The nodes of ``axes`` that the voxels with any of the ``gradients`` (r, n) can ask for."""
    step, n_nodes = axes.step / FINE, axes.variance.shape[2]
    last = np.minimum(FINE * axes.ends, n_nodes - 1).astype(np.int64)
    spacing, pencils = np.asarray(grid.spacing), axes.pencils
    boxes = np.stack([box_of(g, grid) for g in gradients])
    bounds = np.stack([boxes[:, :, 0].min(axis=0), boxes[:, :, 1].max(axis=0) - 1], axis=1)
    corners = np.array(list(product(*bounds))) * spacing
    along = np.einsum("cnk,nk->cn", corners[:, None] - pencils.origin, pencils.axis)
    first = np.clip(np.floor(along.min(axis=0) / step).astype(np.int64) - 1, 0, last)
    farthest = np.ceil(along.max(axis=0) / step).astype(np.int64) + 1
    last = np.maximum(np.minimum(farthest, last), first)
    places = first[:, None] + np.arange(int((last - first).max(initial=0)) + 1)
    inside = np.minimum(places, n_nodes - 1)
    variance = np.take_along_axis(axes.variance, inside[:, None], axis=2)
    used = (places <= last[:, None])[:, None]
    widest = np.where(used, variance, 0.0).max(axis=(1, 2))
    values = np.zeros((*places.shape, 4))
    values[:, :, 1], values[:, :, 2] = 0.5 / variance[:, 0], 0.5 / variance[:, 1]
    reach = np.stack([(last - first) * step, np.sqrt(2.0 * FARTHEST * widest)], axis=1)
    profiles = Profiles(step, values, axes.blur, reach, FARTHEST)
    moved = pencils.origin + (first * step)[:, None] * pencils.axis
    return Window(places, inside, variance, pencils._replace(origin=moved), profiles)


def pull_scoring(axes: Axes, gradients: Array, grid: Grid) -> Lateral:
    """The pulled-back scoring of pencils for responses with ``gradients`` (r, n_voxels)."""
    window = window_of(axes, gradients, grid)
    columns = [np.take_along_axis(at_nodes(axes.added), window.inside, axis=1)]
    for gradient in gradients:
        columns.extend(_factors(pulled_at_nodes(window, gradient, grid), window.variance))
    return _compressed(columns, window.places[:, 0])


def pulled_at_nodes(window: Window, gradient: Array, grid: Grid) -> Array:
    """Derivatives (pencils, nodes, 5) of the pullback kernel for one response."""
    from dosegrad.engines.yoda._pull_kernels import pull_profiles

    pulled = np.zeros((*window.places.shape, 5))
    box = box_of(gradient, grid)
    pull_profiles(voxels_of(grid), window.pencils, window.profiles, box, gradient, pulled)
    return pulled


def scale_of(variance: Array) -> Array:
    """Dose on the axis (pencils, nodes) per laterally integrated dose, Gy per MeV cm2/g."""
    x, y = variance[:, 0], variance[:, 1]
    return np.asarray(GRAY / (1.0 - np.exp(-FARTHEST)) / (2.0 * np.pi) / np.sqrt(x * y))


def cut_off() -> float:
    """Share of dose times d ln v that crosses the end of the Gaussian when its variance grows.

    A Gaussian that ends at the exponent q, scaled to keep its integral, keeps it for any variance,
    because its end moves: q exp(-q) / (1 - exp(-q)) of it per relative growth.
    """
    return float(FARTHEST * np.exp(-FARTHEST) / (1.0 - np.exp(-FARTHEST)))


def on_axis(axes: Axes, places: NDArray[np.int64]) -> Array:
    """Laterally integrated dose (pencils, nodes) at nodes, MeV cm2/g."""
    found = np.zeros(places.shape)
    edges = np.arange(axes.mass.shape[1])
    for row, nodes in enumerate(places / FINE):
        energy, mass = (
            np.interp(nodes + axes.half, edges, values)
            - np.interp(nodes - axes.half, edges, values)
            for values in (axes.energy[row], axes.mass[row])
        )
        found[row] = np.where(mass > 0, energy / np.where(mass > 0, mass, 1.0), 0.0)
    return found


def unimportant(laterals: list[Lateral]) -> list[NDArray[np.bool_]]:
    """Which pencils of some groups together can give next to nothing to any response."""
    sums = [_potential(lateral) for lateral in laterals]
    every = np.concatenate(sums) if sums else np.zeros((0, 1))
    limits = np.zeros(every.shape[1])
    for r, column in enumerate(every.T):
        ascending = np.sort(column)
        idle = np.searchsorted(np.cumsum(ascending), _IDLE * column.sum())
        limits[r] = ascending[max(int(idle) - 1, 0)] if idle else 0.0
    return [np.asarray((s <= limits).all(axis=1)) for s in sums]


def _potential(lateral: Lateral) -> Array:
    """What the same dose at all nodes of each pencil would give, (pencils, responses)."""
    factors = np.abs(lateral.values[:, 1::4].astype(np.float64))
    sums = np.concatenate([np.zeros((1, factors.shape[1])), np.cumsum(factors, axis=0)])
    return np.asarray(np.diff(sums[lateral.first], axis=0))


def only(lateral: Lateral, kept: NDArray[np.bool_]) -> Lateral:
    """``lateral`` with no nodes for pencils that are not ``kept``."""
    count = np.diff(lateral.first)
    first = np.concatenate([[0], np.cumsum(np.where(kept, count, 0))]).astype(np.int64)
    values = np.ascontiguousarray(lateral.values[np.repeat(kept, count)])
    return lateral._replace(first=first, values=values)


def at_nodes(edges: Array) -> Array:
    """Values at nodes from those at the edges of steps, along the last axis."""
    n = edges.shape[-1]
    nodes = np.empty((*edges.shape[:-1], FINE * (n - 1) + 1))
    nodes[..., ::FINE] = edges
    nodes[..., 1::FINE] = 0.5 * (edges[..., 1:] + edges[..., :-1])
    return nodes


def box_of(gradient: Array, grid: Grid) -> NDArray[np.int64]:
    """Bounds (3, 2) of the voxels where a gradient is not 0."""
    filled = gradient.reshape(grid.shape) != 0
    bounds = np.zeros((3, 2), dtype=np.int64)
    for axis in range(3):
        found = np.flatnonzero(filled.any(axis=tuple({0, 1, 2} - {axis})))
        if found.size:
            bounds[axis] = found[0], found[-1] + 1
    return bounds


def _factors(pulled: Array, variance: Array) -> list[Array]:
    """The four columns of one response in ``Lateral.values`` (pencils, nodes)."""
    x, y = variance[:, 0], variance[:, 1]
    scale = scale_of(variance)
    by_x, by_y = 0.5 / x**2, 0.5 / y**2
    here = pulled[:, :, 1] * by_x + pulled[:, :, 3] * by_y
    here -= 0.5 * (1.0 - cut_off()) * pulled[:, :, 0] * (1.0 / x + 1.0 / y)
    before, behind = np.zeros_like(here), np.zeros_like(here)
    mixed_x, mixed_y = pulled[:, :-1, 2], pulled[:, :-1, 4]
    before[:, 1:] = mixed_x * by_x[:, :-1] + mixed_y * by_y[:, :-1]
    behind[:, :-1] = mixed_x * by_x[:, 1:] + mixed_y * by_y[:, 1:]
    return [scale * values for values in (pulled[:, :, 0], before, here, behind)]


def _compressed(columns: list[Array], start: NDArray[np.int64]) -> Lateral:
    """Nodes of pencils from the first to the last that matters; columns begin at ``start``."""
    used = np.zeros(columns[0].shape, dtype=bool)
    for values in columns[1:]:
        used |= values != 0
    n_nodes = columns[0].shape[1]
    some = used.any(axis=1)
    first = np.where(some, np.argmax(used, axis=1), 0)
    last = np.where(some, n_nodes - np.argmax(np.flip(used, axis=1), axis=1), 0)
    places = np.arange(n_nodes)
    inside = (places >= first[:, None]) & (places < last[:, None])
    values = np.stack([c[inside] for c in columns], axis=1).astype(np.float32)
    return Lateral(
        np.concatenate([[0], np.cumsum(last - first)]).astype(np.int64),
        (start + first).astype(np.int32),
        np.ascontiguousarray(values),
    )
