"""Plans that minimise a weighted sum of objectives under limits, each with a rigorous bound."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from dosegrad.arrays import Array, IntArray
from dosegrad.objectives.mean import MeanDose
from dosegrad.optimisation.descent import Descent, TailLimit
from dosegrad.optimisation.lower_bound import Regions, plane_minimum
from dosegrad.optimisation.problem import Term
from dosegrad.optimisation.separable import SeparableTerms

__all__ = ["FrontPoint", "Task", "TradeProblem", "solve"]

#: Sweeps of each round; after each, the bound tells whether to go on.
_ROUNDS: Final = (120, 80, 120, 160, 240, 320)
#: Width of the edge of a tail, as a share of its limit, in the first round and later.
_WIDTHS: Final = (0.02, 0.01, 0.005)
#: Plans keep limits by this share of them at least, so that rounding does not miss them.
_INSIDE: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class TradeProblem:
    """Objectives to be traded, and limits that every plan keeps.

    Parameters
    ----------
    parts
        All terms, ready to be weighted.
    terms
        The same as objectives on rows of the influence.
    owners
        Number (n_terms,) of the objective to which each term belongs.
    limits
        What is kept; rows are places among those of ``parts``.
    regions
        What bounds the weights.
    """

    parts: SeparableTerms
    terms: tuple[Term, ...]
    owners: IntArray
    limits: tuple[TailLimit, ...]
    regions: Regions

    def factors(self, weights: Array) -> Array:
        """Weight (n_terms,) of each term for ``weights`` (n_objectives,)."""
        own = np.array([term.objective.weight for term in self.terms])
        factors: Array = own * weights[self.owners]
        return factors

    def term_values(self, dose: Array, variables: Array) -> Array:
        """Value (n_terms,) of each term for the rows' ``dose`` and the columns' weights."""
        found = []
        for number, term in enumerate(self.terms):
            if isinstance(term.objective, MeanDose):
                mean = float(self.parts.mean_columns[number] @ variables)
                found.append(term.objective.of_mean(mean)[0])
                continue
            inside = dose[np.searchsorted(self.parts.picked, term.rows)]
            share = np.full(inside.size, 1.0 / inside.size)
            found.append(term.objective.value_and_gradient(inside, share)[0])
        return np.array(found)

    def values(self, dose: Array, variables: Array) -> Array:
        """Value (n_objectives,) of each objective."""
        own = np.array([term.objective.weight for term in self.terms])
        of_terms = own * self.term_values(dose, variables)
        return np.asarray(np.bincount(self.owners, of_terms), dtype=float)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One weighted sum to be minimised.

    Parameters
    ----------
    weights
        Of the objectives (n_objectives,), scaled so that a value of the sum is in ranges.
    start
        Weights of the columns (n_columns,) to begin with.
    multipliers
        Of the limits, to begin with.
    tolerance
        Distance from the bound that is good enough.
    n_rounds
        How long to go on at most.
    """

    weights: Array
    start: Array
    multipliers: Array
    tolerance: float
    n_rounds: int = len(_ROUNDS)


@dataclass(frozen=True, slots=True, eq=False)
class FrontPoint:
    """A plan that keeps the limits, and a plane that no such plan is below.

    Parameters
    ----------
    weights
        Of the objectives; the plane's normal.
    variables
        Weights of the columns (n_columns,).
    values
        Of the objectives (n_objectives,).
    bound
        Weighted sum below which no plan is.
    multipliers
        Of the limits: what the weighted sum would gain per Gy.
    excesses
        By how much each limit is missed, Gy; not above 0 if all are kept.
    n_sweeps
        How long it took.
    """

    weights: Array
    variables: Array
    values: Array
    bound: float
    multipliers: Array
    excesses: Array
    n_sweeps: int

    @property
    def slack(self) -> float:
        """By how much the plan may be worse than the best of its weighted sum."""
        return float(self.weights @ self.values) - self.bound


def solve(task: Task, problem: TradeProblem) -> FrontPoint:
    """The plan of a task, as close to its bound as asked for or as it gets."""
    objective = problem.parts.weighted(problem.factors(task.weights))
    start, multipliers, best, bound = task.start, task.multipliers, None, -np.inf
    n_sweeps = 0
    for number, sweeps in enumerate(_ROUNDS[: task.n_rounds]):
        width = _WIDTHS[min(number, len(_WIDTHS) - 1)]
        limits = [replace(limit, width=width * limit.dose) for limit in problem.limits]
        descent = Descent(objective, start, limits, problem.parts.n_terms, multipliers, seed=number)
        descent.run(sweeps)
        n_sweeps += sweeps
        start, multipliers = descent.weights, descent.multipliers
        bound = max(bound, _bound(problem, task, descent))
        point = _kept(problem, task, descent, bound, n_sweeps)
        if best is None or _is_better(point, best):
            best = point
        best = replace(best, bound=bound, n_sweeps=n_sweeps, multipliers=multipliers)
        if best.slack <= task.tolerance and not (best.excesses > 0).any():
            break
    assert best is not None
    return best


def _is_better(point: FrontPoint, other: FrontPoint) -> bool:
    missed = [float(np.maximum(p.excesses, 0.0).sum()) for p in (point, other)]
    if missed[0] != missed[1]:
        return missed[0] < missed[1]
    return float(point.weights @ point.values) < float(other.weights @ other.values)


def _bound(problem: TradeProblem, task: Task, descent: Descent) -> float:
    """Weighted sum below which no plan is that keeps the limits."""
    constant, slope = descent.lagrangian()
    factors = problem.factors(task.weights)
    # the optimum is not above a plan that keeps the limits, nor is any term of it
    kept = _kept(problem, task, descent, 0.0, 0)
    missed = bool((kept.excesses > 0).any())
    reached = np.inf if missed else float(task.weights @ kept.values)
    with np.errstate(divide="ignore", invalid="ignore"):
        highest = np.where(factors > 0, reached / factors, np.inf)
    tops = problem.regions.tops([term.objective for term in problem.terms], highest)
    return plane_minimum(constant, slope, problem.regions, tops)


def _kept(
    problem: TradeProblem, task: Task, descent: Descent, bound: float, n_sweeps: int
) -> FrontPoint:
    """The plan of a descent, all weights raised or lowered slightly if that keeps the limits."""
    least, most = 0.0, np.inf
    for limit, excess in zip(descent.limits, descent.excesses(), strict=True):
        reached = limit.dose + limit.sign * excess
        if limit.coldest and reached > 0:
            least = max(least, limit.dose / reached * (1.0 + _INSIDE))
        elif not limit.coldest and reached > 0:
            most = min(most, limit.dose / reached * (1.0 - _INSIDE))
    factor = float(np.clip(1.0, least, most)) if least <= most else max(least, 1.0)
    dose, variables = factor * descent.dose, factor * descent.weights
    return FrontPoint(
        task.weights,
        variables,
        problem.values(dose, variables),
        bound,
        descent.multipliers.copy(),
        np.array([limit.excess(dose) for limit in descent.limits]),
        n_sweeps,
    )
