"""Scoring: twins, integrals, agreement of the two kernels."""

from math import erf

import numpy as np
import pytest
from pytest import approx

from dosegrad.engines.yoda import (
    _profile_kernels,
    _profile_reference,
    _scoring_kernels,
    _scoring_reference,
)
from dosegrad.engines.yoda._scoring_arrays import Edges, Pencils, Voxels
from dosegrad.engines.yoda.scoring import DepthProfile, make_profiles, score, score_column

VOXELS = Voxels(np.array([24, 30, 28]), np.array([1.5, 1.0, 1.25]))


def pencils(axes, origin, n=3):
    rng = np.random.default_rng(1)
    origins = np.asarray(origin) + rng.uniform(-2.0, 2.0, (n, 3))
    vectors = [np.tile(v, (n, 1)).astype(float) for v in axes]
    return Pencils(origins, *vectors, rng.uniform(0.5, 1.0, n), np.arange(n, dtype=np.int32) % 2)


def profiles(width=1.0, blur=(0.15, 0.12)):
    deposit = np.array([np.linspace(1.0, 3.0, 22), np.linspace(1.0, 2.0, 22)])
    deposit[:, 20:] = 0.0
    depth = DepthProfile(1.0, deposit, np.full((2, 22), 0.1), np.full((2, 22), 2.0))
    variance = np.tile(np.linspace(2.0, 4.0, 23), (2, 2, 1))
    return make_profiles(depth, np.array([0, 1]), variance, width=width, blur=np.array(blur))


ALIGNED = ([0, 1, 0], [0, 0, 1], [1, 0, 0])
TURNED = ([0, 0.8, 0.6], [0, -0.6, 0.8], [-1, 0, 0])
PARTS = np.array([0, 9, 24])


def test_the_error_function_is_that_of_the_library():
    for x in np.linspace(-6.5, 6.5, 4001):
        assert abs(_scoring_kernels._erf(x) - erf(x)) < 1e-14


@pytest.mark.parametrize("axes", [ALIGNED, TURNED])
def test_compiled_scoring_equals_plain_scoring(axes):
    n = int(VOXELS.shape.prod())
    held, table = pencils(axes, (17.0, 1.0, 14.0)), profiles()
    ours, theirs = np.zeros((2, n)), np.zeros((2, n))
    _scoring_kernels.add_dose(VOXELS, held, table, PARTS, *ours)
    _scoring_reference.add_dose(VOXELS, held, table, PARTS, *theirs)
    assert ours == approx(theirs, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    "axes", [ALIGNED, ([0, 0, -1], [1, 0, 0], [0, 1, 0]), ([1, 0, 0], [0, 0, -1], [0, -1, 0])]
)
def test_compiled_aligned_scoring_equals_plain(axes):
    n = int(VOXELS.shape.prod())
    along = np.abs(np.array(axes)).argmax(axis=1)
    origin = np.array([17.0, 14.0, 16.0])
    origin[along[0]] = 1.0 if min(axes[0]) >= 0 else 30.0
    held, table = pencils(axes, origin), profiles()
    ours, theirs = np.zeros((2, n)), np.zeros((2, n))
    _scoring_kernels.add_aligned(VOXELS, held, table, along, PARTS, *ours)
    _scoring_reference.add_aligned(VOXELS, held, table, along, PARTS, *theirs)
    assert ours.max() > 0
    assert ours == approx(theirs, rel=1e-9, abs=1e-12)


def test_both_kernels_agree_where_both_may_be_used():
    n = int(VOXELS.shape.prod())
    held, table = (
        pencils(ALIGNED, (17.0, 0.5, 14.0), n=1),
        profiles(blur=(1.25**2 / 12, 1.5**2 / 12)),
    )
    general, aligned = np.zeros(n), np.zeros(n)
    _scoring_kernels.add_dose(VOXELS, held, table, PARTS, general, np.empty(0))
    axes = np.array([1, 2, 0])
    _scoring_kernels.add_aligned(VOXELS, held, table, axes, PARTS, aligned, np.empty(0))
    assert abs(general - aligned).max() < 0.01 * aligned.max()


def test_energy_of_a_beamlet_arrives_on_the_voxels():
    shape = Voxels(np.array([40, 26, 40]), np.array([1.0, 1.0, 1.0]))
    held = Pencils(
        *(np.array([[20.3, -0.5, 19.6]]), *(np.array([v], float) for v in ALIGNED)),
        *(np.ones(1), np.zeros(1, np.int32)),
    )
    dose = np.zeros(int(shape.shape.prod()))
    score(shape, held, profiles(blur=(1 / 12, 1 / 12)), dose)
    energy = dose.sum() * 1e-6 / 1.602176634e-13 / 1e6  # Gy per 1e6 in 1 mm3 of water, to MeV
    assert energy == approx(np.linspace(1.0, 3.0, 22)[:20].sum(), rel=2e-3)


def test_columns_hold_the_same_dose():
    n = int(VOXELS.shape.prod())
    held, table = pencils(TURNED, (17.0, 1.0, 14.0)), profiles()
    dose = np.zeros(n)
    score(VOXELS, held, table, dose)
    rows, values, let_dose = score_column(VOXELS, [(held, table, np.zeros(3, np.intp))])
    assert (np.diff(rows) > 0).all()
    assert values == approx(dose[rows], rel=1e-12)
    assert let_dose == approx(2.0 * values, rel=1e-9)
    assert dose.sum() == approx(values.sum())


def test_compiled_profiles_equal_plain_profiles():
    rng = np.random.default_rng(2)
    sums = rng.uniform(0.0, 1.0, (3, 4, 9)).cumsum(axis=2)
    sums[:, 3] = 0.0
    edges = Edges(*sums)
    path = np.array([2, 0, 3, 1, 2])
    variance = rng.uniform(1.0, 3.0, (5, 2, 9))
    made = []
    for fill in (_profile_kernels.fill_profiles, _profile_reference.fill_profiles):
        values, reach = np.zeros((5, 17, 4)), np.zeros((5, 2))
        fill(edges, path, variance, (0.7, 0.1, 0.2), (0.01, 8.0, 1e-5, 1.5), values, reach)
        made.append((values, reach))
    assert made[0][0] == approx(made[1][0], rel=1e-10, abs=1e-14)
    assert made[0][1] == approx(made[1][1], rel=1e-10)
