"""Clinical goals as convex limits on mean tails and means.

A goal on a point of the dose-volume histogram is not convex. The mean of a tail is, and implies it:
if the mean of the coldest 5 % is at least 47.5 Gy, then 95 % of the structure get 47.5 Gy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from dosegrad.arrays import IntArray
from dosegrad.errors import PlanError
from dosegrad.evaluation.dose_volume import share_outside, structure_samples
from dosegrad.evaluation.goals import Goal
from dosegrad.influence.matrix import Influence

__all__ = ["GoalLimit", "SampledRows", "goal_limits", "sampled_rows"]


@dataclass(frozen=True, slots=True, eq=False)
class SampledRows:
    """The samples on which a structure is evaluated, by rows of an influence.

    Parameters
    ----------
    rows
        Rows (n_rows,), ascending, that samples depend on.
    mixing
        Part of each row in each sample (n, n_rows); ``None`` where the rows are the samples.
    volume_cc
        Volume of all samples, cm3.
    """

    rows: IntArray
    mixing: csr_array | None
    volume_cc: float

    @property
    def n(self) -> int:
        """Number of samples."""
        return int(self.rows.size if self.mixing is None else self.mixing.shape[0])


def sampled_rows(influence: Influence, name: str) -> SampledRows:
    """The samples of a whole structure, as histograms and goals look at them.

    Voxels outside the body have no row and no dose.

    Raises
    ------
    PlanError
        If voxels that count have no row for another reason, or a part lies outside the dose grid.
    UnknownNameError
        If the patient lacks the structure.
    """
    structure = influence.patient.structure(name)
    found = structure_samples(structure, influence.grid)
    outside = share_outside(structure, influence.grid, found.n * found.sample_volume_cc)
    if outside:
        raise PlanError(
            f"no limit on {name!r} can be kept: {100 * outside:.2g} % of it lie outside the dose "
            "grid. Choose a dose grid that holds it all."
        )
    rows = np.searchsorted(influence.voxels, found.voxels)
    held = np.minimum(rows, influence.voxels.size - 1)
    has_row = influence.voxels[held] == found.voxels
    if not has_row.any() or not (has_row.all() or influence.covers_body):
        raise PlanError(
            f"no limit on {name!r} can be kept: the influence matrix has rows for "
            f"{np.count_nonzero(has_row)} of the {found.voxels.size} voxels in it and at its "
            "border on which goals are evaluated. Compute it with voxels that hold the structure "
            "and its border, such as voxels='body'."
        )
    volume_cc, mixing = found.n * found.sample_volume_cc, found.mixing
    if not has_row.all():  # samples without dose are left, as rows of zeros
        eye = csr_array((np.ones(found.n), (np.arange(found.n),) * 2), shape=(found.n,) * 2)
        mixing = (eye if mixing is None else mixing)[:, has_row]
    return SampledRows(rows[has_row], mixing, volume_cc)


@dataclass(frozen=True, slots=True, eq=False)
class GoalLimit:
    """A limit on the mean dose of a part of a structure.

    Parameters
    ----------
    goal
        The goal that it implies.
    samples
        Of the whole structure.
    volume
        The part; 1 for the mean of all.
    dose
        The limit, Gy.
    coldest
        Whether it is a lower limit of the coldest part; else an upper one of the hottest.
    """

    goal: Goal
    samples: SampledRows
    volume: float
    dose: float
    coldest: bool

    @property
    def rows(self) -> IntArray:
        """Rows (n_rows,) of the influence that it depends on."""
        return self.samples.rows


def goal_limits(influence: Influence, goals: Iterable[str | Goal]) -> tuple[GoalLimit, ...]:
    """The limits that imply ``goals``, on the samples on which goals are evaluated.

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
    samples = {name: sampled_rows(influence, name) for name in {g.structure for g in parsed}}
    return tuple(_limit(goal, samples[goal.structure]) for goal in parsed)


def _limit(goal: Goal, samples: SampledRows) -> GoalLimit:
    at_least = ">" in goal.comparator
    hottest, dose = _part(goal, samples.n, samples.volume_cc)
    volume = 1.0 - hottest if at_least and not _is_mean(goal) else hottest
    volume = min(max(volume, 1.0 / samples.n), 1.0)
    return GoalLimit(goal, samples, volume, dose, at_least)


def _is_mean(goal: Goal) -> bool:
    return goal.metric.kind == "mean"


def _part(goal: Goal, n: int, volume_cc: float) -> tuple[float, float]:
    """Part of the volume that gets at least a dose, Gy, by a goal on one point of the histogram."""
    kind, number, limit = goal.metric.kind, goal.metric.number, goal.limit
    if kind == "mean":
        return 1.0, limit
    if kind == "maximum" and "<" in goal.comparator:
        return 1.0 / n, limit
    if kind == "minimum" and ">" in goal.comparator:
        return 1.0 - 1.0 / n, limit
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
