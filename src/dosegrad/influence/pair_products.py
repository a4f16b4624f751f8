"""Products with two matrices that share their sparsity, such as alpha and root beta times dose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from dosegrad.arrays import Array, BoolArray, Float32Array, IntArray
from dosegrad.errors import PlanError
from dosegrad.influence.products import RowProducts

__all__ = ["PairProducts"]

#: Blocks of rows that the transposed product sums apart; fixed, so that results do not depend on
#: the number of threads.
_BLOCKS: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class PairProducts:
    """Products with some rows of two matrices of one sparsity.

    Parameters
    ----------
    indptr
        Start of each row, int64, shape (n_rows + 1,).
    columns
        Column numbers, uint16 or uint32.
    first, second
        Values of the matrices, float32.
    n_columns
        Number of columns.
    """

    indptr: IntArray
    columns: NDArray[Any]
    first: Float32Array
    second: Float32Array
    n_columns: int

    @classmethod
    def of(cls, first: csc_array, second: csc_array, rows: IntArray | None = None) -> PairProducts:
        """Products with ``rows`` (ascending) of two matrices, by default all."""
        one, other = RowProducts.of(first, rows), RowProducts.of(second, rows)
        return cls(one.indptr, one.columns, one.values, other.values, one.n_columns)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.indptr.size - 1

    @property
    def row_sizes(self) -> IntArray:
        """Number of values (n_rows,) in each row of either matrix."""
        return np.diff(self.indptr)

    def keeping(self, kept: BoolArray) -> PairProducts:
        """Products with the rows that are ``kept`` (n_rows,), without a look at the matrices."""
        sizes = self.row_sizes
        inside = np.repeat(kept, sizes)
        indptr = np.concatenate([[0], np.cumsum(sizes[kept])])
        first, second = self.first[inside], self.second[inside]
        return PairProducts(indptr, self.columns[inside], first, second, self.n_columns)

    def forward(self, x: Array) -> Array:
        """Both matrices times ``x`` (n_columns,), shape (2, n_rows)."""
        from dosegrad.influence._pair_kernels import forward_pair

        out = np.empty((2, self.n_rows))
        factors = np.ascontiguousarray(x, dtype=np.float64)
        if factors.shape != (self.n_columns,):
            raise PlanError(f"a vector of shape {factors.shape} should be ({self.n_columns},).")
        forward_pair(self.indptr, self.columns, self.first, self.second, factors, out)
        return out

    def pullback(self, g: Array) -> Array:
        """Sum of both transposed matrices times ``g`` (2, n_rows), shape (n_columns,)."""
        from dosegrad.influence._pair_kernels import pullback_pair

        factors = np.ascontiguousarray(g, dtype=np.float64)
        partial = np.empty((_BLOCKS, self.n_columns))
        work = np.cumsum(np.where(factors.any(axis=0), self.row_sizes, 0))
        total = work[-1] if work.size else 0
        inner = np.searchsorted(work, total * np.arange(1, _BLOCKS) / _BLOCKS)
        edges = np.concatenate([[0], inner, [self.n_rows]]).astype(np.int64)
        values = (self.first, self.second)
        pullback_pair(self.indptr, self.columns, *values, factors, edges, partial)
        product: Array = partial.sum(axis=0)
        return product

    def mixed(self, share: Array) -> RowProducts:
        """The one matrix of both, each row times its ``share`` (2, n_rows) of either."""
        p, q = (np.repeat(s, self.row_sizes) for s in share)
        values = (p * self.first + q * self.second).astype(np.float32)
        return RowProducts(self.indptr, self.columns, values, self.n_columns)
