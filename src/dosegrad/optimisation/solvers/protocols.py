"""What a solver takes and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from dosegrad.arrays import Array

__all__ = ["Function", "Solution", "Solver", "Watcher"]

#: Variables (n,) -> objective and its derivative (n,).
Function: TypeAlias = Callable[[Array], tuple[float, Array]]
#: Called after each iteration with its number, variables and objective; True stops the solver.
Watcher: TypeAlias = Callable[[int, Array, float], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Where a solver ended.

    Parameters
    ----------
    variables
        The best variables (n,).
    value
        The objective there.
    n_iterations, n_evaluations
        How much it took.
    message
        Why it ended, in words.
    was_stopped
        Whether the watcher ended it.
    """

    variables: Array
    value: float
    n_iterations: int
    n_evaluations: int
    message: str
    was_stopped: bool = False


@runtime_checkable
class Solver(Protocol):
    """Minimises a smooth function of variables that are not negative."""

    @property
    def max_iterations(self) -> int:
        """Iterations that it takes at most."""
        ...

    def minimise(
        self,
        function: Function,
        start: Array,
        *,
        scale: Array,
        max_iterations: int,
        watch: Watcher,
    ) -> Solution:
        """The best variables found from ``start`` (n,).

        ``scale`` (n,) is a typical change of each variable; the solver works in units of it.
        """
        ...
