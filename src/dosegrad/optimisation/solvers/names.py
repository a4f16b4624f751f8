"""Solvers by name."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any, Final

from dosegrad.errors import CapabilityError, SettingsError, unknown_name
from dosegrad.optimisation.solvers.protocols import Solver

__all__ = ["resolve_solver"]

#: Name -> "module:class" of its settings.
_SOLVERS: Final = {
    "coordinate-descent": "dosegrad.optimisation.solvers.coordinate_descent:CoordinateDescent",
    "ipopt": "dosegrad.optimisation.solvers.ipopt:IPOPT",
    "l-bfgs-b": "dosegrad.optimisation.solvers.lbfgsb:LBFGSB",
}


def resolve_solver(
    solver: str | Solver, max_iterations: int | None, tolerance: float | None
) -> Solver:
    """Settings of the solver named, or the settings given, with what is asked for replaced.

    Raises
    ------
    UnknownNameError
        If no solver has that name.
    SettingsError
        If it is no solver, or a setting is out of range.
    CapabilityError
        If the solver does not take what is asked for.
    """
    changes = {"max_iterations": max_iterations, "tolerance": tolerance}
    given: dict[str, Any] = {k: v for k, v in changes.items() if v is not None}
    if isinstance(solver, str):
        if solver not in _SOLVERS:
            raise unknown_name("solver", solver, _SOLVERS)
        module, _, name = _SOLVERS[solver].partition(":")
        made: Solver = getattr(import_module(module), name)(**given)
        return made
    if isinstance(solver, type) or not isinstance(solver, Solver):
        raise SettingsError(
            f"{solver!r} is no solver; give one of the names {', '.join(_SOLVERS)}, or settings "
            "such as LBFGSB(memory=30)."
        )
    try:
        return replace(solver, **given) if given else solver  # type: ignore[type-var]
    except TypeError as error:
        raise CapabilityError(
            f"solver {type(solver).__name__} does not take {' and '.join(given)}; set it up "
            "before you hand it over."
        ) from error
