"""The search for a front: which weighted sums are solved, and when it is filled closely enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.objectives.mean import MeanDose
from dosegrad.optimisation.pareto_front import FrontShape
from dosegrad.optimisation.sandwich import Corner, corners
from dosegrad.optimisation.weighted_sums import FrontPoint, Task, TradeProblem, solve
from dosegrad.progress import report

__all__ = ["FrontSearch"]

#: Share of each other objective at an end of the front, where one is to be as good as it can be,
#: in units of the values of a plan in the middle.
_ASIDE: Final = 0.01
#: Each plan is brought so close to its bound, as a share of the gap asked for.
_CLOSE: Final = 0.3
#: Rounds of the first plans and of later ones, see :mod:`dosegrad.optimisation.weighted_sums`.
_FIRST_ROUNDS: Final = 3
_ROUNDS: Final = 6
#: First plans farther from their bound than this share of the gap are gone on with, so many times
#: at most.
_CLOSE_AT_ENDS: Final = 0.8
_MOST_TIMES: Final = 4
#: Weights nearer than this, in units of the ranges, give the same plan.
_ALIKE: Final = 2e-3
#: Of plans that differ by less than this share of the ranges, one is kept.
_SAME: Final = 1e-4
#: An objective that changes by less than this share of its worst value is not traded.
_FLAT: Final = 0.01
#: Nor one that changes by less than this share of what it would be if the whole structure were off
#: by the highest dose.
_FAINT: Final = 1e-7
#: An objective that is below this share of that in a plan in the middle has no scale of its own;
#: it is weighted as if it were the second share.
_NOTHING: Final = 1e-8
_SOMETHING: Final = 1e-2
#: Where the first plans do not differ, others are tried, as if no objective were below this share.
_WIDER: Final = 1e-3
#: Share of the weights, in units of the ranges, that an objective gets which is not traded.
_KEPT: Final = 0.005


@dataclass(slots=True, eq=False)
class FrontSearch:
    """A front that is being filled.

    Parameters
    ----------
    problem
        Objectives and limits.
    names
        Of the objectives.
    gap
        Share of each range that is small enough.
    max_plans
        Number of plans at which to end.
    run_tasks
        Solves weighted sums.
    points
        Plans found.
    reached
        The gap so far.
    ends
        Weights (n_objectives, n_objectives) at the ends of the front.
    """

    problem: TradeProblem
    names: tuple[str, ...]
    gap: float
    max_plans: int
    run_tasks: Callable[[Sequence[Task]], list[FrontPoint]]
    points: list[FrontPoint] = field(default_factory=list)
    reached: float = np.inf
    ends: Array = field(default_factory=lambda: np.zeros((0, 0)))
    _units: Array = field(default_factory=lambda: np.zeros(0))

    def begin(self, start: Array) -> None:
        """The plans at the ends of the front and one in the middle, from weights ``start``."""
        dose = self.problem.parts.unit.columns.as_matrix() @ start
        self._units = _units(self.problem, float(dose.max(initial=0.0)))
        scale, n = self._scale(self.problem.values(dose, start)), len(self.names)
        for _ in range(2):  # the first plan tells what values are like
            none = np.zeros(len(self.problem.limits))
            task = Task(1.0 / scale / n, start, none, np.inf, n_rounds=1)
            first = solve(task, self.problem)
            start, scale = first.variables, self._scale(first.values)
        self._solve_ends(scale, first)
        n_traded = int(self.is_traded().sum())
        wider = np.maximum(scale, _WIDER * self._units)
        if n_traded < n and (wider > scale).any():
            before, self.points = (self.points, self.ends), []
            self._solve_ends(wider, first)
            if self.is_traded().sum() <= n_traded:
                self.points, self.ends = before

    def _scale(self, values: Array) -> Array:
        """What each objective is like in a plan with ``values`` (n_objectives,)."""
        known = values >= _NOTHING * self._units
        return np.asarray(np.where(known, values, np.maximum(_SOMETHING * self._units, 1e-300)))

    def _solve_ends(self, scale: Array, first: FrontPoint) -> None:
        """Add the plans at the ends, then that in the middle; go on until they are near."""
        n = len(self.names)
        aside = np.full((n, n), _ASIDE) + (1.0 - n * _ASIDE) * np.eye(n)
        self.ends = aside / scale
        self._solve([*self.ends, 1.0 / scale / n], first, self.gap, _FIRST_ROUNDS)
        for _ in range(_MOST_TIMES):
            far = [k for k, p in enumerate(self.points) if self._is_far(p)]
            if not far:
                return
            tasks = [self._further(self.points[k]) for k in far]
            for k, task, point in zip(far, tasks, self.run_tasks(tasks), strict=True):
                self.points[k] = _better(self.points[k], point, task)

    def _is_far(self, point: FrontPoint) -> bool:
        """Whether a plan is so far from its bound that the ends of the front are not known."""
        if not self.is_traded().any():
            return False
        span = float(point.weights @ self._ranges())
        return bool(point.slack > _CLOSE_AT_ENDS * self.gap * span)

    def _further(self, point: FrontPoint) -> Task:
        """The task that goes on with a plan."""
        close = _CLOSE * self.gap * float(point.weights @ self._ranges())
        return Task(point.weights, point.variables, point.multipliers, close, _ROUNDS)

    def run(self) -> None:
        """Solve weighted sums until the gap is small enough."""
        while True:
            found = self._corners()
            self.reached = max((corner.distance for corner in found), default=0.0)
            words = f"{len(self.points)} plans, gap {self.reached:.3g}"
            report("front", min(self.gap / max(self.reached, 1e-12), 1.0), words)
            if self.reached <= self.gap or len(self.points) >= self.max_plans:
                return
            chosen = self._worth(found)
            if not chosen:
                return
            self._solve([corner.weights for corner in chosen], None, _CLOSE * self.gap, _ROUNDS)

    def unbeaten(self) -> list[FrontPoint]:
        """The plans of the front, those that others beat left out, by the first objective."""
        left = [self.points[k] for k in self._front()]
        return sorted(left, key=lambda p: tuple(p.values))

    def shape(self, points: Sequence[FrontPoint]) -> FrontShape:
        """What is known of the front of ``points``."""
        normals, bounds = self._planes()
        values = np.array([p.values for p in points])
        return FrontShape(self.names, values, normals, bounds, self._ranges())

    def message(self) -> str:
        """In words, how it ended."""
        words = [self._ending()]
        alike = [n for n, t in zip(self.names, self.is_traded(), strict=True) if not t]
        if alike:
            named = " and ".join(f"'{name}'" for name in alike)
            words.append(
                f"{named} hardly {'changes' if len(alike) == 1 else 'change'} over the front and "
                "did not take part in the gap"
            )
        return "; ".join(words)

    def is_traded(self) -> BoolArray:
        """Which objectives (n_objectives,) differ between the plans by an amount that matters."""
        values = self._values()
        span = np.ptp(values[_unbeaten(values, np.zeros(len(self.names)))], axis=0)
        mask: BoolArray = span > self._least_span()
        return mask

    def _ending(self) -> str:
        if self.reached <= self.gap:
            return "converged: the gap is as small as asked for"
        n = len(self.points)
        told = f"not converged: the gap is {self.reached:.3g} after {n} plans"
        if n >= self.max_plans:
            return f"{told}; raise max_plans, or ask for a wider gap"
        return f"{told}, none of which gets closer to its bound; ask for a wider gap"

    def _values(self) -> Array:
        return np.array([p.values for p in self.points])

    def _front(self) -> IntArray:
        """Numbers of the plans that no other beats in what is traded."""
        traded = self.is_traded()
        if not traded.any():  # all alike: the one in the middle
            return np.array([len(self.names)])
        values = self._values()[:, traded]
        kept = _unbeaten(values, np.zeros(values.shape[1]))
        return _unbeaten(values, _SAME * np.ptp(values[kept], axis=0))

    def _top(self) -> Array:
        """Worst values (n_objectives,) over the front."""
        return np.asarray(self._values()[self._front()].max(axis=0))

    def _least_span(self) -> Array:
        """Changes (n_objectives,) that do not matter."""
        faint = np.maximum(_FAINT * self._units, 1e-300)
        values = self._values()
        worst = np.abs(values[_unbeaten(values, np.zeros(len(self.names)))]).max(axis=0)
        return np.asarray(np.maximum(_FLAT * worst, faint))

    def _ranges(self) -> Array:
        """Of each objective (n_objectives,) over the plans of the front."""
        span = np.ptp(self._values()[self._front()], axis=0)
        return np.asarray(np.where(self.is_traded(), span, np.maximum(span, self._least_span())))

    def _planes(self) -> tuple[Array, Array]:
        """Normals and bounds of planes; none above a plan, whose limits may be missed slightly."""
        normals = np.array([p.weights for p in self.points])
        reached = (normals @ self._values().T).min(axis=1)
        return normals, np.minimum([p.bound for p in self.points], reached)

    def _corners(self) -> list[Corner]:
        """Corners in what is traded, the farthest first; the rest is no worse than its worst."""
        traded = self.is_traded()
        if not traded.any():
            return []
        normals, bounds = self._planes()
        known = np.isfinite(bounds)
        top = self._top()
        spared = normals[known][:, ~traded] @ top[~traded]
        eye, ranges = np.eye(int(traded.sum())), self._ranges()
        found = corners(
            self._values()[self._front()][:, traded],
            np.concatenate([normals[known][:, traded], eye]),
            np.concatenate([bounds[known] - spared, np.zeros(len(eye))]),
            top[traded],
            ranges[traded],
            self.ends[:, traded],
        )
        return [_widened(corner, traded, ranges) for corner in found]

    def _worth(self, found: list[Corner]) -> list[Corner]:
        """Corners to look at next: the farthest, in directions that are not known well."""
        chosen: list[Corner] = []
        ranges = self._ranges()
        most = min(2 * (len(self.names) - 1), self.max_plans - len(self.points))
        for corner in found:
            if corner.distance <= self.gap or len(chosen) >= most:
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
            known = float(near.weights @ near.values)
            factor = float(row @ near.values) / known if known > 0 else 1.0
            tasks.append(Task(row, near.variables, near.multipliers * factor, close, rounds))
        self.points.extend(self.run_tasks(tasks))

    def _nearest(self, weights: Array) -> FrontPoint:
        """The plan that is best by these weights."""
        return min(self.points, key=lambda p: float(weights @ p.values))


def _better(old: FrontPoint, new: FrontPoint, task: Task) -> FrontPoint:
    """The better plan of the two, with the higher of their bounds."""
    bound = max(old.bound, new.bound)
    missed = [float(np.maximum(p.excesses, 0.0).sum()) for p in (new, old)]
    sums = [float(task.weights @ p.values) for p in (new, old)]
    chosen = new if (missed[0], sums[0]) <= (missed[1], sums[1]) else old
    multipliers, n_sweeps = new.multipliers, old.n_sweeps + new.n_sweeps
    return replace(chosen, bound=bound, multipliers=multipliers, n_sweeps=n_sweeps)


def _units(problem: TradeProblem, dose: float) -> Array:
    """What each objective (n_objectives,) would be if all were off by ``dose``, Gy."""
    each = [
        term.objective.weight * (dose if isinstance(term.objective, MeanDose) else dose**2)
        for term in problem.terms
    ]
    return np.asarray(np.bincount(problem.owners, each), dtype=float)


def _unbeaten(values: Array, same: Array) -> IntArray:
    """Numbers of the rows than which no other is as good in all columns and better in one.

    Of rows that differ by at most ``same`` (n_columns,) the first is kept.
    """
    kept: list[int] = []
    for number, row in enumerate(values):
        others = np.delete(values, number, axis=0)
        beaten = ((others <= row).all(axis=1) & (others < row).any(axis=1)).any()
        alike = (np.abs(values[kept] - row) <= same).all(axis=1).any()
        if not beaten and not alike:
            kept.append(number)
    return np.array(kept, dtype=np.int64)


def _widened(corner: Corner, traded: BoolArray, ranges: Array) -> Corner:
    """A corner in some of the objectives as one in all; the others get a little weight."""
    if traded.all():
        return corner
    point, weights = np.zeros(traded.size), _KEPT / ranges
    point[traded], weights[traded] = corner.point, corner.weights
    return Corner(point, corner.distance, weights / (weights @ ranges))
