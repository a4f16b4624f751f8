"""Plain twins of ``_products_kernels``, with the same signatures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, BoolArray, IntArray

__all__ = ["add_columns", "count_runs", "fill_rows", "fill_runs", "scatter", "sum_columns"]


def _majors(indptr: IntArray) -> IntArray:
    """Major index of every entry."""
    return np.repeat(np.arange(indptr.size - 1), np.diff(indptr))


def _starts(indptr: IntArray, minor: IntArray, place: IntArray) -> BoolArray:
    """Entries at which a run starts."""
    picked = place[minor]
    before = np.concatenate([[-2], np.where(picked[:-1] >= 0, picked[:-1], -2)])[: picked.size]
    first = np.zeros(picked.size, dtype=bool)
    begins = indptr[:-1]
    first[begins[begins < picked.size]] = True
    starts: BoolArray = (picked >= 0) & (first | (picked != before + 1))
    return starts


def count_runs(
    indptr: IntArray, minor: IntArray, place: IntArray, runs: IntArray, sizes: IntArray
) -> None:
    """``runs`` (n_major,) of picked entries, and ``sizes`` (n_picked,) of the other dimension."""
    starts = _starts(indptr, minor, place)
    runs += np.bincount(_majors(indptr)[starts], minlength=runs.size)
    picked = place[minor]
    sizes += np.bincount(picked[picked >= 0], minlength=sizes.size)


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
    starts = _starts(indptr, minor, place)
    picked = place[minor]
    at[:] = np.flatnonzero(starts)
    to[:] = picked[starts]
    run_of_entry = (np.cumsum(starts) - 1)[picked >= 0]
    length[:] = np.bincount(run_of_entry, minlength=length.size)


def fill_rows(
    indptr: IntArray,
    rows: IntArray,
    values: NDArray[Any],
    place: IntArray,
    cursor: IntArray,
    out_columns: IntArray,
    out_values: NDArray[Any],
) -> None:
    """Row-compressed copy of the picked rows of a column-compressed matrix."""
    picked = place[rows]
    keep = np.flatnonzero(picked >= 0)
    order = keep[np.argsort(picked[keep], kind="stable")]
    out_columns[:] = _majors(indptr)[order]
    out_values[:] = values[order]
    cursor += np.bincount(picked[keep], minlength=cursor.size)


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
    """``partial`` (n_blocks, n_out): sum over major indices of ``x`` times their runs."""
    partial[:] = 0.0
    for block in range(edges.size - 1):
        for major in range(edges[block], edges[block + 1]):
            for run in range(run_ptr[major], run_ptr[major + 1]):
                here = slice(to[run], to[run] + length[run])
                piece = values[at[run] : at[run] + length[run]]
                partial[block, here] += x[major] * piece.astype(np.float64)


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
