"""What the user wishes, checked and tied to the rows of an influence matrix."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Final, TypeAlias

import numpy as np

from dosegrad.arrays import IntArray, Mask
from dosegrad.errors import PlanError
from dosegrad.influence.matrix import Influence
from dosegrad.objectives.dose_volume_penalty import MinDVH
from dosegrad.objectives.protocols import Objective, PlacedObjective
from dosegrad.objectives.records import from_record
from dosegrad.objectives.squared import SquaredDeviation, SquaredUnderdose
from dosegrad.objectives.structure_objective import QuantityObjective, StructureObjective
from dosegrad.optimisation.problem import Term
from dosegrad.patient.records import ObjectiveRecord
from dosegrad.patient.structures import resolve_overlaps

__all__ = ["Wishes", "as_pairs", "make_terms", "prescribing", "prescription"]

_Wish: TypeAlias = Objective | ObjectiveRecord

#: Objectives by structure, or objectives that name theirs.
Wishes: TypeAlias = Mapping[str, Sequence[_Wish] | _Wish] | Sequence[StructureObjective]

#: Below this share of a structure's voxels with a row of the matrix, the user is warned.
_COVERED: Final = 0.99


def make_terms(influence: Influence, wishes: Wishes) -> tuple[Term, ...]:
    """Objectives on rows of the matrix, after overlaps are resolved by priority.

    Raises
    ------
    PlanError
        If there is no objective, one is on a structure without voxels, or prescriptions overlap.
    UnknownNameError
        If a structure or a kind of objective is unknown.
    """
    wanted = list(as_pairs(wishes))
    if not wanted:
        raise PlanError(
            "there is no objective. Name at least one for the target, such as "
            '{"PTV": [objectives.SquaredDeviation(60.0, weight=100)]}.'
        )
    for name, _ in wanted:
        influence.patient.structure(name)
    if not any(objective.weight > 0 for _, objective in wanted):
        raise PlanError("every objective has the weight 0; give at least one a positive weight.")
    masks = resolve_overlaps(influence.patient.structures, influence.grid)
    rows = {name: _rows(influence, name, masks) for name in dict(wanted)}
    usual = "dose" if influence.rbe is None else "rbe_dose"
    terms = tuple(
        _placed(influence, _term(name, objective, rows[name], usual)) for name, objective in wanted
    )
    for first, second in combinations(terms, 2):
        _check_prescriptions(first, second)
    return terms


def prescription(terms: Sequence[Term]) -> tuple[IntArray, float] | None:
    """Rows of the structure with the highest prescribed dose, and that dose, Gy."""
    found = prescribing(terms)
    return None if found is None else (found[0].rows, found[1])


def prescribing(terms: Sequence[Term]) -> tuple[Term, float] | None:
    """The objective with the highest prescribed dose, and that dose, Gy."""
    asking = [(_prescribed(t), t) for t in terms if _prescribed(t) > 0]
    if not asking:
        return None
    dose, term = max(asking, key=lambda pair: pair[0])
    return term, dose


def _term(name: str, objective: Objective, rows: IntArray, quantity: str) -> Term:
    """An objective on rows, about the quantity that it names or else the plan's."""
    if isinstance(objective, QuantityObjective):
        return Term(name, objective.objective, rows, objective.quantity)
    return Term(name, objective, rows, quantity)


def _placed(influence: Influence, term: Term) -> Term:
    """The same with limits of single voxels put where the voxels are."""
    if not isinstance(term.objective, PlacedObjective):
        return term
    voxels = influence.voxels[term.rows]
    return replace(term, objective=term.objective.placed(influence.patient, influence.grid, voxels))


def as_pairs(wishes: Wishes) -> Iterator[tuple[str, Objective]]:
    """Structure and objective of each wish."""
    if isinstance(wishes, Mapping):
        for name, given in wishes.items():
            for wish in given if isinstance(given, Sequence) else (given,):
                yield str(name), _as_objective(str(name), wish)
        return
    for item in wishes:
        if not isinstance(item, StructureObjective):
            raise PlanError(
                f"{item!r} does not name its structure; write "
                "objectives.SquaredDeviation(60.0).on('PTV'), or give a mapping of structures."
            )
        yield item.structure, item.objective


def _as_objective(name: str, wish: object) -> Objective:
    if isinstance(wish, ObjectiveRecord):
        return from_record(wish)
    if not hasattr(wish, "value_and_gradient") or isinstance(wish, type):
        raise PlanError(
            f"{wish!r} on {name!r} is no objective; give one such as "
            "objectives.SquaredDeviation(60.0, weight=100)."
        )
    return wish  # type: ignore[return-value]  # duck-typed: has the one method that counts


def _rows(influence: Influence, name: str, masks: Mapping[str, Mask]) -> IntArray:
    """Ascending positions among the influence's voxels of one structure's own voxels."""
    whole = influence.patient.structures[name].mask(influence.grid)
    if not whole.any():
        raise PlanError(
            f"structure {name!r} has an objective, but no voxel centre of the dose grid "
            f"({influence.grid}) lies in it. Use a finer or larger grid, or drop the objective."
        )
    own = masks[name].ravel()
    n_own = int(np.count_nonzero(own))
    if n_own == 0:
        owners = [k for k, m in masks.items() if k != name and (m & whole).any()]
        raise PlanError(
            f"structure {name!r} has an objective, but all its voxels belong to structures of "
            f"higher priority ({', '.join(owners)}). Change the priorities, or drop the objective."
        )
    rows = np.flatnonzero(own[influence.voxels])
    if rows.size == 0:
        raise PlanError(
            f"structure {name!r} has an objective, but the influence matrix has no row in it. "
            "Compute it with voxels that hold the structure."
        )
    if rows.size < _COVERED * n_own:
        warnings.warn(
            f"the influence matrix has rows for {rows.size} of the {n_own} voxels of {name!r}; "
            "its objectives act on these alone.",
            stacklevel=4,
        )
    return rows


def _prescribed(term: Term) -> float:
    """Dose, Gy, that an objective asks for; 0 if it asks for none."""
    objective = term.objective
    if term.quantity == "let":  # does not grow with the weights
        return 0.0
    if isinstance(objective, (SquaredDeviation, SquaredUnderdose, MinDVH)):
        return objective.dose if objective.weight > 0 else 0.0
    return 0.0


def _check_prescriptions(first: Term, second: Term) -> None:
    """Raise if two objectives ask for what cannot both be in the same voxels.

    Two doses to be met exactly contradict each other, and so does one to be met exactly and a
    higher minimum. Two minima do not: the higher one counts.
    """
    doses = (_prescribed(first), _prescribed(second))
    if first.quantity != second.quantity:
        return
    if min(doses) <= 0 or doses[0] == doses[1]:
        return
    if first.structure == second.structure:
        if isinstance(first.objective, SquaredDeviation) and isinstance(
            second.objective, SquaredDeviation
        ):
            raise PlanError(
                f"{first.structure!r} asks for {doses[0]:g} Gy and for {doses[1]:g} Gy, each to be "
                "met exactly. Keep one, or bound the dose by SquaredUnderdose and SquaredOverdose."
            )
        return
    lower = first if doses[0] < doses[1] else second
    if not isinstance(lower.objective, SquaredDeviation):
        return
    n_shared = np.intersect1d(first.rows, second.rows, assume_unique=True).size
    if n_shared:
        raise PlanError(
            f"prescriptions overlap: {first.structure!r} asks for {doses[0]:g} Gy and "
            f"{second.structure!r} for {doses[1]:g} Gy in {n_shared} common voxels, and both have "
            "the same priority. Give one a lower priority number, so that it owns them, or ask "
            "for a minimum (SquaredUnderdose) in the one of lower dose."
        )
