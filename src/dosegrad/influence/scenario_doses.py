"""The dose of weights in every scenario, on all voxels of an influence."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array
from dosegrad.dose import Dose
from dosegrad.engines.protocols import ForwardEngine
from dosegrad.errors import PlanError
from dosegrad.influence.build import prepare_medium
from dosegrad.influence.matrix import Influence
from dosegrad.influence.scenario_build import engine_in
from dosegrad.progress import report

__all__ = ["scenario_doses"]


def scenario_doses(influence: Influence, weights: ArrayLike) -> tuple[Dose, ...]:
    """Dose of ``weights`` (n_columns,) in each scenario of an influence, in their order.

    It is computed without the matrices, on all voxels of the influence, so that structures
    outside their rows have it too. If the engine computes none without a matrix, voxels without a
    row in the scenario matrices have no dose (NaN).

    Raises
    ------
    PlanError
        If the influence was computed without scenarios.
    """
    held = influence.scenarios
    if held is None:
        raise PlanError(
            "this influence holds no scenarios; compute it with "
            "compute_influence(..., scenarios=Scenarios.worst_case(...))."
        )
    factors = np.asarray(weights, dtype=float)
    nominal = influence.dose(factors)
    can_forward = isinstance(held.engine, ForwardEngine)
    medium = prepare_medium(influence.patient, influence.grid, held.engine) if can_forward else None
    doses = []
    for number, case in enumerate(held.scenarios):
        report("scenario doses", number / len(held.scenarios), case.name)
        if case.is_nominal:
            rows: Array = nominal.array.ravel()[influence.voxels]
        elif can_forward:
            engine, beams = engine_in(held.engine, case), case.apply(influence.beams)
            rows = engine.forward(medium, beams, factors, influence.voxels)
        else:
            rows = np.full(influence.voxels.size, np.nan)
            rows[held.rows] = held.matrices[number].forward(factors)
        doses.append(influence.on_grid(rows, scenario=case.name))
    return tuple(doses)
