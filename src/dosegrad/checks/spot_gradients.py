"""Changes of mean doses by the derivatives of the dose by positions and weights of spots."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dosegrad.checks.dose_comparison import BeamChange
from dosegrad.checks.spot_deviations import SpotDeviations, beam_numbers, delivered_weights
from dosegrad.engines.pencil_beam.engine import PencilBeam
from dosegrad.geometry.grid import Grid
from dosegrad.influence.build import choose_voxels, prepare_medium
from dosegrad.influence.spot_map import SpotDoseMap
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan

__all__ = ["with_predictions"]


def with_predictions(
    beams: tuple[BeamChange, ...],
    patient: Patient,
    plan: Plan,
    spots: SpotDeviations,
    *,
    engine: PencilBeam,
    grid: Grid,
) -> tuple[BeamChange, ...]:
    r"""The changes of each beam, with those that derivatives predict for targets and organs.

    .. math::
        \Delta \bar D_s = \sum_i \frac{\partial \bar D_s}{\partial w_i} \Delta w_i
        + \frac{\partial \bar D_s}{\partial x_i} \Delta x_i
        + \frac{\partial \bar D_s}{\partial y_i} \Delta y_i

    with derivatives half-way between planned and delivered spots, so that what is left out is of
    third order. One pullback for each structure serves all beams. Spots that were not planned are
    left out.

    Parameters
    ----------
    beams
        As recomputed.
    patient, plan, spots
        Who was treated, how, and with what deviations.
    engine
        Whose model of the dose is differentiated.
    grid
        Dose grid.
    """
    names = [
        name for name, each in patient.structures.items()
        if each.role != "external" and each.mask(grid).any()
    ]  # fmt: skip
    if not names:
        return beams
    voxels = choose_voxels(patient, grid, names)
    medium: Any = prepare_medium(patient, grid, engine)
    columns = plan.beams.columns
    furthest = float(np.abs(spots.mean_shifts).max(initial=0.0))
    dose_map = SpotDoseMap.of(medium, plan.beams, voxels, engine=engine, max_shift=furthest)
    planned = np.concatenate([plan.weights, columns["x"], columns["y"]])
    steps = np.concatenate([delivered_weights(plan, spots) - plan.weights, *spots.mean_shifts.T])
    _, pullback = dose_map.linearise(planned + 0.5 * steps)
    numbers = np.asarray(beam_numbers(plan))
    by_structure = {}
    for name in names:
        inside = patient.structures[name].mask(grid).ravel()[voxels]
        parts = (pullback(inside / np.count_nonzero(inside)) * steps).reshape(3, -1).sum(axis=0)
        by_structure[name] = np.bincount(columns["beam"], weights=parts, minlength=len(plan.beams))
    return tuple(
        replace(
            each,
            predicted={n: float(v[numbers == each.number].sum()) for n, v in by_structure.items()},
        )
        for each in beams
    )
