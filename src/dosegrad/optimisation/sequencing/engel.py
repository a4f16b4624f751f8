"""Sequencing by Engel: the least total of monitor units, and few shapes."""

from __future__ import annotations

import numpy as np

from dosegrad.optimisation.sequencing.shapes import (
    LeafRules,
    Levels,
    Shape,
    complexity,
    removed,
    settled,
    shadowing,
)
from dosegrad.optimisation.sequencing.sweep import swept_shapes, swept_time

__all__ = ["engel"]


def engel(levels: Levels, rules: LeafRules) -> tuple[Shape, ...]:
    r"""Shapes whose weights sum to the least that any decomposition can have.

    Without rules between rows that is :math:`c(A) = \max_i c_i(A)`, the greatest of the rows' sums
    of rises. Each shape S has the greatest weight u with :math:`A - uS \ge 0` and
    :math:`c(A - uS) = c(A) - u`; in each row, of all intervals that allow it, the one that leaves
    fewest steps. With rules, shapes are slices of sweeps in both directions, and the total is the
    time of the shortest sweep that obeys them.

    References
    ----------
    Engel 2005, Discrete Appl. Math. 152, 35 [Engel2005]_; Kalinowski 2005, Discrete Appl. Math.
    152, 52 [Kalinowski2005]_.
    """
    rest, shapes = np.asarray(levels, dtype=np.int64), []
    while rest.any():
        shapes.append(_slice(rest, rules) if rules.bind else _shape(rest))
        rest = removed(rest, shapes[-1])
    return tuple(shapes)


def _shape(levels: Levels) -> Shape:
    """The next shape where rows do not depend on each other."""
    n_rows, n = levels.shape
    own = complexity(levels)
    slack = own.max() - own
    rises = np.diff(levels, axis=1, prepend=0, append=0)
    allowed = _allowed(levels, rises, slack)
    weight = int(np.maximum(allowed.reshape(n_rows, -1).max(axis=1), slack).min())
    gained = _gained(rises, weight)
    # of equal gain, the longer interval; fewer steps count first
    score = gained[0][:, :, None] + gained[1][:, None, :]
    score = score * (n + 1) + (np.arange(n) - np.arange(n)[:, None])
    score = np.where(allowed >= weight, score, np.iinfo(np.int64).min)
    best = score.reshape(n_rows, -1).argmax(axis=1)
    first, last = np.divmod(best, n)
    found = score.reshape(n_rows, -1)[np.arange(n_rows), best]
    # a row that may wait stays closed unless its best interval leaves no more steps than there are
    closed = (slack >= weight) & (found < 0)
    return settled(weight, first, np.where(closed, first, last + 1))


def _allowed(levels: Levels, rises: Levels, slack: Levels) -> Levels:
    r"""Greatest weight (rows, n, n) of a shape that opens a row from column l to column r.

    With p and q the rise at l and the fall behind r, the complexity stays within its limit while
    :math:`\max(0, u - p) + \max(0, u - q) \le g`, g the row's slack.
    """
    n = levels.shape[1]
    up = np.maximum(rises[:, :n], 0)[:, :, None]
    down = np.maximum(-rises[:, 1:], 0)[:, None, :]
    lower, upper = np.minimum(up, down), np.maximum(up, down)
    spare = slack[:, None, None]
    limit = np.where(lower + spare <= upper, lower + spare, (up + down + spare) // 2)
    starts = np.arange(n)
    floor = np.where(starts[:, None] <= starts, levels[:, None, :], np.iinfo(np.int64).max)
    floor = np.minimum.accumulate(floor, axis=2)
    found: Levels = np.where(starts[:, None] <= starts, np.minimum(limit, floor), 0)
    return found


def _gained(rises: Levels, weight: int) -> tuple[Levels, Levels]:
    """By how many steps fewer (rows, n) there are if an interval begins, or ends, at a column."""
    n = rises.shape[1] - 1
    begins = (rises[:, :n] != 0).astype(np.int64) - (rises[:, :n] != weight)
    ends = (rises[:, 1:] != 0).astype(np.int64) - (rises[:, 1:] != -weight)
    return begins, ends


def _slice(levels: Levels, rules: LeafRules) -> Shape:
    """The next shape where rows depend on each other.

    To leave out what a sweep delivers between two of its moments gives a sweep that is shorter by
    that much, so that each slice of a shortest sweep is a shape that keeps the total least.
    """
    time = swept_time(levels, rules)
    n = levels.shape[1]
    mirrored = (
        Shape(s.weight, n - s.right, n - s.left) for s in swept_shapes(levels[:, ::-1], rules)
    )
    options = [_heaviest(levels, s, time, rules) for s in (*swept_shapes(levels, rules), *mirrored)]
    return max(options, key=lambda s: (s.weight, int(s.mask(n).sum())))


def _heaviest(levels: Levels, shape: Shape, time: int, rules: LeafRules) -> Shape:
    """The same opening with the greatest weight that keeps the total least."""
    most = int(levels[shape.mask(levels.shape[1])].min())
    for weight in range(most, shape.weight, -1):
        heavier = Shape(weight, shape.left, shape.right)
        opened = heavier.mask(levels.shape[1])
        if rules.tongue_and_groove and shadowing(levels, weight, opened).any():
            continue
        if swept_time(removed(levels, heavier), rules) == time - weight:
            return heavier
    return shape
