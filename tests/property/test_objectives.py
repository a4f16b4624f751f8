"""Gradients against central differences, convexity against chords, over generated doses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosegrad import objectives as obj

SMOOTH = (
    obj.SquaredDeviation(50.0),
    obj.SquaredOverdose(40.0),
    obj.SquaredUnderdose(60.0),
    obj.MeanDose(),
    obj.SquaredMeanDeviation(20.0),
    obj.EUD(0.0, a=8.0),
    obj.EUD(30.0, a=3.5),
    obj.EUD(50.0, a=-10.0, side="below"),
    obj.EUD(20.0, a=2.0, side="above"),
)
DVH_LIKE = (obj.MaxDVH(dose=40.0, volume=0.3), obj.MinDVH(dose=60.0, volume=0.9))


def doses(lowest=0.01):
    return st.integers(0, 10_000).map(
        lambda seed: np.random.default_rng(seed).uniform(lowest, 90.0, 25)
    )


def shares(seed, n):
    share = np.random.default_rng(seed).uniform(0.1, 1.0, n)
    return share / share.sum()


@pytest.mark.parametrize("objective", SMOOTH, ids=repr)
@given(dose=doses(), seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_gradient_is_the_derivative(objective, dose, seed):
    share = shares(seed, dose.size)
    direction = np.random.default_rng(seed).standard_normal(dose.size)
    step = 1e-5
    # away from the kink of one-sided squares the second derivative jumps, not the first
    above, _ = objective.value_and_gradient(dose + step * direction, share)
    below, _ = objective.value_and_gradient(dose - step * direction, share)
    value, gradient = objective.value_and_gradient(dose, share)
    expected = (above - below) / (2 * step)
    size = np.linalg.norm(gradient) * np.linalg.norm(direction)
    assert gradient @ direction == pytest.approx(expected, rel=1e-5, abs=1e-6 * (size + 1e-3))
    assert value >= 0.0


@pytest.mark.parametrize("objective", DVH_LIKE, ids=repr)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_dvh_gradient_while_no_voxel_crosses(objective, seed):
    rng = np.random.default_rng(seed)
    dose = rng.permutation(np.arange(25.0) * 3.0 + 10.5)  # far apart and off the references
    share = np.full(dose.size, 1.0 / dose.size)
    reach = objective.value_and_gradient
    edge = np.argsort(dose)[::-1][int(np.ceil(objective.volume * dose.size - 1e-9)) - 1]
    direction = rng.standard_normal(dose.size)
    direction[edge] = 0.0
    step = 1e-4
    expected = reach(dose + step * direction, share)[0] - reach(dose - step * direction, share)[0]
    gradient = reach(dose, share)[1]
    assert gradient @ direction == pytest.approx(expected / (2 * step), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("objective", [o for o in SMOOTH if o.is_convex], ids=repr)
@given(first=doses(), second=doses(), between=st.floats(0.0, 1.0))
@settings(max_examples=20, deadline=None)
def test_declared_convex_lies_below_its_chords(objective, first, second, between):
    share = np.full(first.size, 1.0 / first.size)

    def value(dose):
        return objective.value_and_gradient(dose, share)[0]

    chord = between * value(first) + (1 - between) * value(second)
    assert value(between * first + (1 - between) * second) <= chord * (1 + 1e-9) + 1e-9


def test_what_is_declared_convex():
    assert [o.is_convex for o in SMOOTH] == [True] * 6 + [False, True, True]
    assert not any(o.is_convex for o in DVH_LIKE)
