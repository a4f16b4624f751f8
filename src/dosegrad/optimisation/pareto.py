"""Fronts of plans with a guaranteed gap, by the sandwich algorithm."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, TypeAlias

import numpy as np

from dosegrad._version import __version__
from dosegrad.arrays import Array
from dosegrad.errors import CapabilityError, PlanError
from dosegrad.evaluation.clinical_goals import evaluate
from dosegrad.evaluation.goals import Goal
from dosegrad.executor import resolve_executor
from dosegrad.influence.matrix import Influence
from dosegrad.influence.products import in_kernel_types, multiply
from dosegrad.objectives.mean import MeanDose
from dosegrad.objectives.structure_objective import StructureObjective
from dosegrad.optimisation.descent import TailLimit
from dosegrad.optimisation.front_columns import keep_columns, reaching_columns
from dosegrad.optimisation.front_search import FrontSearch
from dosegrad.optimisation.goal_limits import GoalLimit, goal_limits
from dosegrad.optimisation.lower_bound import form_regions
from dosegrad.optimisation.pareto_front import ParetoFront
from dosegrad.optimisation.separable import is_separable, join_terms
from dosegrad.optimisation.weighted_sums import FrontPoint, Task, TradeProblem, solve
from dosegrad.optimisation.wishes import make_terms, prescription
from dosegrad.plan import Plan

__all__ = ["Trade", "pareto_front", "trade_problem"]

#: What is traded, by names of the user's choice.
Trade: TypeAlias = Mapping[str, StructureObjective | Sequence[StructureObjective]]

#: Limits are tightened at most so many times, by what goals lack times this, or by a share of the
#: limit where they lack volume; and each time by a further share of it.
_MOST_TIMES: Final = 8
_MORE: Final = 1.1
_MORE_EACH_TIME: Final = 0.002
_NUDGE: Final = 0.01
#: Goals are looked at where a limit is kept by no more than this share of it.
_FAR: Final = 0.2
#: A squared objective leads to a limit if it is about this share of its rows.
_HELD: Final = 0.5
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

    An objective that changes by less than one per cent of its value between the plans is not
    traded, whether it is constant or agrees with the others; the message names it.

    The front ends where one objective counts a hundred times as much as another, in units of the
    values of a plan in the middle. Beyond, little is won at any price; the gap is about weights
    within these ends.

    Goals on points of the histogram enter as limits on the mean dose of the coldest or hottest
    part, which are convex and imply them, on the samples on which goals are evaluated. The gap is
    that of this convex problem. Should a plan miss a goal all the same, the limit is made stricter,
    and the message tells to what.

    Spots whose dose where objectives look is below 10 % of their peak elsewhere do not take part
    (photon bixels: 5 %): nothing would bound their weight. Dose elsewhere is bounded no further:
    trade the body too, or sum its overdose up with another objective.

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
        If an objective is of another kind, or all are mean doses.
    """
    _check_search(gap, max_plans, len(trade))
    problem, kept = trade_problem(influence, trade, goals)
    start = _start(influence, problem, kept)
    for attempt in range(_MOST_TIMES):
        search = FrontSearch(problem, tuple(trade), gap, max_plans, _runner(cluster, problem))
        search.begin(start)
        _check_kept(search.points, kept, problem)
        lacking = _lacking(influence, search.points, kept)
        if not lacking.any():
            search.run()
            lacking = _lacking(influence, search.points, kept)
            if not lacking.any():
                return _front(influence, search, fractions, _stricter(problem, kept))
        asked = np.array([k.dose for k in kept])
        further = np.where(lacking > 0, _MORE_EACH_TIME * attempt * asked, 0.0)
        problem = _tightened(problem, _MORE * lacking + further)
    raise _still_lacking(lacking, kept)


def _check_search(gap: float, max_plans: int, n: int) -> None:
    if not 0 < gap < np.inf:
        raise PlanError(f"gap {gap} must be above 0, such as 0.02 for 2 % of each range.")
    if not max_plans > n:
        raise PlanError(
            f"max_plans {max_plans} is too few: the ends of a front of {n} objectives and its "
            f"middle take {n + 1}. Give {n + 1} or more, such as 60."
        )


def trade_problem(
    influence: Influence,
    trade: Trade,
    goals: Iterable[str | Goal],
) -> tuple[TradeProblem, tuple[GoalLimit, ...]]:
    """The problem of a front, and the limits that its goals became."""
    if len(trade) < 2:
        raise PlanError(
            f"a front trades two objectives or more, not {len(trade)}; name them, such as "
            '{"coverage": SquaredDeviation(50.0).on("PTV"), "cord": MeanDose().on("Cord")}.'
        )
    for name, wish in trade.items():
        several = (wish,) if isinstance(wish, StructureObjective) else tuple(wish)
        if not any(part.objective.weight > 0 for part in several):
            raise PlanError(f"nothing in {name!r} has a weight above 0; leave it out, or weigh it.")
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
    if all(isinstance(term.objective, MeanDose) for term in terms):
        raise CapabilityError(
            f"{' and '.join(repr(name) for name in trade)} are mean doses and nothing else; a "
            "front needs a squared objective among what is traded. Add SquaredDeviation on the "
            "target, or trade SquaredOverdose(0.0) in place of a mean."
        )
    matrix = in_kernel_types(influence.matrix)
    kept = goal_limits(influence, goals)
    modality = influence.beams.machine.modality
    matrix = keep_columns(matrix, reaching_columns(matrix, terms, kept, modality))
    parts = join_terms(matrix, terms, [k.rows for k in kept])
    limits = tuple(
        TailLimit(
            np.searchsorted(parts.picked, k.rows),
            *(k.volume, k.dose, k.coldest, 0.01 * k.dose),
            k.samples.mixing,
        )
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
    # columns that take part
    weights = (np.diff(problem.parts.unit.columns.indptr) > 0).astype(float)
    if rows is None:
        return weights
    mean = float(multiply(in_kernel_types(influence.matrix), weights)[rows].mean())
    if not mean > 0:
        raise PlanError(
            f"no column gives dose to the structure that is to get {dose:g} Gy; check that the "
            "beams were steered at it."
        )
    return weights * (dose / mean)


def _check_kept(
    points: Sequence[FrontPoint], kept: Sequence[GoalLimit], problem: TradeProblem
) -> None:
    missed = []
    for number, (limit, used) in enumerate(zip(kept, problem.limits, strict=True)):
        worst = max(float(p.excesses[number]) for p in points)
        if worst > _MISSED * limit.dose:
            stricter = "" if used.dose == limit.dose else f", made stricter: {used.dose:.4g} Gy"
            missed.append(f"'{limit.goal}' by {worst:.3g} Gy{stricter}")
    if missed:
        bare = [limit.goal.structure for limit in kept if not _is_held(limit, problem)]
        hint = f" Or trade a squared deviation on {bare[0]!r} too: it leads there." if bare else ""
        raise PlanError(
            f"the goals cannot be kept together: a plan misses {' and '.join(missed)} (of the mean "
            f"of the part of the structure). Relax a goal, or add fields or spots.{hint}"
        )


def _is_held(limit: GoalLimit, problem: TradeProblem) -> bool:
    """Whether a squared objective is about the rows of a limit."""
    squared = [t.rows for t in problem.terms if not isinstance(t.objective, MeanDose)]
    mixing = limit.samples.mixing
    parts = np.ones(limit.rows.size) if mixing is None else np.asarray(mixing.sum(axis=0)).ravel()
    parts /= parts.sum()
    return any(parts[np.isin(limit.rows, rows)].sum() > _HELD for rows in squared)


def _still_lacking(lacking: Array, kept: Sequence[GoalLimit]) -> PlanError:
    words = [
        f"'{limit.goal}' by {off:.3g} Gy"
        for off, limit in zip(lacking, kept, strict=True)
        if off > 0
    ]
    return PlanError(
        f"a plan of the front misses {' and '.join(words)}, though limits on voxels were made "
        f"stricter {_MOST_TIMES} times. Goals are evaluated on finer samples: relax the goal, or "
        "use a smaller dose_spacing."
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


def _tightened(problem: TradeProblem, amounts: Array) -> TradeProblem:
    """The same with limits stricter by ``amounts`` (n_limits,), Gy."""
    limits = tuple(
        replace(limit, dose=limit.dose - limit.sign * float(amount))
        for limit, amount in zip(problem.limits, amounts, strict=True)
    )
    return replace(problem, limits=limits)


def _stricter(problem: TradeProblem, kept: Sequence[GoalLimit]) -> str:
    """What limits had to be made stricter than their goals, in words."""
    made = [
        f"; '{limit.goal}' was held to {used.dose:.4g} Gy, so that it is met as evaluated"
        for limit, used in zip(kept, problem.limits, strict=True)
        if used.dose != limit.dose
    ]
    return "".join(made)


def _front(influence: Influence, search: FrontSearch, fractions: int, more: str) -> ParetoFront:
    points = search.unbeaten()
    plans = tuple(_as_plan(influence, p, search.names, fractions) for p in points)
    message = search.message() + more
    return ParetoFront(plans, search.shape(points), float(search.reached), message)


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
