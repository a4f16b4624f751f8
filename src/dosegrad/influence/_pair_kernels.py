"""Compiled products with two matrices of one sparsity; twins in ``_pair_reference``.

The weights are gathered, and the buffer is scattered to, once for both. Results do not depend on
the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, IntArray
from dosegrad.compiled import parallel_kernel, prange

__all__ = ["forward_pair", "pullback_pair"]


@parallel_kernel
def forward_pair(
    indptr: IntArray,
    columns: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    x: Array,
    out: Array,
) -> None:
    """``out`` (2, n_rows) = the matrices of values ``first`` and ``second`` times ``x``."""
    for row in prange(out.shape[1]):
        start, stop = np.uint64(indptr[row]), np.uint64(indptr[row + 1])
        whole = start + ((stop - start) & ~np.uint64(1))
        a0 = 0.0
        a1 = 0.0
        b0 = 0.0
        b1 = 0.0
        k = start
        while k < whole:
            u, v = x[columns[k]], x[columns[k + np.uint64(1)]]
            a0 += first[k] * u
            b0 += second[k] * u
            a1 += first[k + np.uint64(1)] * v
            b1 += second[k + np.uint64(1)] * v
            k += np.uint64(2)
        if k < stop:
            u = x[columns[k]]
            a0 += first[k] * u
            b0 += second[k] * u
        out[0, row] = a0 + a1
        out[1, row] = b0 + b1


@parallel_kernel
def pullback_pair(
    indptr: IntArray,
    columns: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    g: Array,
    edges: IntArray,
    partial: Array,
) -> None:
    """``partial`` (n_blocks, n_columns): both transposed matrices times ``g`` (2, n_rows), added.

    Block b holds rows ``edges[b]`` to ``edges[b + 1]``. Rows whose ``g`` is 0 are not read.
    """
    for block in prange(edges.size - 1):
        for j in range(partial.shape[1]):
            partial[block, j] = 0.0
        for row in range(edges[block], edges[block + 1]):
            p, q = g[0, row], g[1, row]
            if p != 0.0 or q != 0.0:
                for k in range(np.uint64(indptr[row]), np.uint64(indptr[row + 1])):
                    partial[block, columns[k]] += p * first[k] + q * second[k]
