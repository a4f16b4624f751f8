"""Responses: numbers that doses give, as gradients over voxels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from dosegrad.arrays import Array, Volume
from dosegrad.errors import PlanError, SettingsError
from dosegrad.geometry.grid import Grid
from dosegrad.objectives.mean import MeanDose
from dosegrad.objectives.structure_objective import StructureObjective
from dosegrad.patient.patient import Patient

__all__ = ["Response", "Responses", "make_responses"]

#: What a change is asked of: an objective on a structure; several, or a mapping as the optimiser
#: takes it, whose weighted sum counts; or a weight for the dose of every voxel (z, y, x).
Response: TypeAlias = StructureObjective | Sequence[StructureObjective] | Mapping[str, Any] | Volume


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
    is_linear
        Whether the response is linear in dose, so that the gradient tells all.
    """

    gradients: Array
    structures: tuple[str, ...]
    value: float | None
    is_linear: bool


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
    if wishes is None:
        first, value, linear = _voxel_weights(response, grid), None, True
    elif all(isinstance(w.objective, MeanDose) and w.objective.dose == 0 for w in wishes):
        parts = [w.objective.weight * _mean_gradient(patient, w.structure, grid) for w in wishes]
        first, value, linear = np.sum(parts, axis=0), None, True
    else:
        value, first = _objective_gradient(patient, wishes, grid, planned_dose())
        linear = False
    if not first.any():
        raise PlanError(
            "the response does not depend on the dose of any voxel at the planned dose; choose an "
            "objective that the plan does not meet, or a mean dose."
        )
    return Responses(np.stack([first, *means]), tuple(structures), value, linear)


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


def _objective_gradient(
    patient: Patient, wishes: Sequence[StructureObjective], grid: Grid, dose: Array
) -> tuple[float, Array]:
    """Weighted sum of objectives and its gradient (n_voxels,) at ``dose`` (n_voxels,)."""
    total, gradient = 0.0, np.zeros(grid.n_voxels)
    for wish in wishes:
        inside = np.flatnonzero(patient.mask(wish.structure, grid).ravel())
        share = np.full(inside.size, 1.0 / inside.size)
        value, slope = wish.objective.value_and_gradient(dose[inside], share)
        total += wish.objective.weight * value
        gradient[inside] += wish.objective.weight * slope
    return total, gradient
