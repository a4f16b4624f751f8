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
from dosegrad.influence.effect_columns import EffectColumns
from dosegrad.influence.phases import Surroundings, surroundings
from dosegrad.influence.scenario_effects import EffectMatrices
from dosegrad.influence.scenario_map import ScenarioMatrices
from dosegrad.influence.scenario_storage import RunLengthMatrix
from dosegrad.influence.scenarios import Scenario, Scenarios
from dosegrad.patient.patient import Patient
from dosegrad.progress import report

__all__ = [
    "compute_scenarios",
    "effect_matrices",
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
    biology: EffectColumns | None = None,
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
    biology
        For a variable RBE: makes the columns of alpha and beta on ``voxels``.

    Raises
    ------
    CapabilityError
        If a scenario is a phase of breathing and the RBE is variable.
    """
    names, rows = robust_rows(patient, grid, voxels, structures)
    made, effects = {}, {}
    for number, case in enumerate(scenarios):
        if not case.is_nominal:
            report("scenarios", number / len(scenarios), f"computing {case.name}")
            place = surroundings(case, patient, grid, engine, medium, voxels[rows])
            if biology is None:
                made[number] = scenario_matrix(beams, engine, place, case)
            else:
                there = biology.at(rows)
                made[number], effects[number] = effect_matrices(beams, engine, place, case, there)
    report("scenarios", 1.0, f"{sum(m.nnz for m in made.values())} values")
    return ScenarioMatrices(scenarios, names, rows, made, engine, effects)


def scenario_matrix(
    beams: Beams, engine: InfluenceEngine, place: Surroundings, scenario: Scenario
) -> RunLengthMatrix:
    """Matrix of one scenario on the voxels that its surroundings were made for."""
    moved = scenario.apply(beams)
    shaken = engine_in(engine, scenario)
    return RunLengthMatrix.joined(
        [one_beam(shaken, place, moved, index) for index in range(len(moved))]
    )


def effect_matrices(
    beams: Beams,
    engine: InfluenceEngine,
    place: Surroundings,
    scenario: Scenario,
    biology: EffectColumns,
) -> tuple[RunLengthMatrix, EffectMatrices]:
    """Dose, and alpha and root of beta times dose, of one scenario on the voxels of ``place``.

    Raises
    ------
    CapabilityError
        If the scenario is a phase, whose tissues are elsewhere.
    """
    if place.shares is not None or scenario.phase is not None:
        raise CapabilityError(
            f"scenario {scenario.name!r} is a phase, for which a variable RBE is not known: its "
            "tissues lie elsewhere. Use rbe.ConstantRBE with phases."
        )
    moved, shaken = scenario.apply(beams), engine_in(engine, scenario)
    names = ("dose", "alpha_dose", "sqrt_beta_dose")
    parts: dict[str, list[RunLengthMatrix]] = {name: [] for name in names}
    for index in range(len(moved)):
        made = biology.of_beam(shaken, place.medium, moved, index, place.voxels)
        starts, rows, values = made
        for name in names:
            matrix = RunLengthMatrix.from_columns(starts, rows, values[name], place.voxels.size)
            parts[name].append(matrix)
    dose, alpha, root = (RunLengthMatrix.joined(parts[name]) for name in names)
    return dose, EffectMatrices(alpha, root)


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
