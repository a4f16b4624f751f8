"""Compiled march in the range frame; ``_range_march_reference`` holds it in plain NumPy.

The operator of an interval is integrated over what lies in it, so that several thin steps, or
several materials, share one implicit step. It is block-tridiagonal with blocks of 3 by 3 and is
factorised from the lowest group up:

    F_g = D_g - B_g F_{g-1}^{-1} U_{g-1},  W_g = B_g F_{g-1}^{-1},  V_g = F_g^{-1} U_g
"""

from __future__ import annotations

from math import floor

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
    """Measures (7,) of a spectrum at a depth: its integrals with the columns of ``rows``.

    Energy, stopping power, moving protons, scattering power, protons above 1 MeV, all protons,
    stopping power squared.
    """
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
        for q in range(6):
            target = q if q < 5 else 6
            for j in range(3):
                low = rows[at, 3 * q + j]
                out[target] += (low + share * (rows[at + 1, 3 * q + j] - low)) * state[g, j]
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
    record.lost[path, k] = before[0] - after[0]
    record.number[path, k + 1] = after[5]
    if before[4] + after[4] > 2.0 * FEWEST:
        record.scattered[path, k] = scattered * (before[3] + after[3]) / (before[4] + after[4])
    if before[2] + after[2] > 2.0 * FEWEST:
        record.absorbed[path, k] = (
            (before[5] - after[5]) * (before[0] + after[0]) / (before[2] + after[2])
        )
        record.let[path, k] = (before[6] + after[6]) / (before[1] + after[1])


@kernel
def _between(start: Array, end: Array, share: float, length: float, out: Array) -> None:
    """Measures inside an interval of ``length`` mm of water from those at its ends.

    Protons vanish exponentially; the energy of one is the cubic that has the stopping power as its
    slope at both ends.
    """
    for q in range(1, 7):
        out[q] = start[q] + share * (end[q] - start[q])
    if start[5] <= FEWEST or end[5] <= FEWEST:
        out[0] = start[0] + share * (end[0] - start[0])
        return
    out[5] = start[5] * (end[5] / start[5]) ** share
    rest = 1.0 - share
    first, last = start[0] / start[5], end[0] / end[5]
    slope_first, slope_last = length * start[1] / start[5], length * end[1] / end[5]
    mean = rest * rest * (1.0 + 2.0 * share) * first + share * share * (3.0 - 2.0 * share) * last
    mean -= share * rest * (rest * slope_first - share * slope_last)
    out[0] = out[5] * mean


@kernel
def _note_steps(
    record: Record,
    path: int,
    steps: tuple[int, int],
    depths: tuple[float, float],
    measures: Array,
    gained: Array,
) -> None:
    """Averages over steps that end in the interval between two ``depths``.

    ``measures`` (4, 7): at the start of the first step, at both ends of the interval, and scratch.
    """
    length = depths[1] - depths[0]
    for k in range(steps[0], steps[1]):
        share = 1.0
        if length > 0.0:
            share = (record.depth[path, k + 1] - depths[0]) / length
        _between(measures[1], measures[2], share, length, measures[3])
        _note(record, path, k, measures[0], measures[3], gained[k])
        measures[0] = measures[3]


@kernel
def _integrate(
    families: Families,
    media: Media,
    family: int,
    depths: tuple[float, float],
    crossed: Array,
    sums: Array,
) -> float:
    """Drift and removal at the edges of the groups over an interval; what it straggles, mm.

    ``crossed`` (materials,): thickness of each as mass, mm of water; it is emptied.
    """
    here = 0.5 * (depths[0] + depths[1])
    low, h = families.low[family] - here, families.width[family]
    straggling = 0.0
    sums[0] = depths[0] - depths[1]
    sums[1] = 0.0
    for m in range(crossed.size):
        if crossed[m] > 0.0:
            straggling += crossed[m] * media.straggling[m]
            for g in range(sums.shape[1]):
                sums[0, g] += crossed[m] * _value(media, m, 0, low + g * h)
                sums[1, g] += 0.1 * crossed[m] * _value(media, m, 1, low + g * h)
            crossed[m] = 0.0
    return straggling


@kernel
def _cross(
    families: Families, media: Media, family: int, material: int, water: float, depth: float
) -> tuple[float, float]:
    """Water-equivalent thickness, mm, and scattering, g/cm2 of water, of mass as ``water`` mm."""
    left = families.full[family] - depth
    half = 0.5 * water * _value(media, material, 0, left)
    kappa = _value(media, material, 0, left - half)
    return water * kappa, 0.1 * water * _value(media, material, 2, left - half)


@kernel
def _step_over(
    families: Families,
    media: Media,
    family: int,
    depths: tuple[float, float],
    work: tuple[Array, Array, Array, Array, Array, Array, Array],
    measures: Array,
) -> None:
    """Take the state over the interval between two ``depths``, in place; measures at its ends."""
    state, stages, blocks, factors, scratch, sums, crossed = work
    straggling = _integrate(families, media, family, depths, crossed, sums)
    middle = 0.5 * (depths[0] + depths[1])
    now = scratch.ravel()[9:]
    _assemble(families, family, middle, straggling, sums[0], sums[1], blocks, now)
    _factorise(blocks, factors, scratch)
    _advance(factors, state, stages)
    state[:] = stages[2]
    measures[1] = measures[2]
    _measure(families, family, depths[1], state, measures[2])


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
    work = (
        *(state, np.zeros((3, n, 3)), np.zeros((n, 3, 3, 3)), np.zeros((3, n, 3, 3))),
        *(np.zeros((7, 3)), np.zeros((2, n + 1)), np.zeros(media.straggling.size)),
    )
    crossed = work[6]
    measures, gained = np.zeros((4, 7)), np.zeros(layers.n_steps)
    _measure(families, family, 0.0, state, measures[2])
    measures[0] = measures[2]
    record.number[path, 0] = measures[0, 5]
    depth, solved, done = 0.0, 0.0, 0
    entry, stop = layers.offsets[path], layers.offsets[path + 1]
    for k in range(layers.n_steps):
        while entry < stop and layers.step[entry] == k:
            left = layers.mass[entry] * 10.0  # g/cm2 of water are mm times 10
            material = layers.material[entry]
            while left > 0.0 and depth < beyond:
                far = min(longest[1] * (full - depth), longest[2], 1.0 + 0.5 * depth)
                limit = max(floor_, far)
                piece = min(left, max(solved + limit - depth, 0.2 * limit))
                water, scatters = _cross(families, media, family, material, piece, depth)
                left = left - piece if left > piece * (1.0 + 1e-12) else 0.0
                crossed[material] += piece
                depth += water
                gained[k] += scatters
                if depth - solved > 0.8 * limit:
                    _step_over(families, media, family, (solved, depth), work, measures)
                    _note_steps(record, path, (done, k), (solved, depth), measures, gained)
                    solved, done = depth, k
            entry += 1
        record.depth[path, k + 1] = depth
    _step_over(families, media, family, (solved, depth), work, measures)
    _note_steps(record, path, (done, layers.n_steps), (solved, depth), measures, gained)


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
    in mm; the first steps are shorter, as scattering sets in.
    """
    for path in prange(layers.family.size):
        _march_path(families, media, layers, longest, record, path)
