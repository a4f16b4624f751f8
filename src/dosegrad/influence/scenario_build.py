"""Scenario matrices from an engine, one beam at a time, compressed as soon as they are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from dosegrad.arrays import IntArray
from dosegrad.beams.beam import Beams
from dosegrad.engines.protocols import InfluenceEngine, VariesRange
from dosegrad.errors import CapabilityError, PatientError
from dosegrad.geometry.grid import Grid
from dosegrad.influence.phases import Surroundings, surroundings
from dosegrad.influence.scenario_map import ScenarioMatrices
from dosegrad.influence.scenario_storage import RunLengthMatrix
from dosegrad.influence.scenarios import Scenario, Scenarios
from dosegrad.patient.patient import Patient
from dosegrad.progress import report

__all__ = [
    "compute_scenarios",
    "engine_in",
    "one_beam",
    "robust_names",
    "robust_rows",
    "scenario_matrix",
]


def robust_names(patient: Patient, names: Sequence[str] | None) -> tuple[str, ...]:
    """Structures that get rows in scenario matrices: those named, else targets and organs."""
    if names is None:
        found = [n for n, s in patient.structures.items() if s.role in ("target", "organ")]
        if not found:
            raise PatientError(
                "the patient has neither target nor organ whose dose could be robust; name "
                "structures in robust_structures=."
            )
        return tuple(found)
    wanted = (names,) if isinstance(names, str) else names
    return tuple(dict.fromkeys(patient.structure(name).name for name in wanted))


def robust_rows(
    patient: Patient, grid: Grid, voxels: IntArray, structures: Sequence[str] | None
) -> tuple[tuple[str, ...], IntArray]:
    """Structures with rows in scenario matrices, and these rows (n,) among ``voxels``.

    Raises
    ------
    PatientError
        If none of the voxels lies in them.
    """
    names = robust_names(patient, structures)
    union = np.zeros(grid.shape, dtype=bool)
    for name in names:
        union |= patient.structure(name).mask(grid)
    rows = np.flatnonzero(union.ravel()[voxels])
    if rows.size == 0:
        raise PatientError(
            f"no row of the influence lies in {', '.join(names)}; choose voxels that hold them."
        )
    return names, rows


def engine_in(engine: Any, scenario: Scenario) -> Any:
    """The engine with the range error of a scenario.

    Raises
    ------
    CapabilityError
        If the engine cannot vary ranges.
    """
    if not scenario.range_percent and not scenario.range_mm:
        return engine
    if not isinstance(engine, VariesRange):
        raise CapabilityError(
            f"engine {type(engine).__name__} knows no range errors, as scenario "
            f"{scenario.name!r} asks for; engines that do: pencil-beam."
        )
    return engine.with_range_error(percent=scenario.range_percent, mm=scenario.range_mm)


def compute_scenarios(
    patient: Patient,
    beams: Beams,
    engine: InfluenceEngine,
    medium: Any,
    grid: Grid,
    voxels: IntArray,
    *,
    scenarios: Scenarios,
    structures: Sequence[str] | None,
) -> ScenarioMatrices:
    """Matrices of all scenarios but the nominal one.

    Parameters
    ----------
    patient, beams, engine, medium, grid
        As in :func:`dosegrad.compute_influence`; ``medium`` is the one the engine wants.
    voxels
        Flat indices (n,) into ``grid``, ascending: rows of the nominal matrix.
    scenarios
        What may go wrong.
    structures
        Names of those with rows; ``None`` for targets and organs.
    """
    names, rows = robust_rows(patient, grid, voxels, structures)
    made = {}
    for number, case in enumerate(scenarios):
        if not case.is_nominal:
            report("scenarios", number / len(scenarios), f"computing {case.name}")
            place = surroundings(case, patient, grid, engine, medium, voxels[rows])
            made[number] = scenario_matrix(beams, engine, place, case)
    report("scenarios", 1.0, f"{sum(m.nnz for m in made.values())} values")
    return ScenarioMatrices(scenarios, names, rows, made, engine)


def scenario_matrix(
    beams: Beams, engine: InfluenceEngine, place: Surroundings, scenario: Scenario
) -> RunLengthMatrix:
    """Matrix of one scenario on the voxels that its surroundings were made for."""
    moved = scenario.apply(beams)
    shaken = engine_in(engine, scenario)
    return RunLengthMatrix.joined(
        [one_beam(shaken, place, moved, index) for index in range(len(moved))]
    )


def one_beam(
    engine: InfluenceEngine, place: Surroundings, beams: Beams, index: int
) -> RunLengthMatrix:
    """Columns of one beam, compressed."""
    columns = engine.prepare(place.medium, beams, index, place.voxels)
    indptr: NDArray[np.int64] = np.concatenate([[0], np.cumsum(columns.count())])
    rows = np.empty(int(indptr[-1]), dtype=np.int32)
    values = np.empty(rows.size, dtype=np.float32)
    columns.fill(indptr[:-1], rows, {"dose": values})
    if place.shares is None:
        return RunLengthMatrix.from_columns(indptr, rows, values, place.voxels.size)
    computed = csc_array((values, rows, indptr), shape=(place.voxels.size, indptr.size - 1))
    gathered = (place.shares.astype(np.float32) @ computed).tocsc()
    gathered.sort_indices()
    return RunLengthMatrix.of(gathered)
