"""Leaves that sweep over the field once: rods pushed as little as the rules allow."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from dosegrad.optimisation.sequencing.shapes import NEIGHBOURS, LeafRules, Levels, Shape

__all__ = ["sweep", "swept_shapes", "swept_time"]


def sweep(levels: Levels, rules: LeafRules) -> tuple[Levels, Levels]:
    r"""Times (rows, columns) at which each bixel opens and closes while leaves move to the right.

    A bixel of level a is a rod of that length. Leaves only move one way, so that neither its
    lower nor its upper end may lie below that of the bixel before:

    .. math:: b_j = \max(b_{j-1},\; e_{j-1} - a_j), \quad e_j = b_j + a_j

    Rules between rows push rods further up: without interdigitation a neighbour may open no later
    than a rod ends; against tongue and groove the shorter of two neighbouring rods lies within the
    longer. Each rod is pushed as little as possible, which gives the least time of all sweeps.

    References
    ----------
    Siochi 1999, Int. J. Radiat. Oncol. Biol. Phys. 43, 671 [Siochi1999]_; Kamath et al. 2004,
    Phys. Med. Biol. 49, N7 [Kamath2004]_.
    """
    begin, end = np.zeros_like(levels), np.zeros_like(levels)
    last_begin = last_end = np.zeros(levels.shape[0], dtype=np.int64)
    for column, rods in enumerate(levels.T):
        b = np.maximum(last_begin, last_end - rods)
        if rules.bind:
            b = _pushed(b, rods, rules)
        begin[:, column], end[:, column] = b, b + rods
        last_begin, last_end = b, b + rods
    return begin, end


def _pushed(b: Levels, rods: Levels, rules: LeafRules) -> Levels:
    """Lower ends (rows,) of the rods of one column, raised until all rules hold."""
    while True:
        before = b
        b = b.copy()
        for here, there in (NEIGHBOURS, NEIGHBOURS[::-1]):
            if not rules.interdigitation:
                b[here] = np.maximum(b[here], b[there] - rods[here])
            if rules.tongue_and_groove:
                both = (rods[here] > 0) & (rods[there] > 0)
                shorter = both & (rods[here] <= rods[there])
                longer = both & (rods[here] >= rods[there])
                b[here] = np.where(shorter, np.maximum(b[here], b[there]), b[here])
                reach = b[there] + rods[there] - rods[here]
                b[here] = np.where(longer, np.maximum(b[here], reach), b[here])
        if np.array_equal(b, before):
            return b


def swept_time(levels: Levels, rules: LeafRules) -> int:
    """Least time of a sweep, in levels."""
    return int(sweep(levels, rules)[1].max(initial=0))


def swept_shapes(levels: Levels, rules: LeafRules) -> tuple[Shape, ...]:
    """Shapes of a sweep; leaves of one after the other never move back."""
    begin, end = sweep(levels, rules)
    times = np.unique(np.concatenate([[0], begin.ravel(), end.ravel()]))
    times = times[times <= end.max(initial=0)]
    shapes = []
    for time, until in pairwise(times):
        left = (end <= time).sum(axis=1)
        right = (begin <= time).sum(axis=1)
        if (right > left).any():
            shapes.append(Shape(int(until - time), left, right))
    return tuple(shapes)
