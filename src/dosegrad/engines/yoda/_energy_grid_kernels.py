"""Compiled march of the energy grid; ``_energy_grid_reference`` holds it in plain NumPy.

A step solves (1 - x A) Y = r three times, A block-tridiagonal with blocks of 3 by 3. It is
factorised once per voxel, from the lowest group up:

    F_g = D_g - B_g F_{g-1}^{-1} U_{g-1},  W_g = B_g F_{g-1}^{-1},  V_g = F_g^{-1} U_g

and the substeps within the voxel share the factors. Scratch is made once per beamlet.
"""

from __future__ import annotations

from math import ceil

import numpy as np

from dosegrad.arrays import Array
from dosegrad.compiled import kernel, parallel_kernel, prange
from dosegrad.engines.yoda._energy_grid_arrays import (
    A21,
    B1,
    B2,
    FEWEST,
    GAMMA,
    Operators,
    Paths,
    Record,
    Scratch,
)

__all__ = ["march", "pull_back"]


@kernel
def _window(operators: Operators, state: Array, material: int, depth: float) -> tuple[int, int]:
    """Groups that a step can fill: from the image of the lowest occupied one to the highest."""
    high = state.shape[0]
    while high > 0 and abs(state[high - 1, 0]) < operators.occupied:
        high -= 1
    if high == 0:
        return 0, 0
    low = 0
    while abs(state[low, 0]) < operators.occupied:
        low += 1
    image = operators.ranges[material, low] - depth
    while low > 0 and operators.ranges[material, low] > image:
        low -= 1
    n = state.shape[0]
    return max(low - 2 - operators.margin, 0), min(high + operators.margin, n)


@kernel
def _substeps(operators: Operators, family: int, material: int, depth: float) -> int:
    """Number of equal parts of a step that are short enough."""
    ratio = float(depth / operators.longest[family, material])
    return max(1, ceil(ratio - 1e-9))


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
def _factorise(
    blocks: Array, material: int, x: float, low: int, high: int, factors: Array, f: Array
) -> None:
    """F^-1, W and V of (1 - x A) on a window, into ``factors`` (3, groups, 3, 3)."""
    inverse, lower, upper = factors[0], factors[1], factors[2]
    for g in range(low, high):
        for i in range(3):
            for j in range(3):
                f[i, j] = -x * blocks[material, g, 1, i, j]
            f[i, i] += 1.0
        if g > low:
            for i in range(3):
                b0 = -x * blocks[material, g, 0, i, 0]
                b1 = -x * blocks[material, g, 0, i, 1]
                b2 = -x * blocks[material, g, 0, i, 2]
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
        if g < high - 1:
            for i in range(3):
                for j in range(3):
                    upper[g, i, j] = -x * (
                        inverse[g, i, 0] * blocks[material, g, 2, 0, j]
                        + inverse[g, i, 1] * blocks[material, g, 2, 1, j]
                        + inverse[g, i, 2] * blocks[material, g, 2, 2, j]
                    )


@kernel
def _solve(factors: Array, low: int, high: int, y: Array) -> None:
    """Solution of (1 - x A) Y = y on a window, in place."""
    inverse, lower, upper = factors[0], factors[1], factors[2]
    a, b, c = y[low, 0], y[low, 1], y[low, 2]
    for g in range(low + 1, high):
        w = lower[g]
        d = y[g, 0] - (w[0, 0] * a + w[0, 1] * b + w[0, 2] * c)
        e = y[g, 1] - (w[1, 0] * a + w[1, 1] * b + w[1, 2] * c)
        h = y[g, 2] - (w[2, 0] * a + w[2, 1] * b + w[2, 2] * c)
        a, b, c = d, e, h
        y[g, 0], y[g, 1], y[g, 2] = a, b, c
    p, q, r = 0.0, 0.0, 0.0
    for g in range(high - 1, low - 1, -1):
        a, b, c = y[g, 0], y[g, 1], y[g, 2]
        m = inverse[g]
        d = m[0, 0] * a + m[0, 1] * b + m[0, 2] * c
        e = m[1, 0] * a + m[1, 1] * b + m[1, 2] * c
        h = m[2, 0] * a + m[2, 1] * b + m[2, 2] * c
        if g < high - 1:
            v = upper[g]
            d -= v[0, 0] * p + v[0, 1] * q + v[0, 2] * r
            e -= v[1, 0] * p + v[1, 1] * q + v[1, 2] * r
            h -= v[2, 0] * p + v[2, 1] * q + v[2, 2] * r
        p, q, r = d, e, h
        y[g, 0], y[g, 1], y[g, 2] = p, q, r


@kernel
def _solve_transposed(factors: Array, low: int, high: int, y: Array) -> None:
    """Solution of (1 - x A)^T Y = y on a window, in place, with the same factors."""
    inverse, lower, upper = factors[0], factors[1], factors[2]
    a, b, c = y[low, 0], y[low, 1], y[low, 2]
    for g in range(low + 1, high):
        v = upper[g - 1]
        d = y[g, 0] - (v[0, 0] * a + v[1, 0] * b + v[2, 0] * c)
        e = y[g, 1] - (v[0, 1] * a + v[1, 1] * b + v[2, 1] * c)
        h = y[g, 2] - (v[0, 2] * a + v[1, 2] * b + v[2, 2] * c)
        a, b, c = d, e, h
        y[g, 0], y[g, 1], y[g, 2] = a, b, c
    p, q, r = 0.0, 0.0, 0.0
    for g in range(high - 1, low - 1, -1):
        a, b, c = y[g, 0], y[g, 1], y[g, 2]
        m = inverse[g]
        d = m[0, 0] * a + m[1, 0] * b + m[2, 0] * c
        e = m[0, 1] * a + m[1, 1] * b + m[2, 1] * c
        h = m[0, 2] * a + m[1, 2] * b + m[2, 2] * c
        if g < high - 1:
            w = lower[g + 1]
            d -= w[0, 0] * p + w[1, 0] * q + w[2, 0] * r
            e -= w[0, 1] * p + w[1, 1] * q + w[2, 1] * r
            h -= w[0, 2] * p + w[1, 2] * q + w[2, 2] * r
        p, q, r = d, e, h
        y[g, 0], y[g, 1], y[g, 2] = p, q, r


@kernel
def _substep(factors: Array, low: int, high: int, start: Array, stages: Array) -> None:
    """Three stages of one substep into ``stages`` (3, groups, 3); the last is its end."""
    first, second, third = stages[0], stages[1], stages[2]
    for g in range(low, high):
        for i in range(3):
            first[g, i] = start[g, i]
    _solve(factors, low, high, first)
    for g in range(low, high):
        for i in range(3):
            second[g, i] = start[g, i] + A21 / GAMMA * (first[g, i] - start[g, i])
    _solve(factors, low, high, second)
    for g in range(low, high):
        for i in range(3):
            slope = (first[g, i] - start[g, i]) / GAMMA
            middle = (second[g, i] - start[g, i] - A21 * slope) / GAMMA
            third[g, i] = start[g, i] + B1 * slope + B2 * middle
    _solve(factors, low, high, third)


@kernel
def _dot(row: Array, state: Array, low: int, high: int) -> float:
    """Functional ``row`` of ``state`` on a window."""
    total = 0.0
    for g in range(low, high):
        total += row[g, 0] * state[g, 0] + row[g, 1] * state[g, 1] + row[g, 2] * state[g, 2]
    return total


@kernel
def _copy(source: Array, target: Array, low: int, high: int) -> None:
    """``source`` on a window and 0 elsewhere, into ``target``."""
    target[:low] = 0.0
    target[high:] = 0.0
    for g in range(low, high):
        for i in range(3):
            target[g, i] = source[g, i]


@kernel
def _scratch(parts: int, n: int) -> Scratch:
    """Room for ``parts`` substeps on ``n`` groups."""
    return Scratch(
        np.zeros((parts, n, 3)),
        np.zeros((parts, 3, n, 3)),
        np.zeros((3, n, 3, 3)),
        np.zeros((3, n, 3)),
        np.zeros((n, 3)),
        np.zeros((3, 3)),
    )


@kernel
def _cross_voxel(
    operators: Operators,
    material: int,
    depth: float,
    parts: int,
    low: int,
    high: int,
    scratch: Scratch,
) -> float:
    """Take ``scratch.starts[0]`` through a voxel, in place; energy that nuclei absorb there."""
    x = GAMMA * depth / parts
    _factorise(operators.blocks, material, x, low, high, scratch.factors, scratch.block)
    start, stages = scratch.starts[0], scratch.stages[0]
    row = operators.absorbed[material]
    absorbed = 0.0
    for _ in range(parts):
        _substep(scratch.factors, low, high, start, stages)
        absorbed += B1 * _dot(row, stages[0], low, high)
        absorbed += B2 * _dot(row, stages[1], low, high)
        absorbed += GAMMA * _dot(row, stages[2], low, high)
        for g in range(low, high):
            for i in range(3):
                start[g, i] = stages[2, g, i]
    return absorbed * depth / parts


@kernel
def _march_beamlet(operators: Operators, paths: Paths, record: Record, beamlet: int) -> None:
    """All steps of one beamlet."""
    n = operators.rows.shape[1]
    scratch = _scratch(1, n)
    newest = record.states.shape[1] - 1
    family = paths.family[beamlet]
    moments = np.zeros(4)
    for r in range(4):
        moments[r] = _dot(operators.rows[r], record.states[beamlet, 0], 0, n)
    record.number[beamlet, 0] = moments[0]
    old_low, old_high = 0, n
    for k in range(paths.depth.shape[1]):
        material = paths.material[beamlet, k]
        depth = paths.depth[beamlet, k]
        before = record.states[beamlet, min(k, newest)]
        after = record.states[beamlet, min(k + 1, newest)]
        low, high = _window(operators, before, material, depth)
        record.windows[beamlet, k, 0] = low
        record.windows[beamlet, k, 1] = high
        spread = _dot(operators.scattering[family, material], before, old_low, old_high)
        _copy(before, scratch.starts[0], low, high)
        record.absorbed[beamlet, k] = 0.0
        if depth > 0.0 and high > low:
            parts = _substeps(operators, family, material, depth)
            record.absorbed[beamlet, k] = _cross_voxel(
                operators, material, depth, parts, low, high, scratch
            )
        _copy(scratch.starts[0], after, low, high)
        spread += _dot(operators.scattering[family, material], after, low, high)
        _note(operators.rows, record, moments, beamlet, k, spread)
        old_low, old_high = low, high


@kernel
def _note(rows: Array, record: Record, moments: Array, beamlet: int, k: int, spread: float) -> None:
    """Moments of the state after step ``k``, and the averages over that step."""
    low, high = record.windows[beamlet, k, 0], record.windows[beamlet, k, 1]
    after = record.states[beamlet, min(k + 1, record.states.shape[1] - 1)]
    number = _dot(rows[0], after, low, high)
    energy = _dot(rows[1], after, low, high)
    first = _dot(rows[2], after, low, high)
    second = _dot(rows[3], after, low, high)
    record.number[beamlet, k + 1] = number
    record.lost[beamlet, k] = moments[1] - energy
    record.scattering[beamlet, k] = 0.0
    record.let[beamlet, k] = 0.0
    if moments[0] + number > 2.0 * FEWEST:
        record.scattering[beamlet, k] = spread / (moments[0] + number)
        record.let[beamlet, k] = (moments[3] + second) / (moments[2] + first)
    moments[0], moments[1], moments[2], moments[3] = number, energy, first, second


@parallel_kernel
def march(operators: Operators, paths: Paths, record: Record) -> None:
    """Take the states of all beamlets along their paths; fills ``record``."""
    for beamlet in prange(paths.depth.shape[0]):
        _march_beamlet(operators, paths, record, beamlet)


@kernel
def _pull_substep(
    factors: Array,
    low: int,
    high: int,
    start: Array,
    stages: Array,
    adjoint: Array,
    source: Array,
    work: Array,
) -> float:
    """Adjoint at the start of a substep from that at its end, in place; d/d ln(depth) of R.

    ``source`` (groups, 3): gradient by the depth-averaged state of the substep. With
    K = (Y - r)/gamma, the adjoint of a stage's right-hand side is A^-T Ybar - Kbar/gamma, and
    that of the logarithm of the depth gamma K . A^-T Ybar.
    """
    first, second, third = stages[0], stages[1], stages[2]
    mu, from_first, total = work[0], work[1], work[2]
    change = 0.0
    for g in range(low, high):
        for i in range(3):
            mu[g, i] = adjoint[g, i] + GAMMA * source[g, i]
    _solve_transposed(factors, low, high, mu)
    for g in range(low, high):
        for i in range(3):
            slope = (first[g, i] - start[g, i]) / GAMMA
            middle = (second[g, i] - start[g, i] - A21 * slope) / GAMMA
            change += mu[g, i] * (third[g, i] - start[g, i] - B1 * slope - B2 * middle)
            total[g, i] = mu[g, i]
            from_first[g, i] = B1 * mu[g, i]
            adjoint[g, i] = B2 / GAMMA * mu[g, i]
            mu[g, i] = adjoint[g, i] + B2 * source[g, i]
    _solve_transposed(factors, low, high, mu)
    for g in range(low, high):
        for i in range(3):
            slope = (first[g, i] - start[g, i]) / GAMMA
            change += mu[g, i] * (second[g, i] - start[g, i] - A21 * slope)
            right = mu[g, i] - adjoint[g, i]
            total[g, i] += right
            from_first[g, i] = (from_first[g, i] + A21 * right) / GAMMA
            mu[g, i] = from_first[g, i] + B1 * source[g, i]
    _solve_transposed(factors, low, high, mu)
    for g in range(low, high):
        for i in range(3):
            change += mu[g, i] * (first[g, i] - start[g, i])
            adjoint[g, i] = total[g, i] + mu[g, i] - from_first[g, i]
    return change


@kernel
def _add_outputs(
    operators: Operators,
    paths: Paths,
    record: Record,
    gradients: Array,
    beamlet: int,
    k: int,
    sign: float,
    adjoint: Array,
) -> None:
    """Add the gradient of one step's loss and scattering by the state at one of its ends."""
    loss = sign * gradients[0, beamlet, k]
    spread = 0.0
    number = record.number[beamlet, k] + record.number[beamlet, k + 1]
    if number > 2.0 * FEWEST:
        spread = gradients[2, beamlet, k] / number
    mean = record.scattering[beamlet, k]
    row = operators.scattering[paths.family[beamlet], paths.material[beamlet, k]]
    for g in range(row.shape[0]):
        for i in range(3):
            adjoint[g, i] += loss * operators.rows[1, g, i]
            adjoint[g, i] += spread * (row[g, i] - mean * operators.rows[0, g, i])


@kernel
def _pull_voxel(
    operators: Operators,
    material: int,
    depth: float,
    parts: int,
    low: int,
    high: int,
    loss: float,
    scratch: Scratch,
    adjoint: Array,
) -> float:
    """Adjoint before a voxel from that behind it, in place; d/d ln(depth) of what it changes.

    ``scratch.starts[0]`` is the state before, ``loss`` the gradient by the absorbed energy.
    """
    x = GAMMA * depth / parts
    starts, stages = scratch.starts, scratch.stages
    _factorise(operators.blocks, material, x, low, high, scratch.factors, scratch.block)
    for g in range(low, high):
        for i in range(3):
            scratch.source[g, i] = loss * depth / parts * operators.absorbed[material, g, i]
    for p in range(parts):
        _substep(scratch.factors, low, high, starts[p], stages[p])
        if p + 1 < parts:
            _copy(stages[p, 2], starts[p + 1], low, high)
    change = 0.0
    for p in range(parts - 1, -1, -1):
        change += _pull_substep(
            scratch.factors,
            low,
            high,
            starts[p],
            stages[p],
            adjoint,
            scratch.source,
            scratch.work,
        )
    return change


@kernel
def _pull_beamlet(
    operators: Operators,
    paths: Paths,
    record: Record,
    gradients: Array,
    adjoints: Array,
    by_depth: Array,
    beamlet: int,
) -> None:
    """All steps of one beamlet, backwards."""
    n = operators.rows.shape[1]
    family = paths.family[beamlet]
    most = 1
    for k in range(paths.depth.shape[1]):
        parts = _substeps(operators, family, paths.material[beamlet, k], paths.depth[beamlet, k])
        most = max(most, parts)
    scratch = _scratch(most, n)
    behind = np.zeros((n, 3))
    adjoints[beamlet, -1] = 0.0
    for k in range(paths.depth.shape[1] - 1, -1, -1):
        material = paths.material[beamlet, k]
        depth = paths.depth[beamlet, k]
        low, high = record.windows[beamlet, k, 0], record.windows[beamlet, k, 1]
        adjoint = adjoints[beamlet, k]
        _copy(adjoints[beamlet, k + 1], behind, 0, n)
        _add_outputs(operators, paths, record, gradients, beamlet, k, -1.0, behind)
        _copy(behind, adjoint, low, high)
        by_depth[beamlet, k] = 0.0
        if depth > 0.0 and high > low:
            parts = _substeps(operators, family, material, depth)
            loss = gradients[1, beamlet, k]
            _copy(record.states[beamlet, k], scratch.starts[0], low, high)
            change = _pull_voxel(
                operators, material, depth, parts, low, high, loss, scratch, adjoint
            )
            by_depth[beamlet, k] = (change + loss * record.absorbed[beamlet, k]) / depth
        _add_outputs(operators, paths, record, gradients, beamlet, k, 1.0, adjoint)


@parallel_kernel
def pull_back(
    operators: Operators,
    paths: Paths,
    record: Record,
    gradients: Array,
    adjoints: Array,
    by_depth: Array,
) -> None:
    """Gradients by states and depths from ``gradients`` (3, beamlets, steps).

    These are by ``lost``, ``absorbed`` and ``scattering`` of the record, which holds all states.
    ``adjoints`` (beamlets, steps + 1, groups, 3) gets at each edge the gradient, by the state
    there, of what later steps put out; ``by_depth`` (beamlets, steps) that by each step's depth.
    """
    for beamlet in prange(paths.depth.shape[0]):
        _pull_beamlet(operators, paths, record, gradients, adjoints, by_depth, beamlet)
