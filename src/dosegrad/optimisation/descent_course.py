"""One optimisation of weights by coordinate descent, on the voxels that have an effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from dosegrad.arrays import Array, BoolArray
from dosegrad.optimisation.descent import Descent
from dosegrad.optimisation.problem import PlanProblem, Term
from dosegrad.optimisation.separable import is_separable, join_terms
from dosegrad.optimisation.solvers.coordinate_descent import CoordinateDescent
from dosegrad.optimisation.solvers.protocols import Solution
from dosegrad.progress import report

__all__ = ["DescentCourse", "suits"]

#: Sweeps after which voxels that are left out are looked at: once early, then every so often.
_FIRST_LOOK: Final = 20
_LOOK_EVERY: Final = 60
#: Voxels are left out if the others have less than this share of those followed.
_WORTH_LEAVING: Final = 0.8


def suits(problem: PlanProblem) -> bool:
    """Whether coordinate descent takes all objectives of a problem."""
    plain = problem.source is None and not problem.penalties
    return plain and all(is_separable(t.objective) and t.quantity == "dose" for t in problem.terms)


@dataclass(slots=True, eq=False)
class DescentCourse:
    """One optimisation.

    Parameters
    ----------
    problem
        What is minimised; :func:`suits` has to hold.
    solver
        Settings.
    stop_below
        Value of the objective that is good enough; ``None`` for none.
    """

    problem: PlanProblem
    solver: CoordinateDescent
    stop_below: float | None
    history: list[float] = field(default_factory=list)
    reason: str = ""

    def run(self, start: Array) -> Solution:
        """The solution after as many rounds as it takes to follow all voxels that matter."""
        weights = start
        dose = self.problem.dose(weights)
        followed = self.problem.worth_following(dose)
        self.history.append(self._value_at(dose, weights))
        while True:
            n_left = self.solver.max_iterations - self.n_sweeps
            descent = self._descent(followed, weights)
            looks = _FIRST_LOOK if self.n_sweeps < _FIRST_LOOK else _LOOK_EVERY
            descent.run(min(looks, n_left), self._watch)
            weights = descent.weights
            dose = self.problem.dose(weights)
            if self.problem.overlooked(followed, dose):
                followed = followed | self.problem.worth_following(dose)
                self.reason = "" if self.n_sweeps < self.solver.max_iterations else self.reason
            elif not self.reason:
                fewer = self.problem.worth_following(dose, settled=True) & followed
                if fewer.sum() < _WORTH_LEAVING * followed.sum():
                    followed = fewer
            if self.reason or self.n_sweeps >= self.solver.max_iterations:
                break
        words = self.reason or self._out_of_iterations()
        value = self._value_at(dose, weights)
        return Solution(weights, value, self.n_sweeps, self.n_sweeps, words)

    @property
    def n_sweeps(self) -> int:
        """Number of sweeps so far."""
        return len(self.history) - 1

    def value(self, weights: Array) -> float:
        """Objective of ``weights`` (n_columns,) on all voxels."""
        return self._value_at(self.problem.dose(weights), weights)

    def _value_at(self, dose: Array, weights: Array) -> float:
        return float(sum(self.problem.values(dose, weights)))

    def _descent(self, followed: BoolArray, weights: Array) -> Descent:
        terms = self.problem.terms
        parts = join_terms(self.problem.matrix, terms, followed=followed)
        objective = parts.weighted(_weights(terms))
        return Descent(objective, weights, seed=self.n_sweeps)

    def _watch(self, value: float) -> bool:
        """Keep the history and tell progress; whether to stop."""
        self.history.append(value)
        done, settings = self.n_sweeps, self.solver
        report(
            "optimisation", done / settings.max_iterations, f"sweep {done}, objective {value:.5g}"
        )
        if self.stop_below is not None and value <= self.stop_below:
            self.reason = f"stopped: the objective is below {self.stop_below:g}, as asked for"
        elif done > settings.patience:
            fall = self.history[-1 - settings.patience] - value
            if fall <= settings.tolerance * abs(value):
                self.reason = (
                    f"converged: the objective fell by less than {settings.tolerance:g} of itself "
                    f"over the last {settings.patience} sweeps"
                )
        return bool(self.reason)

    def _out_of_iterations(self) -> str:
        return (
            f"not converged: stopped after {self.solver.max_iterations} sweeps, as many as "
            "allowed; raise max_iterations to go on"
        )


def _weights(terms: Sequence[Term]) -> Array:
    return np.array([term.objective.weight for term in terms])
