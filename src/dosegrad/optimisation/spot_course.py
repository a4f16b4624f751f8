"""How weights, positions and energies of spots are optimised: together, or in turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import numpy as np

from dosegrad.arrays import Array
from dosegrad.optimisation.boxed import minimise_between
from dosegrad.optimisation.problem import typical_steps
from dosegrad.optimisation.solvers.lbfgsb import LBFGSB
from dosegrad.optimisation.spot_objective import SpotObjective
from dosegrad.progress import report

__all__ = ["Method", "SpotBox", "SpotCourse"]

#: How weights and positions take turns.
Method: TypeAlias = Literal["simultaneous", "alternating"]

#: Iterations of weights and of positions in one turn of the alternating scheme.
_TURN: Final = (20, 8)
#: Past steps that shape the next one.
_MEMORY: Final = 50
#: Iterations of weights alone before spots begin to move.
_WEIGHT_ITERATIONS: Final = 60
#: Share of the iterations left that a round but the last may take.
_ROUND_SHARE: Final = 0.4


@dataclass(frozen=True, slots=True, eq=False)
class SpotBox:
    """Lowest and highest variables (n,): weights, x, y, and shifts of layers."""

    low: Array
    high: Array


@dataclass(slots=True, eq=False)
class SpotCourse:
    """Minimises objectives of weights, positions and energies, and keeps what they were.

    Parameters
    ----------
    tolerance, max_iterations, method
        As of :func:`~dosegrad.optimise_spots`.
    watch
        As of :func:`~dosegrad.optimise_spots`.
    """

    tolerance: float
    max_iterations: int
    method: Method
    watch: Callable[[Array], None] | None = None
    history: list[float] = field(default_factory=list)
    n_moves: int = 0

    def run(
        self, objective: SpotObjective, start: Array, box: SpotBox, *, max_iterations: int
    ) -> Array:
        """The best variables found from ``start`` (n,) in so many more iterations."""
        scale = _scale(objective, start)
        until = self.n_moves + max_iterations
        objective.sharpen(start, 0)
        self.history.append(objective.value_and_gradient(start)[0])
        if self.method == "simultaneous":
            variables = self._weights(objective, start, _WEIGHT_ITERATIONS, is_nominal=True)
            return self._rounds(objective, variables, scale, box, until)
        return self._turns(objective, start, scale, box, until)

    @property
    def message(self) -> str:
        """How it ended, in words."""
        if self.n_moves >= self.max_iterations:
            return f"spots moved for {self.n_moves} iterations, as many as allowed"
        return f"spots settled after {self.n_moves} iterations"

    def _rounds(
        self, objective: SpotObjective, variables: Array, scale: Array, box: SpotBox, until: int
    ) -> Array:
        for number in range(objective.n_rounds):
            left = until - self.n_moves
            is_last = number == objective.n_rounds - 1
            most = left if is_last else int(_ROUND_SHARE * left)
            if most < 1:
                break
            objective.sharpen(variables, number)
            tolerance = self.tolerance if is_last else 10.0 * self.tolerance
            variables = self._move(objective, variables, scale, box, most, tolerance)
        return variables

    def _turns(
        self, objective: SpotObjective, variables: Array, scale: Array, box: SpotBox, until: int
    ) -> Array:
        n = objective.spots.n_columns
        number = 0
        while self.n_moves < until:
            objective.sharpen(variables, number)
            before = self.history[-1]
            variables = self._weights(objective, variables, _TURN[0], number=number)
            held = SpotBox(box.low.copy(), box.high.copy())
            held.low[:n] = held.high[:n] = variables[:n]
            most = min(_TURN[1], until - self.n_moves)
            variables = self._move(objective, variables, scale, held, most, self.tolerance)
            number += 1
            has_settled = before - self.history[-1] <= self.tolerance * abs(before)
            if has_settled and number >= objective.n_rounds:
                break
        return variables

    def _weights(
        self,
        objective: SpotObjective,
        variables: Array,
        most: int,
        *,
        is_nominal: bool = False,
        number: int = 0,
    ) -> Array:
        """Variables after so many iterations of weights alone, by matrices.

        If it ``is_nominal``, objectives count in the plan's own case only, which costs less.
        """
        n = objective.spots.n_columns
        if is_nominal:
            objective = SpotObjective(objective.whole, objective.whole, None)
        whole, function = objective.of_weights(variables)
        weights = np.ascontiguousarray(variables[:n])
        function.sharpen(weights, number)

        def watch(_number: int, _weights: Array, value: float) -> bool:
            self._tell(value)
            return False

        solution = LBFGSB(tolerance=self.tolerance).minimise(
            function.value_and_gradient,
            weights,
            scale=typical_steps(whole, weights),
            max_iterations=most,
            watch=watch,
        )
        return np.concatenate([solution.variables, variables[n:]])

    def _move(
        self,
        objective: SpotObjective,
        start: Array,
        scale: Array,
        box: SpotBox,
        most: int,
        tolerance: float,
    ) -> Array:
        latest = start

        def evaluate(variables: Array) -> tuple[float, Array]:
            nonlocal latest
            latest = variables
            return objective.value_and_gradient(variables)

        def tell(value: float) -> None:
            self.n_moves += 1
            self._tell(value)
            if self.watch is not None:
                self.watch(latest[: 3 * objective.spots.n_columns].reshape(3, -1).T)

        return minimise_between(
            evaluate,
            start,
            low=box.low,
            high=box.high,
            scale=scale,
            max_iterations=most,
            tolerance=tolerance,
            tell=tell,
            memory=_MEMORY,
        )

    def _tell(self, value: float) -> None:
        self.history.append(value)
        report("moving spots", self.n_moves / self.max_iterations, f"objective {value:.5g}")


def _scale(objective: SpotObjective, start: Array) -> Array:
    """Typical change (n,): mean weight, size of each spot in its peak, and 1 mm of range."""
    n = objective.spots.n_columns
    mean = float(start[:n].mean())
    sizes = objective.spots.typical_shifts()
    weights = np.full(n, mean if mean > 0 else 1.0)
    return np.concatenate([weights, sizes, sizes, np.ones(start.size - 3 * n)])
