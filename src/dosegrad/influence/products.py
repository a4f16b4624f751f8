"""Products with an influence matrix and its transpose, made for hundreds of repetitions.

Both products scatter: dose is summed column by column, a gradient row by row, each in runs of
neighbouring indices, into buffers that stay in cache. Columns of weight 0 and rows of gradient 0
are not read at all: half of the spots at the end of an optimisation, and most voxels whose limit
is kept. Dose reads the matrix where it lies; gradients read one row-compressed copy of the rows
that matter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from dosegrad.arrays import Array, IntArray
from dosegrad.errors import PlanError

__all__ = ["RunProduct", "SparseProducts", "multiply", "multiply_transposed"]

#: Blocks that are summed apart; fixed, so that results do not depend on the number of threads.
_BLOCKS: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class RunProduct:
    """Sum over major indices of a factor times their entries, which lie in runs.

    Parameters
    ----------
    run_ptr
        First run of each major index, int64, shape (n_major + 1,).
    at, to, length
        Start of each run among ``values``, int64, and in the result, int32; its length, int32.
    values
        Matrix values, float32.
    n_out
        Length of the result.
    work
        Entries of each major index, int64, shape (n_major,).
    """

    run_ptr: IntArray
    at: IntArray
    to: IntArray
    length: IntArray
    values: NDArray[np.float32]
    n_out: int
    work: IntArray

    def __call__(self, x: Array) -> Array:
        """The sum (n_out,) for factors ``x`` (n_major,)."""
        from dosegrad.influence._products_kernels import scatter

        factors = np.ascontiguousarray(x, dtype=np.float64)
        if factors.shape != self.work.shape:
            raise PlanError(f"a vector of shape {factors.shape} should be {self.work.shape}.")
        partial = np.empty((_BLOCKS, self.n_out))
        runs = (self.run_ptr, self.at, self.to, self.length)
        scatter(*runs, self.values, factors, self._edges(factors), partial)
        total: Array = partial.sum(axis=0)
        return total

    def _edges(self, x: Array) -> IntArray:
        """Major indices (blocks + 1,) that part the entries to read evenly."""
        done = np.cumsum(np.where(x != 0, self.work, 0))
        total = done[-1] if done.size else 0
        inner = np.searchsorted(done, total * np.arange(1, _BLOCKS) / _BLOCKS)
        return np.concatenate([[0], inner, [done.size]]).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class SparseProducts:
    """Products with some rows of a matrix.

    Parameters
    ----------
    forward
        Matrix times a vector (n_columns,), shape (n_rows,).
    pullback
        Transposed matrix times a vector (n_rows,), shape (n_columns,).
    """

    forward: RunProduct
    pullback: RunProduct

    @classmethod
    def of(cls, matrix: csc_array, rows: IntArray | None = None) -> SparseProducts:
        """Products with ``rows`` (ascending) of a column-compressed ``matrix``, by default all.

        ``matrix`` must have its rows in ascending order in every column.
        """
        n_rows, n_columns = (int(n) for n in matrix.shape)
        picked = np.arange(n_rows) if rows is None else np.asarray(rows, dtype=np.int64)
        place = np.full(n_rows, -1, dtype=np.int32)
        place[picked] = np.arange(picked.size)
        indptr, indices, values = _parts(matrix)
        forward, sizes = _runs(indptr, indices, values, place, picked.size)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        columns, by_row = _rows(indptr, indices, values, place, starts)
        every = np.arange(n_columns, dtype=np.int32)
        pullback, _ = _runs(starts, columns, by_row, every, n_columns)
        return cls(forward, pullback)

    def squares(self, h: Array) -> Array:
        """Sum over rows of ``h`` (n_rows,) times the squared values, shape (n_columns,)."""
        return replace(self.pullback, values=np.square(self.pullback.values))(h)


def _runs(
    indptr: IntArray, minor: IntArray, values: NDArray[Any], place: IntArray, n_out: int
) -> tuple[RunProduct, IntArray]:
    """Product along the major index, and the number of entries of each picked minor one."""
    from dosegrad.influence._products_kernels import count_runs, fill_runs

    runs = np.zeros(indptr.size - 1, dtype=np.int64)
    sizes = np.zeros(n_out, dtype=np.int64)
    count_runs(indptr, minor, place, runs, sizes)
    run_ptr = np.concatenate([[0], np.cumsum(runs)])
    at = np.empty(int(run_ptr[-1]), dtype=np.int64)
    to, length = np.empty(at.size, dtype=np.int32), np.empty(at.size, dtype=np.int32)
    fill_runs(indptr, minor, place, run_ptr, at, to, length)
    work = np.diff(np.concatenate([[0], np.cumsum(length, dtype=np.int64)])[run_ptr])
    return RunProduct(run_ptr, at, to, length, values, n_out, work), sizes


def _rows(
    indptr: IntArray, indices: IntArray, values: NDArray[Any], place: IntArray, starts: IntArray
) -> tuple[IntArray, NDArray[np.float32]]:
    """Column numbers, int32, and values of the picked rows, row by row."""
    from dosegrad.influence._products_kernels import fill_rows

    columns = np.empty(int(starts[-1]), dtype=np.int32)
    by_row = np.empty(columns.size, dtype=np.float32)
    fill_rows(indptr, indices, values, place, starts[:-1].copy(), columns, by_row)
    return columns, by_row


def multiply(matrix: csc_array, x: Array) -> Array:
    """``matrix`` times ``x`` (n_columns,), shape (n_rows,), in float64 and without preparation."""
    from dosegrad.influence._products_kernels import add_columns

    out = np.zeros(matrix.shape[0])
    add_columns(*_parts(matrix), np.ascontiguousarray(x, dtype=np.float64), out)
    return out


def multiply_transposed(matrix: csc_array, g: Array) -> Array:
    """Transposed ``matrix`` times ``g`` (n_rows,), shape (n_columns,), without preparation."""
    from dosegrad.influence._products_kernels import sum_columns

    out = np.empty(matrix.shape[1])
    sum_columns(*_parts(matrix), np.ascontiguousarray(g, dtype=np.float64), out)
    return out


def _parts(matrix: csc_array) -> tuple[IntArray, IntArray, NDArray[np.float32]]:
    """Arrays of a column-compressed matrix in the types of the kernels; copies only if it must."""
    return (
        np.ascontiguousarray(matrix.indptr, dtype=np.int64),
        np.ascontiguousarray(matrix.indices, dtype=np.int32),
        np.ascontiguousarray(matrix.data, dtype=np.float32),
    )
