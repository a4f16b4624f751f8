"""Clinical goals as convex limits on mean tails and means.

A goal on a point of the dose-volume histogram is not convex. The mean of a tail is, and implies it:
if the mean of the coldest 5 % is at least 47.5 Gy, then 95 % of the structure get 47.5 Gy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np

from dosegrad.arrays import IntArray, Mask
from dosegrad.errors import PlanError
from dosegrad.evaluation.clinical_goals import Goal
from dosegrad.geometry.grid import Grid
from dosegrad.influence.matrix import Influence
from dosegrad.patient.structures import Structure

__all__ = ["GoalLimit", "goal_limits", "whole_rows"]

#: Share of a structure's voxels that need a row.
_COVERED: Final = 0.99
#: Part of a voxel that a structure holds where the voxel belongs to its border.
_PART: Final = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class GoalLimit:
    """A limit on the mean dose of a part of a structure.

    Parameters
    ----------
    goal
        The goal that it implies.
    rows
        Rows (n,) of the influence in the whole structure.
    volume
        The part; 1 for the mean of all.
    dose
        The limit, Gy.
    coldest
        Whether it is a lower limit of the coldest part; else an upper one of the hottest.
    """

    goal: Goal
    rows: IntArray
    volume: float
    dose: float
    coldest: bool


def goal_limits(
    influence: Influence, goals: Iterable[str | Goal], *, with_border: bool = False
) -> tuple[GoalLimit, ...]:
    """The limits that imply ``goals``, on whole structures, as goals are evaluated.

    A structure has the voxels whose centre it holds; ``with_border``, also those of which it holds
    a quarter or more, where doses that goals are evaluated for lie between voxels.

    Raises
    ------
    PlanError
        If a goal is not understood, or is about a figure that no limit implies.
    UnknownNameError
        If the patient lacks a structure.
    """
    if isinstance(goals, str):
        goals = [goals]
    parsed = [g if isinstance(g, Goal) else Goal.parse(g) for g in goals]
    return tuple(_limit(influence, goal, with_border) for goal in parsed)


def whole_rows(influence: Influence, name: str, *, with_border: bool = False) -> IntArray:
    """Rows (n,) of the influence in a whole structure, or ``with_border``.

    Raises
    ------
    PlanError
        If not all its voxels have a row.
    """
    structure = influence.patient.structure(name)
    inside = structure.mask(influence.grid)
    if with_border:
        inside = inside | _border(structure, influence.grid, inside)
    inside = inside.ravel()
    rows = np.flatnonzero(inside[influence.voxels])
    if rows.size < _COVERED * np.count_nonzero(inside) or not rows.size:
        raise PlanError(
            f"no limit on {name!r} can be kept: the influence matrix has rows for {rows.size} of "
            f"its {np.count_nonzero(inside)} voxels. Compute it with voxels that hold the "
            "structure."
        )
    return rows


def _border(structure: Structure, grid: Grid, inside: Mask) -> Mask:
    """Voxels near ``inside`` of which a structure holds a part that counts, by 27 samples each."""
    places = [np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    low = [max(int(p[0]) - 1, 0) for p in places]
    high = [min(int(p[-1]) + 2, n) for p, n in zip(places, inside.shape, strict=True)]
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    shape = tuple(b - a for a, b in zip(low, high, strict=True))
    held = np.zeros(shape)
    for shift in product((-1 / 3, 0.0, 1 / 3), repeat=3):
        x, y, z = (float(v) for v in grid.to_point(np.add(low, shift)))
        held += structure.mask(replace(grid, shape=shape, origin=(x, y, z)))
    found = np.zeros(inside.shape, dtype=bool)
    found[box] = held >= _PART * 27
    return found


def _limit(influence: Influence, goal: Goal, with_border: bool) -> GoalLimit:
    rows = whole_rows(influence, goal.structure, with_border=with_border)
    at_least = ">" in goal.comparator
    hottest, dose = _part(goal, rows.size, influence.patient.structure(goal.structure).volume_cc)
    volume = 1.0 - hottest if at_least and not _is_mean(goal) else hottest
    volume = min(max(volume, 1.0 / rows.size), 1.0)
    return GoalLimit(goal, rows, volume, dose, at_least)


def _is_mean(goal: Goal) -> bool:
    return goal.metric.kind == "mean"


def _part(goal: Goal, n_rows: int, volume_cc: float) -> tuple[float, float]:
    """Part of the volume that gets at least a dose, Gy, by a goal on one point of the histogram."""
    kind, number, limit = goal.metric.kind, goal.metric.number, goal.limit
    if kind == "mean":
        return 1.0, limit
    if kind == "maximum" and "<" in goal.comparator:
        return 1.0 / n_rows, limit
    if kind == "minimum" and ">" in goal.comparator:
        return 1.0 - 1.0 / n_rows, limit
    if number is not None and kind == "dose-at-percent":
        return number / 100.0, limit
    if number is not None and kind == "dose-at-cc":
        return min(number / volume_cc, 1.0), limit
    if number is not None and kind == "volume-at-dose":
        part = limit / 100.0 if goal.unit == "%" else limit / volume_cc
        return min(part, 1.0), number
    raise PlanError(
        f"goal '{goal}' has no convex limit that implies it (these have: D95% and V20Gy either "
        "way, Dmean either way, Dmax <=, Dmin >=). Leave it out here and evaluate it afterwards."
    )
