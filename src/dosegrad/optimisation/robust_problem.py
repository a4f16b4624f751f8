"""Objectives in many scenarios as a function of weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.influence.dose_map import DoseMap
from dosegrad.optimisation.problem import Term
from dosegrad.optimisation.robust import Aggregation, Robust, VoxelWise, WorstSide

__all__ = [
    "NEGLIGIBLE",
    "Group",
    "RobustProblem",
    "add_voxel_wise",
    "form_groups",
    "in_scenario",
    "worst_dose",
]

#: A scenario whose share of the gradient is smaller than this is not followed back.
NEGLIGIBLE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Objectives that see the scenarios together.

    Parameters
    ----------
    how
        How they see them.
    terms
        The objectives; ``rows`` are positions in the dose of the scenario maps.
    is_target
        Whether the structure of each is a target.
    """

    how: Robust
    terms: tuple[Term, ...]
    is_target: tuple[bool, ...]


def form_groups(
    terms: Sequence[Term], hows: Sequence[Robust], is_target: Sequence[bool]
) -> tuple[Group, ...]:
    """Objectives that are added up in each scenario together; the others one by one."""
    shared: dict[Robust, list[int]] = {}
    alone: list[tuple[Robust, list[int]]] = []
    for number, how in enumerate(hows):
        if isinstance(how, Aggregation) and how.is_shared:
            shared.setdefault(how, []).append(number)
        else:
            alone.append((how, [number]))
    return tuple(
        Group(how, tuple(terms[i] for i in members), tuple(is_target[i] for i in members))
        for how, members in [*shared.items(), *alone]
    )


@dataclass(frozen=True, slots=True, eq=False)
class RobustProblem:
    """Robust objectives on the dose maps of scenarios.

    Parameters
    ----------
    maps
        From weights to dose, one for each scenario, all on the same rows.
    chances
        Probability of each scenario (n_scenarios,).
    groups
        Objectives, and how they see the scenarios.
    """

    maps: tuple[DoseMap, ...]
    chances: Array
    groups: tuple[Group, ...]

    def value_and_gradient(
        self, weights: Array, softness: Sequence[float], active: BoolArray | None = None
    ) -> tuple[float, Array]:
        """Weighted sum of objectives, and its derivative (n_columns,).

        Parameters
        ----------
        weights
            Of the columns (n_columns,).
        softness
            Of each group's maximum, in the unit of its value; 0 for the maximum itself.
        active
            Scenarios (n_scenarios,) that count; by default all.
        """
        numbers = range(len(self.maps)) if active is None else np.flatnonzero(active)
        chances = self.chances[numbers]
        lines = [self.maps[k].linearise(weights) for k in numbers]
        doses = np.stack([dose for dose, _ in lines])
        value, slopes = 0.0, np.zeros_like(doses)
        for group, soft in zip(self.groups, softness, strict=True):
            value += _add(group, doses, chances, soft, slopes)
        gradient = np.zeros(weights.size)
        for (_, pullback), slope in zip(lines, slopes, strict=True):
            if slope.any():
                gradient += pullback(slope)
        return value, gradient

    def doses(self, weights: Array) -> Array:
        """Dose (n_scenarios, n_rows), Gy, of ``weights`` (n_columns,)."""
        return np.stack([m.linearise(weights)[0] for m in self.maps])

    def values(self, doses: Array) -> list[float]:
        """Value of each group at ``doses`` (n_scenarios, n_rows), maxima not softened."""
        slopes = np.zeros_like(doses)
        return [_add(group, doses, self.chances, 0.0, slopes) for group in self.groups]

    @property
    def n_scenarios(self) -> int:
        """Number of scenarios."""
        return len(self.maps)

    def values_at(self, weights: Array) -> list[float]:
        """Value of each group for ``weights`` (n_columns,), maxima not softened."""
        return self.values(self.doses(weights))

    def by_scenario(self, weights: Array) -> Array:
        """Weighted sum of objectives (n_groups, n_scenarios) of each group in each scenario.

        Of groups that are voxel-wise, too, though it does not count there.
        """
        doses = self.doses(weights)
        return np.stack([_by_scenario(group, doses)[0] for group in self.groups])


def worst_dose(doses: Array, term: Term, *, is_target: bool, side: WorstSide) -> IntArray:
    """Scenario (n,) in which each voxel is worst, for ``doses`` (n_scenarios, n) of a term.

    With the side ``"objective"`` it is that of the lowest dose if all slopes of the objective are
    negative at lowest and highest doses, of the highest if none is, and else for each voxel that
    of the steeper slope.
    """
    low: IntArray = doses.argmin(axis=0)
    high: IntArray = doses.argmax(axis=0)
    if side == "role":
        return low if is_target else high
    share = np.full(term.rows.size, 1.0 / max(term.rows.size, 1))
    each = np.arange(term.rows.size)
    _, at_low = term.objective.value_and_gradient(doses[low, each], share)
    _, at_high = term.objective.value_and_gradient(doses[high, each], share)
    if (at_low >= 0).all() and (at_high >= 0).all():
        return high
    if (at_low <= 0).all() and (at_high <= 0).all():
        return low
    steeper: IntArray = np.where(np.abs(at_low) > np.abs(at_high), low, high)
    return steeper


def _add(group: Group, doses: Array, chances: Array, softness: float, slopes: Array) -> float:
    """Value of a group; its slopes are added to ``slopes`` (n_scenarios, n_rows)."""
    if isinstance(group.how, VoxelWise):
        return add_voxel_wise(group, group.how.side, doses, slopes)
    values, by_dose = _by_scenario(group, doses)
    value, shares = group.how.aggregate(values, chances, softness)
    for number, share in enumerate(shares):
        if share > NEGLIGIBLE:
            for term, slope in zip(group.terms, by_dose[number], strict=True):
                slopes[number, term.rows] += share * slope
    return value


def _by_scenario(group: Group, doses: Array) -> tuple[Array, list[list[Array]]]:
    """Weighted value in each scenario, and the weighted slopes of each term there."""
    found = [in_scenario(group, dose) for dose in doses]
    return np.array([value for value, _ in found]), [slopes for _, slopes in found]


def in_scenario(group: Group, dose: Array) -> tuple[float, list[Array]]:
    """Weighted value at one ``dose`` (n_rows,), and the weighted slopes of each term."""
    value, slopes = 0.0, []
    for term in group.terms:
        share = np.full(term.rows.size, 1.0 / term.rows.size)
        part, slope = term.objective.value_and_gradient(dose[term.rows], share)
        value += term.objective.weight * part
        slopes.append(term.objective.weight * slope)
    return value, slopes


def add_voxel_wise(group: Group, side: WorstSide, doses: Array, slopes: Array) -> float:
    """Value of a voxel-wise group; its slopes are added to ``slopes`` (n_scenarios, n_rows)."""
    value = 0.0
    for term, is_target in zip(group.terms, group.is_target, strict=True):
        own = doses[:, term.rows]
        worst = worst_dose(own, term, is_target=is_target, side=side)
        share = np.full(term.rows.size, 1.0 / term.rows.size)
        dose = own[worst, np.arange(term.rows.size)]
        part, slope = term.objective.value_and_gradient(dose, share)
        value += term.objective.weight * part
        slopes[worst, term.rows] += term.objective.weight * slope
    return value
