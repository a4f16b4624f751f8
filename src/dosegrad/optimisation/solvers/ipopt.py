"""The interior-point solver IPOPT, by the optional package ipyopt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, TypeAlias

import numpy as np

from dosegrad.arrays import Array, IntArray
from dosegrad.errors import CapabilityError
from dosegrad.optimisation.solvers._stopping import check_stopping
from dosegrad.optimisation.solvers.protocols import Function, Solution, Watcher

__all__ = ["IPOPT", "Constraint"]

#: Variables (n,) -> excesses (m,), not above 0 where kept, and their derivatives (m, n).
Constraint: TypeAlias = Callable[[Array], tuple[Array, Array]]

_UNBOUNDED: Final = 2e19
#: What IPOPT returns when it is done well enough.
_SOLVED: Final = (0, 1)


@dataclass(frozen=True, slots=True)
class IPOPT:
    """IPOPT with a quasi-Newton Hessian, in scaled variables.

    Parameters
    ----------
    max_iterations
        At most so many.
    tolerance
        Relative decrease of the objective over ``patience`` iterations that is too small to go on,
        where there are no constraints; IPOPT's own tolerance where there are.
    patience
        Number of iterations over which the decrease counts.
    memory
        Number of past steps that shape the next one. IPOPT's default of 6 is too few here.

    References
    ----------
    Wächter, Biegler 2006, Math. Program. 106, 25.
    """

    max_iterations: int = 500
    tolerance: float = 1e-4
    patience: int = 10
    memory: int = 20

    def __post_init__(self) -> None:
        check_stopping(
            self.tolerance,
            max_iterations=self.max_iterations,
            patience=self.patience,
            memory=self.memory,
        )

    def minimise(
        self,
        function: Function,
        start: Array,
        *,
        scale: Array,
        max_iterations: int,
        watch: Watcher,
    ) -> Solution:
        """The best variables, not negative, found from ``start`` (n,); see :class:`Solver`."""
        return self.minimise_under(
            function, None, 0, start, scale=scale, max_iterations=max_iterations, watch=watch
        )

    def minimise_under(
        self,
        function: Function,
        constraint: Constraint | None,
        n_constraints: int,
        start: Array,
        *,
        scale: Array,
        max_iterations: int,
        watch: Watcher,
    ) -> Solution:
        """The same where every one of the constraints is to be not above 0.

        Raises
        ------
        CapabilityError
            If ipyopt is not installed.
        """
        try:
            ipyopt = import_module("ipyopt")
        except ImportError as error:
            raise CapabilityError(
                "solver 'ipopt' needs the package ipyopt. Install it with pip install "
                "'dosegrad[ipopt]' (Linux), or use solver='l-bfgs-b'."
            ) from error
        run = _Run(self, function, constraint, n_constraints, scale, watch)
        n = start.size
        problem = ipyopt.Problem(
            *(n, np.zeros(n), np.full(n, _UNBOUNDED), n_constraints),
            *(np.full(n_constraints, -_UNBOUNDED), np.zeros(n_constraints)),
            *(run.jacobian_places(n), (np.empty(0, int), np.empty(0, int))),
            *(run.value, run.gradient, run.constraints, run.jacobian),
            intermediate_callback=run.follow,
            ipopt_options={
                "print_level": 0,
                "sb": "yes",
                "hessian_approximation": "limited-memory",
                "limited_memory_max_history": self.memory,
                "mu_strategy": "adaptive",
                "max_iter": max_iterations,
                "tol": 1e-5,
                "acceptable_tol": max(self.tolerance, 1e-8),
                "acceptable_iter": self.patience,
                "acceptable_obj_change_tol": max(self.tolerance, 1e-8),
                "nlp_scaling_method": "gradient-based",
            },
        )
        x, _, status = problem.solve(np.maximum(start / scale, 1e-6))
        best = np.maximum(x, 0.0)
        words = run.reason or _words(int(status), run.n_iterations, max_iterations)
        value = float(function(best * scale)[0])
        return Solution(
            best * scale, value, run.n_iterations, run.n_evaluations, words, run.was_stopped
        )


@dataclass(slots=True, eq=False)
class _Run:
    """Callbacks of one run; the last point is kept, since IPOPT asks for it several times."""

    settings: IPOPT
    function: Function
    constraint: Constraint | None
    n_constraints: int
    scale: Array
    watch: Watcher
    values: list[float] = field(default_factory=list)
    n_iterations: int = 0
    n_evaluations: int = 0
    reason: str = ""
    was_stopped: bool = False
    _at: Array | None = None
    _found: tuple[float, Array] = (0.0, np.empty(0))
    _at_limits: Array | None = None
    _limits: tuple[Array, Array] = (np.empty(0), np.empty(0))

    def value(self, x: Array) -> float:
        return self._evaluate(x)[0]

    def gradient(self, x: Array, out: Array) -> Any:
        out[:] = self._evaluate(x)[1]

    def constraints(self, x: Array, out: Array) -> Any:
        if self.constraint is not None:
            out[:] = self._evaluate_limits(x)[0]

    def jacobian(self, x: Array, out: Array) -> Any:
        if self.constraint is not None:
            out[:] = self._evaluate_limits(x)[1].ravel()

    def jacobian_places(self, n: int) -> tuple[IntArray, IntArray]:
        """Rows and columns of all entries, row by row."""
        rows, columns = np.indices((self.n_constraints, n))
        return rows.ravel(), columns.ravel()

    def follow(self, mode: int, number: int, value: float, *rest: Any) -> bool:
        """Told of every iteration; whether to go on."""
        self.n_iterations = number
        if number == 0 or self._at is None:
            return True
        self.values.append(value)
        if self.watch(number, np.maximum(self._at, 0.0) * self.scale, value):
            self.was_stopped, self.reason = True, "stopped from outside"
            return False
        patience = self.settings.patience
        if self.constraint is None and len(self.values) > patience:
            fall = self.values[-1 - patience] - value
            if 0 <= fall <= self.settings.tolerance * abs(value):
                self.reason = (
                    f"converged: the objective fell by less than {self.settings.tolerance:g} of "
                    f"itself over the last {patience} iterations"
                )
                return False
        return True

    def _evaluate(self, x: Array) -> tuple[float, Array]:
        if self._at is None or not np.array_equal(x, self._at):
            value, gradient = self.function(np.maximum(x, 0.0) * self.scale)
            self._at, self._found = x.copy(), (float(value), gradient * self.scale)
            self.n_evaluations += 1
        return self._found

    def _evaluate_limits(self, x: Array) -> tuple[Array, Array]:
        assert self.constraint is not None
        if self._at_limits is None or not np.array_equal(x, self._at_limits):
            excess, slopes = self.constraint(np.maximum(x, 0.0) * self.scale)
            self._at_limits, self._limits = x.copy(), (excess, slopes * self.scale)
        return self._limits


def _words(status: int, n_iterations: int, max_iterations: int) -> str:
    if status in _SOLVED:
        return "converged: IPOPT found a point that is optimal to its tolerance"
    if status == -1 or n_iterations >= max_iterations:
        return (
            f"not converged: stopped after {n_iterations} iterations, as many as allowed; raise "
            "max_iterations to go on"
        )
    if status == 2:
        return "not feasible: IPOPT found the limits to contradict each other near here"
    return f"not converged: IPOPT ended with status {status}"
