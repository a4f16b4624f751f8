"""Dose in every scenario: the matrices of a set of scenarios, and their dose maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from scipy.sparse import csc_array

from dosegrad.arrays import Array, IntArray, readonly
from dosegrad.errors import PlanError
from dosegrad.influence.dose_map import DoseMap, InfluenceDoseMap, Pullback
from dosegrad.influence.scenario_effects import EffectMatrices, ScenarioRBEMap
from dosegrad.influence.scenario_storage import RunLengthMatrix
from dosegrad.influence.scenarios import Scenarios

__all__ = ["ScenarioDoseMap", "ScenarioMatrices", "find_places"]


@dataclass(frozen=True, slots=True, eq=False)
class ScenarioDoseMap:
    r"""The linear map :math:`d^s = D^s w` of one scenario; its pullback is :math:`D^{sT} g`.

    Parameters
    ----------
    matrix
        Gy per unit weight.
    """

    matrix: RunLengthMatrix

    @property
    def n_variables(self) -> int:
        """Number of columns of the matrix."""
        return self.matrix.shape[1]

    @property
    def n_voxels(self) -> int:
        """Number of rows of the matrix."""
        return self.matrix.n_rows

    def linearise(self, variables: Array) -> tuple[Array, Pullback]:
        """Dose (n_voxels,), Gy, at ``variables`` (n_variables,), and the pullback."""
        return self.matrix.forward(variables), self.matrix.pullback


@dataclass(frozen=True, slots=True, eq=False)
class ScenarioMatrices:
    """Matrices of all scenarios on the rows of some structures.

    Parameters
    ----------
    scenarios
        What may go wrong.
    structures
        Names of the structures that have rows.
    rows
        Positions (n_rows,), ascending, of those rows among the voxels of the influence.
    matrices
        By number of the scenario; the nominal one is the influence matrix itself.
    engine
        Settings of the engine that made them.
    effects
        Alpha and root of beta times dose by number of the scenario, if the RBE is variable.
    """

    scenarios: Scenarios
    structures: tuple[str, ...]
    rows: IntArray
    matrices: Mapping[int, RunLengthMatrix]
    engine: object
    effects: Mapping[int, EffectMatrices] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", readonly(self.rows, np.int64))
        object.__setattr__(self, "matrices", MappingProxyType(dict(self.matrices)))
        object.__setattr__(self, "effects", MappingProxyType(dict(self.effects)))
        for number, case in enumerate(self.scenarios):
            matrix = self.matrices.get(number)
            if (matrix is None) != case.is_nominal:
                raise PlanError(
                    f"scenario {case.name!r} needs {'no' if case.is_nominal else 'a'} matrix of "
                    "its own; build them with compute_influence(..., scenarios=...)."
                )
            if matrix is not None and matrix.n_rows != self.rows.size:
                raise PlanError(
                    f"the matrix of scenario {case.name!r} has {matrix.n_rows} rows instead of "
                    f"{self.rows.size}; build all on the same voxels."
                )

    def __repr__(self) -> str:
        return (
            f"ScenarioMatrices({len(self.scenarios)} scenarios × {self.rows.size} voxels, "
            f"{self.nnz} non-zeros, {self.n_bytes / 1e6:.0f} MB)"
        )

    @property
    def nnz(self) -> int:
        """Number of values held, without the nominal matrix."""
        return sum(m.nnz for m in self.matrices.values())

    @property
    def n_bytes(self) -> int:
        """Bytes of all matrices, without the nominal one."""
        effects = sum(m.n_bytes for m in self.effects.values())
        return effects + sum(m.n_bytes for m in self.matrices.values())

    def forward(self, number: int, weights: Array) -> Array:
        """Dose (n_rows,), Gy, of ``weights`` (n_columns,) in a scenario by its number."""
        return self.matrices[number].forward(weights)

    def maps(self, nominal: csc_array, rows: IntArray) -> tuple[DoseMap, ...]:
        """Dose map of every scenario.

        Parameters
        ----------
        nominal
            The influence matrix.
        rows
            Positions (n,), ascending, among the voxels of the influence.

        Raises
        ------
        PlanError
            If the matrices lack one of the rows.
        """
        places = find_places(self.rows, rows, self.structures)
        return tuple(
            ScenarioDoseMap(self.matrices[k].rows(places))
            if k in self.matrices
            else InfluenceDoseMap.of(nominal, rows)
            for k in range(len(self.scenarios))
        )

    def rbe_maps(
        self, nominal: DoseMap, rows: IntArray, alpha: Array, beta: Array, fractions: int
    ) -> tuple[DoseMap, ...]:
        """Map of RBE-weighted dose of every scenario.

        Parameters
        ----------
        nominal
            That of the plan's own case, on the same rows.
        rows
            Positions (n,), ascending, among the voxels of the influence.
        alpha, beta
            Of photons in these rows (n,), 1/Gy and 1/Gy2.
        fractions
            That the weights are spread over.

        Raises
        ------
        PlanError
            If the matrices lack one of the rows.
        """
        places = find_places(self.rows, rows, self.structures)
        return tuple(
            ScenarioRBEMap(self.effects[k].rows(places), alpha, beta, fractions)
            if k in self.effects
            else nominal
            for k in range(len(self.scenarios))
        )


def find_places(held: IntArray, rows: IntArray, structures: tuple[str, ...]) -> IntArray:
    """Where ``rows`` (n,), ascending, are among the rows ``held``, those of ``structures``.

    Raises
    ------
    PlanError
        If one is not among them.
    """
    places = np.searchsorted(held, rows)
    if not (places < held.size).all() or not np.array_equal(held[places], rows):
        raise PlanError(
            "a robust objective acts on voxels without rows in the scenario matrices (they "
            f"have: {', '.join(structures)}). Name its structure in robust_structures= when the "
            "influence is computed."
        )
    return places
