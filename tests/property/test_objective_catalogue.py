"""Every objective: gradients by differences, convexity by chords, finite at the extremes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosegrad import objectives as obj
from dosegrad.objectives.records import KINDS
from dosegrad.objectives.sparsity import GroupSparsity
from dosegrad.objectives.voxel_limits import VoxelPenalty

N = 25
LIMITS = np.linspace(20.0, 60.0, N)

SMOOTH = (
    obj.SoftMaximum(40.0, softness=1.5),
    obj.SoftMaximum(softness=3.0),
    obj.SoftMinimum(60.0, softness=2.0),
    obj.Homogeneity(),
    obj.TCP(),
    obj.TCP(alpha=0.05, beta=0.05, clonogens=1e4),
    obj.LymanNTCP(td50=45.0, m=0.15, n=0.3),
    obj.LogisticNTCP(td50=45.0, gamma50=2.0, a=4.0),
    VoxelPenalty(LIMITS),
    VoxelPenalty(LIMITS, side="below"),
    VoxelPenalty(LIMITS, side="both"),
)
TAILS = (
    obj.UpperMeanTail(30.0, volume=0.3),
    obj.UpperMeanTail(volume=1.0),
    obj.LowerMeanTail(60.0, volume=0.17),
)
OTHERS = (
    obj.SquaredDeviation(50.0),
    obj.SquaredOverdose(40.0),
    obj.SquaredUnderdose(60.0),
    obj.MeanDose(),
    obj.MeanDose(20.0),
    obj.SquaredMeanDeviation(20.0),
    obj.MaxDVH(dose=40.0, volume=0.3),
    obj.MinDVH(dose=60.0, volume=0.9),
    obj.EUD(0.0, a=8.0),
    obj.EUD(50.0, a=-10.0, side="below"),
    obj.EUD(20.0, a=2.0, side="above"),
)
CATALOGUE = (*SMOOTH, *TAILS, *OTHERS)


def random_dose(seed, lowest=0.01):
    return np.random.default_rng(seed).uniform(lowest, 90.0, N)


def shares(seed):
    share = np.random.default_rng(seed).uniform(0.1, 1.0, N)
    return share / share.sum()


def difference(objective, dose, share, direction, step):
    above, _ = objective.value_and_gradient(dose + step * direction, share)
    below, _ = objective.value_and_gradient(dose - step * direction, share)
    return (above - below) / (2 * step)


@pytest.mark.parametrize("objective", SMOOTH, ids=repr)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_gradient_is_the_derivative(objective, seed):
    dose, share = random_dose(seed), shares(seed + 1)
    direction = np.random.default_rng(seed + 2).standard_normal(N)
    value, gradient = objective.value_and_gradient(dose, share)
    expected = difference(objective, dose, share, direction, 1e-5)
    size = np.linalg.norm(gradient) * np.linalg.norm(direction)
    assert gradient @ direction == pytest.approx(expected, rel=1e-5, abs=1e-6 * (size + 1e-3))
    assert value >= 0.0


@pytest.mark.parametrize("objective", TAILS, ids=repr)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_gradient_of_a_tail_while_no_voxel_changes_place(objective, seed):
    rng = np.random.default_rng(seed)
    dose = rng.permutation(np.arange(float(N)) * 3.0 + 1.0)
    share, direction = shares(seed), rng.standard_normal(N)
    expected = difference(objective, dose, share, direction, 1e-4)
    gradient = objective.value_and_gradient(dose, share)[1]
    assert gradient @ direction == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("objective", [o for o in CATALOGUE if o.is_convex], ids=repr)
@given(seed=st.integers(0, 10_000), between=st.floats(0.0, 1.0))
@settings(max_examples=20, deadline=None)
def test_declared_convex_lies_below_its_chords_and_above_its_tangents(objective, seed, between):
    share = np.full(N, 1.0 / N)
    first, second = random_dose(seed, 0.0), random_dose(seed + 1, 0.0)
    values = [objective.value_and_gradient(d, share) for d in (first, second)]
    chord = between * values[0][0] + (1 - between) * values[1][0]
    middle = objective.value_and_gradient(between * first + (1 - between) * second, share)[0]
    assert middle <= chord * (1 + 1e-9) + 1e-9
    tangent = values[0][0] + values[0][1] @ (second - first)
    size = abs(values[0][0]) + abs(values[0][1] @ (second - first))
    assert values[1][0] >= tangent - 1e-9 * size - 1e-9


@pytest.mark.parametrize("objective", CATALOGUE, ids=repr)
@pytest.mark.parametrize(
    "dose",
    [
        np.zeros(N),
        np.full(N, 50.0),
        np.full(N, 1e5),
        np.concatenate([np.zeros(N - 1), [1e5]]),
        np.full(N, 1e-300),
    ],
    ids=["none", "uniform", "huge", "one hot", "tiny"],
)
def test_extremes_stay_finite(objective, dose):
    value, gradient = objective.value_and_gradient(dose, np.full(N, 1.0 / N))
    assert np.isfinite(value)
    assert value >= 0.0
    assert gradient.shape == (N,)
    assert np.isfinite(gradient).all()


def test_what_is_declared_convex():
    assert [o.is_convex for o in SMOOTH] == [True] * 5 + [False] * 3 + [True] * 3
    assert all(o.is_convex for o in TAILS)


def test_every_kind_of_file_is_in_the_catalogue():
    assert {o.kind for o in CATALOGUE} | {"dose-fall-off"} >= set(KINDS)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_sparsity_has_its_gradient_and_is_concave(seed):
    rng = np.random.default_rng(seed)
    penalty = GroupSparsity(rng.integers(0, 4, 12), scale=0.1)
    weights, direction = rng.uniform(0.01, 2.0, 12), rng.standard_normal(12)
    value, gradient = penalty.value_and_gradient(weights)
    step = 1e-6
    ends = [penalty.value_and_gradient(weights + s * step * direction)[0] for s in (1, -1)]
    assert gradient @ direction == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5)
    other = rng.uniform(0.01, 2.0, 12)
    assert penalty.value_and_gradient(other)[0] <= value + gradient @ (other - weights) + 1e-9
    assert penalty.value_and_gradient(np.zeros(12))[0] == 0.0
