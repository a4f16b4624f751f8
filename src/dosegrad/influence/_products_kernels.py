"""Compiled products with an influence matrix; twins in ``_products_reference``.

A *run* is a piece of one row or column whose other index rises in steps of one: its product is a
plain vector update without a gather. Results do not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, IntArray
from dosegrad.compiled import kernel, parallel_kernel, prange

__all__ = ["add_columns", "count_runs", "fill_rows", "fill_runs", "scatter", "sum_columns"]


@kernel
def count_runs(
    indptr: IntArray, minor: IntArray, place: IntArray, runs: IntArray, sizes: IntArray
) -> None:
    """``runs`` (n_major,) of picked entries, and ``sizes`` (n_picked,) of the other dimension.

    ``place`` (n_minor,) int32 is the number of an entry's minor index among those picked, or -1.
    """
    for major in range(indptr.size - 1):
        before = -2
        for k in range(indptr[major], indptr[major + 1]):
            to = place[minor[k]]
            if to >= 0:
                sizes[to] += 1
                if to != before + 1:
                    runs[major] += 1
                before = to
            else:
                before = -2


@kernel
def fill_runs(
    indptr: IntArray,
    minor: IntArray,
    place: IntArray,
    run_ptr: IntArray,
    at: IntArray,
    to: IntArray,
    length: IntArray,
) -> None:
    """Where each run starts among the values (``at``) and picked indices (``to``), its length."""
    for major in range(indptr.size - 1):
        before = -2
        run = run_ptr[major] - 1
        for k in range(indptr[major], indptr[major + 1]):
            index = place[minor[k]]
            if index < 0:
                before = -2
                continue
            if index != before + 1:
                run += 1
                at[run] = k
                to[run] = index
                length[run] = 0
            length[run] += 1
            before = index


@kernel
def fill_rows(
    indptr: IntArray,
    rows: IntArray,
    values: NDArray[Any],
    place: IntArray,
    cursor: IntArray,
    out_columns: IntArray,
    out_values: NDArray[Any],
) -> None:
    """Row-compressed copy of the picked rows of a column-compressed matrix.

    ``cursor`` (n_picked,) holds where each row of the copy starts, and is moved to its end.
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
def scatter(
    run_ptr: IntArray,
    at: IntArray,
    to: IntArray,
    length: IntArray,
    values: NDArray[Any],
    x: Array,
    edges: IntArray,
    partial: Array,
) -> None:
    """``partial`` (n_blocks, n_out): sum over major indices of ``x`` times their runs.

    Block b holds major indices ``edges[b]`` to ``edges[b + 1]``; those of x = 0 are not read.
    """
    for block in prange(edges.size - 1):
        for j in range(partial.shape[1]):
            partial[block, j] = 0.0
        for major in range(edges[block], edges[block + 1]):
            factor = x[major]
            if factor != 0.0:
                for run in range(run_ptr[major], run_ptr[major + 1]):
                    k = np.uint64(at[run])
                    first = np.uint64(to[run])
                    for i in range(np.uint64(length[run])):
                        partial[block, first + i] += factor * values[k + i]


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
