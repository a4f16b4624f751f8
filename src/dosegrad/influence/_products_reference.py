"""Plain twins of ``_products_kernels``, with the same signatures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from dosegrad.arrays import Array, IntArray

__all__ = ["add_columns", "count_rows", "fill_rows", "forward", "pullback", "sum_columns"]


def count_rows(rows: IntArray, sizes: IntArray) -> None:
    """Add to ``sizes`` (n_rows,) int64 the number of entries of each row."""
    sizes += np.bincount(rows, minlength=sizes.size)


def fill_rows(
    indptr: IntArray,
    rows: IntArray,
    values: NDArray[Any],
    place: IntArray,
    cursor: IntArray,
    out_columns: NDArray[Any],
    out_values: NDArray[Any],
) -> None:
    """Row-compressed copy of the picked rows of a column-compressed matrix."""
    columns = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    picked = place[rows]
    keep = np.flatnonzero(picked >= 0)
    order = keep[np.argsort(picked[keep], kind="stable")]
    out_columns[:] = columns[order]
    out_values[:] = values[order]
    cursor += np.bincount(picked[keep], minlength=cursor.size)


def forward(
    indptr: IntArray, columns: NDArray[Any], values: NDArray[Any], x: Array, out: Array
) -> None:
    """``out`` (n_rows,) = matrix times ``x`` (n_columns,)."""
    out[:] = _matrix(indptr, columns, values, x.size) @ x


def pullback(
    indptr: IntArray,
    columns: NDArray[Any],
    values: NDArray[Any],
    g: Array,
    edges: IntArray,
    partial: Array,
) -> None:
    """``partial`` (n_blocks, n_columns): transposed matrix times ``g``, block by block of rows."""
    matrix = _matrix(indptr, columns, values, partial.shape[1])
    for block in range(edges.size - 1):
        rows = slice(edges[block], edges[block + 1])
        partial[block] = matrix[rows].T @ g[rows]


def add_columns(
    indptr: IntArray, rows: IntArray, values: NDArray[Any], x: Array, out: Array
) -> None:
    """Add to ``out`` (n_rows,) the column-compressed matrix times ``x`` (n_columns,), once."""
    out += np.bincount(rows, x[_majors(indptr)] * values, out.size)


def sum_columns(
    indptr: IntArray, rows: IntArray, values: NDArray[Any], g: Array, out: Array
) -> None:
    """``out`` (n_columns,): transposed column-compressed matrix times ``g`` (n_rows,), once."""
    out[:] = np.bincount(_majors(indptr), g[rows] * values.astype(np.float64), out.size)


def _majors(indptr: IntArray) -> IntArray:
    """Major index of every entry."""
    return np.repeat(np.arange(indptr.size - 1), np.diff(indptr))


def _matrix(
    indptr: IntArray, columns: NDArray[Any], values: NDArray[Any], n_columns: int
) -> csr_array:
    parts = (values.astype(np.float64), columns.astype(np.int64), indptr)
    return csr_array(parts, shape=(indptr.size - 1, n_columns))
