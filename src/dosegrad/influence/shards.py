"""Influence built by tasks: one for each beam, and for each beam in each scenario.

The nominal matrix comes back to this process, where everything that looks at the plan itself needs
it. Scenario matrices stay where they are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, Float32Array, IntArray, readonly
from dosegrad.beams.beam import Beams
from dosegrad.engines.protocols import BeamColumns, InfluenceEngine
from dosegrad.errors import CapabilityError
from dosegrad.executor import Executor, Serial, Shards
from dosegrad.geometry.grid import Grid
from dosegrad.influence.effect_columns import EffectColumns
from dosegrad.influence.phases import Surroundings, surroundings
from dosegrad.influence.scenario_build import (
    compute_scenarios,
    engine_in,
    one_beam,
    robust_rows,
)
from dosegrad.influence.scenario_map import ScenarioMatrices, find_places
from dosegrad.influence.scenario_storage import RunLengthMatrix
from dosegrad.influence.scenarios import Scenario, Scenarios
from dosegrad.patient.patient import Patient
from dosegrad.progress import report

__all__ = ["HeldScenarios", "ScenarioShards", "build_columns", "build_scenarios"]


@dataclass(frozen=True, slots=True, eq=False)
class ScenarioShards:
    """Matrices of all scenarios on the rows of some structures, each in some worker's memory.

    Parameters
    ----------
    scenarios, structures, rows, engine
        As of :class:`~dosegrad.influence.scenario_map.ScenarioMatrices`.
    numbers
        Number of the scenario of each shard; the nominal one has none.
    shards
        The matrices.
    executor
        Where they are.
    nnz, n_bytes
        Numbers of values and of bytes held.
    """

    scenarios: Scenarios
    structures: tuple[str, ...]
    rows: IntArray
    engine: object
    numbers: tuple[int, ...]
    shards: Shards
    executor: Executor
    nnz: int
    n_bytes: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", readonly(self.rows, np.int64))

    def __repr__(self) -> str:
        return (
            f"ScenarioShards({len(self.scenarios)} scenarios × {self.rows.size} voxels, "
            f"{self.nnz} non-zeros, {self.n_bytes / 1e6:.0f} MB, {self.executor!r})"
        )

    def places(self, rows: IntArray) -> IntArray:
        """Rows of the matrices (n,) for ``rows`` (n,), ascending, of the influence.

        Raises
        ------
        PlanError
            If the matrices lack one of them.
        """
        return find_places(self.rows, rows, self.structures)

    def forward(self, number: int, weights: Array) -> Array:
        """Dose (n_rows,), Gy, of ``weights`` (n_columns,) in a scenario by its number."""
        place = self.numbers.index(number)
        dose: Array = self.shards.begin(_forward, {place: weights})()[0]
        return dose


#: Matrices of scenarios, in this process or elsewhere.
HeldScenarios: TypeAlias = ScenarioMatrices | ScenarioShards


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """Columns of one beam that were computed elsewhere."""

    counts: NDArray[np.int64]
    rows: NDArray[np.int32]
    values: Mapping[str, Float32Array]

    def count(self) -> NDArray[np.int64]:
        return self.counts

    def fill(
        self,
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        values: Mapping[str, Float32Array],
    ) -> None:
        mine = slice(int(indptr[0]), int(indptr[0]) + self.rows.size)
        indices[mine] = self.rows
        for name, out in values.items():
            out[mine] = self.values[name]


def build_columns(
    executor: Executor,
    engine: InfluenceEngine,
    medium: Any,
    beams: Beams,
    rows: IntArray,
    quantities: Sequence[str],
) -> list[BeamColumns]:
    """Columns of every beam, ready to be counted and filled in; tasks are by beam.

    Parameters
    ----------
    executor
        Where to compute them; in this process they are only prepared, and filled in place.
    engine, medium, beams, rows
        As in :func:`dosegrad.compute_influence`.
    quantities
        Names of what is computed.
    """
    if isinstance(executor, Serial):
        parts = []
        for index in range(len(beams)):
            report("influence", 0.0, f"tracing beam {index + 1} of {len(beams)}")
            parts.append(engine.prepare(medium, beams, index, rows))
        return parts
    shared = (engine, medium, beams, rows, tuple(quantities))
    return executor.map(_columns_of_beam, range(len(beams)), *shared, stage="influence")


def build_scenarios(
    executor: Executor,
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
) -> HeldScenarios:
    """Matrices of all scenarios but the nominal one, here or spread over a cluster.

    Parameters
    ----------
    executor
        Where to compute and keep them; tasks are by scenario and beam.
    patient, beams, engine, medium, grid, voxels, scenarios, structures, biology
        As in :func:`~dosegrad.influence.scenario_build.compute_scenarios`.

    Raises
    ------
    CapabilityError
        If columns of alpha and beta are asked for on a cluster.
    """
    numbers = tuple(k for k, case in enumerate(scenarios) if not case.is_nominal)
    if isinstance(executor, Serial) or not numbers:
        return compute_scenarios(
            *(patient, beams, engine, medium, grid, voxels),
            scenarios=scenarios,
            structures=structures,
            biology=biology,
        )
    if biology is not None:
        raise CapabilityError(
            "scenarios with a variable RBE are computed in one process; leave out cluster=, or "
            "plan with rbe.ConstantRBE."
        )
    names, rows = robust_rows(patient, grid, voxels, structures)
    n_beams = len(beams)
    places = {
        k: surroundings(scenarios[k], patient, grid, engine, medium, voxels[rows])
        if scenarios[k].phase is not None
        else None
        for k in numbers
    }
    tasks = [(scenarios[k], index, places[k]) for k in numbers for index in range(n_beams)]
    report("scenarios", 0.0, f"{len(tasks)} tasks")
    parts = executor.hold(_matrix_of_beam, tasks, engine, medium, beams, voxels[rows])
    members = [range(k * n_beams, (k + 1) * n_beams) for k in range(len(numbers))]
    shards = parts.join(RunLengthMatrix.joined, members)
    sizes = shards.begin(_size, dict.fromkeys(range(len(numbers))))()
    report("scenarios", 1.0, f"{sum(n for n, _ in sizes)} values")
    return ScenarioShards(
        *(scenarios, names, rows, engine, numbers, shards, executor),
        nnz=sum(n for n, _ in sizes),
        n_bytes=sum(n for _, n in sizes),
    )


def _columns_of_beam(
    index: int,
    engine: InfluenceEngine,
    medium: Any,
    beams: Beams,
    rows: IntArray,
    quantities: tuple[str, ...],
) -> BeamColumns:
    columns = engine.prepare(medium, beams, index, rows)
    counts = columns.count()
    indptr: NDArray[np.int64] = np.concatenate([[0], np.cumsum(counts)])
    n = int(indptr[-1])
    indices = np.empty(n, dtype=np.int32)
    values = {name: np.empty(n, dtype=np.float32) for name in quantities}
    columns.fill(indptr[:-1], indices, values)
    return _Made(counts, indices, values)


def _matrix_of_beam(
    task: tuple[Scenario, int, Surroundings | None],
    engine: InfluenceEngine,
    medium: Any,
    beams: Beams,
    voxels: NDArray[np.int64],
) -> RunLengthMatrix:
    case, index, phase = task
    place = phase or Surroundings(medium, voxels, None)
    return one_beam(engine_in(engine, case), place, case.apply(beams), index)


def _size(matrix: RunLengthMatrix, _: None) -> tuple[int, int]:
    return matrix.nnz, matrix.n_bytes


def _forward(matrix: RunLengthMatrix, weights: Array) -> Array:
    return matrix.forward(weights)
