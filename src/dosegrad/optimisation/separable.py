"""Objectives that are sums over voxels of a piecewise quadratic function, ready for descent.

Squared deviations, over- and underdoses give every voxel a slope that is a sum of ramps of its
dose; mean doses give every column a price. Voxels that share their objectives form a class. Limits
on mean tails join in as ramps that move, see :mod:`dosegrad.optimisation.descent`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.errors import PlanError
from dosegrad.influence.products import multiply_transposed
from dosegrad.objectives.mean import MeanDose
from dosegrad.objectives.protocols import Objective
from dosegrad.objectives.squared import SquaredDeviation, SquaredOverdose, SquaredUnderdose
from dosegrad.optimisation.problem import Term

__all__ = [
    "Columns",
    "SeparableObjective",
    "SeparableTerms",
    "is_separable",
    "join_terms",
    "mean_column",
]

_SQUARED: Final = (SquaredDeviation, SquaredOverdose, SquaredUnderdose)
#: Classes of voxels are numbered by one byte.
_MOST_CLASSES: Final = 255
#: The objectives of a voxel are told by the bits of one number.
_MOST_GROUPS: Final = 63
_NO_ROWS: Final = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Some rows of an influence matrix, column by column.

    Parameters
    ----------
    indptr
        Start of each column, int64, shape (n_columns + 1,).
    rows
        Row numbers, uint32.
    values
        Matrix values, float32.
    n_rows
        Number of rows.
    """

    indptr: IntArray
    rows: NDArray[np.uint32]
    values: NDArray[np.float32]
    n_rows: int

    @classmethod
    def of(cls, matrix: csc_array, picked: IntArray) -> Columns:
        """The ``picked`` rows (ascending) of ``matrix``, float32 with int32 rows."""
        from dosegrad.optimisation.solvers._coordinate_kernels import take_rows

        indptr = matrix.indptr.astype(np.int64)
        if picked.size == matrix.shape[0]:
            return cls(indptr, matrix.indices.view(np.uint32), matrix.data, picked.size)
        place = np.full(matrix.shape[0], -1, dtype=np.int64)
        place[picked] = np.arange(picked.size)
        starts = np.zeros(indptr.size, dtype=np.int64)
        none = (np.empty(0, np.uint32), np.empty(0, np.float32))
        take_rows(indptr, matrix.indices, matrix.data, place, starts, *none)
        rows, values = np.empty(starts[-1], np.uint32), np.empty(starts[-1], np.float32)
        if rows.size:
            take_rows(indptr, matrix.indices, matrix.data, place, starts, rows, values)
        return cls(starts, rows, values, picked.size)

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return self.indptr.size - 1

    def as_matrix(self) -> csc_array:
        """The same as a matrix that shares its arrays."""
        parts = (self.values, self.rows.view(np.int32), self.indptr)
        return csc_array(parts, shape=(self.n_rows, self.n_columns))


@dataclass(frozen=True, slots=True, eq=False)
class SeparableObjective:
    """A weighted sum of objectives as ramps of the voxels and prices of the columns.

    Parameters
    ----------
    columns
        The rows that the objectives and limits are about.
    classes
        Class (n_rows,) of each row.
    starts
        First ramp of each class, and the end.
    ramps
        Low, high, slope and offset (n_ramps, 4) of each ramp.
    owners
        Number of the term (n_ramps,) that each ramp belongs to; moving ramps come after the terms.
    constant
        What the potential of the ramps lacks to the objective.
    prices
        Derivative (n_columns,) of the part that is linear in the weights.
    """

    columns: Columns
    classes: NDArray[np.uint8]
    starts: IntArray
    ramps: Array
    owners: IntArray
    constant: float
    prices: Array


@dataclass(frozen=True, slots=True, eq=False)
class SeparableTerms:
    """Objectives that can be weighted anew at no cost.

    Parameters
    ----------
    unit
        Their sum with all weights 1; prices are 0.
    picked
        Rows (n_rows,) of the matrix that ``unit`` has.
    constants
        Of each term (n_terms,).
    mean_columns
        Mean dose per unit weight (n_columns,) of each term about the mean dose, by its number.
    """

    unit: SeparableObjective
    picked: IntArray
    constants: Array
    mean_columns: Mapping[int, Array]

    @property
    def n_terms(self) -> int:
        """Number of objectives; the first moving ramp has this number."""
        return int(self.constants.size)

    def weighted(self, weights: Sequence[float] | Array) -> SeparableObjective:
        """The sum with the given ``weights`` (n_terms,)."""
        factors = np.asarray(weights, dtype=float)
        ramps = self.unit.ramps.copy()
        fixed = self.unit.owners < self.n_terms
        ramps[fixed, 2:] *= factors[self.unit.owners[fixed], None]
        prices = np.zeros(self.unit.columns.n_columns)
        for number, column in self.mean_columns.items():
            prices += factors[number] * column
        constant = float(factors @ self.constants)
        return replace(self.unit, ramps=ramps, prices=prices, constant=constant)


def is_separable(objective: Objective) -> bool:
    """Whether an objective has ramps or a price."""
    if isinstance(objective, MeanDose):
        return objective.dose == 0.0
    return isinstance(objective, _SQUARED)


def join_terms(
    matrix: csc_array,
    terms: Sequence[Term],
    moving: Sequence[IntArray] = (),
    *,
    followed: BoolArray | None = None,
) -> SeparableTerms:
    """The ``terms``, all separable, on the rows of ``matrix`` that they need.

    ``moving`` holds the rows of further ramps, which are filled in later. Weights of the
    objectives are not looked at. Rows that are not ``followed`` (n_rows,) are left out; they must
    have no effect.
    """
    groups = [
        _NO_ROWS if isinstance(t.objective, MeanDose) else _among(t.rows, followed) for t in terms
    ]
    groups.extend(moving)
    picked = np.unique(np.concatenate([_NO_ROWS, *groups]))
    codes = np.zeros(picked.size, dtype=np.uint64)
    for number, rows in enumerate(groups):
        codes[np.searchsorted(picked, rows)] |= np.uint64(1) << np.uint64(number)
    kinds, classes = np.unique(codes, return_inverse=True)
    if kinds.size > _MOST_CLASSES or len(groups) > _MOST_GROUPS:
        raise PlanError(
            f"{len(groups)} objectives in {kinds.size} combinations are too many for coordinate "
            "descent; use solver='l-bfgs-b'."
        )
    ramps, owners, starts = [], [], [0]
    for code in kinds:
        for number in range(len(groups)):
            if int(code) >> number & 1:
                ramps.append(_ramp(terms[number]) if number < len(terms) else (0.0,) * 4)
                owners.append(number)
        starts.append(len(ramps))
    unit = SeparableObjective(
        Columns.of(matrix, picked),
        classes.ravel().astype(np.uint8),
        np.array(starts, dtype=np.int64),
        np.array(ramps, dtype=float).reshape(-1, 4),
        np.array(owners, dtype=np.int64),
        0.0,
        np.zeros(matrix.shape[1]),
    )
    means = {k: t for k, t in enumerate(terms) if isinstance(t.objective, MeanDose)}
    constants = [
        0.0 if k in means else _dose(t) ** 2 * groups[k].size / t.rows.size
        for k, t in enumerate(terms)
    ]
    columns = {k: mean_column(matrix, t.rows) for k, t in means.items()}
    return SeparableTerms(unit, picked, np.array(constants), columns)


def _among(rows: IntArray, followed: BoolArray | None) -> IntArray:
    return rows if followed is None else rows[followed[rows]]


def mean_column(matrix: csc_array, rows: IntArray) -> Array:
    """Mean dose (n_columns,), Gy per unit weight, over some rows of ``matrix``."""
    share = np.zeros(matrix.shape[0])
    share[rows] = 1.0 / rows.size
    return multiply_transposed(matrix, share)


def _ramp(term: Term) -> tuple[float, float, float, float]:
    """Low, high, slope and offset of the derivative of a squared objective in one voxel."""
    slope, dose = 2.0 / term.rows.size, _dose(term)
    low = dose if isinstance(term.objective, SquaredOverdose) else -np.inf
    high = dose if isinstance(term.objective, SquaredUnderdose) else np.inf
    return low, high, slope, -slope * dose


def _dose(term: Term) -> float:
    objective: Any = term.objective
    return float(objective.dose)
