"""Scenario maps: rounding is bounded, pullbacks are adjoints, kernels equal their plain twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_array, random_array

from dosegrad.influence import _scenario_kernels as compiled
from dosegrad.influence import _scenario_reference as plain
from dosegrad.influence.dose_map import dot_test
from dosegrad.influence.scenario_map import ScenarioDoseMap
from dosegrad.influence.scenario_storage import RunLengthMatrix


@st.composite
def matrices(draw):
    """A matrix with runs, some longer than a byte counts, and rows to pick."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    rows, columns = draw(st.integers(1, 700)), draw(st.integers(1, 20))
    density = draw(st.sampled_from([0.0, 0.05, 0.5, 0.97, 1.0]))
    matrix = csc_array(random_array((rows, columns), density=density, rng=rng, dtype=np.float32))
    matrix.sort_indices()
    picked = np.flatnonzero(rng.random(rows) < draw(st.sampled_from([0.0, 0.3, 0.9, 1.0])))
    return matrix, picked, rng


@given(matrices())
@settings(max_examples=25, deadline=None)
def test_values_are_rounded_to_16_bits_of_the_column(case):
    matrix, _, _ = case
    held = RunLengthMatrix.of(matrix)
    assert (held.shape, held.nnz) == (matrix.shape, matrix.nnz)
    exact = matrix.astype(np.float64).toarray()
    error = np.abs(held.to_csc().toarray() - exact)
    assert (error <= (0.5 / 65535 + 1e-9) * exact.max(axis=0)).all()


@given(matrices())
@settings(max_examples=25, deadline=None)
def test_products_are_those_of_the_matrix_held(case):
    matrix, picked, rng = case
    held = RunLengthMatrix.of(matrix)
    dense = held.to_csc().toarray()
    x = rng.random(matrix.shape[1]) * (rng.random(matrix.shape[1]) < 0.7)
    np.testing.assert_allclose(held.forward(x), dense @ x, rtol=0, atol=1e-11)
    g = rng.standard_normal(matrix.shape[0])
    np.testing.assert_allclose(held.pullback(g), dense.T @ g, rtol=0, atol=1e-10)
    part = held.rows(picked)
    assert np.array_equal(part.to_csc().toarray(), dense[picked])
    joined = RunLengthMatrix.joined([held, held])
    assert np.array_equal(joined.to_csc().toarray(), np.hstack([dense, dense]))


@given(matrices())
@settings(max_examples=25, deadline=None)
def test_pullback_is_the_adjoint(case):
    matrix, picked, rng = case
    dose_map = ScenarioDoseMap(RunLengthMatrix.of(matrix).rows(picked))
    assert (dose_map.n_voxels, dose_map.n_variables) == (picked.size, matrix.shape[1])
    weights, gradient = rng.random(matrix.shape[1]), rng.standard_normal(picked.size)
    dose, pullback = dose_map.linearise(weights)
    size = np.abs(dose) @ np.abs(gradient)
    assert dose @ gradient == pytest.approx(weights @ pullback(gradient), abs=1e-10 * size)


def test_dot_test_of_a_scenario():
    rng = np.random.default_rng(1)
    matrix = csc_array(random_array((300, 30), density=0.4, rng=rng, dtype=np.float32))
    matrix.sort_indices()
    dose_map = ScenarioDoseMap(RunLengthMatrix.of(matrix))
    assert dot_test(dose_map, rng.random(30), step=1e-2) < 1e-10


@given(matrices())
@settings(max_examples=10, deadline=None)
def test_compiled_equals_plain(case):
    matrix, picked, rng = case
    n_rows, n = matrix.shape
    source = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data
    held = RunLengthMatrix.of(matrix)
    place = np.full(n_rows, -1, dtype=np.int64)
    place[picked] = np.arange(picked.size)
    factors, g = rng.random(n), rng.random(n_rows)
    edges = np.array([0, n // 2, n], dtype=np.int64)
    part = held.rows(picked)

    def made(module):
        runs, top = np.zeros(n, dtype=np.int64), np.zeros(n)
        module.count_runs(*source, runs, top)
        per_unit = np.divide(65535.0, top, out=np.zeros(n), where=top > 0)
        coded = [np.zeros_like(a) for a in (held.firsts, held.lengths, held.data)]
        module.encode(*source, per_unit, held.run_starts, held.value_starts, *coded)
        layout = (held.run_starts, held.value_starts, held.firsts, held.lengths, held.data)
        kept_runs, kept = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        module.count_kept(held.run_starts, held.firsts, held.lengths, place, kept_runs, kept)
        copied = [np.zeros_like(a) for a in (part.firsts, part.lengths, part.data)]
        module.keep(*layout, place, part.run_starts, part.value_starts, *copied)
        partial, back = np.zeros((2, n_rows)), np.zeros(n)
        module.forward(*layout, factors, edges, partial)
        module.pullback(*layout, g, back)
        return [runs, top, *coded, kept_runs, kept, *copied, partial, back]

    for fast, slow in zip(made(compiled), made(plain), strict=True):
        np.testing.assert_allclose(fast, slow, rtol=1e-12, atol=1e-9)


def test_negative_values_are_refused():
    from dosegrad.errors import PlanError

    with pytest.raises(PlanError, match="negative or not finite"):
        RunLengthMatrix.of(csc_array(np.array([[-1.0]], dtype=np.float32)))
    with pytest.raises(PlanError, match=r"should be \(2,\)"):
        RunLengthMatrix.of(csc_array(np.ones((3, 2), dtype=np.float32))).forward(np.ones(3))
