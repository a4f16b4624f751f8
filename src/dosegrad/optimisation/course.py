"""One optimisation: rounds of a solver, each on the voxels that have an effect."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from dosegrad.arrays import Array, BoolArray
from dosegrad.optimisation.problem import DoseProblem, PlanProblem, typical_steps
from dosegrad.optimisation.solvers.protocols import Solution, Solver
from dosegrad.progress import report

__all__ = ["Course"]

#: Iterations after which voxels that are left out are looked at: once early, then every so often.
_FIRST_LOOK: Final = 25
_LOOK_EVERY: Final = 100
#: Voxels are left out if the others have less than this share of the matrix values.
_WORTH_LEAVING: Final = 0.8


@dataclass(slots=True, eq=False)
class Course:
    """One optimisation of weights.

    Parameters
    ----------
    problem
        What is minimised.
    solver
        By what.
    stop_below
        Value of the objective that is good enough; ``None`` for none.
    """

    problem: PlanProblem
    solver: Solver
    stop_below: float | None
    history: list[float] = field(default_factory=list)
    n_evaluations: int = 0
    reached: bool = False
    followed: BoolArray = field(default_factory=lambda: np.empty(0, dtype=bool))
    function: DoseProblem = field(init=False)

    def run(self, start: Array) -> Solution:
        """The solution after as many rounds as it takes to follow all voxels that matter."""
        weights, n_left = start, self.solver.max_iterations
        self.followed = np.zeros(self.problem.n_values, dtype=bool)
        while True:
            # a voxel above its limit is worth following, so that every further round has more
            dose = self.problem.dose(weights)
            self.followed = self.followed | self.problem.worth_following(dose)
            self.function = self.problem.following(self.followed)
            solution = self._round(weights, n_left)
            del self.function  # so that its rows are let go before others are copied
            self.n_evaluations += solution.n_evaluations
            n_left -= solution.n_iterations
            weights = solution.variables
            if self.reached or n_left < 1:
                words = self._reached() if self.reached else self._out_of_iterations()
                return replace(solution, message=words, n_evaluations=self.n_evaluations)
            if not self.problem.overlooked(self.followed, self.problem.dose(weights)):
                return replace(solution, n_evaluations=self.n_evaluations)

    def value(self, weights: Array) -> float:
        """Objective of ``weights`` (n_columns,) on all voxels."""
        return float(sum(self.problem.values(self.problem.dose(weights), weights)))

    def note(self, number: int, weights: Array, value: float) -> bool:
        """Keep the history and tell progress of a solver that runs by itself; never stop it."""
        self.history.append(value)
        part = number / self.solver.max_iterations
        report("optimisation", part, f"iteration {number}, objective {value:.5g}")
        return False

    def _reached(self) -> str:
        return f"stopped: the objective is below {self.stop_below:g}, as asked for"

    def _out_of_iterations(self) -> str:
        return (
            f"not converged: stopped after {self.solver.max_iterations} iterations, as many as "
            "allowed; raise max_iterations to go on"
        )

    def _round(self, weights: Array, n_left: int) -> Solution:
        if not self.history:
            self.history.append(self.function.value_and_gradient(weights)[0])
        return self.solver.minimise(
            self._evaluate,
            weights,
            scale=typical_steps(self.function, weights),
            max_iterations=n_left,
            watch=self._watch,
        )

    def _evaluate(self, weights: Array) -> tuple[float, Array]:
        """Objective and derivative on the voxels followed now."""
        return self.function.value_and_gradient(weights)

    def _watch(self, number: int, weights: Array, value: float) -> bool:
        """Keep the history, tell progress, look after voxels left out; whether to stop."""
        self.history.append(value)
        done = len(self.history) - 1
        part = done / self.solver.max_iterations
        report("optimisation", part, f"iteration {done}, objective {value:.5g}")
        self.reached = self.stop_below is not None and value <= self.stop_below
        if not self.reached and number != _FIRST_LOOK and number % _LOOK_EVERY != 0:
            return False
        dose = self.problem.dose(weights)
        if self.problem.overlooked(self.followed, dose):
            self.reached = False
            return True
        if not self.reached:
            self._leave_out(dose)
        return self.reached

    def _leave_out(self, dose: Array) -> None:
        """Follow fewer voxels if that saves much; the value stays as it is, since none counts."""
        fewer = self.problem.worth_following(dose, settled=True) & self.followed
        sizes, kept = self.function.sizes(), fewer[self.followed]
        if sizes[kept].sum() < _WORTH_LEAVING * sizes.sum():
            self.followed = fewer
            self.function = self.function.keeping(kept)
