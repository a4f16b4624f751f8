"""Objectives in scenarios whose matrices are spread over workers.

One step sends the weights, gets the objectives of each scenario back, sends the share of each
scenario in the whole, and gets the gradient back: numbers by scenario and vectors over the columns,
never a dose, unless an objective is voxel-wise. Sums run in the same order as in one process, so
that the plan is the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from scipy.sparse import csc_array

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.executor import Shards
from dosegrad.influence.dose_map import DoseMap, InfluenceDoseMap, Pullback
from dosegrad.influence.scenario_map import ScenarioDoseMap
from dosegrad.influence.scenario_storage import RunLengthMatrix
from dosegrad.influence.shards import ScenarioShards
from dosegrad.optimisation.robust import VoxelWise
from dosegrad.optimisation.robust_problem import (
    NEGLIGIBLE,
    Group,
    add_voxel_wise,
    in_scenario,
)

__all__ = ["ScenarioObjectives", "ShardedProblem"]

#: What the whole asks of one scenario: the share of each group in the gradient, and the slopes
#: of voxel-wise objectives on the rows that they look at.
_Shares: TypeAlias = tuple[Array, Array | None]


@dataclass(slots=True, eq=False)
class ScenarioObjectives:
    """The objectives in one scenario, beside its matrix.

    What it last computed is kept, since the gradient is asked for at the same weights; it is
    computed anew if it was lost.

    Parameters
    ----------
    dose_map
        From weights to dose, on the rows of the objectives.
    groups
        Objectives, and how they see the scenarios.
    """

    dose_map: DoseMap
    groups: tuple[Group, ...]
    last: tuple[Array, Array, Pullback, list[tuple[float, list[Array]]]] | None = field(
        default=None, init=False
    )

    def __sizeof__(self) -> int:
        matrix = getattr(self.dose_map, "matrix", None)
        return 1000 + (matrix.n_bytes if matrix is not None else 0)

    def values(self, weights: Array) -> tuple[Array, Array | None]:
        """Value (n_groups,) of each group, and the dose on the rows of voxel-wise objectives."""
        _, dose, _, found = self._at(weights)
        rows = voxel_wise_rows(self.groups)
        return np.array([value for value, _ in found]), dose[rows] if rows.size else None

    def gradient(self, weights: Array, shares: _Shares) -> Array | None:
        """Part of this scenario in the gradient (n_columns,); ``None`` if it has none."""
        _, dose, pullback, found = self._at(weights)
        by_group, voxel_wise = shares
        slope = np.zeros_like(dose)
        if voxel_wise is not None:
            slope[voxel_wise_rows(self.groups)] = voxel_wise
        for group, share, (_, slopes) in zip(self.groups, by_group, found, strict=True):
            if share > NEGLIGIBLE and not isinstance(group.how, VoxelWise):
                for term, one in zip(group.terms, slopes, strict=True):
                    slope[term.rows] += share * one
        return pullback(slope) if slope.any() else None

    def _at(self, weights: Array) -> tuple[Array, Array, Pullback, list[tuple[float, list[Array]]]]:
        if self.last is None or not np.array_equal(self.last[0], weights):
            dose, pullback = self.dose_map.linearise(weights)
            found = [in_scenario(group, dose) for group in self.groups]
            self.last = (weights, dose, pullback, found)
        return self.last


@dataclass(frozen=True, slots=True, eq=False)
class ShardedProblem:
    """Robust objectives on scenarios that are spread over workers.

    It answers as :class:`~dosegrad.optimisation.robust_problem.RobustProblem` does. The nominal
    scenario is evaluated in this process while the workers do the others.

    Parameters
    ----------
    shards
        A :class:`ScenarioObjectives` for each scenario of ``numbers``.
    numbers
        Numbers of these scenarios.
    here
        Those evaluated in this process, by number.
    chances
        Probability of each scenario (n_scenarios,).
    groups
        Objectives, and how they see the scenarios.
    n_rows
        Number of rows of the dose maps.
    """

    shards: Shards
    numbers: tuple[int, ...]
    here: dict[int, ScenarioObjectives]
    chances: Array
    groups: tuple[Group, ...]
    n_rows: int

    @classmethod
    def of(
        cls, held: ScenarioShards, nominal: csc_array, rows: IntArray, groups: tuple[Group, ...]
    ) -> ShardedProblem:
        """The problem of scenarios on a cluster; each worker cuts out the ``rows`` (n,) once."""
        shards = held.shards.derive(_with_objectives, held.places(rows), groups)
        others = [k for k in range(len(held.scenarios)) if k not in held.numbers]
        here = {k: ScenarioObjectives(InfluenceDoseMap.of(nominal, rows), groups) for k in others}
        chances = np.asarray(held.scenarios.probabilities)
        return cls(shards, held.numbers, here, chances, groups, rows.size)

    @property
    def n_scenarios(self) -> int:
        """Number of scenarios."""
        return self.chances.size

    def value_and_gradient(
        self, weights: Array, softness: Sequence[float], active: BoolArray | None = None
    ) -> tuple[float, Array]:
        """Weighted sum of objectives, and its derivative (n_columns,); as in one process."""
        every = np.arange(self.n_scenarios)
        numbers = every if active is None else np.flatnonzero(active)
        values, doses = self._values(weights, numbers)
        value, shares = 0.0, np.zeros((len(self.groups), numbers.size))
        rows = voxel_wise_rows(self.groups)
        slopes = np.zeros((numbers.size, self.n_rows)) if rows.size else None
        for k, (group, soft) in enumerate(zip(self.groups, softness, strict=True)):
            if isinstance(group.how, VoxelWise):
                assert slopes is not None and doses is not None
                value += add_voxel_wise(group, group.how.side, doses, slopes)
            else:
                part, shares[k] = group.how.aggregate(values[k], self.chances[numbers], soft)
                value += part
        asked = {
            int(number): (shares[:, k], None if slopes is None else slopes[k, rows])
            for k, number in enumerate(numbers)
            if (shares[:, k] > NEGLIGIBLE).any() or (slopes is not None and slopes[k].any())
        }
        gradient = np.zeros(weights.size)
        for part in self._ask("gradient", weights, asked):
            if part is not None:
                gradient += part
        return value, gradient

    def values_at(self, weights: Array) -> list[float]:
        """Value of each group for ``weights`` (n_columns,), maxima not softened."""
        values, doses = self._values(weights, np.arange(self.n_scenarios))
        found = []
        for k, group in enumerate(self.groups):
            if isinstance(group.how, VoxelWise):
                assert doses is not None
                unused = np.zeros((self.n_scenarios, self.n_rows))
                found.append(add_voxel_wise(group, group.how.side, doses, unused))
            else:
                found.append(group.how.aggregate(values[k], self.chances, 0.0)[0])
        return found

    def by_scenario(self, weights: Array) -> Array:
        """Weighted sum of objectives (n_groups, n_scenarios) of each group in each scenario."""
        return self._values(weights, np.arange(self.n_scenarios))[0]

    def _values(self, weights: Array, numbers: Any) -> tuple[Array, Array | None]:
        """Values (n_groups, n) in scenarios, and the doses (n, n_rows) if one is voxel-wise.

        Doses are 0 in rows that no voxel-wise objective looks at.
        """
        found = self._ask("values", weights, {int(k): None for k in numbers})
        values = np.stack([value for value, _ in found], axis=1)
        rows = voxel_wise_rows(self.groups)
        if not rows.size:
            return values, None
        doses = np.zeros((len(found), self.n_rows))
        for k, (_, dose) in enumerate(found):
            doses[k, rows] = dose
        return values, doses

    def _ask(self, what: str, weights: Array, own: dict[int, Any]) -> list[Any]:
        """What scenarios answer, in the order of ``own``: their numbers and own arguments."""
        place = {number: k for k, number in enumerate(self.numbers)}
        away = {place[number]: item for number, item in own.items() if number in place}
        answers = self.shards.begin(_answer, away, what, weights) if away else list
        found = {
            n: _answer(self.here[n], i, what, weights) for n, i in own.items() if n in self.here
        }
        found.update(zip((self.numbers[k] for k in away), answers(), strict=True))
        return [found[number] for number in own]


def voxel_wise_rows(groups: Sequence[Group]) -> IntArray:
    """Rows (n,), ascending, that voxel-wise objectives look at."""
    rows = [t.rows for g in groups if isinstance(g.how, VoxelWise) for t in g.terms]
    return np.unique(np.concatenate(rows)) if rows else np.empty(0, dtype=np.int64)


def _with_objectives(
    matrix: RunLengthMatrix, places: IntArray, groups: tuple[Group, ...]
) -> ScenarioObjectives:
    return ScenarioObjectives(ScenarioDoseMap(matrix.rows(places)), groups)


def _answer(scenario: ScenarioObjectives, item: Any, what: str, weights: Array) -> Any:
    return scenario.values(weights) if what == "values" else scenario.gradient(weights, item)
