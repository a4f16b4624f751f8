r"""Optimisation under hard limits, by an augmented Lagrangian on any solver.

With :math:`c_i` the excess of limit i over what is allowed, multipliers :math:`\mu_i \ge 0` and a
stiffness :math:`\rho`, each round minimises

.. math:: f(w) + \frac{1}{2 \rho} \sum_i v_i \bigl( \max(\mu_i + \rho c_i, 0)^2 - \mu_i^2 \bigr)

and then sets :math:`\mu_i \leftarrow \max(\mu_i + \rho c_i, 0)`. Limits of every voxel have a
multiplier in every voxel. The stiffness grows while a round does little.

Limits look at the samples on which goals are evaluated, and are aimed at a thousandth inside, so
that what is kept is also found to be kept.

References
----------
Nocedal, Wright 2006, Numerical Optimization, chapter 17; after Hestenes, Powell and Rockafellar.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final, Protocol, runtime_checkable

import numpy as np

from dosegrad.arrays import Array
from dosegrad.objectives import limits as kinds
from dosegrad.objectives.extremes import soft_extreme
from dosegrad.objectives.structure_objective import ObjectiveBase
from dosegrad.optimisation.course import Course
from dosegrad.optimisation.placed_limits import Constraints, PlacedLimit, place_limits
from dosegrad.optimisation.problem import PlanProblem, Term, typical_steps
from dosegrad.optimisation.solvers.protocols import Function, Solution, Solver, Watcher

__all__ = ["ConstrainedCourse", "ConstrainedSolver", "Constraints", "PlacedLimit", "place_limits"]

#: At first, missing a limit by this share of its size costs as much as the objective is.
_FIRST_MISS: Final = 0.1
#: The objective has settled if a round changes it by less than this share.
_SETTLED: Final = 1e-3
#: Rounds at most, and the share of the iterations that the first and a later one may take.
_ROUNDS: Final = 15
_FIRST_SHARE: Final = 0.3
_ROUND_SHARE: Final = 0.15
#: Share of the iterations that lead to limits which have no slope far away.
_LEADING_SHARE: Final = 0.4
#: Limits are out of reach if so many rounds running left more than this share of the worst miss.
_STALLED: Final = 2
_HARDLY: Final = 0.8
#: The worst voxel is rounded by this share of a limit's size where it has to be one number.
_SOFTNESS: Final = 5e-4
#: The stiffness grows by this factor where a round leaves more than this share of the excess.
_GROWTH: Final = 5.0
_SLOW: Final = 0.3


@runtime_checkable
class ConstrainedSolver(Protocol):
    """A solver that takes constraints as they are."""

    def minimise_under(
        self,
        function: Function,
        constraint: Callable[[Array], tuple[Array, Array]],
        n_constraints: int,
        start: Array,
        *,
        scale: Array,
        max_iterations: int,
        watch: Watcher,
    ) -> Solution:
        """The best variables where no constraint is above 0."""
        ...


def _joined(placed: PlacedLimit, dose: Array) -> tuple[float, Array]:
    """One excess for a limit, and its derivative (n_rows,); the rounded worst of its samples."""
    excess, pullback = placed.excess(dose)
    if excess.size == 1:
        return float(excess[0]), pullback(np.ones(1))
    worst, share = soft_extreme(excess, _SOFTNESS * placed.limit.size)
    return worst, pullback(share)


@dataclass(frozen=True, slots=True, eq=False)
class _Penalty(ObjectiveBase):
    """What the augmented Lagrangian adds for one limit; an objective like others."""

    kind: ClassVar[str] = "limit"

    placed: PlacedLimit
    multipliers: Array
    stiffness: float
    weight: float = 1.0

    @property
    def is_convex(self) -> bool:
        return self.placed.limit.is_convex

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        del share  # samples have their own
        excess, pullback = self.placed.excess(dose)
        pressure = np.maximum(self.multipliers + self.stiffness * excess, 0.0)
        n = self.placed.n
        parts = np.full(n, 1.0 / n) if excess.size == n > 1 else np.ones(excess.size)
        total = parts @ (pressure**2 - self.multipliers**2)
        return 0.5 * float(total) / self.stiffness, pullback(parts * pressure)


@dataclass(slots=True, eq=False)
class ConstrainedCourse:
    """One optimisation under limits.

    Parameters
    ----------
    problem
        The objectives alone.
    limits
        What is to be kept.
    solver
        What solves each round.
    stop_below
        Value of the objective that is good enough once all limits are kept; ``None`` for none.
    """

    problem: PlanProblem
    limits: tuple[PlacedLimit, ...]
    solver: Solver
    stop_below: float | None = None
    history: list[float] = field(default_factory=list)
    n_evaluations: int = 0
    n_iterations: int = 0
    _before: float = np.inf
    _stalled: int = 0

    def run(self, start: Array) -> Solution:
        """The solution once all limits are kept and the objective has settled."""
        if isinstance(self.solver, ConstrainedSolver):
            return self._interior(self.solver, start)
        weights = self._led(start)
        stiffness = 2.0 * max(abs(self.value(start)), 1e-6) / _FIRST_MISS**2
        multipliers = [np.zeros(e.size) for e in self._excesses(weights)]
        last, solution = np.inf, Solution(weights, self.value(weights), 0, 0, "")
        for number in range(_ROUNDS):
            left = self.solver.max_iterations - self.n_iterations
            if left < 1:
                return self._ended(solution, self._out_of_iterations(weights))
            share = _FIRST_SHARE if number == 0 else _ROUND_SHARE
            allowed = max(int(share * self.solver.max_iterations), 1)
            problem = self._with(multipliers, stiffness)
            solution = self._solve(problem, weights, min(allowed, left))
            weights = solution.variables
            multipliers = self._moved(weights, multipliers, stiffness)
            worst, value = self._worst(weights), self.value(weights)
            kept = self._all_kept(weights)
            if kept and self.stop_below is not None and value <= self.stop_below:
                words = f"stopped: the objective is below {self.stop_below:g}, as asked for"
                return self._ended(solution, f"{words}; every limit is kept")
            if kept and number == 0 and not any(m.any() for m in multipliers):
                words = f"{solution.message}; every limit is kept without being pushed"
                return self._ended(solution, words)
            if kept and abs(value - last) <= _SETTLED * abs(value) + 1e-12:
                return self._ended(solution, "converged: every limit is kept")
            if not kept and worst > _SLOW * self._before:
                stiffness *= _GROWTH
            self._stalled = self._stalled + 1 if worst > _HARDLY * self._before else 0
            self._before, last = worst, value
        words = "converged: every limit is kept"
        return self._ended(solution, words if kept else self._not_kept(weights))

    def _led(self, start: Array) -> Array:
        """Weights to begin with: where the limits are that imply points of the histogram.

        Those points have no slope far from where they are kept; means of tails do everywhere.
        """
        implying = tuple(_implying(placed) for placed in self.limits)
        if implying == self.limits:
            return start
        allowed = max(int(_LEADING_SHARE * self.solver.max_iterations), 1)
        settings = replace(self.solver, max_iterations=allowed)  # type: ignore[type-var]
        leader = ConstrainedCourse(self.problem, implying, settings)
        weights = leader.run(start).variables
        self.history.extend(leader.history)
        self.n_evaluations += leader.n_evaluations
        self.n_iterations += leader.n_iterations
        return weights

    def value(self, weights: Array) -> float:
        """Objective of ``weights`` (n_columns,), without the limits."""
        return float(sum(self.problem.values(self.problem.dose(weights), weights)))

    def report(self, weights: Array) -> list[dict[str, object]]:
        """For each limit: its name, by how much it is missed, whether it is kept."""
        dose = self.problem.dose(weights)
        return [
            {"limit": p.name, "missed_by": p.miss(dose[p.rows]), "kept": p.is_kept(dose[p.rows])}
            for p in self.limits
        ]

    def _solve(self, problem: PlanProblem, start: Array, n: int) -> Solution:
        solver = replace(self.solver, max_iterations=n)  # type: ignore[type-var]
        course = Course(problem, solver, None)
        solution = course.run(start)
        self.history.extend(course.history if not self.history else course.history[1:])
        self.n_evaluations += course.n_evaluations
        self.n_iterations += len(course.history) - 1
        return solution

    def _interior(self, solver: ConstrainedSolver, start: Array) -> Solution:
        """The solution of a solver that takes constraints as they are, one for each limit."""
        course = Course(self.problem, self.solver, None)
        rows = np.unique(np.concatenate([placed.rows for placed in self.limits]))
        dose_map = self.problem.values_from.following(rows)

        def constraint(weights: Array) -> tuple[Array, Array]:
            dose, pullback = dose_map.linearise(weights)
            values, slopes = [], []
            for placed in self.limits:
                places = np.searchsorted(rows, placed.rows)
                value, slope = _joined(placed, dose[places])
                by_dose = np.zeros(dose.size)
                by_dose[places] = slope
                values.append(value / placed.limit.size)
                slopes.append(pullback(by_dose) / placed.limit.size)
            return np.array(values), np.array(slopes)

        followed = np.ones(self.problem.n_values, dtype=bool)
        function = self.problem.following(followed)
        solution = solver.minimise_under(
            *(function.value_and_gradient, constraint, len(self.limits), start),
            scale=typical_steps(function, start),
            max_iterations=self.solver.max_iterations,
            watch=course.note,
        )
        self.history.extend(course.history)
        self.n_evaluations += solution.n_evaluations
        if not self._all_kept(solution.variables):
            ending, _, rest = solution.message.partition(":")
            what = "not feasible" if ending == "converged" else ending
            words = f"{what}: {self._missed(solution.variables)};{rest}"
            return self._ended(solution, words)
        return self._ended(solution, f"{solution.message}; every limit is kept")

    def _ended(self, solution: Solution, words: str) -> Solution:
        return replace(solution, message=words, n_evaluations=self.n_evaluations)

    def _excesses(self, weights: Array) -> list[Array]:
        dose = self.problem.dose(weights)
        return [placed.excess(dose[placed.rows])[0] for placed in self.limits]

    def _worst(self, weights: Array) -> float:
        """The worst miss of what is aimed at, in sizes of the limits."""
        dose = self.problem.dose(weights)
        return max(placed.beyond(dose[placed.rows]) for placed in self.limits)

    def _all_kept(self, weights: Array) -> bool:
        dose = self.problem.dose(weights)
        return all(placed.is_kept(dose[placed.rows]) for placed in self.limits)

    def _moved(self, weights: Array, multipliers: list[Array], stiffness: float) -> list[Array]:
        found = zip(self.limits, multipliers, self._excesses(weights), strict=True)
        return [np.maximum(m + stiffness / p.limit.size**2 * e, 0.0) for p, m, e in found]

    def _with(self, multipliers: list[Array], stiffness: float) -> PlanProblem:
        """The objectives and what the limits add to them."""
        more = tuple(
            Term(
                p.structure,
                _Penalty(p, m, stiffness / p.limit.size**2),
                p.rows,
                self.problem.terms[0].quantity,
            )
            for p, m in zip(self.limits, multipliers, strict=True)
        )
        return replace(self.problem, terms=(*self.problem.terms, *more))

    def _missed(self, weights: Array) -> str:
        missed = [row for row in self.report(weights) if not row["kept"]]
        return " and ".join(
            f"'{row['limit']}' is missed by {row['missed_by']:.3g}" for row in missed
        )

    def _not_kept(self, weights: Array) -> str:
        return (
            f"not feasible: {self._missed(weights)}, and further rounds do not help. The limits "
            "may contradict each other or be out of reach of these beams; relax one, or raise "
            "max_iterations"
        )

    def _out_of_iterations(self, weights: Array) -> str:
        most = self.solver.max_iterations
        ending = f"stopped after {most} iterations, as many as allowed; raise max_iterations"
        if self._all_kept(weights):
            return f"not converged: every limit is kept, but {ending} to go on"
        if self._stalled >= _STALLED:
            return self._not_kept(weights)
        return f"not converged: {self._missed(weights)}; {ending} to go on"


def _implying(placed: PlacedLimit) -> PlacedLimit:
    """The convex limit that implies one on a point of the histogram; others as they are."""
    limit = placed.limit
    if isinstance(limit, kinds.MaxVolume):
        return replace(placed, limit=kinds.MaxMeanTail(limit.dose, limit.volume))
    if isinstance(limit, kinds.MinVolume):
        return replace(placed, limit=kinds.MinMeanTail(limit.dose, 1.0 - limit.volume))
    return placed
