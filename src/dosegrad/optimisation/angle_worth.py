"""What sets of candidate beams are worth: their objective, and what the gradient promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csc_array

from dosegrad.arrays import Array
from dosegrad.beams.beam import Beams
from dosegrad.influence.products import in_kernel_types, multiply, multiply_transposed
from dosegrad.optimisation.problem import PlanProblem, Term, typical_steps
from dosegrad.optimisation.solvers.lbfgsb import LBFGSB
from dosegrad.optimisation.wishes import prescription

__all__ = ["CandidateBeams"]

#: Relative decrease over ten iterations at which a set is not optimised further.
_TOLERANCE = 1e-3


@dataclass(slots=True, eq=False)
class CandidateBeams:
    """Candidate beams side by side in one matrix.

    Parameters
    ----------
    matrix
        Gy per unit weight, (n_rows, n_columns) of all candidates.
    beams
        The candidates.
    terms
        Objectives.
    iterations
        Of the solver for each set.
    """

    matrix: csc_array
    beams: Beams
    terms: tuple[Term, ...]
    iterations: int
    steepness: Array = field(init=False)
    bend: Array = field(init=False)

    def __post_init__(self) -> None:
        self.matrix = in_kernel_types(self.matrix)
        self.bend = np.zeros(self.matrix.shape[0])
        for term in self.terms:
            if not term.depends_on_mean:
                part = 1.0 if np.isinf(term.idle_below) else 0.5
                self.bend[term.rows] += 2.0 * part * term.objective.weight / term.rows.size
        parts = (np.square(self.matrix.data), self.matrix.indices, self.matrix.indptr)
        squares = csc_array(parts, shape=self.matrix.shape)
        self.steepness = multiply_transposed(squares, self.bend)

    @property
    def n(self) -> int:
        """Number of candidates."""
        return len(self.beams)

    def angle_between(self, first: int, second: int) -> float:
        """Angle between the directions of two candidates, radian."""
        cosine = float(np.dot(self.beams[first].direction, self.beams[second].direction))
        return float(np.arccos(np.clip(cosine, -1.0, 1.0)))

    def solve(self, members: Sequence[int], longer: int = 1) -> tuple[float, Array]:
        """Objective of a set after some iterations, and its weights (n_columns,) among all.

        Every set begins with equal weights, so that values can be compared. A set of none is a
        plan without dose. It gets ``longer`` times the usual iterations.
        """
        weights = np.zeros(self.matrix.shape[1])
        columns = self._columns(members)
        if columns.size == 0:
            problem = PlanProblem(self.matrix, self.terms)
            return float(sum(problem.values(np.zeros(self.matrix.shape[0]), weights))), weights
        problem = PlanProblem(self.matrix[:, columns], self.terms)
        first = self._first(problem)
        function = problem.following(np.ones(self.matrix.shape[0], dtype=bool))
        solution = LBFGSB(tolerance=_TOLERANCE).minimise(
            function.value_and_gradient,
            first,
            scale=typical_steps(function, first),
            max_iterations=longer * self.iterations,
            watch=lambda *_: False,
        )
        weights[columns] = solution.variables
        return solution.value, weights

    def gains(self, members: Sequence[int], weights: Array) -> Array:
        """What each candidate (n,) beside a set promises to take off the objective."""
        dose = multiply(self.matrix, weights)
        slope = np.zeros(dose.size)
        for term in self.terms:
            share = np.full(term.rows.size, 1.0 / term.rows.size)
            _, part = term.objective.value_and_gradient(dose[term.rows], share)
            slope[term.rows] += term.objective.weight * part
        gradient = multiply_transposed(self.matrix, slope)
        bent = self.steepness > 1e-12 * self.steepness.max()
        step = np.divide(
            -np.minimum(gradient, 0.0), self.steepness, np.zeros(bent.size), where=bent
        )
        found = np.full(self.n, -np.inf)
        for number in set(range(self.n)) - set(members):
            mine = np.zeros(step.size)
            own = self.beams.columns_of(number)
            mine[own] = step[own]
            change = multiply(self.matrix, mine)
            curvature = float(self.bend @ change**2)
            fall = -float(gradient[own] @ step[own])
            found[number] = 0.5 * fall**2 / curvature if curvature > 0 else 0.0
        return found

    def _columns(self, members: Sequence[int]) -> np.ndarray:
        parts = [np.arange(self.matrix.shape[1])[self.beams.columns_of(k)] for k in sorted(members)]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def _first(self, problem: PlanProblem) -> Array:
        """Equal weights (n,) that bring the prescription on average."""
        equal = np.ones(problem.matrix.shape[1])
        asked = prescription(problem.terms)
        if asked is None:
            return equal
        mean = float(problem.dose(equal)[asked[0]].mean())
        return equal * (asked[1] / mean) if mean > 0 else equal
