"""Paths of beamlets: twin, mass, steps, surroundings, sharing."""

import numpy as np
import pytest
from pytest import approx

from dosegrad.engines.yoda import _tracing_kernels, _tracing_reference
from dosegrad.engines.yoda._tracing_arrays import Entries, Lines, Scene
from dosegrad.engines.yoda.paths import step_length
from dosegrad.geometry.grid import Grid


def scene(outside=0.0012):
    rng = np.random.default_rng(3)
    shape = np.array([5, 7, 9])
    return Scene(
        density=rng.uniform(0.2, 1.8, 315),
        material=rng.integers(0, 3, 315).astype(np.int32),
        shape=shape,
        outside_density=outside,
        outside_material=3,
    )


def lines(step=0.7, most=100.0):
    rng = np.random.default_rng(4)
    direction = rng.normal(size=(40, 3))
    direction[:6] = np.repeat(np.eye(3), 2, axis=0) * np.array([1, -1] * 3)[:, None]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    start = np.array([2.5, 3.5, 4.5]) - 8.0 * direction + rng.uniform(-1.5, 1.5, (40, 3))
    return Lines(start, direction / 1.5, step, 40, most)


def empty(n):
    size = (n, 90)
    return Entries(
        np.zeros(size, np.int32), np.zeros(size, np.int32), np.zeros(size), np.zeros(n, np.int64)
    )


@pytest.mark.parametrize(("outside", "most"), [(0.0, 100.0), (0.0012, 100.0), (0.0012, 0.6)])
def test_compiled_tracing_equals_plain_tracing(outside, most):
    compiled, plain = empty(40), empty(40)
    _tracing_kernels.trace(scene(outside), lines(most=most), compiled)
    _tracing_reference.trace(scene(outside), lines(most=most), plain)
    assert (compiled.used == plain.used).all()
    for name in ("step", "material", "mass"):
        for line in range(40):
            used = slice(0, compiled.used[line])
            ours, theirs = getattr(compiled, name)[line, used], getattr(plain, name)[line, used]
            assert ours == approx(theirs, rel=1e-7, abs=1e-10)


def test_steps_are_whole_parts_of_voxels():
    grid = Grid((5, 6, 7), (3.0, 2.5, 1.0), (0.0, 0.0, 0.0))
    assert step_length(grid, np.array([0.0, 1.0, 0.0])) == approx(1.25)
    assert step_length(grid, np.array([0.0, 0.0, -1.0])) == approx(1.0)
    assert step_length(grid, np.array([0.6, 0.8, 0.0])) == approx(1.0)
