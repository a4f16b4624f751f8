"""Which objectives are robust, and how."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from dosegrad.errors import PlanError
from dosegrad.influence.matrix import Influence
from dosegrad.objectives.protocols import Objective
from dosegrad.objectives.structure_objective import (
    QuantityObjective,
    RobustObjective,
    StructureObjective,
)
from dosegrad.optimisation.problem import Term
from dosegrad.optimisation.robust import Minimax, Robust, resolve_robust
from dosegrad.optimisation.wishes import Wishes, as_pairs

__all__ = ["RobustChoice", "robust_ways", "split_wishes"]

#: How all objectives, or those of the structures named, see the scenarios.
RobustChoice: TypeAlias = str | Robust | Mapping[str, str | Robust] | None


def split_wishes(wishes: Wishes) -> tuple[Wishes, list[RobustObjective | None]]:
    """Objectives without their marks, and the mark of each that had one."""
    pairs = [(name, _mark_outside(objective)) for name, objective in as_pairs(wishes)]
    marks = [
        objective if isinstance(objective, RobustObjective) else None for _, objective in pairs
    ]
    if not any(marks):
        return wishes, [None] * len(pairs)
    plain = [
        StructureObjective(name, objective if mark is None else mark.objective)
        for (name, objective), mark in zip(pairs, marks, strict=True)
    ]
    return plain, marks


def _mark_outside(objective: Objective) -> Objective:
    """The same wish with ``.robust()`` after ``.of()``, whichever the user wrote first."""
    if isinstance(objective, QuantityObjective) and isinstance(
        objective.objective, RobustObjective
    ):
        inner = objective.objective
        plain = QuantityObjective(inner.objective, objective.quantity)
        return RobustObjective(plain, inner.how)
    return objective


def robust_ways(
    influence: Influence,
    terms: Sequence[Term],
    marks: Sequence[RobustObjective | None],
    choice: RobustChoice,
) -> list[Robust | None]:
    """How each objective sees the scenarios; ``None`` for one of the nominal plan.

    A robust plan leaves nominal what has no rows in the scenario matrices: external structures
    as a rule, others with a warning.

    Raises
    ------
    PlanError
        If the influence holds no scenarios, or one that is asked for lacks rows.
    UnknownNameError
        If a way or a structure is unknown.
    """
    by_name = dict(choice) if isinstance(choice, Mapping) else {}
    for name in by_name:
        influence.patient.structure(name)
    for_all = None if choice is None or isinstance(choice, Mapping) else resolve_robust(choice)
    ways: list[Robust | None] = []
    for term, mark in zip(terms, marks, strict=True):
        wanted = by_name.get(term.structure, for_all)
        way = resolve_robust(wanted) if wanted is not None else None
        if mark is not None:
            way = resolve_robust(mark.how) if mark.how is not None else way or Minimax()
        insists = mark is not None or term.structure in by_name
        ways.append(way if way is not None and _has_rows(influence, term, insists) else None)
    if choice is not None and not any(ways):
        raise PlanError(
            "no objective of this robust plan is on a structure with rows in the scenario "
            "matrices. Name structures with objectives in robust_structures= when the influence "
            "is computed."
        )
    return ways


def _has_rows(influence: Influence, term: Term, insists: bool) -> bool:
    held = influence.scenarios
    if held is None:
        raise PlanError(
            "a robust plan needs scenarios, and this influence holds none; compute it with "
            "compute_influence(..., scenarios=Scenarios.worst_case(...))."
        )
    if np.isin(term.rows, held.rows, assume_unique=True).all():
        return True
    if insists:
        raise PlanError(
            f"the objective on {term.structure!r} shall be robust, but scenario matrices have "
            f"rows for {', '.join(held.structures)} only. Add it to robust_structures= when the "
            "influence is computed."
        )
    if influence.patient.structure(term.structure).role != "external":
        warnings.warn(
            f"scenario matrices have no rows for {term.structure!r}, so its objective counts in "
            "the nominal scenario only; add it to robust_structures= to make it robust.",
            stacklevel=4,
        )
    return False
