"""Plain twins of ``_scenario_kernels``, with the same signatures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from dosegrad.arrays import Array, IntArray

__all__ = ["count_kept", "count_runs", "encode", "forward", "keep", "pullback"]

LONGEST = 255


def count_runs(
    indptr: IntArray, rows: IntArray, values: NDArray[Any], n_runs: IntArray, largest: Array
) -> None:
    """Number of runs and largest value of each column."""
    for column in range(n_runs.size):
        part = slice(indptr[column], indptr[column + 1])
        n_runs[column] = len(_runs(rows[part]))
        largest[column] = values[part].max(initial=0.0)


def encode(
    indptr: IntArray,
    rows: IntArray,
    values: NDArray[Any],
    per_unit: Array,
    run_starts: IntArray,
    value_starts: IntArray,
    firsts: NDArray[Any],
    lengths: NDArray[Any],
    data: NDArray[Any],
) -> None:
    """Write runs and whole-number values."""
    for column in range(per_unit.size):
        part = slice(indptr[column], indptr[column + 1])
        _put_runs(_runs(rows[part]), run_starts[column], firsts, lengths)
        whole = np.floor(values[part].astype(np.float64) * per_unit[column] + 0.5)
        data[value_starts[column] : value_starts[column + 1]] = whole


def count_kept(
    run_starts: IntArray,
    firsts: NDArray[Any],
    lengths: NDArray[Any],
    place: IntArray,
    n_runs: IntArray,
    n_values: IntArray,
) -> None:
    """Runs and values that stay of each column."""
    for column in range(n_runs.size):
        to = place[_rows_of(run_starts, firsts, lengths, column)]
        n_runs[column] = len(_runs(to[to >= 0]))
        n_values[column] = np.count_nonzero(to >= 0)


def keep(
    run_starts: IntArray,
    value_starts: IntArray,
    firsts: NDArray[Any],
    lengths: NDArray[Any],
    data: NDArray[Any],
    place: IntArray,
    out_run_starts: IntArray,
    out_value_starts: IntArray,
    out_firsts: NDArray[Any],
    out_lengths: NDArray[Any],
    out_data: NDArray[Any],
) -> None:
    """Copy of some rows: ``place`` (n_rows,) is a row's number there, ascending, or -1."""
    for column in range(run_starts.size - 1):
        to = place[_rows_of(run_starts, firsts, lengths, column)]
        values = data[value_starts[column] : value_starts[column + 1]]
        _put_runs(_runs(to[to >= 0]), out_run_starts[column], out_firsts, out_lengths)
        out_data[out_value_starts[column] : out_value_starts[column + 1]] = values[to >= 0]


def forward(
    run_starts: IntArray,
    value_starts: IntArray,
    firsts: NDArray[Any],
    lengths: NDArray[Any],
    data: NDArray[Any],
    factors: Array,
    edges: IntArray,
    partial: Array,
) -> None:
    """``partial`` (n_blocks, n_rows): whole-number matrix times ``factors``, block by block."""
    matrix = _matrix(run_starts, value_starts, firsts, lengths, data, partial.shape[1])
    for block in range(edges.size - 1):
        columns = slice(edges[block], edges[block + 1])
        partial[block] = matrix[:, columns] @ factors[columns]


def pullback(
    run_starts: IntArray,
    value_starts: IntArray,
    firsts: NDArray[Any],
    lengths: NDArray[Any],
    data: NDArray[Any],
    g: Array,
    out: Array,
) -> None:
    """``out`` (n_columns,): transposed whole-number matrix times ``g`` (n_rows,)."""
    out[:] = _matrix(run_starts, value_starts, firsts, lengths, data, g.size).T @ g


def _runs(rows: NDArray[Any]) -> list[tuple[int, int]]:
    """First row and length of each run of successive rows, none longer than ``LONGEST``."""
    found: list[tuple[int, int]] = []
    for row in rows.tolist():
        if found and row == sum(found[-1]) and found[-1][1] < LONGEST:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((row, 1))
    return found


def _put_runs(
    runs: list[tuple[int, int]], start: int, firsts: NDArray[Any], lengths: NDArray[Any]
) -> None:
    for number, (first, length) in enumerate(runs):
        firsts[start + number], lengths[start + number] = first, length


def _rows_of(
    run_starts: IntArray, firsts: NDArray[Any], lengths: NDArray[Any], column: int
) -> IntArray:
    """Rows of the values of one column."""
    runs = range(run_starts[column], run_starts[column + 1])
    parts = [np.arange(firsts[r], int(firsts[r]) + int(lengths[r])) for r in runs]
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def _matrix(
    run_starts: IntArray,
    value_starts: IntArray,
    firsts: NDArray[Any],
    lengths: NDArray[Any],
    data: NDArray[Any],
    n_rows: int,
) -> csc_array:
    n = run_starts.size - 1
    rows = [_rows_of(run_starts, firsts, lengths, column) for column in range(n)]
    parts = (data.astype(np.float64), np.concatenate(rows), value_starts)
    return csc_array(parts, shape=(n_rows, n))
