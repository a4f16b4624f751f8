"""Plain gamma: the specification of ``_gamma_kernels`` and ``_gamma_shell_kernels``.

The exact search projects each point on every face of every simplex in reach, by linear equations;
the sampled one looks at every sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, combinations, permutations, product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array

Int64: TypeAlias = NDArray[np.int64]

#: Samples this far outside the evaluated grid, in voxels, are rounding and count as on its face.
ROUNDING = 1e-9


def corner_doses(values: Array, shape: Int64, cell: Int64, lowest: Array, highest: Array) -> None:
    """Lowest and highest dose at a cell's corners; NaN if none has one, infinite if one has not."""
    volume = values.reshape(shape)
    corners = np.stack(
        [
            volume[tuple(slice(o, n - c + o) for o, n, c in zip(offset, shape, cell, strict=True))]
            for offset in product(*(range(c + 1) for c in cell))
        ]
    )
    missing = np.isnan(corners)
    low = np.where(missing.any(axis=0), -np.inf, corners.min(axis=0))
    high = np.where(missing.any(axis=0), np.inf, corners.max(axis=0))
    lowest[:] = np.where(missing.all(axis=0), np.nan, low).ravel()
    highest[:] = np.where(missing.all(axis=0), np.nan, high).ravel()


def exact(
    values: Array, lowest: Array, highest: Array, shape: Int64, steps: Array, cell: Int64,
    offsets: Int64, bounds: Array, limit: float,
    points: Array, doses: Array, tolerances: Array, out: Array,
) -> None:  # fmt: skip
    """Gamma (n,) by projection on all faces of all simplices in reach."""
    volume = values.reshape(shape)
    for i, point in enumerate(points):
        best = nearest = np.inf
        for first in np.floor(point).astype(int) * cell + offsets:
            if (first < 0).any() or (first >= shape - cell).any():
                continue
            outside = np.maximum(np.maximum(first - point, point - first - cell), 0.0) * steps
            if outside @ outside > limit**2:
                continue
            for face in _faces(first, cell):
                lift = (np.array([volume[tuple(v)] for v in face]) - doses[i]) / tolerances[i]
                place = (np.array(face) - point) * steps
                best = min(best, _distance(np.column_stack([place, lift])))
                nearest = min(nearest, _distance(np.column_stack([place, 0 * lift])))
        out[i] = min(best, limit) if nearest <= limit else np.inf


def sampled(
    values: Array, shape: Int64, steps: Array, samples: Array, starts: Int64, n_steps: int,
    limit: float, points: Array, beside: Array, doses: Array, tolerances: Array, out: Array,
) -> None:  # fmt: skip
    """Gamma (n,) from all samples on all shells; not cut at the limit."""
    shell = np.repeat(np.arange(len(starts)), starts[:, -1] - starts[:, 0])
    radius = (shell / n_steps) ** 2
    volume = values.reshape(shape)
    for i, point in enumerate(points):
        near = radius + beside[i] <= limit**2
        near[0] = True
        found = np.array([_trilinear(volume, point + sample) for sample in samples[near]])
        gamma = radius[near] + beside[i] + ((found - doses[i]) / tolerances[i]) ** 2
        out[i] = np.sqrt(np.min(np.where(np.isnan(gamma), np.inf, gamma)))


def _faces(first: Int64, cell: Int64) -> Iterator[tuple[Int64, ...]]:
    """Vertices (z, y, x) of every face, of any dimension, of Kuhn's simplices of a cell."""
    axes = np.flatnonzero(cell)
    for order in permutations(axes):
        vertices = [first]
        for axis in order:
            vertices.append(vertices[-1] + np.eye(3, dtype=np.int64)[axis])
        yield from chain.from_iterable(
            combinations(vertices, n) for n in range(1, len(vertices) + 1)
        )


def _distance(vertices: Array) -> float:
    """Distance from 0 to the inside of the simplex of ``vertices`` (n, 4); infinite if beside."""
    if np.isnan(vertices).any():
        return np.inf
    edges = vertices[1:] - vertices[0]
    parts = np.linalg.solve(edges @ edges.T, -edges @ vertices[0])
    if (parts < 0).any() or parts.sum() > 1:
        return np.inf
    return float(np.linalg.norm(vertices[0] + parts @ edges))


def _trilinear(volume: Array, place: Array) -> float:
    """Dose at a fractional index; NaN outside and where a dose that counts is missing."""
    last = np.asarray(volume.shape) - 1
    if (place < -ROUNDING).any() or (place > last + ROUNDING).any():
        return np.nan
    place = np.clip(place, 0, last)
    first = np.minimum(place.astype(int), np.maximum(last - 1, 0))
    total = 0.0
    for corner in product((0, 1), repeat=3):
        weight = float(np.prod(np.where(corner, place - first, 1 - place + first)))
        if weight > 0:
            total += weight * float(volume[tuple(np.minimum(first + corner, last))])
    return total
