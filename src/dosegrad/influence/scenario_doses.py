"""The dose of weights in every scenario, on all voxels of an influence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array
from dosegrad.beams.beam import Beams
from dosegrad.dose import Dose
from dosegrad.engines.protocols import ForwardEngine
from dosegrad.errors import PlanError
from dosegrad.executor import Serial
from dosegrad.influence.build import prepare_medium
from dosegrad.influence.effect_columns import EffectColumns
from dosegrad.influence.matrix import Influence
from dosegrad.influence.phases import Surroundings, surroundings
from dosegrad.influence.scenario_build import engine_in
from dosegrad.influence.scenarios import Scenario
from dosegrad.influence.shards import HeldScenarios, ScenarioShards

__all__ = ["scenario_doses", "scenario_rbe_doses"]


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
    if isinstance(held.engine, ForwardEngine):
        rows = _computed(influence, held, factors)
    else:
        rows = _in_matrices(influence, held, factors)
    planned = nominal.array.ravel()[influence.voxels]
    return tuple(
        influence.on_grid(planned if case.is_nominal else dose, scenario=case.name)
        for case, dose in zip(held.scenarios, rows, strict=True)
    )


def scenario_rbe_doses(
    influence: Influence, weights: ArrayLike, fractions: int
) -> tuple[Dose, ...]:
    """RBE-weighted dose of ``weights`` (n_columns,) by a variable RBE in each scenario.

    Computed anew on all voxels of the influence, holding the columns of one beam at a time.

    Raises
    ------
    PlanError
        If the influence has no scenarios, no RBE model or no tissues.
    """
    held, tissue, model = influence.scenarios, influence.tissue, influence.rbe
    if held is None or tissue is None or model is None:
        raise PlanError(
            "this influence holds no scenarios with a variable RBE; compute it with rbe= and "
            "scenarios=."
        )
    factors = np.asarray(weights, dtype=float)
    nominal = influence.dose(factors, quantity="rbe_dose", fractions=fractions)
    medium = prepare_medium(influence.patient, influence.grid, held.engine)
    columns, voxels = EffectColumns(model, tissue), influence.voxels
    found = []
    for case in held.scenarios:
        if case.is_nominal:
            rows = nominal.array.ravel()[voxels]
        else:
            moved, shaken = case.apply(influence.beams), engine_in(held.engine, case)
            rows = columns.forward(shaken, medium, moved, factors, voxels, fractions)
        found.append(influence.on_grid(rows, quantity="rbe_dose", scenario=case.name))
    return tuple(found)


def _computed(influence: Influence, held: HeldScenarios, weights: Array) -> list[Array]:
    """Dose (n_voxels,) of each scenario by the engine; empty for the nominal one."""
    medium = prepare_medium(influence.patient, influence.grid, held.engine)
    executor = held.executor if isinstance(held, ScenarioShards) else Serial()
    given = (influence.patient, influence.grid, held.engine, medium, influence.voxels)
    tasks = [
        (case, surroundings(case, *given) if case.phase is not None else None)
        for case in held.scenarios
        if not case.is_nominal
    ]
    shared = (held.engine, medium, influence.beams, weights, influence.voxels)
    found = iter(executor.map(_dose_in, tasks, *shared, stage="scenario doses"))
    return [np.empty(0) if case.is_nominal else next(found) for case in held.scenarios]


def _dose_in(
    task: tuple[Scenario, Surroundings | None],
    engine: ForwardEngine,
    medium: Any,
    beams: Beams,
    weights: Array,
    voxels: Any,
) -> Array:
    case, phase = task
    place = phase or Surroundings(medium, voxels, None)
    shaken: ForwardEngine = engine_in(engine, case)
    return place.gather(shaken.forward(place.medium, case.apply(beams), weights, place.voxels))


def _in_matrices(influence: Influence, held: HeldScenarios, weights: Array) -> list[Array]:
    """Dose (n_voxels,) of each scenario, where its matrix has rows; empty for the nominal one."""
    found = []
    for number, case in enumerate(held.scenarios):
        rows = np.full(0 if case.is_nominal else influence.voxels.size, np.nan)
        if not case.is_nominal:
            rows[held.rows] = held.forward(number, weights)
        found.append(rows)
    return found
