"""Compiled products with an influence matrix; twins in ``_products_reference``.

Sums run in four parts, so that neither addition nor the gather waits for the one before; indices
are unsigned, so that no sign is tested. Results do not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, IntArray
from dosegrad.compiled import kernel, parallel_kernel, prange

__all__ = ["add_columns", "count_rows", "fill_rows", "forward", "pullback", "sum_columns"]


@kernel
def count_rows(rows: IntArray, sizes: IntArray) -> None:
    """Add to ``sizes`` (n_rows,) int64 the number of entries of each row."""
    for k in range(rows.size):
        sizes[rows[k]] += 1


@kernel
def fill_rows(
    indptr: IntArray,
    rows: IntArray,
    values: NDArray[Any],
    place: IntArray,
    cursor: IntArray,
    out_columns: NDArray[Any],
    out_values: NDArray[Any],
) -> None:
    """Row-compressed copy of the picked rows of a column-compressed matrix.

    ``place`` (n_rows,) int64 is a row's number in the copy, or -1; ``cursor`` (n_picked,) int64
    holds where each row of the copy starts, and is moved to where it ends.
    """
    for column in range(indptr.size - 1):
        for k in range(indptr[column], indptr[column + 1]):
            row = place[rows[k]]
            if row >= 0:
                at = cursor[row]
                out_columns[at] = column
                out_values[at] = values[k]
                cursor[row] = at + 1


@parallel_kernel
def forward(
    indptr: IntArray, columns: NDArray[Any], values: NDArray[Any], x: Array, out: Array
) -> None:
    """``out`` (n_rows,) = matrix times ``x`` (n_columns,)."""
    for row in prange(out.size):
        start = np.uint64(indptr[row])
        stop = np.uint64(indptr[row + 1])
        whole = start + ((stop - start) & ~np.uint64(3))
        s0 = 0.0
        s1 = 0.0
        s2 = 0.0
        s3 = 0.0
        k = start
        while k < whole:
            s0 += values[k] * x[columns[k]]
            s1 += values[k + np.uint64(1)] * x[columns[k + np.uint64(1)]]
            s2 += values[k + np.uint64(2)] * x[columns[k + np.uint64(2)]]
            s3 += values[k + np.uint64(3)] * x[columns[k + np.uint64(3)]]
            k += np.uint64(4)
        while k < stop:
            s0 += values[k] * x[columns[k]]
            k += np.uint64(1)
        out[row] = (s0 + s1) + (s2 + s3)


@parallel_kernel
def pullback(
    indptr: IntArray,
    columns: NDArray[Any],
    values: NDArray[Any],
    g: Array,
    edges: IntArray,
    partial: Array,
) -> None:
    """``partial`` (n_blocks, n_columns): transposed matrix times ``g``, block by block of rows.

    Block b holds rows ``edges[b]`` to ``edges[b + 1]``. Rows whose ``g`` is 0 are not read.
    """
    for block in prange(edges.size - 1):
        for j in range(partial.shape[1]):
            partial[block, j] = 0.0
        for row in range(edges[block], edges[block + 1]):
            factor = g[row]
            if factor != 0.0:
                for k in range(np.uint64(indptr[row]), np.uint64(indptr[row + 1])):
                    partial[block, columns[k]] += factor * values[k]


@kernel
def add_columns(
    indptr: IntArray, rows: IntArray, values: NDArray[Any], x: Array, out: Array
) -> None:
    """Add to ``out`` (n_rows,) the column-compressed matrix times ``x`` (n_columns,), once."""
    for column in range(x.size):
        factor = x[column]
        if factor != 0.0:
            for k in range(indptr[column], indptr[column + 1]):
                out[rows[k]] += factor * values[k]


@parallel_kernel
def sum_columns(
    indptr: IntArray, rows: IntArray, values: NDArray[Any], g: Array, out: Array
) -> None:
    """``out`` (n_columns,): transposed column-compressed matrix times ``g`` (n_rows,), once."""
    for column in prange(out.size):
        total = 0.0
        for k in range(indptr[column], indptr[column + 1]):
            total += values[k] * g[rows[k]]
        out[column] = total
