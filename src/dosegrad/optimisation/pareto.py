"""Fronts of plans with a guaranteed gap, by the sandwich algorithm."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np

from dosegrad._version import __version__
from dosegrad.arrays import Array
from dosegrad.errors import CapabilityError, PlanError
from dosegrad.evaluation.clinical_goals import Goal, evaluate
from dosegrad.executor import resolve_executor
from dosegrad.influence.matrix import Influence
from dosegrad.influence.products import in_kernel_types, multiply
from dosegrad.objectives.structure_objective import StructureObjective
from dosegrad.optimisation.descent import TailLimit
from dosegrad.optimisation.goal_limits import GoalLimit, goal_limits
from dosegrad.optimisation.lower_bound import form_regions
from dosegrad.optimisation.pareto_front import FrontShape, ParetoFront
from dosegrad.optimisation.sandwich import Corner, corners
from dosegrad.optimisation.separable import is_separable, join_terms
from dosegrad.optimisation.weighted_sums import FrontPoint, Task, TradeProblem, solve
from dosegrad.optimisation.wishes import make_terms, prescription
from dosegrad.plan import Plan
from dosegrad.progress import report

__all__ = ["Trade", "pareto_front", "trade_problem"]

#: What is traded, by names of the user's choice.
Trade: TypeAlias = Mapping[str, StructureObjective | Sequence[StructureObjective]]

#: Share of each other objective at an end of the front, where one is to be as good as it can be,
#: in units of the values of a plan in the middle.
_ASIDE: Final = 0.01
#: Each plan is brought so close to its bound, as a share of the gap asked for.
_CLOSE: Final = 0.3
#: Rounds of the first plans and of later ones, see :mod:`dosegrad.optimisation.weighted_sums`.
_FIRST_ROUNDS: Final = 3
_ROUNDS: Final = 6
#: Weights nearer than this, in units of the ranges, give the same plan.
_ALIKE: Final = 2e-3
#: Limits are tightened at most so many times, by what goals lack times this, or by a share of the
#: limit where they lack volume.
_MOST_TIMES: Final = 6
_MORE: Final = 1.1
_NUDGE: Final = 0.01
#: Goals are looked at where a limit is kept by no more than this share of it.
_FAR: Final = 0.2
#: A limit counts as missed from this share of it.
_MISSED: Final = 1e-3


def pareto_front(
    influence: Influence,
    trade: Trade,
    *,
    goals: Iterable[str | Goal] = (),
    gap: float = 0.02,
    max_plans: int = 60,
    fractions: int = 1,
    cluster: object | None = None,
) -> ParetoFront:
    """Plans between which nothing better is hidden than the gap tells.

    Every plan minimises a weighted sum of the objectives among plans that keep the goals. It is
    known how far the sum could be below at most, so that a plane bounds all plans from below. The
    next weights are those in whose direction planes and mixtures of plans are farthest apart,
    until they are nowhere farther apart than the gap.

    The front ends where one objective counts a hundred times as much as another, in units of the
    values of a plan in the middle. Beyond, little is won at any price.

    Goals on points of the histogram enter as limits on the mean dose of the coldest or hottest
    part, which are convex and imply them; they are tightened where a plan misses a goal all the
    same, since goals are evaluated on finer samples than voxels. The gap is that of this convex
    problem.

    Parameters
    ----------
    influence
        Dose per unit weight.
    trade
        What is traded, by name: ``{"core": objectives.MeanDose().on("Core")}``, or a sequence of
        such for a sum. These are squared deviations, over- and underdoses and mean doses.
    goals
        Sentences such as ``"PTV: D95% >= 57 Gy"`` that every plan meets.
    gap
        Share of the range that each objective has over the front.
    max_plans
        Number of plans at which to end in any case.
    fractions
        Number of fractions of the course.
    cluster
        Where weighted sums are minimised; see :func:`dosegrad.executor.resolve_executor`. By
        default in threads of this process.

    Returns
    -------
        A sequence of plans, with the ``gap`` that was reached and ``navigate``.

    Raises
    ------
    PlanError
        If there are fewer than two objectives, or the goals cannot be kept together.
    CapabilityError
        If an objective is of another kind.
    """
    problem, kept = trade_problem(influence, trade, goals)
    start = _start(influence, problem, kept)
    for _ in range(_MOST_TIMES):
        search = _Search(problem, tuple(trade), gap, max_plans, _runner(cluster, problem))
        search.begin(start)
        _check_kept(search.points, kept)
        lacking = _lacking(influence, search.points, kept)
        if not lacking.any():
            search.run()
            lacking = _lacking(influence, search.points, kept)
            if not lacking.any():
                break
        problem = _tightened(problem, lacking)
    return search.front(influence, fractions)


@dataclass(slots=True, eq=False)
class _Search:
    """A front that is being filled."""

    problem: TradeProblem
    names: tuple[str, ...]
    gap: float
    max_plans: int
    run_tasks: Callable[[Sequence[Task]], list[FrontPoint]]
    points: list[FrontPoint] = field(default_factory=list)
    reached: float = np.inf
    top: Array = field(default_factory=lambda: np.zeros(0))

    def begin(self, start: Array) -> None:
        """The plans at the ends of the front and one in the middle."""
        n = len(self.names)
        scale = np.maximum(self.problem.values(*self._dose(start)), 1e-9)
        for _ in range(2):  # the first plan tells what values are like
            weights = 1.0 / scale / n
            none = np.zeros(len(self.problem.limits))
            first = solve(Task(weights, start, none, np.inf, n_rounds=1), self.problem)
            start, scale = first.variables, np.maximum(first.values, 1e-9)
        aside = np.full((n, n), _ASIDE) + (1.0 - n * _ASIDE) * np.eye(n)
        self._solve([*(aside / scale), 1.0 / scale / n], first, self.gap, _FIRST_ROUNDS)
        self.top = np.array([p.values for p in self.points]).max(axis=0)

    def run(self) -> None:
        """Solve weighted sums until the gap is small enough."""
        while len(self.points) < self.max_plans:
            found = self._corners()
            self.reached = max(found[0].distance, 0.0)
            words = f"{len(self.points)} plans, gap {self.reached:.3g}"
            report("front", min(self.gap / max(self.reached, 1e-12), 1.0), words)
            if self.reached <= self.gap:
                return
            chosen = self._worth(found)
            if not chosen:
                return
            self._solve([corner.weights for corner in chosen], None, _CLOSE * self.gap, _ROUNDS)
        self.reached = max(self._corners()[0].distance, 0.0)

    def front(self, influence: Influence, fractions: int) -> ParetoFront:
        """The plans found, those that others beat left out."""
        points = [p for p in self.points if not _is_beaten(p, self.points)]
        points.sort(key=lambda p: tuple(p.values))
        plans = tuple(_as_plan(influence, p, self.names, fractions) for p in points)
        shape = FrontShape(
            self.names,
            np.array([p.values for p in points]),
            np.array([p.weights for p in self.points]),
            np.array([p.bound for p in self.points]),
            self._ranges(),
        )
        held = self.reached <= self.gap
        words = "converged: the gap is as small as asked for" if held else self._short()
        return ParetoFront(plans, shape, float(self.reached), words)

    def _short(self) -> str:
        return (
            f"not converged: the gap is {self.reached:.3g} after {len(self.points)} plans; raise "
            "max_plans, or ask for a wider gap"
        )

    def _ranges(self) -> Array:
        values = np.array([p.values for p in self.points])
        least = 1e-9 * np.abs(values).max(axis=0) + 1e-12
        return np.asarray(np.maximum(self.top - values.min(axis=0), least))

    def _corners(self) -> list[Corner]:
        planes = [p for p in self.points if np.isfinite(p.bound)]
        n = len(self.names)
        normals = np.array([*(p.weights for p in planes), *np.eye(n)])
        offsets = np.array([*(p.bound for p in planes), *np.zeros(n)])
        values = np.array([p.values for p in self.points])
        return corners(values, normals, offsets, self.top, self._ranges())

    def _worth(self, found: list[Corner]) -> list[Corner]:
        """Corners to look at next: the farthest, in directions that are not known well."""
        chosen: list[Corner] = []
        ranges = self._ranges()
        for corner in found:
            if corner.distance <= self.gap or len(chosen) >= 2 * (len(self.names) - 1):
                break
            known = [p.weights * ranges / (p.weights @ ranges) for p in self.points]
            near = [float(np.abs(corner.weights * ranges - k).max()) for k in known]
            alike = [p for p, off in zip(self.points, near, strict=True) if off < _ALIKE]
            taken = [float(np.abs((corner.weights - c.weights) * ranges).max()) for c in chosen]
            tried = len(alike) > 1 or any(p.slack <= self.gap * (p.weights @ ranges) for p in alike)
            if not tried and min(taken, default=1.0) > _ALIKE:
                chosen.append(corner)
        return chosen

    def _solve(
        self, weights: Sequence[Array], first: FrontPoint | None, close: float, rounds: int
    ) -> None:
        """Add the plans of ``weights``; start from ``first``, or from the best by each of them."""
        tasks = []
        for row in weights:
            near = first if first is not None else self._nearest(row)
            factor = float(row @ near.values) / float(near.weights @ near.values)
            tasks.append(Task(row, near.variables, near.multipliers * factor, close, rounds))
        self.points.extend(self.run_tasks(tasks))

    def _nearest(self, weights: Array) -> FrontPoint:
        """The plan that is best by these weights."""
        return min(self.points, key=lambda p: float(weights @ p.values))

    def _dose(self, variables: Array) -> tuple[Array, Array]:
        return self.problem.parts.unit.columns.as_matrix() @ variables, variables


def trade_problem(
    influence: Influence, trade: Trade, goals: Iterable[str | Goal]
) -> tuple[TradeProblem, tuple[GoalLimit, ...]]:
    """The problem of a front, and the limits that its goals became."""
    if len(trade) < 2:
        raise PlanError(
            f"a front trades two objectives or more, not {len(trade)}; name them, such as "
            '{"coverage": SquaredDeviation(50.0).on("PTV"), "cord": MeanDose().on("Cord")}.'
        )
    wishes, owners = [], []
    for number, wish in enumerate(trade.values()):
        for one in (wish,) if isinstance(wish, StructureObjective) else wish:
            wishes.append(one)
            owners.append(number)
    terms = make_terms(influence, wishes)
    for term in terms:
        if not is_separable(term.objective) or term.quantity != "dose":
            raise CapabilityError(
                f"{term.objective!r} on {term.structure!r} cannot be traded; a front is made of "
                "squared deviations, over- and underdoses and mean doses (MeanDose without a "
                "reference). Put what else shall hold into goals=."
            )
    matrix = in_kernel_types(influence.matrix)
    kept = goal_limits(influence, goals)
    parts = join_terms(matrix, terms, [k.rows for k in kept])
    limits = tuple(
        TailLimit(np.searchsorted(parts.picked, k.rows), k.volume, k.dose, k.coldest, 0.01 * k.dose)
        for k in kept
    )
    regions = form_regions(matrix, influence.voxels, influence.grid, terms)
    return TradeProblem(parts, terms, np.array(owners), limits, regions), kept


def _runner(
    cluster: object | None, problem: TradeProblem
) -> Callable[[Sequence[Task]], list[FrontPoint]]:
    if cluster is not None:
        executor = resolve_executor(cluster)
        return lambda tasks: executor.map(solve, list(tasks), problem)

    def in_threads(tasks: Sequence[Task]) -> list[FrontPoint]:
        with ThreadPoolExecutor(min(len(tasks), os.cpu_count() or 1)) as pool:
            return list(pool.map(lambda task: solve(task, problem), tasks))

    return in_threads


def _start(influence: Influence, problem: TradeProblem, kept: Sequence[GoalLimit]) -> Array:
    """Equal weights that bring a target near its dose."""
    asked = prescription(problem.terms)
    lower = [(limit.rows, limit.dose) for limit in kept if limit.coldest]
    rows, dose = asked if asked is not None else lower[0] if lower else (None, 0.0)
    weights = np.ones(influence.beams.n_columns)
    if rows is None:
        return weights
    mean = float(multiply(in_kernel_types(influence.matrix), weights)[rows].mean())
    if not mean > 0:
        raise PlanError(
            f"no column gives dose to the structure that is to get {dose:g} Gy; check that the "
            "beams were steered at it."
        )
    return weights * (dose / mean)


def _check_kept(points: Sequence[FrontPoint], kept: Sequence[GoalLimit]) -> None:
    missed = []
    for number, limit in enumerate(kept):
        worst = max(float(p.excesses[number]) for p in points)
        if worst > _MISSED * limit.dose:
            missed.append(f"'{limit.goal}' by {worst:.3g} Gy")
    if missed:
        raise PlanError(
            f"the goals cannot be kept together: a plan misses {' and '.join(missed)} (of the mean "
            "of the part of the structure). Relax a goal, or add fields or spots."
        )


def _lacking(
    influence: Influence, points: Sequence[FrontPoint], kept: Sequence[GoalLimit]
) -> Array:
    """By how much the worst plan misses each goal (n_goals,), Gy of the limit; 0 if it does not.

    Goals are evaluated on finer samples than voxels, so that a limit may be kept and a goal not.
    """
    matrix = in_kernel_types(influence.matrix)
    worst = np.zeros(len(kept))
    goals = [limit.goal for limit in kept]
    doses = np.array([limit.dose for limit in kept])
    for point in (p for p in points if (p.excesses > -_FAR * doses).any()):
        dose = influence.on_grid(multiply(matrix, point.variables))
        rows = evaluate(dose, influence.patient, goals)
        for number, (row, limit) in enumerate(zip(rows, kept, strict=True)):
            if not row.met:
                off = abs(row.value - row.goal.limit)
                in_dose = row.goal.metric.kind != "volume-at-dose"
                worst[number] = max(worst[number], off if in_dose else _NUDGE * limit.dose)
    return worst


def _tightened(problem: TradeProblem, lacking: Array) -> TradeProblem:
    """The same with limits stricter by what goals lack, and a little more."""
    limits = tuple(
        replace(limit, dose=limit.dose - limit.sign * _MORE * float(off))
        for limit, off in zip(problem.limits, lacking, strict=True)
    )
    return replace(problem, limits=limits)


def _is_beaten(point: FrontPoint, others: Sequence[FrontPoint]) -> bool:
    return any((o.values <= point.values).all() and (o.values < point.values).any() for o in others)


def _as_plan(influence: Influence, point: FrontPoint, names: Sequence[str], fractions: int) -> Plan:
    matrix = in_kernel_types(influence.matrix)
    provenance: dict[str, Any] = {
        **influence.provenance,
        "version": __version__,
        "solver": "coordinate descent",
        "n_sweeps": point.n_sweeps,
        "weights_of_objectives": dict(zip(names, point.weights.tolist(), strict=True)),
        "values": dict(zip(names, point.values.tolist(), strict=True)),
        "may_be_lower_by": point.slack,
    }
    return Plan(
        beams=influence.beams,
        weights=point.variables,
        dose=influence.on_grid(multiply(matrix, point.variables)),
        objective=float(point.weights @ point.values),
        fractions=fractions,
        message=f"minimises a weighted sum to within {max(point.slack, 0.0):.3g} of a bound",
        provenance=provenance,
    )
