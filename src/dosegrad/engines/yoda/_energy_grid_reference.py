"""March of the energy grid in plain NumPy with dense matrices: what the kernels must give."""

from __future__ import annotations

from math import ceil

import numpy as np

from dosegrad.arrays import Array
from dosegrad.engines.yoda._energy_grid_arrays import (
    A21,
    B1,
    B2,
    FEWEST,
    GAMMA,
    Operators,
    Paths,
    Record,
    rows_of,
)

__all__ = ["march", "pull_back"]


def window(operators: Operators, state: Array, material: int, depth: float) -> tuple[int, int]:
    """Groups that a step can fill: from the image of the lowest occupied one to the highest."""
    occupied = np.flatnonzero(np.abs(state[:, 0]) >= operators.occupied)
    if occupied.size == 0:
        return 0, 0
    ranges = operators.ranges[material]
    image = np.flatnonzero(ranges[: occupied[0] + 1] <= ranges[occupied[0]] - depth)
    low = image[-1] if image.size else 0
    high = int(occupied[-1]) + 1 + operators.margin
    return max(int(low) - 2 - operators.margin, 0), min(high, len(state))


def dense(operators: Operators, material: int, low: int, high: int) -> Array:
    """The operator on a window as one matrix."""
    n = high - low
    matrix = np.zeros((n, 3, n, 3))
    blocks = operators.blocks[material, low:high]
    for neighbour in range(3):
        for g in range(n):
            other = g + neighbour - 1
            if 0 <= other < n:
                matrix[g, :, other, :] = blocks[g, neighbour]
    return matrix.reshape(3 * n, 3 * n)


def stages_of(matrix: Array, depth: float, start: Array) -> tuple[Array, Array, Array]:
    """Stages of one substep; the last is its end."""
    implicit = np.eye(start.size) - GAMMA * depth * matrix
    first = np.asarray(np.linalg.solve(implicit, start), dtype=np.float64)
    slope = depth * matrix @ first
    second = np.asarray(np.linalg.solve(implicit, start + A21 * slope), dtype=np.float64)
    middle = depth * matrix @ second
    third = np.asarray(
        np.linalg.solve(implicit, start + B1 * slope + B2 * middle), dtype=np.float64
    )
    return first, second, third


def substeps(operators: Operators, paths: Paths, b: int, k: int) -> int:
    """Number of equal parts of a step that are short enough."""
    longest = float(operators.longest[paths.family[b], paths.material[b, k]])
    return max(1, ceil(float(paths.depth[b, k]) / longest - 1e-9))


def march(operators: Operators, paths: Paths, record: Record) -> None:
    """Take the states of all beamlets along their paths; fills ``record``."""
    for b, k in np.ndindex(*paths.depth.shape):
        _step(operators, paths, record, b, k)


def _step(operators: Operators, paths: Paths, record: Record, b: int, k: int) -> None:
    newest = record.states.shape[1] - 1
    before = record.states[b, min(k, newest)].copy()
    depth = paths.depth[b, k]
    low, high = window(operators, before, paths.material[b, k], depth)
    record.windows[b, k] = low, high
    absorbed, scattering = rows_of(operators, paths, b, k)
    after = np.zeros_like(before)
    state = before[low:high].ravel()
    energy = 0.0
    if depth > 0 and high > low:
        parts = substeps(operators, paths, b, k)
        matrix = dense(operators, int(paths.material[b, k]), low, high)
        row = absorbed[low:high].ravel() * depth / parts
        for _ in range(parts):
            first, second, state = stages_of(matrix, depth / parts, state)
            energy += row @ (B1 * first + B2 * second + GAMMA * state)
    after[low:high] = state.reshape(-1, 3)
    both = before + after
    number, _, first_moment, second_moment = (operators.rows * both).sum(axis=(1, 2))
    averaged = number > 2 * FEWEST
    record.number[b, k] = (operators.rows[0] * before).sum()
    record.number[b, k + 1] = (operators.rows[0] * after).sum()
    record.lost[b, k] = (operators.rows[1] * (before - after)).sum()
    record.absorbed[b, k] = energy
    record.scattering[b, k] = (scattering * both).sum() / number if averaged else 0.0
    record.let[b, k] = second_moment / first_moment if averaged else 0.0
    record.states[b, min(k + 1, newest)] = after


def pull_back(
    operators: Operators,
    paths: Paths,
    record: Record,
    gradients: Array,
    adjoints: Array,
    by_depth: Array,
) -> None:
    """Gradients by states and depths from those by ``lost``, ``absorbed`` and ``scattering``.

    Written with the transposed matrix of each whole step and a central difference for the
    depths, good to some 1e-8.
    """
    adjoints[:, -1] = 0.0
    for b in range(paths.depth.shape[0]):
        for k in reversed(range(paths.depth.shape[1])):
            _pull_step(operators, paths, record, gradients, adjoints, by_depth, b, k)


def _pull_step(
    operators: Operators,
    paths: Paths,
    record: Record,
    gradients: Array,
    adjoints: Array,
    by_depth: Array,
    b: int,
    k: int,
) -> None:
    low, high = record.windows[b, k]
    depth = paths.depth[b, k]
    lost, absorbed, scattering = gradients[:, b, k]
    row, section = rows_of(operators, paths, b, k)
    number = record.number[b, k] + record.number[b, k + 1]
    averaged = scattering / number if number > 2 * FEWEST else 0.0
    mean = averaged * (section - record.scattering[b, k] * operators.rows[0])
    after = adjoints[b, k + 1] - lost * operators.rows[1] + mean
    before = np.zeros_like(after)
    before[low:high] = after[low:high]
    by_depth[b, k] = 0.0
    if depth > 0 and high > low:
        matrix = dense(operators, int(paths.material[b, k]), low, high)
        parts = substeps(operators, paths, b, k)
        step, total = step_matrices(matrix, depth, parts)
        known = after[low:high].ravel(), absorbed * row[low:high].ravel()
        before[low:high] = (known[0] @ step + known[1] @ total).reshape(-1, 3)
        state = record.states[b, k, low:high].ravel()
        for side in (1, -1):
            step, total = step_matrices(matrix, depth * (1 + side * 1e-4), parts)
            value = known[0] @ step @ state + known[1] @ total @ state
            by_depth[b, k] += side * value / (2e-4 * depth)
    adjoints[b, k] = before + lost * operators.rows[1] + mean


def step_matrices(matrix: Array, depth: float, parts: int) -> tuple[Array, Array]:
    """Matrix of a whole step, and of the state integrated over its depth."""
    state = np.eye(len(matrix))
    total = np.zeros_like(state)
    for _ in range(parts):
        first, second, end = _matrix_stages(matrix, depth / parts)
        total += depth / parts * (B1 * first + B2 * second + GAMMA * end) @ state
        state = end @ state
    return state, total


def _matrix_stages(matrix: Array, depth: float) -> tuple[Array, Array, Array]:
    identity = np.eye(len(matrix))
    inverse = np.asarray(np.linalg.inv(identity - GAMMA * depth * matrix), dtype=np.float64)
    slope = depth * matrix @ inverse
    second = inverse @ (identity + A21 * slope)
    end = inverse @ (identity + B1 * slope + B2 * depth * matrix @ second)
    return inverse, second, end
