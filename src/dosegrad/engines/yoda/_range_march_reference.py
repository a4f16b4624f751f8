"""March in the range frame in plain NumPy; the same record as ``_range_march_kernels``.

Operators are dense matrices here, and every interval is one call of a general solver.
"""

from __future__ import annotations

import numpy as np

from dosegrad.arrays import Array
from dosegrad.engines.yoda._march_arrays import (
    A21,
    B1,
    B2,
    FACE_DIFFUSION,
    FACE_DRIFT,
    FEWEST,
    GAMMA,
    Families,
    Layers,
    Media,
    Record,
)

__all__ = ["march"]


class _Path:
    """One path on its way."""

    def __init__(self, families: Families, media: Media, record: Record, path: int, f: int) -> None:
        self.families, self.media, self.record, self.path, self.f = families, media, record, path, f
        self.state = families.initial[f].copy()
        self.n, self.h = len(self.state), float(families.width[f])
        self.full, self.low = float(families.full[f]), float(families.low[f])
        self.edges = self.low + self.h * np.arange(self.n + 1)
        self.crossed = np.zeros(media.straggling.size)
        self.solved, self.done = 0.0, 0
        self.before = self.measure(0.0)
        self.note = self.before
        record.number[path, 0] = self.before[5]

    def value(self, material: int, quantity: int, residual: Array | float) -> Array:
        """One quantity of a material at residual ranges."""
        ranges = self.media.step * np.arange(self.media.values.shape[1])
        return np.asarray(np.interp(residual, ranges, self.media.values[material, :, quantity]))

    def table(self, rows: Array, depth: float) -> Array:
        """Rows (groups, columns) of a table for all groups at a depth; 0 below its first row."""
        first, last = self.families.first[self.f], self.families.first[self.f + 1] - 1
        place = ((self.low - depth) / self.h + 1.0) * self.families.parts
        index = int(np.floor(place))
        at = first + index + self.families.parts * np.arange(self.n)
        share = place - index
        held = np.minimum(np.maximum(at, first), last - 1)
        values = rows[held] + share * (rows[held + 1] - rows[held])
        return np.where((at >= first)[:, None], values, 0.0)

    def measure(self, depth: float) -> Array:
        """Measures (7,) of the state at a depth, as the kernels order them."""
        rows = self.table(self.families.rows, depth).reshape(self.n, 6, 3)
        sums = np.einsum("gqj,gj->q", rows, self.state)
        return np.insert(sums, 5, self.h * self.state[:, 0].sum())

    def operator(self, depth: float) -> Array:
        """Operator (3n, 3n) of the interval from ``self.solved`` to ``depth``."""
        middle = 0.5 * (self.solved + depth)
        drift = np.full(self.n + 1, self.solved - depth)
        removal = np.zeros(self.n + 1)
        left = np.asarray(self.edges - middle, dtype=np.float64)
        for m in np.flatnonzero(self.crossed).tolist():
            drift += self.crossed[m] * self.value(m, 0, left)
            removal += 0.1 * self.crossed[m] * self.value(m, 1, left)
        rows = self.table(self.families.operator, middle) * (self.crossed @ self.media.straggling)
        blocks = np.zeros((self.n, 3, self.n, 3))
        nodes, weights = np.polynomial.legendre.leggauss(4)
        basis = np.stack([np.ones(4), nodes, 1.5 * nodes**2 - 0.5])
        slopes = np.stack([np.zeros(4), np.ones(4), 3.0 * nodes])
        for g in range(self.n):
            a = np.interp(nodes, [-1.0, 1.0], drift[g : g + 2])
            s = np.interp(nodes, [-1.0, 1.0], removal[g : g + 2])
            block = -np.einsum("q,iq,jq->ij", a * weights, slopes, basis)
            block -= 0.5 * self.h * np.einsum("q,iq,jq->ij", s * weights, basis, basis)
            block[1:] -= rows[g, :6].reshape(2, 3)
            block[1:, 1:] -= np.array([[rows[g, 6], rows[g, 7]], [rows[g, 7], rows[g, 8]]])
            blocks[g, :, g, :] += block
            if g > 0:
                total = rows[g, 9] + drift[g]
                source = 1 if total > 0 else 0
                for i in range(2):
                    for j in range(2):
                        face = rows[g, 10] / self.h * FACE_DIFFUSION[i, j]
                        if j == source:
                            face = face + total * FACE_DRIFT[i, j]
                        blocks[g - 1 + i, :, g - 1 + j, :] += face
        mass = np.tile(self.h / (2.0 * np.arange(3) + 1.0), self.n)
        return np.asarray(blocks.reshape(3 * self.n, 3 * self.n) / mass[:, None])

    def step_to(self, depth: float, k: int, gained: Array) -> None:
        """Take the state to ``depth`` and note the steps up to ``k``."""
        matrix = np.eye(3 * self.n) - GAMMA * self.operator(depth)
        self.crossed[:] = 0.0
        start = self.state.ravel()
        first = np.linalg.solve(matrix, start)
        slope = (first - start) / GAMMA
        second = np.linalg.solve(matrix, start + A21 * slope)
        middle = (second - start - A21 * slope) / GAMMA
        third = np.linalg.solve(matrix, start + B1 * slope + B2 * middle)
        self.state = third.reshape(self.n, 3)
        after, length = self.measure(depth), depth - self.solved
        for j in range(self.done, k):
            share = 1.0
            if length > 0:
                share = (self.record.depth[self.path, j + 1] - self.solved) / length
            between = _between(self.before, after, share, length)
            self._note(j, between, gained[j])
        self.before, self.solved, self.done = after, depth, k

    def _note(self, k: int, after: Array, gained: float) -> None:
        record, path, before = self.record, self.path, self.note
        total = before + after
        record.lost[path, k] = before[0] - after[0]
        record.number[path, k + 1] = after[5]
        if total[4] > 2 * FEWEST:
            record.scattered[path, k] = gained * total[3] / total[4]
        if total[2] > 2 * FEWEST:
            record.absorbed[path, k] = (before[5] - after[5]) * total[0] / total[2]
            record.let[path, k] = total[6] / total[1]
        self.note = after


def _between(start: Array, end: Array, share: float, length: float) -> Array:
    """Measures inside an interval from those at its ends."""
    out = np.asarray(start + share * (end - start))
    if min(start[5], end[5]) <= FEWEST:
        return out
    out[5] = start[5] * (end[5] / start[5]) ** share
    ends = start[0] / start[5], end[0] / end[5]
    slopes = -length * start[1] / start[5], -length * end[1] / end[5]
    t, u = share, 1.0 - share
    mean = u * u * (1 + 2 * t) * ends[0] + t * t * (3 - 2 * t) * ends[1]
    out[0] = out[5] * (mean + t * u * (u * slopes[0] - t * slopes[1]))
    return out


def march(
    families: Families,
    media: Media,
    layers: Layers,
    longest: tuple[float, float, float],
    record: Record,
) -> None:
    """Take the spectra of all paths through their layers; fills ``record``."""
    for path, family in enumerate(layers.family):
        one = _Path(families, media, record, path, int(family))
        depth, gained = 0.0, np.zeros(layers.n_steps)
        beyond = one.low + one.n * one.h
        entry, stop = layers.offsets[path], layers.offsets[path + 1]
        for k in range(layers.n_steps):
            while entry < stop and layers.step[entry] == k:
                left, m = layers.mass[entry] * 10.0, int(layers.material[entry])
                while left > 0 and depth < beyond:
                    far = min(longest[1] * (one.full - depth), longest[2], 1.0 + 0.5 * depth)
                    limit = max(longest[0] * one.h, far)
                    piece = min(left, max(one.solved + limit - depth, 0.2 * limit))
                    half = 0.5 * piece * one.value(m, 0, one.full - depth)
                    kappa = float(one.value(m, 0, one.full - depth - half))
                    gained[k] += 0.1 * piece * float(one.value(m, 2, one.full - depth - half))
                    left = left - piece if left > piece * (1 + 1e-12) else 0.0
                    one.crossed[m] += piece
                    depth += piece * kappa
                    if depth - one.solved > 0.8 * limit:
                        one.step_to(depth, k, gained)
                entry += 1
            record.depth[path, k + 1] = depth
        one.step_to(depth, layers.n_steps, gained)
