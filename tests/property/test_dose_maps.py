"""Every dose map: its pullback is the adjoint; compiled products equal their plain twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_array, random_array

from dosegrad.influence import _products_kernels as compiled
from dosegrad.influence import _products_reference as plain
from dosegrad.influence.dose_map import InfluenceDoseMap, dot_test
from dosegrad.influence.products import RowProducts, in_kernel_types, multiply, multiply_transposed


@st.composite
def matrices(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    rows, columns = draw(st.integers(1, 60)), draw(st.integers(1, 40))
    matrix = csc_array(
        random_array((rows, columns), density=draw(st.floats(0, 1)), rng=rng, dtype=np.float32)
    )
    matrix.sort_indices()
    picked = np.flatnonzero(rng.random(rows) < draw(st.floats(0, 1)))
    return matrix, picked, rng


@given(matrices())
@settings(max_examples=30, deadline=None)
def test_pullback_is_the_adjoint(case):
    matrix, rows, rng = case
    dose_map = InfluenceDoseMap.of(matrix, rows)
    assert (dose_map.n_voxels, dose_map.n_variables) == (rows.size, matrix.shape[1])
    weights = rng.random(matrix.shape[1])
    gradient = rng.standard_normal(rows.size)
    dose, pullback = dose_map.linearise(weights)
    size = np.abs(dose) @ np.abs(gradient)
    assert dose @ gradient == pytest.approx(weights @ pullback(gradient), abs=1e-10 * size)


def test_dot_test_of_a_linear_map():
    rng = np.random.default_rng(1)
    matrix = csc_array(random_array((50, 30), density=0.3, rng=rng, dtype=np.float32))
    assert dot_test(InfluenceDoseMap.of(matrix), rng.random(30), step=1e-2) < 1e-10


@given(matrices())
@settings(max_examples=30, deadline=None)
def test_products_are_those_of_scipy(case):
    matrix, rows, rng = case
    exact = matrix.astype(np.float64).toarray()
    products = RowProducts.of(matrix, rows)
    x = rng.random(matrix.shape[1]) * (rng.random(matrix.shape[1]) < 0.6)
    g = rng.standard_normal(rows.size) * (rng.random(rows.size) < 0.6)
    np.testing.assert_allclose(products.forward(x), exact[rows] @ x, rtol=0, atol=1e-12)
    np.testing.assert_allclose(products.pullback(g), exact[rows].T @ g, rtol=0, atol=1e-12)
    squared = (exact[rows] ** 2).T @ np.abs(g)
    np.testing.assert_allclose(products.squares(np.abs(g)), squared, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(multiply(matrix, x), exact @ x, rtol=0, atol=1e-12)
    h = rng.standard_normal(matrix.shape[0])
    np.testing.assert_allclose(multiply_transposed(matrix, h), exact.T @ h, rtol=0, atol=1e-12)


@given(matrices())
@settings(max_examples=20, deadline=None)
def test_rows_left_out_later_are_those_left_out_at_once(case):
    matrix, rows, rng = case
    kept = rng.random(rows.size) < 0.5
    later = RowProducts.of(matrix, rows).keeping(kept)
    at_once = RowProducts.of(matrix, rows[kept])
    assert np.array_equal(later.indptr, at_once.indptr)
    assert np.array_equal(later.columns, at_once.columns)
    assert np.array_equal(later.values, at_once.values)


def test_matrices_of_other_types_are_converted_once():
    rng = np.random.default_rng(4)
    matrix = csc_array(random_array((20, 9), density=0.4, rng=rng, dtype=np.float32))
    assert in_kernel_types(matrix) is matrix
    wide = matrix.astype(np.float64)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    narrow = in_kernel_types(wide)
    assert (narrow.data.dtype, narrow.indices.dtype) == (np.float32, np.int32)
    assert np.array_equal(narrow.toarray(), matrix.toarray())


@given(matrices())
@settings(max_examples=30, deadline=None)
def test_compiled_products_equal_plain_ones(case):
    matrix, rows, rng = case
    n_rows, n_columns = matrix.shape
    indptr, indices = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)
    place = np.full(n_rows, -1, dtype=np.int64)
    place[rows] = np.arange(rows.size)
    sizes = np.bincount(indices, minlength=n_rows)[rows]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    x = rng.random(n_columns)
    g = rng.standard_normal(rows.size) * (rng.random(rows.size) < 0.5)
    edges = np.linspace(0, rows.size, 4).astype(np.int64)
    exact, near = [], []
    for twin in (compiled, plain):
        cursor = starts[:-1].copy()
        columns = np.empty(starts[-1], dtype=np.uint16)
        values = np.empty(starts[-1], dtype=np.float32)
        twin.fill_rows(indptr, indices, matrix.data, place, cursor, columns, values)
        counts = np.zeros(n_rows, dtype=np.int64)
        twin.count_rows(indices, counts)
        exact.append((cursor, columns, values, counts))
        dose, partial = np.empty(rows.size), np.full((3, n_columns), np.nan)
        twin.forward(starts, columns, values, x, dose)
        twin.pullback(starts, columns, values, g, edges, partial)
        out, back = np.ones(n_rows), np.empty(n_columns)
        twin.add_columns(indptr, indices, matrix.data, x, out)
        twin.sum_columns(indptr, indices, matrix.data, np.arange(float(n_rows)), back)
        near.append((dose, partial, out, back))
    for one, other in zip(*exact, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(*near, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
