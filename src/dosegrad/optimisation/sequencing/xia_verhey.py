"""Sequencing by Xia and Verhey: powers of two, the greatest first."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from dosegrad.arrays import BoolArray
from dosegrad.optimisation.sequencing.shapes import (
    LeafRules,
    Levels,
    Shape,
    removed,
    settled,
    shadowing,
)
from dosegrad.optimisation.sequencing.sweep import swept_shapes

__all__ = ["next_shape", "xia_verhey"]


def xia_verhey(levels: Levels, rules: LeafRules) -> tuple[Shape, ...]:
    r"""Shapes of weights that are powers of two.

    Of what is left, with maximum L, a shape of weight :math:`2^{[\log_2 L] - 1}` (the exponent
    rounded, at least 0) opens in each row the first run of bixels that need that much.

    References
    ----------
    Xia and Verhey 1998, Med. Phys. 25, 1424 [Xia1998]_.
    """
    left, shapes = levels, []
    while left.any():
        shapes.append(next_shape(left, rules))
        left = removed(left, shapes[-1])
    return tuple(shapes)


def next_shape(levels: Levels, rules: LeafRules) -> Shape:
    """The next shape for what is left; one of a sweep where rules leave none of the first runs."""
    weight = 2 ** max(0, round(float(np.log2(levels.max()))) - 1)
    while weight >= 1:
        left, right = _first_runs(levels >= weight)
        if rules.bind:
            left, right = _obedient(levels, weight, left, right, rules)
        if (right > left).any():
            return settled(weight, left, right)
        weight //= 2
    return swept_shapes(levels, rules)[0]


def _first_runs(wanted: BoolArray) -> tuple[Levels, Levels]:
    """Edges (rows,) of the first run of each row; equal where there is none."""
    n = wanted.shape[1]
    left = np.where(wanted.any(axis=1), wanted.argmax(axis=1), 0)
    after = ~wanted & (np.arange(n) > left[:, None])
    right = np.where(after.any(axis=1), after.argmax(axis=1), n)
    return left, np.where(wanted.any(axis=1), right, left)


def _obedient(
    levels: Levels, weight: int, left: Levels, right: Levels, rules: LeafRules
) -> tuple[Levels, Levels]:
    """Runs made narrower, or closed, until they keep all rules."""
    left, right = left.copy(), right.copy()
    changed = True
    while changed:
        changed = False
        if rules.tongue_and_groove:
            changed |= _unshadow(levels, weight, left, right)
        if not rules.interdigitation:
            changed |= _untangle(left, right)
    return left, right


def _unshadow(levels: Levels, weight: int, left: Levels, right: Levels) -> bool:
    """Cut a run where a neighbour's tongue shadows it, the larger part stays; whether one was."""
    column = np.arange(levels.shape[1])
    opened = (column >= left[:, None]) & (column < right[:, None])
    wrong = np.argwhere(shadowing(levels, weight, opened))
    if not len(wrong):
        return False
    row, at = wrong[0]
    if at - left[row] >= right[row] - at - 1:
        right[row] = at
    else:
        left[row] = at + 1
    return True


def _untangle(left: Levels, right: Levels) -> bool:
    """Close the narrower of two successive openings without a common edge; whether there were."""
    rows = np.flatnonzero(right > left)
    for above, below in pairwise(rows):
        if left[above] > right[below] or left[below] > right[above]:
            narrow = min(above, below, key=lambda k: right[k] - left[k])
            right[narrow] = left[narrow]
            return True
    return False
