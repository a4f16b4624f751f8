"""Splitting of spots: mismatch, its gradient, rings, lattices, moments, bad settings."""

import json
from importlib.resources import files

import numpy as np
import pytest
from pytest import approx

from dosegrad.commissioning.ring_schemes import SCHEMES, solved_scheme
from dosegrad.engines.yoda._splitting_objective import Rings, mismatch
from dosegrad.engines.yoda.splitting import (
    RINGS_25,
    RINGS_61,
    Splitting,
    split_on_lattice,
    split_on_rings,
)
from dosegrad.errors import SettingsError

RADIUS, WEIGHT = np.array([0.0, 0.7, 1.0, 1.5]), np.array([0.1, 0.07, 0.04, 0.02])
SPREAD = np.array([0.5, 0.55, 0.6, 0.7])


def test_mismatch_against_an_integral_on_a_grid():
    rings = Rings(RINGS_25)
    r, w, s = (values[rings.ring] for values in (RADIUS, WEIGHT, SPREAD))
    x, y = r * np.cos(rings.angles), r * np.sin(rings.angles)
    line = np.linspace(-7.0, 7.0, 281)
    px, py = (p[..., None] for p in np.meshgrid(line, line))
    beamlets = w * np.exp(-0.5 * ((px - x) ** 2 + (py - y) ** 2) / s**2) / s**2
    spot = np.exp(-0.5 * (px**2 + py**2))[..., 0]
    expected = ((beamlets.sum(axis=-1) - spot) ** 2).sum() / (spot**2).sum()
    assert mismatch(x, y, w, s) == approx(expected, rel=1e-10)
    assert rings.value_and_gradient(RADIUS, WEIGHT, SPREAD)[0] == approx(expected, rel=1e-10)


def test_gradient_against_differences():
    rings = Rings(RINGS_25)
    point = np.stack([RADIUS, WEIGHT, SPREAD])
    _, gradient = rings.value_and_gradient(*point)
    differences = np.zeros_like(point)
    for index in np.ndindex(*point.shape):
        step = np.zeros_like(point)
        step[index] = 1e-5
        above, below = (rings.value_and_gradient(*(point + d))[0] for d in (step, -step))
        differences[index] = (above - below) / 2e-5
    assert gradient == approx(differences, rel=1e-7, abs=1e-9)


def test_rings_are_turned_as_published():
    assert Rings(RINGS_61).angles[[0, 1, 7, 13, 25, 37]] == approx(
        np.radians([0.0, 0.0, 30.0, 0.0, 15.0, 0.0])
    )


@pytest.mark.parametrize(("counts", "limit"), [(RINGS_61, 3e-9), (RINGS_25, 2e-8)])
def test_rings_match_the_spot(counts, limit):
    assert split_on_rings(counts).mismatch <= limit


@pytest.mark.parametrize("counts", [counts for counts, _, _ in SCHEMES])
def test_rings_keep_number_and_second_moment(counts):
    split = split_on_rings(counts)
    assert split.n_beamlets == sum(counts)
    assert split.weight.min() >= 0
    assert split.weight.sum() == approx(1.0, abs=1e-12)
    assert split.second_moments == approx((1.0, 1.0), abs=1e-12)
    assert abs(split.weight @ split.x) + abs(split.weight @ split.y) < 1e-15
    assert split.spread.min() >= 0.3 - 1e-6
    assert split.spread.max() <= 0.8 + 1e-6
    assert np.hypot(split.x, split.y).max() <= 2.0 + 1e-6


def test_shipped_schemes_can_be_made_again():
    text = (files("dosegrad.engines.yoda") / "data" / "ring_schemes.json").read_text("utf-8")
    shipped = {tuple(s["counts"]): s for s in json.loads(text)["schemes"]}
    assert len(shipped) == len(SCHEMES)
    again = solved_scheme(RINGS_25, 0.8, 2.0)
    assert again["mismatch"] == approx(shipped[RINGS_25]["mismatch"], rel=0.1)
    for counts, scheme in shipped.items():
        assert split_on_rings(counts).mismatch == approx(scheme["mismatch"], rel=0.01, abs=1e-13)


def test_narrow_beamlets_cost_accuracy():
    narrow = split_on_rings(RINGS_25, largest_spread=0.5, largest_radius=3.0)
    assert narrow.spread.max() <= 0.5 + 1e-6
    assert split_on_rings(RINGS_25).mismatch < narrow.mismatch < 1e-2
    assert narrow.second_moments == approx((1.0, 1.0), abs=1e-12)


def test_one_beamlet_is_the_spot():
    split = split_on_rings((1,))
    assert split.mismatch == approx(0.0, abs=1e-15)
    assert split.second_moments == (1.0, 1.0)


@pytest.mark.parametrize(
    ("pitch", "centred", "count"),
    [(2 / 3, False, 68), (0.5, False, 164), (2 / 3, True, 69), (1 / 3, False, 448)],
)
def test_lattice_matches_the_spot(pitch, centred, count):
    split = split_on_lattice(pitch, centred=centred)
    assert split.n_beamlets == count
    assert split.spread == approx(pitch)
    assert split.mismatch <= 1e-6
    assert split.weight.sum() == approx(1.0, abs=1e-12)
    assert split.second_moments == approx((1.0, 1.0), abs=1e-12)


def test_narrow_beamlets_on_a_lattice_ripple():
    smooth, rippled = split_on_lattice(0.5), split_on_lattice(0.5, spread=0.3)
    assert rippled.mismatch > 10 * smooth.mismatch
    assert rippled.second_moments == approx((1.0, 1.0), abs=1e-12)


def test_turning_keeps_the_match():
    split = split_on_rings()
    turned = split.turned(7.0)
    assert turned.mismatch == approx(split.mismatch, abs=1e-14)
    assert (turned.x[1], turned.y[1]) == approx(
        (split.x[1] * np.cos(np.radians(7.0)), split.x[1] * np.sin(np.radians(7.0)))
    )


def test_schemes_are_solved_once():
    assert split_on_rings((1, 5)) is split_on_rings([1, 5])
    assert isinstance(split_on_rings((1, 5)), Splitting)


@pytest.mark.parametrize(
    "options",
    [
        {"counts": ()},
        {"counts": (1, 2)},
        {"counts": (0, 6)},
        {"counts": (1, 6), "largest_spread": 0.2},
        {"counts": (1, 6), "largest_spread": 1.0},
        {"counts": (1, 6), "largest_radius": 0.0},
    ],
)
def test_rings_that_make_no_scheme(options):
    with pytest.raises(SettingsError, match="make no scheme"):
        split_on_rings(**options)


def test_rings_that_cannot_keep_the_moment():
    with pytest.raises(SettingsError, match="cannot have the spot's second moment"):
        split_on_rings((1, 6), largest_spread=0.4, largest_radius=0.5)


def test_lattices_that_make_no_scheme():
    with pytest.raises(SettingsError, match="makes no scheme"):
        split_on_lattice(0.5, spread=1.0)
    with pytest.raises(SettingsError, match="too coarse"):
        split_on_lattice(20.0, spread=0.5, centred=True)
