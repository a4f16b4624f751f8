r"""Objectives in order of priority, by the two-phase epsilon constraint.

In the first phase each objective in turn is minimised while those before it are held: at its goal
where the goal was reached, else at what was reached and a little more. In the second phase each
objective that reached its goal is minimised in the same order as far as it goes, and held there.

References
----------
Breedveld et al. 2007, Phys. Med. Biol. 52, 6339 (2pεc); Breedveld et al. 2012, Med. Phys. 39, 951.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.errors import CapabilityError, PlanError
from dosegrad.influence.matrix import Influence
from dosegrad.objectives.limit_protocols import Excess
from dosegrad.objectives.protocols import Objective
from dosegrad.objectives.structure_objective import (
    QuantityObjective,
    RobustObjective,
    StructureObjective,
)
from dosegrad.optimisation.hard_limits import Constraints, PlacedLimit, place_limits
from dosegrad.optimisation.optimise import optimise
from dosegrad.optimisation.solvers.protocols import Solver
from dosegrad.optimisation.wishes import make_terms
from dosegrad.plan import Plan

__all__ = ["Priority", "optimise_lexicographic"]

#: What was reached may be given up by this factor, to leave room for what comes after.
_SLACK: Final = 1.03


@dataclass(frozen=True, slots=True)
class Priority:
    """An objective at its place in the order.

    Parameters
    ----------
    wish
        The objective; its weight does not count.
    goal
        Value that is good enough for a start; ``None`` where less is always better.
    """

    wish: StructureObjective
    goal: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.wish, StructureObjective):
            raise PlanError(
                f"{self.wish!r} does not name its structure; write "
                "Priority(SquaredUnderdose(57.0).on('PTV'), 0.1)."
            )
        if isinstance(self.wish.objective, RobustObjective | QuantityObjective):
            raise CapabilityError(
                f"{self.wish!r} cannot be held at a value: priorities are for nominal plans and "
                "the plan's own dose. Leave out .robust() and .of(), or use optimise() with "
                "weights."
            )
        if self.goal is not None and not 0 <= self.goal < np.inf:
            raise PlanError(
                f"the goal {self.goal} of {self.wish!r} cannot be; give a finite value of the "
                "objective that is good enough, not negative, or None where less is always better."
            )


@dataclass(frozen=True, slots=True)
class _Held:
    """An objective that is held at a value."""

    objective: Objective
    value: float

    @property
    def is_convex(self) -> bool:
        return self.objective.is_convex

    @property
    def size(self) -> float:
        return max(abs(self.value), 1e-6)

    def excess(self, dose: Array, share: Array) -> Excess:
        value, slope = self.objective.value_and_gradient(dose, share)
        return np.array([value - self.value]), lambda g: float(g[0]) * slope

    def miss(self, dose: Array, share: Array) -> float:
        return self.objective.value_and_gradient(dose, share)[0] - self.value


def optimise_lexicographic(
    influence: Influence,
    order: Sequence[Priority | StructureObjective],
    *,
    constraints: Constraints | None = None,
    slack: float = _SLACK,
    fractions: int = 1,
    solver: str | Solver = "l-bfgs-b",
    max_iterations: int | None = None,
) -> Plan:
    """The plan in which no objective is given up for one that comes after it.

    Parameters
    ----------
    influence
        Dose per unit weight.
    order
        Objectives, the most important first: ``Priority(SquaredUnderdose(57.0).on("PTV"), 0.1)``
        with a value that is good enough for a start, or the bare objective.
    constraints
        Hard limits before all, as in :func:`dosegrad.optimise`.
    slack
        Factor of what was reached that later objectives may use up, 1 or a little more. Where a
        goal is 0, part of it is that of the objective's first value.
    fractions
        Number of fractions of the course.
    solver, max_iterations
        As in :func:`dosegrad.optimise`, for each step.

    Returns
    -------
        A plan; ``provenance["priorities"]`` tells for each objective its goal, what was reached in
        the first phase, and its value in the end.

    Raises
    ------
    PlanError
        If the order is empty or the slack below 1, or an entry names no structure.
    CapabilityError
        If an objective is robust, or about another quantity than the plan's dose.
    """
    if isinstance(order, Mapping):
        raise PlanError(
            "a mapping of structures has no order of priorities; give a sequence such as "
            "[Priority(SquaredUnderdose(57.0).on('PTV'), 0.1), MeanDose().on('Rectum')]."
        )
    steps = [p if isinstance(p, Priority) else Priority(p) for p in order]
    if not steps:
        raise PlanError("the order of priorities is empty; name the most important objective.")
    if not 1.0 <= slack < np.inf:
        raise PlanError(f"slack {slack} must be 1 or more, such as 1.03.")
    course = _Order(influence, steps, constraints, slack, fractions, solver, max_iterations)
    return course.run()


@dataclass(slots=True, eq=False)
class _Order:
    """Steps through the order."""

    influence: Influence
    steps: list[Priority]
    constraints: Constraints | None
    slack: float
    fractions: int
    solver: str | Solver
    max_iterations: int | None
    plan: Plan | None = None

    def run(self) -> Plan:
        terms = make_terms(self.influence, [self._alone(step) for step in self.steps])
        before = [] if self.constraints is None else list(self._limits())
        held: list[PlacedLimit] = []
        reached: list[float] = []
        for step, term in zip(self.steps, terms, strict=True):
            value = self._minimise(step, [*before, *held])
            goal = step.goal
            bound = goal if goal is not None and value <= goal else self._loosened(value)
            name = f"{step.wish.structure}: {term.objective!r}"
            held.append(PlacedLimit(name, _Held(term.objective, bound), term.rows, term.structure))
            reached.append(value)
        was_pushed = False
        for number, (step, value) in enumerate(zip(self.steps, reached, strict=True)):
            is_least = number == len(self.steps) - 1 and not was_pushed  # by the step just done
            if step.goal is None or value > step.goal or is_least:
                continue
            was_pushed = True
            others = [limit for k, limit in enumerate(held) if k != number]
            best = self._minimise(step, [*before, *others])
            tight = _Held(terms[number].objective, min(self._loosened(best), step.goal))
            held[number] = replace(held[number], limit=tight)
        return self._told(reached)

    def _told(self, reached: Sequence[float]) -> Plan:
        """The plan, with what became of each objective."""
        assert self.plan is not None
        told = [
            {
                "objective": repr(step.wish),
                "goal": step.goal,
                "reached": value,
                "value": self._value(step),
            }
            for step, value in zip(self.steps, reached, strict=True)
        ]
        return replace(self.plan, provenance={**self.plan.provenance, "priorities": told})

    def _limits(self) -> tuple[PlacedLimit, ...]:
        assert self.constraints is not None
        return place_limits(self.influence, self.constraints)

    def _minimise(self, step: Priority, held: Sequence[PlacedLimit]) -> float:
        """Value of the objective at its least while others are held; the plan is kept."""
        self.plan = optimise(
            self.influence,
            [self._alone(step)],
            fractions=self.fractions,
            solver=self.solver,
            max_iterations=self.max_iterations,
            initial=None if self.plan is None else self.plan.weights,
            constraints=held or None,
        )
        return self._value(step)

    def _value(self, step: Priority) -> float:
        """Value of an objective in the present plan."""
        assert self.plan is not None
        assert self.plan.dose is not None
        (term,) = make_terms(self.influence, [self._alone(step)])
        dose = self.plan.dose.array.ravel()[self.influence.voxels[term.rows]]
        share = np.full(dose.size, 1.0 / dose.size)
        return term.objective.value_and_gradient(dose, share)[0]

    def _loosened(self, value: float) -> float:
        return value * self.slack if value > 0 else 1e-9

    @staticmethod
    def _alone(step: Priority) -> StructureObjective:
        """The objective with weight 1."""
        objective = replace(step.wish.objective, weight=1.0)  # type: ignore[type-var]
        return StructureObjective(step.wish.structure, objective)
