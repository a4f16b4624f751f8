r"""Optimisation under hard limits, by an augmented Lagrangian on any solver.

With :math:`c_i` the excess of limit i over what is allowed, multipliers :math:`\mu_i \ge 0` and a
stiffness :math:`\rho`, each round minimises

.. math:: f(w) + \frac{1}{2 \rho} \sum_i v_i \bigl( \max(\mu_i + \rho c_i, 0)^2 - \mu_i^2 \bigr)

and then sets :math:`\mu_i \leftarrow \max(\mu_i + \rho c_i, 0)`. Limits of every voxel have a
multiplier in every voxel. The stiffness grows while a round does little.

References
----------
Nocedal, Wright 2006, Numerical Optimization, chapter 17; after Hestenes, Powell and Rockafellar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final, Protocol, TypeAlias, runtime_checkable

import numpy as np

from dosegrad.arrays import Array, IntArray
from dosegrad.errors import PlanError
from dosegrad.evaluation.clinical_goals import Goal
from dosegrad.influence.matrix import Influence
from dosegrad.objectives import limits as kinds
from dosegrad.objectives.extremes import soft_extreme
from dosegrad.objectives.limit_protocols import Excess, Limit, StructureLimit
from dosegrad.objectives.structure_objective import ObjectiveBase
from dosegrad.optimisation.course import Course
from dosegrad.optimisation.goal_limits import GoalLimit, goal_limits, whole_rows
from dosegrad.optimisation.problem import PlanProblem, Term, typical_steps
from dosegrad.optimisation.solvers.protocols import Function, Solution, Solver, Watcher

__all__ = ["ConstrainedCourse", "ConstrainedSolver", "Constraints", "PlacedLimit", "place_limits"]

#: A limit is kept if it is missed by no more than this share of its size.
_KEPT: Final = 1e-3
#: At first, missing a limit by this share of its size costs as much as the objective is.
_FIRST_MISS: Final = 0.1
#: The objective has settled if a round changes it by less than this share.
_SETTLED: Final = 1e-3
#: Rounds at most, and the share of the iterations that one may take.
_ROUNDS: Final = 15
_ROUND_SHARE: Final = 0.5
#: The worst voxel is rounded by this share of a limit's size where it has to be one number.
_SOFTNESS: Final = 5e-4
#: The stiffness grows by this factor where a round leaves more than this share of the excess.
_GROWTH: Final = 5.0
_SLOW: Final = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class PlacedLimit:
    """A limit on rows of an influence.

    Parameters
    ----------
    name
        How it is called in messages.
    limit
        What is to be kept.
    rows
        Rows (n,) of the whole structure.
    structure
        Its name.
    """

    name: str
    limit: Limit
    rows: IntArray
    structure: str

    @property
    def share(self) -> Array:
        """Part of the volume (n,) that each row stands for."""
        return np.full(self.rows.size, 1.0 / self.rows.size)

    def miss(self, dose: Array) -> float:
        """By how much ``dose`` (n_rows,) is beyond the limit; not above 0 if kept."""
        return self.limit.miss(dose[self.rows], self.share)

    def excess(self, dose: Array) -> Excess:
        """Smooth excess of ``dose`` (n_rows,), and its pullback to these rows (n,)."""
        return self.limit.excess(dose[self.rows], self.share)


#: Limits by structure; or limits that name theirs, and goals as sentences.
Constraints: TypeAlias = (
    Mapping[str, Limit | Sequence[Limit]] | Sequence[StructureLimit | PlacedLimit | str | Goal]
)


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
    """One excess for a limit, and its derivative (n,); the rounded worst of its voxels."""
    excess, pullback = placed.limit.excess(dose, placed.share)
    if excess.size == 1:
        return float(excess[0]), pullback(np.ones(1))
    worst, share = soft_extreme(excess, _SOFTNESS * placed.limit.size)
    return worst, pullback(share)


def place_limits(influence: Influence, constraints: Constraints) -> tuple[PlacedLimit, ...]:
    """Limits on whole structures, as goals are evaluated.

    Raises
    ------
    PlanError
        If something is no limit, or a goal has none that implies it.
    UnknownNameError
        If the patient lacks a structure.
    """
    if isinstance(constraints, str):
        constraints = [constraints]
    placed: list[PlacedLimit] = []
    if isinstance(constraints, Mapping):
        for name, given in constraints.items():
            found = given if isinstance(given, Sequence) else (given,)
            placed.extend(_placed(influence, str(name), limit) for limit in found)
        return tuple(placed)
    for item in constraints:
        if isinstance(item, PlacedLimit):
            placed.append(item)
        elif isinstance(item, StructureLimit):
            placed.append(_placed(influence, item.structure, item.limit))
        elif isinstance(item, str | Goal):
            placed.append(_of_goal(goal_limits(influence, [item])[0]))
        else:
            raise PlanError(
                f"{item!r} does not name its structure; write limits.MaxDose(45.0).on('Cord'), a "
                "sentence such as 'Cord: Dmax <= 45 Gy', or give a mapping of structures."
            )
    return tuple(placed)


def _placed(influence: Influence, name: str, limit: Limit) -> PlacedLimit:
    influence.patient.structure(name)
    if not hasattr(limit, "excess") or isinstance(limit, type):
        raise PlanError(
            f"{limit!r} on {name!r} is no limit; give one such as limits.MaxDose(45.0). Wishes "
            "belong to the objectives."
        )
    return PlacedLimit(f"{name}: {limit!r}", limit, whole_rows(influence, name), name)


def _of_goal(found: GoalLimit) -> PlacedLimit:
    """The limit that implies a goal."""
    kind, dose, volume = found.goal.metric.kind, found.dose, found.volume
    limit: Limit
    if volume >= 1.0:
        limit = kinds.MinMean(dose) if found.coldest else kinds.MaxMean(dose)
    elif kind in ("maximum", "minimum"):
        limit = kinds.MinDose(dose) if found.coldest else kinds.MaxDose(dose)
    elif found.coldest:
        limit = kinds.MinMeanTail(dose, volume)
    else:
        limit = kinds.MaxMeanTail(dose, volume)
    return PlacedLimit(str(found.goal), limit, found.rows, found.goal.structure)


@dataclass(frozen=True, slots=True, eq=False)
class _Penalty(ObjectiveBase):
    """What the augmented Lagrangian adds for one limit; an objective like others."""

    kind: ClassVar[str] = "limit"

    limit: Limit
    multipliers: Array
    stiffness: float
    weight: float = 1.0

    @property
    def is_convex(self) -> bool:
        return self.limit.is_convex

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        excess, pullback = self.limit.excess(dose, share)
        pressure = np.maximum(self.multipliers + self.stiffness * excess, 0.0)
        parts = share if excess.size == dose.size > 1 else np.ones(excess.size)
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
    """

    problem: PlanProblem
    limits: tuple[PlacedLimit, ...]
    solver: Solver
    history: list[float] = field(default_factory=list)
    n_evaluations: int = 0
    n_iterations: int = 0
    _before: float = np.inf

    def run(self, start: Array) -> Solution:
        """The solution once all limits are kept and the objective has settled."""
        if isinstance(self.solver, ConstrainedSolver):
            return self._interior(self.solver, start)
        weights, stiffness = start, 2.0 * max(abs(self.value(start)), 1e-6) / _FIRST_MISS**2
        multipliers = [np.zeros(e.size) for e in self._excesses(start)]
        last = np.inf
        for number in range(_ROUNDS):
            left = self.solver.max_iterations - self.n_iterations
            share = max(int(_ROUND_SHARE * self.solver.max_iterations), 1)
            solution = self._solve(
                self._with(multipliers, stiffness), weights, min(share, max(left, share // 4))
            )
            weights = solution.variables
            multipliers = self._moved(weights, multipliers, stiffness)
            worst, value = self._worst(weights), self.value(weights)
            if worst <= _KEPT and number == 0 and not any(m.any() for m in multipliers):
                words = f"{solution.message}; every limit is kept without being pushed"
                return self._ended(solution, words)
            if worst <= _KEPT and abs(value - last) <= _SETTLED * abs(value) + 1e-12:
                return self._ended(solution, "converged: every limit is kept")
            if worst > _KEPT and worst > _SLOW * self._before:
                stiffness *= _GROWTH
            self._before, last = worst, value
        words = "converged: every limit is kept" if worst <= _KEPT else self._not_kept(weights)
        return self._ended(solution, words)

    def value(self, weights: Array) -> float:
        """Objective of ``weights`` (n_columns,), without the limits."""
        return float(sum(self.problem.values(self.problem.dose(weights), weights)))

    def report(self, weights: Array) -> list[dict[str, object]]:
        """For each limit: its name, by how much it is missed, whether it is kept."""
        dose = self.problem.dose(weights)
        misses = [(limit, limit.miss(dose)) for limit in self.limits]
        return [
            {"limit": p.name, "missed_by": m, "kept": bool(m <= _KEPT * p.limit.size)}
            for p, m in misses
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
        if self._worst(solution.variables) > _KEPT:
            return self._ended(solution, self._not_kept(solution.variables))
        return self._ended(solution, f"{solution.message}; every limit is kept")

    def _ended(self, solution: Solution, words: str) -> Solution:
        return replace(solution, message=words, n_evaluations=self.n_evaluations)

    def _excesses(self, weights: Array) -> list[Array]:
        dose = self.problem.dose(weights)
        return [placed.excess(dose)[0] for placed in self.limits]

    def _worst(self, weights: Array) -> float:
        """The worst miss, in sizes of the limits."""
        dose = self.problem.dose(weights)
        return max(placed.miss(dose) / placed.limit.size for placed in self.limits)

    def _moved(self, weights: Array, multipliers: list[Array], stiffness: float) -> list[Array]:
        found = zip(self.limits, multipliers, self._excesses(weights), strict=True)
        return [np.maximum(m + stiffness / p.limit.size**2 * e, 0.0) for p, m, e in found]

    def _with(self, multipliers: list[Array], stiffness: float) -> PlanProblem:
        """The objectives and what the limits add to them."""
        more = tuple(
            Term(
                p.structure,
                _Penalty(p.limit, m, stiffness / p.limit.size**2),
                p.rows,
                self.problem.terms[0].quantity,
            )
            for p, m in zip(self.limits, multipliers, strict=True)
        )
        return replace(self.problem, terms=(*self.problem.terms, *more))

    def _not_kept(self, weights: Array) -> str:
        missed = [row for row in self.report(weights) if not row["kept"]]
        words = " and ".join(
            f"'{row['limit']}' is missed by {row['missed_by']:.3g}" for row in missed
        )
        return (
            f"not feasible: {words} after {_ROUNDS} rounds. The limits may contradict each other "
            "or be out of reach of these beams; relax one, or raise max_iterations"
        )
