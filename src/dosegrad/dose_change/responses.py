"""Responses: numbers that doses give, as gradients over voxels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from dosegrad.arrays import Array, IntArray, Volume
from dosegrad.errors import PlanError, SettingsError
from dosegrad.geometry.grid import Grid
from dosegrad.objectives.mean import MeanDose, SquaredMeanDeviation
from dosegrad.objectives.protocols import Objective
from dosegrad.objectives.squared import SquaredDeviation, SquaredOverdose, SquaredUnderdose
from dosegrad.objectives.structure_objective import StructureObjective
from dosegrad.patient.patient import Patient

__all__ = ["PlannedObjective", "Response", "Responses", "make_responses"]

#: What a change is asked of: an objective on a structure; several, or a mapping as the optimiser
#: takes it, whose weighted sum counts; or a weight for the dose of every voxel (z, y, x).
Response: TypeAlias = StructureObjective | Sequence[StructureObjective] | Mapping[str, Any] | Volume


#: Objectives that no dose makes negative.
_NEVER_NEGATIVE: Final = (SquaredDeviation, SquaredOverdose, SquaredUnderdose, SquaredMeanDeviation)


@dataclass(frozen=True, slots=True, eq=False)
class PlannedObjective:
    """A weighted sum of objectives that is not linear in dose, about the planned dose.

    Parameters
    ----------
    wishes
        Each objective, and the flat indices of its voxels.
    dose
        As planned, (n_voxels,), Gy.
    """

    wishes: tuple[tuple[Objective, IntArray], ...]
    dose: Array

    @property
    def voxels(self) -> IntArray:
        """Flat indices of the voxels that matter, ascending."""
        return np.unique(np.concatenate([inside for _, inside in self.wishes]))

    @property
    def lowest(self) -> float:
        """What it cannot fall below: 0 for sums of squares, else unknown."""
        squares = (isinstance(o, _NEVER_NEGATIVE) and o.weight >= 0 for o, _ in self.wishes)
        return 0.0 if all(squares) else -np.inf

    def value_and_gradient(self, dose: Array) -> tuple[float, Array]:
        """Value, and gradient (n_voxels,), at ``dose`` (n_voxels,)."""
        total, gradient = 0.0, np.zeros(dose.size)
        for objective, inside in self.wishes:
            share = np.full(inside.size, 1.0 / inside.size)
            value, slope = objective.value_and_gradient(dose[inside], share)
            total += objective.weight * value
            gradient[inside] += objective.weight * slope
        return total, gradient


@dataclass(frozen=True, slots=True, eq=False)
class Responses:
    """The response and the mean doses of some structures, all linear in dose.

    Parameters
    ----------
    gradients
        By the dose of each voxel, (1 + structures, n_voxels), the response first.
    structures
        Names, in order.
    value
        The response in the planning CT, or None where it is linear and follows from doses.
    objective
        The response where it is not linear in dose, so that its gradient does not tell all; else
        None.
    """

    gradients: Array
    structures: tuple[str, ...]
    value: float | None
    objective: PlannedObjective | None = None


def make_responses(
    patient: Patient,
    response: Response,
    grid: Grid,
    structures: Sequence[str],
    planned_dose: Callable[[], Array],
) -> Responses:
    """Gradients of a response at the planned dose, and of mean doses of ``structures``.

    ``planned_dose`` computes the dose (n_voxels,) where a response needs it.

    Raises
    ------
    SettingsError
        If the response is no objective, nor objectives, nor weights of the voxels.
    UnknownNameError, PatientError
        If a structure is unknown or has no voxel.
    """
    means = [_mean_gradient(patient, name, grid) for name in structures]
    wishes = _wishes(response)
    value, objective = None, None
    if wishes is None:
        first = _voxel_weights(response, grid)
    elif all(isinstance(w.objective, MeanDose) and w.objective.dose == 0 for w in wishes):
        parts = [w.objective.weight * _mean_gradient(patient, w.structure, grid) for w in wishes]
        first = np.sum(parts, axis=0)
    else:
        places = [np.flatnonzero(patient.mask(w.structure, grid).ravel()) for w in wishes]
        pairs = zip((w.objective for w in wishes), places, strict=True)
        objective = PlannedObjective(tuple(pairs), planned_dose())
        value, first = objective.value_and_gradient(objective.dose)
    if not first.any():
        raise PlanError(
            "the response does not depend on the dose of any voxel at the planned dose; choose an "
            "objective that the plan does not meet, or a mean dose."
        )
    return Responses(np.stack([first, *means]), tuple(structures), value, objective)


def _wishes(response: Response) -> list[StructureObjective] | None:
    """Objectives on structures, or None for weights of voxels."""
    if isinstance(response, StructureObjective):
        return [response]
    if isinstance(response, Mapping):
        groups = {n: g if isinstance(g, list | tuple) else [g] for n, g in response.items()}
        pairs = [(name, objective) for name, group in groups.items() for objective in group]
        if not pairs or any(isinstance(o, type) or not hasattr(o, "on") for _, o in pairs):
            return None
        return [objective.on(name) for name, objective in pairs]
    found = list(response) if isinstance(response, list | tuple) else []
    return found if found and all(isinstance(r, StructureObjective) for r in found) else None


def _voxel_weights(response: Response, grid: Grid) -> Array:
    try:
        weights = np.asarray(response, dtype=np.float64)
    except (TypeError, ValueError):
        weights = np.empty(0)
    if weights.shape != grid.shape or not np.isfinite(weights).all():
        raise SettingsError(
            f"{type(response).__name__} is no response; give an objective on a structure such as "
            "obj.MeanDose().on('Brainstem'), several in a list, or a finite weight for each voxel "
            f"of the dose grid, shape {grid.shape}."
        )
    return weights.ravel()


def _mean_gradient(patient: Patient, name: str, grid: Grid) -> Array:
    mask = patient.mask(name, grid).ravel()
    return np.asarray(mask / np.count_nonzero(mask))
