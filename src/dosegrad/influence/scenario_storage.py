"""Influence matrices in a third of the room: runs of rows, and values of 16 bits.

Rows of neighbouring voxels follow one another, so a column is a list of runs: a first row of four
bytes and a length of one. Values are whole numbers from 0 to 65535 in units of the column's
largest value, which rounds them by at most 7.6e-6 of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from dosegrad.arrays import Array, Float32Array, IntArray
from dosegrad.errors import PlanError

__all__ = ["RunLengthMatrix"]

#: Largest value of 16 bits.
_TOP: Final = 65535
#: Blocks of columns that a product sums apart; fixed, so that results do not depend on the number
#: of threads.
_BLOCKS: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class RunLengthMatrix:
    """A column-compressed matrix in runs of rows, with products.

    Parameters
    ----------
    n_rows
        Number of rows.
    run_starts, value_starts
        First run and first value of each column, int64, (n_columns + 1,).
    firsts, lengths
        First row, int32, and number of rows, uint8, of each run.
    data
        Values in units of ``unit``, uint16.
    unit
        Of each column, Gy per unit weight, (n_columns,).
    """

    n_rows: int
    run_starts: NDArray[np.int64]
    value_starts: NDArray[np.int64]
    firsts: NDArray[np.int32]
    lengths: NDArray[np.uint8]
    data: NDArray[np.uint16]
    unit: Array

    @classmethod
    def of(cls, matrix: csc_array) -> RunLengthMatrix:
        """The matrix, whose values are not negative and whose rows are sorted."""
        return cls.from_columns(matrix.indptr, matrix.indices, matrix.data, int(matrix.shape[0]))

    @classmethod
    def from_columns(
        cls, indptr: IntArray, rows: IntArray, values: Float32Array, n_rows: int
    ) -> RunLengthMatrix:
        """The matrix with the columns of these column-compressed arrays."""
        kernels = _kernels()
        starts = np.ascontiguousarray(indptr, dtype=np.int64)
        source = (
            starts,
            np.ascontiguousarray(rows, dtype=np.int32),
            np.ascontiguousarray(values, dtype=np.float32),
        )
        if values.size and not (np.isfinite(values).all() and values.min() >= 0):
            raise PlanError(
                "an influence matrix holds values that are negative or not finite; check the "
                "machine's data."
            )
        n = starts.size - 1
        n_runs, largest = np.empty(n, dtype=np.int64), np.empty(n)
        kernels.count_runs(*source, n_runs, largest)
        run_starts, made = _room(n_runs, int(starts[-1]))
        unit = largest / _TOP
        per_unit = np.divide(1.0, unit, out=np.zeros(n), where=unit > 0)
        kernels.encode(*source, per_unit, run_starts, starts, *made)
        return cls(n_rows, run_starts, starts.copy(), *made, unit)

    @classmethod
    def joined(cls, parts: Sequence[RunLengthMatrix]) -> RunLengthMatrix:
        """One matrix of the columns of all ``parts``, in their order."""
        if len(parts) == 1:
            return parts[0]

        def end_to_end(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(part, name) for part in parts])

        def starts(name: str) -> NDArray[np.int64]:
            sizes = [np.diff(getattr(part, name)) for part in parts]
            return np.concatenate([[0], np.cumsum(np.concatenate(sizes))]).astype(np.int64)

        return cls(
            parts[0].n_rows,
            starts("run_starts"),
            starts("value_starts"),
            *(end_to_end(name) for name in ("firsts", "lengths", "data", "unit")),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return self.n_rows, self.unit.size

    @property
    def nnz(self) -> int:
        """Number of values held."""
        return self.data.size

    @property
    def n_bytes(self) -> int:
        """Bytes of all arrays."""
        parts = (self.run_starts, self.value_starts, self.firsts, self.lengths, self.data)
        return sum(int(a.nbytes) for a in (*parts, self.unit))

    def rows(self, picked: IntArray) -> RunLengthMatrix:
        """The matrix of these rows (ascending), with the same units."""
        place = np.full(self.n_rows, -1, dtype=np.int64)
        place[picked] = np.arange(len(picked))
        n = self.unit.size
        n_runs, n_values = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        runs = (self.firsts, self.lengths)
        _kernels().count_kept(self.run_starts, *runs, place, n_runs, n_values)
        starts = np.concatenate([[0], np.cumsum(n_values)]).astype(np.int64)
        run_starts, made = _room(n_runs, int(starts[-1]))
        _kernels().keep(*self._runs(), place, run_starts, starts, *made)
        return RunLengthMatrix(len(picked), run_starts, starts, *made, self.unit)

    def forward(self, x: Array) -> Array:
        """Matrix times ``x`` (n_columns,), shape (n_rows,)."""
        factors = _vector(x, self.unit.size) * self.unit
        partial = np.empty((_BLOCKS, self.n_rows))
        _kernels().forward(*self._runs(), factors, self._edges(factors), partial)
        product: Array = partial.sum(axis=0)
        return product

    def pullback(self, g: Array) -> Array:
        """Transposed matrix times ``g`` (n_rows,), shape (n_columns,)."""
        out = np.empty(self.unit.size)
        _kernels().pullback(*self._runs(), _vector(g, self.n_rows), out)
        return out * self.unit

    def to_csc(self) -> csc_array:
        """The matrix as float64 in SciPy's form."""
        starts = np.repeat(self.firsts.astype(np.int64), self.lengths)
        ends = np.cumsum(self.lengths, dtype=np.int64)
        within = np.arange(self.data.size) - np.repeat(ends - self.lengths, self.lengths)
        values = self.data * np.repeat(self.unit, np.diff(self.value_starts))
        return csc_array((values, starts + within, self.value_starts), shape=self.shape)

    def _runs(self) -> tuple[Any, ...]:
        return self.run_starts, self.value_starts, self.firsts, self.lengths, self.data

    def _edges(self, factors: Array) -> NDArray[np.int64]:
        """Columns (blocks + 1,) that part the values to read evenly."""
        work = np.cumsum(np.where(factors != 0, np.diff(self.value_starts), 0))
        total = work[-1] if work.size else 0
        inner = np.searchsorted(work, total * np.arange(1, _BLOCKS) / _BLOCKS)
        return np.concatenate([[0], inner, [factors.size]]).astype(np.int64)


def _room(
    n_runs: NDArray[np.int64], n_values: int
) -> tuple[NDArray[np.int64], tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.uint16]]]:
    """First run of each column, and room for runs and values."""
    run_starts = np.concatenate([[0], np.cumsum(n_runs)]).astype(np.int64)
    n = int(run_starts[-1])
    made = np.empty(n, np.int32), np.empty(n, np.uint8), np.empty(n_values, np.uint16)
    return run_starts, made


def _vector(x: Array, size: int) -> Array:
    vector = np.ascontiguousarray(x, dtype=np.float64)
    if vector.shape != (size,):
        raise PlanError(f"a vector of shape {vector.shape} should be ({size},).")
    return vector


def _kernels() -> Any:
    from dosegrad.influence import _scenario_kernels

    return _scenario_kernels
