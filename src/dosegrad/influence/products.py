"""Products with an influence matrix and its transpose, made for hundreds of repetitions.

The rows that matter are copied once, row by row. The product with the matrix gathers weights; the
one with the transpose scatters row by row into a buffer that stays in cache, and does not read
rows whose gradient is 0: most voxels, where the objective is a limit that is kept. Column numbers
take two bytes where they can, since memory traffic is the cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.errors import PlanError

__all__ = ["RowProducts", "in_kernel_types", "multiply", "multiply_transposed"]

#: Blocks of rows that the transposed product sums apart; fixed, so that results do not depend on
#: the number of threads.
_BLOCKS: Final = 8
#: Values that are squared at a time, so that no second copy of all of them is needed.
_CHUNK: Final = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class RowProducts:
    """Products with some rows of a matrix.

    Parameters
    ----------
    indptr
        Start of each row, int64, shape (n_rows + 1,).
    columns
        Column numbers, uint16 or uint32.
    values
        Matrix values, float32.
    n_columns
        Number of columns.
    """

    indptr: IntArray
    columns: NDArray[Any]
    values: NDArray[np.float32]
    n_columns: int

    @classmethod
    def of(cls, matrix: csc_array, rows: IntArray | None = None) -> RowProducts:
        """Products with ``rows`` (ascending) of a column-compressed ``matrix``, by default all."""
        from dosegrad.influence._products_kernels import count_rows, fill_rows

        n_rows, n_columns = (int(n) for n in matrix.shape)
        picked = np.arange(n_rows) if rows is None else np.asarray(rows, dtype=np.int64)
        place = np.full(n_rows, -1, dtype=np.int64)
        place[picked] = np.arange(picked.size)
        starts, indices, data = _parts(matrix)
        sizes = np.zeros(n_rows, dtype=np.int64)
        count_rows(indices, sizes)
        indptr = np.concatenate([[0], np.cumsum(sizes[picked])])
        columns = np.empty(int(indptr[-1]), np.uint16 if n_columns <= 65536 else np.uint32)
        values = np.empty(columns.size, dtype=np.float32)
        fill_rows(starts, indices, data, place, indptr[:-1].copy(), columns, values)
        return cls(indptr, columns, values, n_columns)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.indptr.size - 1

    @property
    def row_sizes(self) -> IntArray:
        """Number of values (n_rows,) in each row."""
        return np.diff(self.indptr)

    def keeping(self, kept: BoolArray) -> RowProducts:
        """Products with the rows that are ``kept`` (n_rows,), without a look at the matrix."""
        sizes = self.row_sizes
        indptr = np.concatenate([[0], np.cumsum(sizes[kept])])
        columns = np.empty(int(indptr[-1]), self.columns.dtype)
        values = np.empty(columns.size, self.values.dtype)
        runs = np.flatnonzero(np.diff(kept, prepend=False, append=False)).reshape(-1, 2)
        at = 0
        for first, last in runs:
            part = slice(self.indptr[first], self.indptr[last])
            mine = slice(at, at := at + part.stop - part.start)
            columns[mine], values[mine] = self.columns[part], self.values[part]
        return RowProducts(indptr, columns, values, self.n_columns)

    def forward(self, x: Array) -> Array:
        """Matrix times ``x`` (n_columns,), shape (n_rows,)."""
        from dosegrad.influence._products_kernels import forward

        out = np.empty(self.n_rows)
        forward(self.indptr, self.columns, self.values, _vector(x, self.n_columns), out)
        return out

    def pullback(self, g: Array) -> Array:
        """Transposed matrix times ``g`` (n_rows,), shape (n_columns,)."""
        from dosegrad.influence._products_kernels import pullback

        partial = np.empty((_BLOCKS, self.n_columns))
        factors = _vector(g, self.n_rows)
        edges = self._edges(factors)
        pullback(self.indptr, self.columns, self.values, factors, edges, partial)
        product: Array = partial.sum(axis=0)
        return product

    def squares(self, h: Array) -> Array:
        """Sum over rows of ``h`` (n_rows,) times the squared values, shape (n_columns,)."""
        total = np.zeros(self.n_columns)
        for first, last in self._chunks():
            part = slice(self.indptr[first], self.indptr[last])
            starts = self.indptr[first : last + 1] - self.indptr[first]
            squared = np.square(self.values[part])
            chunk = RowProducts(starts, self.columns[part], squared, self.n_columns)
            total += chunk.pullback(h[first:last])
        return total

    def _chunks(self) -> list[tuple[int, int]]:
        """Ranges of rows with not many more than ``_CHUNK`` values each, or with one row."""
        inner = np.searchsorted(self.indptr, np.arange(0, self.indptr[-1], _CHUNK))
        edges = np.unique(np.append(inner, self.n_rows))
        return [(int(a), int(b)) for a, b in pairwise(edges)]

    def _edges(self, g: Array) -> IntArray:
        """Rows (blocks + 1,) that part the values to read evenly."""
        work = np.cumsum(np.where(g != 0, self.row_sizes, 0))
        total = work[-1] if work.size else 0
        inner = np.searchsorted(work, total * np.arange(1, _BLOCKS) / _BLOCKS)
        return np.concatenate([[0], inner, [self.n_rows]]).astype(np.int64)


def _vector(x: Array, size: int) -> Array:
    vector = np.ascontiguousarray(x, dtype=np.float64)
    if vector.shape != (size,):
        raise PlanError(f"a vector of shape {vector.shape} should be ({size},).")
    return vector


def in_kernel_types(matrix: csc_array) -> csc_array:
    """``matrix`` with float32 values and int32 rows, so that no product has to convert them."""
    if (matrix.data.dtype, matrix.indices.dtype) == (np.float32, np.int32):
        return matrix
    indptr, indices, data = _parts(matrix)
    small = np.int32 if data.size < np.iinfo(np.int32).max else np.int64
    return csc_array((data, indices, indptr.astype(small)), shape=matrix.shape)


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
