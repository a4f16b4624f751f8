"""Compiled march in the range frame; ``_range_march_reference`` holds it in plain NumPy.

The operator of an interval is integrated over what lies in it, so that several thin steps, or
several materials, share one implicit step. It is block-tridiagonal with blocks of 3 by 3 and is
factorised from the lowest group up:

    F_g = D_g - B_g F_{g-1}^{-1} U_{g-1},  W_g = B_g F_{g-1}^{-1},  V_g = F_g^{-1} U_g
"""

from __future__ import annotations

from math import ceil, floor

import numpy as np

from dosegrad.arrays import Array
from dosegrad.compiled import kernel, parallel_kernel, prange
from dosegrad.engines.yoda._march_arrays import (
    A21,
    B1,
    B2,
    FACE_DIFFUSION,
    FACE_DRIFT,
    FEWEST,
    GAMMA,
    OPERATOR,
    Families,
    Layers,
    Media,
    Record,
)

__all__ = ["march"]


@kernel
def _value(media: Media, material: int, quantity: int, residual: float) -> float:
    """One quantity of a material at a residual range, mm."""
    place = min(max(residual / media.step, 0.0), media.values.shape[1] - 1.000001)
    index = int(place)
    low = media.values[material, index, quantity]
    return float(low + (place - index) * (media.values[material, index + 1, quantity] - low))


@kernel
def _place(families: Families, family: int, depth: float) -> tuple[int, float]:
    """Row, counted from the family's first, of the lowest group at a depth, and the share above."""
    ratio = (families.low[family] - depth) / families.width[family]
    place = (ratio + 1.0) * families.parts
    index = floor(place)
    return int(index), place - index


@kernel
def _measure(families: Families, family: int, depth: float, state: Array, out: Array) -> None:
    """Energy, stopping power, moving protons, scattering power, protons above 1 MeV; and all."""
    first, last = families.first[family], families.first[family + 1] - 1
    index, share = _place(families, family, depth)
    rows = families.rows
    out[:] = 0.0
    for g in range(state.shape[0]):
        out[5] += state[g, 0]
        at = first + index + g * families.parts
        if at < first:
            continue
        at = min(at, last - 1)
        for q in range(5):
            for j in range(3):
                low = rows[at, 3 * q + j]
                out[q] += (low + share * (rows[at + 1, 3 * q + j] - low)) * state[g, j]
    out[5] *= families.width[family]


@kernel
def _add_volume(block: Array, now: Array, a: float, b: float, s: float, t: float, h: float) -> None:
    """Terms within a group whose drift runs from a to b and whose absorption from s to t."""
    middle, slope = 0.5 * (a + b), 0.5 * (b - a)
    block[1, 0] -= now[0] + 2.0 * middle
    block[1, 1] -= now[1] + slope * (2.0 / 3.0) + now[6]
    block[1, 2] -= now[2] + now[7]
    block[2, 0] -= now[3] + 2.0 * slope
    block[2, 1] -= now[4] + 2.0 * middle + now[7]
    block[2, 2] -= now[5] + 0.8 * slope + now[8]
    level, tilt = 0.25 * h * (s + t), 0.25 * h * (t - s)
    block[0, 0] -= 2.0 * level
    block[1, 1] -= level * (2.0 / 3.0)
    block[2, 2] -= 0.4 * level
    block[0, 1] -= tilt * (2.0 / 3.0)
    block[1, 0] -= tilt * (2.0 / 3.0)
    block[1, 2] -= tilt * (4.0 / 15.0)
    block[2, 1] -= tilt * (4.0 / 15.0)


@kernel
def _add_face(blocks: Array, g: int, drift: float, diffusion: float, h: float) -> None:
    """Upwind drift and interior penalty between group ``g`` and the one below."""
    source = 1 if drift > 0.0 else 0
    for a in range(2):
        for b in range(2):
            block = blocks[g - 1 + a, 1 + b - a]
            for i in range(3):
                for j in range(3):
                    block[i, j] += diffusion / h * FACE_DIFFUSION[a, b, i, j]
                    if b == source:
                        block[i, j] += drift * FACE_DRIFT[a, b, i, j]


@kernel
def _assemble(
    families: Families,
    family: int,
    depth: float,
    straggling: float,
    drift: Array,
    removal: Array,
    blocks: Array,
    now: Array,
) -> None:
    """Operator of an interval into ``blocks`` (groups, 3, 3, 3), mass matrix divided out.

    ``drift`` and ``removal`` (groups + 1,): integrals over the interval at the edges of the
    groups, mm and a pure number; ``straggling``: thickness of water, mm, that straggles as much.
    """
    n = blocks.shape[0]
    h = families.width[family]
    first, last = families.first[family], families.first[family + 1] - 1
    index, share = _place(families, family, depth)
    blocks[:] = 0.0
    for g in range(n):
        at = first + index + g * families.parts
        now[:] = 0.0
        if at >= first:
            at = min(at, last - 1)
            for q in range(OPERATOR):
                low = families.operator[at, q]
                now[q] = straggling * (low + share * (families.operator[at + 1, q] - low))
        _add_volume(blocks[g, 1], now, drift[g], drift[g + 1], removal[g], removal[g + 1], h)
        if g > 0:
            _add_face(blocks, g, now[9] + drift[g], now[10], h)
    for g in range(n):
        for b in range(3):
            for i in range(3):
                for j in range(3):
                    blocks[g, b, i, j] *= (2.0 * i + 1.0) / h


@kernel
def _invert(f: Array, inverse: Array, g: int) -> None:
    """Inverse of the 3 by 3 matrix ``f`` by cofactors, into ``inverse[g]``."""
    c00 = f[1, 1] * f[2, 2] - f[1, 2] * f[2, 1]
    c01 = f[1, 2] * f[2, 0] - f[1, 0] * f[2, 2]
    c02 = f[1, 0] * f[2, 1] - f[1, 1] * f[2, 0]
    scale = 1.0 / (f[0, 0] * c00 + f[0, 1] * c01 + f[0, 2] * c02)
    inverse[g, 0, 0] = c00 * scale
    inverse[g, 1, 0] = c01 * scale
    inverse[g, 2, 0] = c02 * scale
    inverse[g, 0, 1] = (f[0, 2] * f[2, 1] - f[0, 1] * f[2, 2]) * scale
    inverse[g, 1, 1] = (f[0, 0] * f[2, 2] - f[0, 2] * f[2, 0]) * scale
    inverse[g, 2, 1] = (f[0, 1] * f[2, 0] - f[0, 0] * f[2, 1]) * scale
    inverse[g, 0, 2] = (f[0, 1] * f[1, 2] - f[0, 2] * f[1, 1]) * scale
    inverse[g, 1, 2] = (f[0, 2] * f[1, 0] - f[0, 0] * f[1, 2]) * scale
    inverse[g, 2, 2] = (f[0, 0] * f[1, 1] - f[0, 1] * f[1, 0]) * scale


@kernel
def _factorise(blocks: Array, factors: Array, f: Array) -> None:
    """F^-1, W and V of (1 - gamma A), into ``factors`` (3, groups, 3, 3)."""
    inverse, lower, upper = factors[0], factors[1], factors[2]
    n = blocks.shape[0]
    for g in range(n):
        for i in range(3):
            for j in range(3):
                f[i, j] = -GAMMA * blocks[g, 1, i, j]
            f[i, i] += 1.0
        if g > 0:
            for i in range(3):
                b0 = -GAMMA * blocks[g, 0, i, 0]
                b1 = -GAMMA * blocks[g, 0, i, 1]
                b2 = -GAMMA * blocks[g, 0, i, 2]
                for j in range(3):
                    lower[g, i, j] = (
                        b0 * inverse[g - 1, 0, j]
                        + b1 * inverse[g - 1, 1, j]
                        + b2 * inverse[g - 1, 2, j]
                    )
                    f[i, j] -= (
                        b0 * upper[g - 1, 0, j] + b1 * upper[g - 1, 1, j] + b2 * upper[g - 1, 2, j]
                    )
        _invert(f, inverse, g)
        if g < n - 1:
            for i in range(3):
                for j in range(3):
                    upper[g, i, j] = -GAMMA * (
                        inverse[g, i, 0] * blocks[g, 2, 0, j]
                        + inverse[g, i, 1] * blocks[g, 2, 1, j]
                        + inverse[g, i, 2] * blocks[g, 2, 2, j]
                    )


@kernel
def _solve(factors: Array, y: Array) -> None:
    """Solution of (1 - gamma A) Y = y, in place."""
    inverse, lower, upper = factors[0], factors[1], factors[2]
    n = y.shape[0]
    a, b, c = y[0, 0], y[0, 1], y[0, 2]
    for g in range(1, n):
        w = lower[g]
        d = y[g, 0] - (w[0, 0] * a + w[0, 1] * b + w[0, 2] * c)
        e = y[g, 1] - (w[1, 0] * a + w[1, 1] * b + w[1, 2] * c)
        h = y[g, 2] - (w[2, 0] * a + w[2, 1] * b + w[2, 2] * c)
        a, b, c = d, e, h
        y[g, 0], y[g, 1], y[g, 2] = a, b, c
    p, q, r = 0.0, 0.0, 0.0
    for g in range(n - 1, -1, -1):
        a, b, c = y[g, 0], y[g, 1], y[g, 2]
        m = inverse[g]
        d = m[0, 0] * a + m[0, 1] * b + m[0, 2] * c
        e = m[1, 0] * a + m[1, 1] * b + m[1, 2] * c
        h = m[2, 0] * a + m[2, 1] * b + m[2, 2] * c
        if g < n - 1:
            v = upper[g]
            d -= v[0, 0] * p + v[0, 1] * q + v[0, 2] * r
            e -= v[1, 0] * p + v[1, 1] * q + v[1, 2] * r
            h -= v[2, 0] * p + v[2, 1] * q + v[2, 2] * r
        p, q, r = d, e, h
        y[g, 0], y[g, 1], y[g, 2] = p, q, r


@kernel
def _advance(factors: Array, state: Array, stages: Array) -> None:
    """State after an interval into ``stages[2]``, with ``stages`` (3, groups, 3) as scratch."""
    first, second, third = stages[0], stages[1], stages[2]
    for g in range(state.shape[0]):
        for i in range(3):
            first[g, i] = state[g, i]
    _solve(factors, first)
    for g in range(state.shape[0]):
        for i in range(3):
            second[g, i] = state[g, i] + A21 / GAMMA * (first[g, i] - state[g, i])
    _solve(factors, second)
    for g in range(state.shape[0]):
        for i in range(3):
            slope = (first[g, i] - state[g, i]) / GAMMA
            middle = (second[g, i] - state[g, i] - A21 * slope) / GAMMA
            third[g, i] = state[g, i] + B1 * slope + B2 * middle
    _solve(factors, third)


@kernel
def _note(record: Record, path: int, k: int, before: Array, after: Array, scattered: float) -> None:
    """Averages over step ``k`` from the measures at its two edges."""
    lost = before[0] - after[0]
    record.lost[path, k] = lost
    record.number[path, k + 1] = after[5]
    if before[4] + after[4] > 2.0 * FEWEST:
        record.scattered[path, k] = scattered * (before[3] + after[3]) / (before[4] + after[4])
    if before[2] + after[2] > 2.0 * FEWEST:
        record.absorbed[path, k] = (
            (before[5] - after[5]) * (before[0] + after[0]) / (before[2] + after[2])
        )
        record.let[path, k] = (before[1] + after[1]) / (before[2] + after[2])


@kernel
def _collect(
    families: Families,
    media: Media,
    family: int,
    material: int,
    water: float,
    depth: float,
    sums: Array,
) -> tuple[float, float, float]:
    """Add a piece of ``water`` mm times density to an interval that has begun.

    Returns its water-equivalent thickness, what it straggles, and its scattering, g/cm2 of water;
    ``sums`` (2, groups + 1) gets drift and removal at the edges of the groups.
    """
    full, h, low = families.full[family], families.width[family], families.low[family]
    half = 0.5 * water * _value(media, material, 0, full - depth)
    kappa = _value(media, material, 0, full - depth - half)
    here = depth + 0.5 * water * kappa
    for g in range(sums.shape[1]):
        left = low + g * h - here
        sums[0, g] += water * (_value(media, material, 0, left) - kappa)
        sums[1, g] += 0.1 * water * _value(media, material, 1, left)
    scattering = 0.1 * water * _value(media, material, 2, full - here)
    return water * kappa, water * media.straggling[material], scattering


@kernel
def _note_steps(
    families: Families,
    family: int,
    record: Record,
    path: int,
    steps: tuple[int, int],
    depths: tuple[float, float],
    states: tuple[Array, Array, Array],
    measures: Array,
    gained: Array,
) -> None:
    """Averages over steps that end in the interval between two ``depths``, with its ``states``.

    Between the state at its start and that at its end the third is scratch. ``measures`` (2, 6):
    those at the start of the first step, and scratch.
    """
    start, end, mixed = states
    for k in range(steps[0], steps[1]):
        depth = record.depth[path, k + 1]
        share = 1.0
        if depths[1] > depths[0]:
            share = (depth - depths[0]) / (depths[1] - depths[0])
        for g in range(start.shape[0]):
            for i in range(3):
                mixed[g, i] = start[g, i] + share * (end[g, i] - start[g, i])
        _measure(families, family, depth, mixed, measures[1])
        _note(record, path, k, measures[0], measures[1], gained[k])
        measures[0] = measures[1]


@kernel
def _march_path(
    families: Families,
    media: Media,
    layers: Layers,
    longest: tuple[float, float, float],
    record: Record,
    path: int,
) -> None:
    """All steps of one path."""
    family = layers.family[path]
    state = families.initial[family].copy()
    n = state.shape[0]
    full, h = families.full[family], families.width[family]
    floor_, beyond = longest[0] * h, families.low[family] + n * h
    stages, factors = np.zeros((3, n, 3)), np.zeros((3, n, 3, 3))
    blocks, scratch, now = np.zeros((n, 3, 3, 3)), np.zeros((3, 3)), np.zeros(OPERATOR)
    sums, mixed = np.zeros((2, n + 1)), np.zeros((n, 3))
    measures, gained = np.zeros((2, 6)), np.zeros(layers.n_steps)
    _measure(families, family, 0.0, state, measures[0])
    record.number[path, 0] = measures[0, 5]
    depth, solved, straggling, done = 0.0, 0.0, 0.0, 0
    entry, stop = layers.offsets[path], layers.offsets[path + 1]
    for k in range(layers.n_steps):
        while entry < stop and layers.step[entry] == k:
            left = layers.mass[entry] * 10.0  # g/cm2 of water are mm times 10
            while left > 0.0 and depth < beyond:
                limit = max(floor_, min(longest[1] * (full - depth), longest[2]))
                piece = min(left, limit / ceil(limit / max(solved + limit - depth, 0.2 * limit)))
                water, straggles, scatters = _collect(
                    families, media, family, layers.material[entry], piece, depth, sums
                )
                left = left - piece if left > piece * (1.0 + 1e-12) else 0.0
                depth += water
                straggling += straggles
                gained[k] += scatters
                if depth - solved > 0.8 * limit:
                    middle = 0.5 * (solved + depth)
                    _assemble(families, family, middle, straggling, sums[0], sums[1], blocks, now)
                    _factorise(blocks, factors, scratch)
                    _advance(factors, state, stages)
                    _note_steps(
                        *(families, family, record, path, (done, k), (solved, depth)),
                        *((state, stages[2], mixed), measures, gained),
                    )
                    state[:] = stages[2]
                    sums[:] = 0.0
                    solved, straggling, done = depth, 0.0, k
            entry += 1
        record.depth[path, k + 1] = depth
    if depth > solved:
        middle = 0.5 * (solved + depth)
        _assemble(families, family, middle, straggling, sums[0], sums[1], blocks, now)
        _factorise(blocks, factors, scratch)
        _advance(factors, state, stages)
    else:
        stages[2] = state
    _note_steps(
        *(families, family, record, path, (done, layers.n_steps), (solved, depth)),
        *((state, stages[2], mixed), measures, gained),
    )


@parallel_kernel
def march(
    families: Families,
    media: Media,
    layers: Layers,
    longest: tuple[float, float, float],
    record: Record,
) -> None:
    """Take the spectra of all paths through their layers; fills ``record``.

    ``longest`` implicit step: in widths of a group, and far from the end in residual ranges and
    in mm.
    """
    for path in prange(layers.family.size):
        _march_path(families, media, layers, longest, record, path)
