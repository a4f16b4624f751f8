"""What sequencing algorithms take and give: levels of fluence, rules of leaves, shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import BoolArray
from dosegrad.errors import PlanError

__all__ = [
    "NEIGHBOURS",
    "LeafRules",
    "Levels",
    "Sequencer",
    "Shape",
    "complexity",
    "removed",
    "settled",
    "shadowing",
    "sum_of",
]

#: Fluence in whole levels, not negative, (rows, columns): a row for each leaf pair.
Levels: TypeAlias = NDArray[np.int64]

#: Rows and the rows behind them.
NEIGHBOURS: Final = (slice(None, -1), slice(1, None))


@dataclass(frozen=True, slots=True)
class LeafRules:
    """What leaves of neighbouring pairs must obey.

    Parameters
    ----------
    interdigitation
        Whether a leaf may pass the opposing leaves of the neighbouring pairs.
    tongue_and_groove
        Whether neighbouring rows must be open together for as long as the lower of both levels,
        so that the tongue between them shadows nothing that it need not.
    """

    interdigitation: bool = True
    tongue_and_groove: bool = False

    @property
    def bind(self) -> bool:
        """Whether rows depend on each other at all."""
        return self.tongue_and_groove or not self.interdigitation


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One opening: leaf tips (rows,) at column edges 0 to n, and for how many levels it is open.

    Where ``left`` equals ``right`` the pair is closed.
    """

    weight: int
    left: Levels
    right: Levels

    @property
    def is_open(self) -> BoolArray:
        """Rows (rows,) that are open."""
        apart: BoolArray = self.right > self.left
        return apart

    def mask(self, n_columns: int) -> BoolArray:
        """Open bixels (rows, n_columns)."""
        column = np.arange(n_columns)
        opened: BoolArray = (column >= self.left[:, None]) & (column < self.right[:, None])
        return opened


class Sequencer(Protocol):
    """An algorithm that parts fluence into shapes."""

    def __call__(self, levels: Levels, rules: LeafRules) -> tuple[Shape, ...]:
        """Shapes whose sum is ``levels`` (rows, columns)."""
        ...


def sum_of(shapes: Sequence[Shape], shape: tuple[int, int]) -> Levels:
    """Levels (rows, columns) that shapes add up to."""
    total = np.zeros(shape, dtype=np.int64)
    for each in shapes:
        total += each.weight * each.mask(shape[1])
    return total


def removed(levels: Levels, shape: Shape) -> Levels:
    """What is left of ``levels`` once ``shape`` is delivered."""
    return levels - shape.weight * shape.mask(levels.shape[1])


def complexity(levels: Levels) -> Levels:
    r"""Least time (rows,) in levels that each row takes by itself: the sum of its rises.

    .. math:: c_i = \sum_j \max(0, a_{ij} - a_{i,j-1})

    The greatest of them is the least total of monitor units where rows do not depend on each
    other.

    References
    ----------
    Engel 2005, Discrete Appl. Math. 152, 35 [Engel2005]_.
    """
    rises = np.diff(levels, axis=1, prepend=0)
    total: Levels = np.maximum(rises, 0).sum(axis=1)
    return total


def shadowing(levels: Levels, weight: int, opened: BoolArray) -> BoolArray:
    """Which ``opened`` bixels (rows, columns) the tongue of a closed neighbour would shadow.

    A bixel may be open alone only for as long as it needs more than its neighbour.
    """
    found = np.zeros_like(opened)
    rest = levels - weight * opened
    for here, there in (NEIGHBOURS, NEIGHBOURS[::-1]):
        found[here] |= opened[here] & ~opened[there] & (rest[here] < levels[there])
    return found


def settled(weight: int, left: Levels, right: Levels) -> Shape:
    """A shape whose closed pairs stand where no rule of interdigitation minds them.

    Between two open rows they stand at an edge that both openings have; outside, at that of the
    next open row.
    """
    is_open = right > left
    rows = np.flatnonzero(is_open)
    if rows.size == 0:
        raise PlanError("a shape without an opening delivers nothing.")
    places = np.arange(left.size)
    above = rows[np.clip(np.searchsorted(rows, places, side="right") - 1, 0, None)]
    below = rows[np.clip(np.searchsorted(rows, places), None, rows.size - 1)]
    at = np.maximum(left[above], left[below])
    return Shape(weight, np.where(is_open, left, at), np.where(is_open, right, at))
