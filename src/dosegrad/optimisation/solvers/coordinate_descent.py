"""Accelerated coordinate descent as a solver, for objectives that are sums over voxels."""

from __future__ import annotations

from dataclasses import dataclass

from dosegrad.arrays import Array
from dosegrad.optimisation.solvers._stopping import check_stopping
from dosegrad.optimisation.solvers.lbfgsb import LBFGSB
from dosegrad.optimisation.solvers.protocols import Function, Solution, Watcher

__all__ = ["CoordinateDescent"]


@dataclass(frozen=True, slots=True)
class CoordinateDescent:
    """Coordinate descent with momentum, see :mod:`dosegrad.optimisation.descent`.

    An iteration is a sweep. It takes squared deviations, over- and underdoses and mean doses;
    what else there is among the objectives is minimised by L-BFGS-B, as are robust objectives,
    those of other quantities than dose, and those under constraints.

    Parameters
    ----------
    max_iterations
        At most so many.
    tolerance
        Relative decrease that is too small to go on; 0 goes on to the end.
    patience
        Number of iterations over which the decrease counts.
    """

    max_iterations: int = 500
    tolerance: float = 1e-4
    patience: int = 10

    def __post_init__(self) -> None:
        check_stopping(self.tolerance, max_iterations=self.max_iterations, patience=self.patience)

    def minimise(
        self,
        function: Function,
        start: Array,
        *,
        scale: Array,
        max_iterations: int,
        watch: Watcher,
    ) -> Solution:
        """The best variables of any smooth ``function``, by L-BFGS-B; see :class:`Solver`."""
        other = LBFGSB(self.max_iterations, self.tolerance, self.patience)
        return other.minimise(
            function, start, scale=scale, max_iterations=max_iterations, watch=watch
        )
