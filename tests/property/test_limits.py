"""Every hard limit: derivatives by differences, kept where its miss is not above zero."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosegrad.errors import PlanError
from dosegrad.objectives import limits

N = 30
LIMITS = (
    limits.MaxDose(60.0),
    limits.MinDose(20.0),
    limits.MaxMean(40.0),
    limits.MinMean(40.0),
    limits.MaxEUD(40.0, a=6.0),
    limits.MinEUD(40.0, a=-8.0),
    limits.MaxMeanTail(60.0, volume=0.1),
    limits.MinMeanTail(20.0, volume=0.1),
    limits.MaxVolume(50.0, volume=0.3),
    limits.MinVolume(50.0, volume=0.7),
)


@pytest.mark.parametrize("limit", LIMITS, ids=repr)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_excess_has_its_derivative(limit, seed):
    rng = np.random.default_rng(seed)
    dose, direction = rng.uniform(1.0, 90.0, N), rng.standard_normal(N)
    share = np.full(N, 1.0 / N)
    excess, pullback = limit.excess(dose, share)
    factors = rng.standard_normal(excess.size)
    step = 1e-5
    ends = [factors @ limit.excess(dose + s * step * direction, share)[0] for s in (1, -1)]
    expected = (ends[0] - ends[1]) / (2 * step)
    assert pullback(factors) @ direction == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("limit", [x for x in LIMITS if x.is_convex], ids=repr)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_the_smooth_excess_is_on_the_safe_side(limit, seed):
    dose = np.random.default_rng(seed).uniform(1.0, 90.0, N)
    share = np.full(N, 1.0 / N)
    assert limit.miss(dose, share) <= limit.excess(dose, share)[0].max() + 1e-9


@pytest.mark.parametrize("limit", LIMITS, ids=repr)
def test_uniform_doses_on_either_side(limit):
    share = np.full(N, 1.0 / N)
    upper = type(limit).__name__.startswith("Max")
    kept, missed = (1.0, 90.0) if upper else (90.0, 1.0)
    assert limit.miss(np.full(N, kept), share) < 0
    assert limit.miss(np.full(N, missed), share) > 0
    assert limit.size > 0


def test_settings_out_of_range():
    with pytest.raises(PlanError, match=r"Write 5 % as 0\.05"):
        limits.MaxMeanTail(50.0, volume=5)
    with pytest.raises(PlanError, match="finite dose"):
        limits.MaxDose(-1.0)
