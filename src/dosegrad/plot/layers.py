"""What the energy layers of a plan do: their weights, and their dose along one field's axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from dosegrad.arrays import Array, BoolArray, Mask
from dosegrad.beams.beam import Beams
from dosegrad.dose import Dose
from dosegrad.errors import PlanError
from dosegrad.geometry.grid import Grid
from dosegrad.influence.build import compute_influence, resolve_engine
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan

__all__ = ["AxisDoses", "axis_doses", "layer_weights"]

#: Distance of the points along the axis, mm.
_STEP = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class AxisDoses:
    """Dose along the central axis of one field, layer by layer.

    Parameters
    ----------
    depths
        Geometric depth of the points below the skin, mm, (n,).
    energies
        Of the layers, MeV or MeV/u, ascending, (k,).
    layers
        Dose of each layer when all its spots have weight 1, Gy, (k, n).
    in_plan
        Dose of the field with the weights of the plan, Gy, (n,).
    all_fields
        Dose of the whole plan, Gy, (n,).
    in_target
        Which points are inside the target, bool (n,).
    """

    depths: Array
    energies: Array
    layers: Array
    in_plan: Array
    all_fields: Array
    in_target: BoolArray

    def flat_weights(self) -> Array:
        """Weights of the layers (k,), none negative, whose dose in the target is nearest to 1 Gy.

        In the sense of least squares, on the points inside the target.
        """
        wanted = np.ones(np.count_nonzero(self.in_target))
        return np.asarray(nnls(self.layers[:, self.in_target].T, wanted)[0])


def layer_weights(plan: Plan, beam: int) -> tuple[Array, Array]:
    """Energies (k,) of a beam's layers, ascending, and the sum of their weights (k,)."""
    part = plan.beams.columns_of(beam)
    energies, layer = np.unique(plan.beams.columns["energy"][part], return_inverse=True)
    weights = np.zeros(energies.size)
    np.add.at(weights, layer.reshape(-1), plan.weights[part])
    return np.asarray(energies, dtype=np.float64), weights


def axis_doses(patient: Patient, plan: Plan, dose: Dose, *, beam: int, target: str) -> AxisDoses:
    """Dose along the axis of the beam with number ``beam``, computed anew for each layer.

    The grid is twice as fine as that of ``dose``, so that peaks keep their shape; only voxels
    beside the axis are computed, with the pencil beam.

    Raises
    ------
    PlanError
        If the axis of the beam misses the patient or the target.
    """
    finer = dose.grid.with_spacing(_halved(dose.grid))
    points = _axis_points(patient, plan.beams, beam)
    field = _only(plan.beams, beam)
    mask = _beside(finer, points)
    influence = compute_influence(
        patient, field, engine=resolve_engine("pencil-beam"), grid=finer, voxels=mask
    )
    weights = plan.weights[plan.beams.columns_of(beam)]
    energies, layer = np.unique(field.columns["energy"], return_inverse=True)
    layers = np.array(
        [
            influence.dose((layer.reshape(-1) == k).astype(float)).at(points)
            for k in range(energies.size)
        ]
    )
    depths = _STEP * (np.arange(len(points), dtype=np.float64) + 0.5)
    inside = patient.structure(target).mask(finer)[_nearest(finer, points)]
    if not inside.any():
        raise PlanError(
            f"the axis of the beam at gantry {plan.beams[beam].gantry:g}° misses target "
            f"{target!r}; choose another beam to look at."
        )
    in_plan = influence.dose(weights).at(points)
    return AxisDoses(depths, energies, layers, in_plan, dose.at(points), inside)


def _only(beams: Beams, beam: int) -> Beams:
    """The beam with that number alone."""
    columns = beams.columns[beams.columns_of(beam)].copy()
    columns["beam"] = 0
    columns["ray"] -= columns["ray"].min()
    return Beams(beams.machine, (beams[beam],), columns)


def _axis_points(patient: Patient, beams: Beams, beam: int) -> Array:
    """Points (n, 3) every millimetre along a central axis from skin to skin, mm."""
    grid = patient.ct.grid
    axis = beams[beam]
    reach = float(np.linalg.norm(np.asarray(grid.shape) * np.asarray(grid.spacing)))
    steps = np.arange(-reach, reach, _STEP) + _STEP / 2
    points: Array = np.asarray(axis.isocentre) + steps[:, None] * axis.direction
    index = grid.to_index(points)
    in_grid = ((index > -0.5) & (index < np.asarray(grid.shape) - 0.5)).all(axis=1)
    points = points[in_grid]
    body = np.flatnonzero(patient.body_mask()[_nearest(grid, points)])
    if body.size == 0:
        raise PlanError(
            f"the axis of the beam at gantry {axis.gantry:g}° misses the patient; choose another "
            "beam to look at."
        )
    return points[body[0] : body[-1] + 1]


def _nearest(grid: Grid, points: Array) -> tuple[Array, Array, Array]:
    """Indices of the voxels around ``points`` (n, 3), (z, y, x)."""
    index = np.floor(grid.to_index(points) + 0.5).astype(np.int64)
    z, y, x = np.clip(index, 0, np.asarray(grid.shape) - 1).T
    return z, y, x


def _beside(grid: Grid, points: Array) -> Mask:
    """Voxels (z, y, x) that trilinear interpolation at ``points`` asks for."""
    mask = np.zeros(grid.shape, dtype=bool)
    low = np.floor(grid.to_index(points)).astype(np.int64)
    for corner in np.ndindex(2, 2, 2):
        z, y, x = np.clip(low + corner, 0, np.asarray(grid.shape) - 1).T
        mask[z, y, x] = True
    return mask


def _halved(grid: Grid) -> tuple[float, float, float]:
    z, y, x = grid.spacing
    return z / 2, y / 2, x / 2
