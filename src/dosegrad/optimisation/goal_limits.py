"""Clinical goals as convex limits on mean tails and means.

A goal on a point of the dose-volume histogram is not convex. The mean of a tail is, and implies it:
if the mean of the coldest 5 % is at least 47.5 Gy, then 95 % of the structure get 47.5 Gy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from dosegrad.arrays import IntArray
from dosegrad.errors import PlanError
from dosegrad.evaluation.clinical_goals import Goal
from dosegrad.influence.matrix import Influence

__all__ = ["GoalLimit", "goal_limits", "whole_rows"]

#: Share of a structure's voxels that need a row.
_COVERED: Final = 0.99


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


def goal_limits(influence: Influence, goals: Iterable[str | Goal]) -> tuple[GoalLimit, ...]:
    """The limits that imply ``goals``, on whole structures, as goals are evaluated.

    Raises
    ------
    PlanError
        If a goal is not understood, or is about a figure that no limit implies.
    UnknownNameError
        If the patient lacks a structure.
    """
    if isinstance(goals, str):
        goals = [goals]
    return tuple(_limit(influence, g if isinstance(g, Goal) else Goal.parse(g)) for g in goals)


def whole_rows(influence: Influence, name: str) -> IntArray:
    """Rows (n,) of the influence in a whole structure.

    Raises
    ------
    PlanError
        If not all its voxels have a row.
    """
    inside = influence.patient.structure(name).mask(influence.grid).ravel()
    rows = np.flatnonzero(inside[influence.voxels])
    if rows.size < _COVERED * np.count_nonzero(inside) or not rows.size:
        raise PlanError(
            f"no limit on {name!r} can be kept: the influence matrix has rows for {rows.size} of "
            f"its {np.count_nonzero(inside)} voxels. Compute it with voxels that hold the "
            "structure."
        )
    return rows


def _limit(influence: Influence, goal: Goal) -> GoalLimit:
    rows = whole_rows(influence, goal.structure)
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
