"""Following an optimiser from outside: weights as they change, and an end when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from dosegrad.arrays import Array
from dosegrad.optimisation.solvers.lbfgsb import LBFGSB
from dosegrad.optimisation.solvers.protocols import Function, Solution, Watcher

__all__ = ["WatchedSolver"]


@dataclass(frozen=True, slots=True)
class WatchedSolver:
    """Another solver, of whose iterations somebody hears.

    Parameters
    ----------
    onlooker
        Called with weights and objective after each iteration; what it raises ends the solver.
    solver
        Which solves.
    """

    onlooker: Callable[[Array, float], None]
    solver: LBFGSB = field(default_factory=LBFGSB)

    @property
    def max_iterations(self) -> int:
        """Iterations that it takes at most."""
        return self.solver.max_iterations

    def minimise(
        self,
        function: Function,
        start: Array,
        *,
        scale: Array,
        max_iterations: int,
        watch: Watcher,
    ) -> Solution:
        """The best variables found; see :class:`~dosegrad.optimisation.solvers.LBFGSB`."""

        def look(number: int, weights: Array, value: float) -> bool:
            self.onlooker(weights, value)
            return watch(number, weights, value)

        return self.solver.minimise(
            function, start, scale=scale, max_iterations=max_iterations, watch=look
        )
