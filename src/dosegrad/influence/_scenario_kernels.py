"""Compiled run-length storage and its products; twins in ``_scenario_reference``.

Column j holds the runs ``run_starts[j]`` to ``run_starts[j + 1]``, each a first row and a length,
and its values from ``value_starts[j]`` on, one after another. Results do not depend on the number
of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, IntArray
from dosegrad.compiled import parallel_kernel, prange

__all__ = ["count_kept", "count_runs", "encode", "forward", "keep", "pullback"]

#: Longest run: its length takes one byte.
LONGEST = 255


@parallel_kernel
def count_runs(
    indptr: IntArray, rows: IntArray, values: NDArray[Any], n_runs: IntArray, largest: Array
) -> None:
    """Number of runs ``n_runs`` (n_columns,) int64 and largest value (n_columns,) of columns."""
    for column in prange(n_runs.size):
        n, length, top = 0, LONGEST, 0.0
        for k in range(indptr[column], indptr[column + 1]):
            top = max(top, values[k])
            if k > indptr[column] and rows[k] == rows[k - 1] + 1 and length < LONGEST:
                length += 1
            else:
                n += 1
                length = 1
        n_runs[column] = n
        largest[column] = top


@parallel_kernel
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
    """Write runs and whole-number values, ``values`` times ``per_unit`` (n_columns,), rounded."""
    for column in prange(per_unit.size):
        run = run_starts[column] - 1
        at = value_starts[column]
        length = LONGEST
        for k in range(indptr[column], indptr[column + 1]):
            if k > indptr[column] and rows[k] == rows[k - 1] + 1 and length < LONGEST:
                length += 1
            else:
                run += 1
                firsts[run] = rows[k]
                length = 1
            lengths[run] = length
            data[at] = int(values[k] * per_unit[column] + 0.5)
            at += 1


@parallel_kernel
def count_kept(
    run_starts: IntArray,
    firsts: NDArray[Any],
    lengths: NDArray[Any],
    place: IntArray,
    n_runs: IntArray,
    n_values: IntArray,
) -> None:
    """Runs and values (n_columns,) that stay of each column; see :func:`keep`."""
    for column in prange(n_runs.size):
        n, m, length, last = 0, 0, LONGEST, -2
        for run in range(run_starts[column], run_starts[column + 1]):
            for row in range(firsts[run], firsts[run] + lengths[run]):
                to = place[row]
                if to >= 0:
                    if to == last + 1 and length < LONGEST:
                        length += 1
                    else:
                        n += 1
                        length = 1
                    last = to
                    m += 1
        n_runs[column] = n
        n_values[column] = m


@parallel_kernel
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
    """Copy of some rows: ``place`` (n_rows,) int64 is a row's number there, ascending, or -1."""
    for column in prange(run_starts.size - 1):
        k = value_starts[column]
        at = out_value_starts[column]
        out = out_run_starts[column] - 1
        length, last = LONGEST, -2
        for run in range(run_starts[column], run_starts[column + 1]):
            for row in range(firsts[run], firsts[run] + lengths[run]):
                to = place[row]
                if to >= 0:
                    if to == last + 1 and length < LONGEST:
                        length += 1
                    else:
                        out += 1
                        out_firsts[out] = to
                        length = 1
                    out_lengths[out] = length
                    out_data[at] = data[k]
                    last = to
                    at += 1
                k += 1


@parallel_kernel
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
    """``partial`` (n_blocks, n_rows): whole-number matrix times ``factors`` (n_columns,).

    Block b holds columns ``edges[b]`` to ``edges[b + 1]``. Columns with factor 0 are not read.
    """
    for block in prange(edges.size - 1):
        out = partial[block]
        for row in range(out.size):
            out[row] = 0.0
        for column in range(edges[block], edges[block + 1]):
            factor = factors[column]
            if factor == 0.0:
                continue
            k = np.uint64(value_starts[column])
            for run in range(run_starts[column], run_starts[column + 1]):
                first, length = np.uint64(firsts[run]), np.uint64(lengths[run])
                for i in range(length):
                    out[first + i] += factor * data[k + i]
                k += length


@parallel_kernel
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
    for column in prange(out.size):
        k = np.uint64(value_starts[column])
        s0 = 0.0
        s1 = 0.0
        s2 = 0.0
        s3 = 0.0
        for run in range(run_starts[column], run_starts[column + 1]):
            row = np.uint64(firsts[run])
            length = np.uint64(lengths[run])
            end = row + length
            whole = row + (length & ~np.uint64(3))
            while row < whole:
                s0 += g[row] * data[k]
                s1 += g[row + np.uint64(1)] * data[k + np.uint64(1)]
                s2 += g[row + np.uint64(2)] * data[k + np.uint64(2)]
                s3 += g[row + np.uint64(3)] * data[k + np.uint64(3)]
                row += np.uint64(4)
                k += np.uint64(4)
            while row < end:
                s0 += g[row] * data[k]
                row += np.uint64(1)
                k += np.uint64(1)
        out[column] = (s0 + s1) + (s2 + s3)
