"""Every quantity of biology: its pullback against finite differences, on any data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_array, random_array

from dosegrad.influence import _pair_kernels as compiled
from dosegrad.influence import _pair_reference as plain
from dosegrad.influence.effect_map import EffectMap
from dosegrad.influence.let_map import LETMap
from dosegrad.influence.pair_products import PairProducts
from dosegrad.influence.rbe_map import RBEDoseMap
from dosegrad.influence.stacked_map import StackedMap


@st.composite
def pairs(draw):
    """Two matrices of one sparsity, with weights for them."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    rows, columns = draw(st.integers(1, 40)), draw(st.integers(1, 30))
    density = draw(st.floats(0.1, 1))
    first = csc_array(random_array((rows, columns), density=density, rng=rng, dtype=np.float32))
    first.sort_indices()
    values = rng.random(first.nnz).astype(np.float32)
    second = csc_array((values, first.indices, first.indptr), shape=first.shape)
    picked = np.flatnonzero(rng.random(rows) < draw(st.floats(0, 1)))
    return PairProducts.of(first, second, picked), (first, second, picked), rng


def maps_of(products, rng, fractions):
    """All quantities that are not linear, in tissues that differ from voxel to voxel."""
    n = products.n_rows
    alpha, beta = rng.uniform(0.05, 0.5, n), rng.uniform(0.01, 0.06, n)
    maps = [
        RBEDoseMap(products, alpha, beta, fractions),
        EffectMap(products, np.ones(n), fractions),
        EffectMap(products, 1.0 / alpha, fractions),
        EffectMap(products, 1.0 / (alpha + 2.0 * beta), fractions),
        LETMap(products),
        LETMap(products, softening=0.3),
    ]
    return [*maps, StackedMap((maps[0], maps[4]))]


@given(pairs(), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_pullbacks_are_the_derivatives(case, fractions):
    products, _, rng = case
    weights = rng.uniform(0.5, 2.0, products.n_columns)
    for dose_map in maps_of(products, rng, fractions):
        u, g = rng.standard_normal(weights.size), rng.standard_normal(dose_map.n_voxels)
        # Richardson: the error of the difference is of the fourth order
        near, far = (difference(dose_map, weights, step * u) @ g / step for step in (1e-3, 2e-3))
        values, pullback = dose_map.linearise(weights)
        size = np.abs(values) @ np.abs(g)
        assert pullback(g) @ u == pytest.approx((4 * near - far) / 3, abs=1e-8 * size)


def difference(dose_map, weights, step):
    above, below = (dose_map.linearise(weights + sign * step)[0] for sign in (1, -1))
    return (above - below) / 2


@given(pairs(), st.integers(1, 40))
@settings(max_examples=15, deadline=None)
def test_squares_are_those_of_the_jacobian(case, fractions):
    products, _, rng = case
    weights = rng.uniform(0.5, 2.0, products.n_columns)
    for dose_map in maps_of(products, rng, fractions):
        n = dose_map.n_voxels
        _, pullback = dose_map.linearise(weights)
        jacobian = np.array([pullback(row) for row in np.eye(n)]).reshape(n, products.n_columns)
        h = rng.random(n)
        expected = h @ jacobian**2 if n else np.zeros(products.n_columns)
        np.testing.assert_allclose(
            dose_map.squares(h, weights), expected, rtol=1e-4, atol=1e-7, err_msg=str(dose_map)
        )


@given(pairs())
@settings(max_examples=20, deadline=None)
def test_rows_left_out_later_change_no_value(case):
    products, _, rng = case
    weights = rng.random(products.n_columns)
    for dose_map in maps_of(products, rng, 3):
        kept = rng.random(dose_map.n_voxels) < 0.5
        whole, part = dose_map.linearise(weights)[0], dose_map.keeping(kept)
        np.testing.assert_array_equal(part.linearise(weights)[0], whole[kept])
        np.testing.assert_array_equal(part.row_sizes, dose_map.row_sizes[kept])


@given(pairs())
@settings(max_examples=25, deadline=None)
def test_compiled_pair_products_equal_plain_ones(case):
    products, (first, second, rows), rng = case
    x = rng.random(products.n_columns)
    g = rng.standard_normal((2, rows.size)) * (rng.random((2, rows.size)) < 0.5)
    exact = [m.astype(np.float64).toarray()[rows] for m in (first, second)]
    parts = (products.indptr, products.columns, products.first, products.second)
    edges = np.linspace(0, rows.size, 4).astype(np.int64)
    found = []
    for twin in (compiled, plain):
        out, partial = np.empty((2, rows.size)), np.empty((3, products.n_columns))
        twin.forward_pair(*parts, x, out)
        twin.pullback_pair(*parts, g, edges, partial)
        np.testing.assert_allclose(out, [m @ x for m in exact], atol=1e-12)
        back = sum(m.T @ slope for m, slope in zip(exact, g, strict=True))
        np.testing.assert_allclose(partial.sum(axis=0), back, atol=1e-12)
        found.append(partial)
    np.testing.assert_allclose(*found, atol=1e-12)
    np.testing.assert_allclose(products.pullback(g), found[0].sum(axis=0), atol=1e-12)


def test_the_slope_of_rbe_weighted_dose_has_its_factor():
    """The derivative by effect is 1 / (2 beta (D/n + alpha / 2 beta)); it is often left out."""
    one = csc_array(np.array([[0.3]], dtype=np.float32))
    root = csc_array(np.array([[0.2]], dtype=np.float32))
    alpha, beta, n = np.array([0.1]), np.array([0.05]), 20
    dose_map = RBEDoseMap(PairProducts.of(one, root), alpha, beta, n)
    weight = np.array([150.0])
    dose, pullback = dose_map.linearise(weight)
    by_effect = 1.0 / (2.0 * beta * (dose / n + alpha / (2.0 * beta)))
    effect_slope = 0.3 + 2.0 * (0.2 * weight / n) * 0.2
    assert pullback(np.ones(1)) == pytest.approx(by_effect * effect_slope, rel=1e-6)
