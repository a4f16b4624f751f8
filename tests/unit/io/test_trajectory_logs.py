"""Trajectory logs: what the machine was told and did, in our frame and units."""

import copy
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from dosegrad.beams.apertures import Aperture, Apertures
from dosegrad.errors import FileFormatError
from dosegrad.io.deliveries import is_photon_delivery, read_delivery, read_photon_delivery
from dosegrad.io.trajectory_logs import read_trajectory_log

_SPEC = importlib.util.spec_from_file_location(
    "trajectory_logs", Path(__file__).parents[1] / "trajectory_logs.py"
)
logs = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(logs)


@pytest.fixture(scope="module")
def states():
    rng = np.random.default_rng(4)
    shapes = [
        Aperture((-50, 40, -60, 70), -rng.uniform(5, 45, 60), rng.uniform(5, 35, 60), 10.0)
        for _ in range(3)
    ]
    apertures = Apertures.of([0, 0, 0], shapes, [10.0, 20.0, 30.0])
    planned = logs.motion(apertures, [350.0, 355.0, 5.0], apertures.monitor_units)
    delivered = copy.copy(planned)
    delivered.left = planned.left + 0.5
    delivered.right = planned.right - 0.25
    delivered.gantry = planned.gantry + 0.3
    delivered.mu = planned.mu * 1.01
    delivered.jaws = planned.jaws + 0.1
    return planned, delivered


@pytest.mark.parametrize("scale", [1, 2])
def test_values_come_in_our_frame_and_units(tmp_path, states, scale):
    (record,) = read_trajectory_log(logs.log(tmp_path / "a.bin", *states, scale=scale))
    for found, made in zip((record.planned, record.delivered), states, strict=True):
        for name in ("left", "right", "jaws", "collimator"):
            np.testing.assert_allclose(getattr(found, name), getattr(made, name), atol=1e-4)
        np.testing.assert_allclose(found.gantry, made.gantry % 360.0, atol=1e-4)
        np.testing.assert_allclose(found.monitor_units, made.mu, atol=1e-4)
    assert record.times[1] - record.times[0] == pytest.approx(0.02)
    assert record.boundaries[[0, 10, -1]].tolist() == [-200.0, -100.0, 200.0]


def test_deviations_are_those_of_leaves_in_the_field_with_beam(tmp_path, states):
    (record,) = read_trajectory_log(logs.log(tmp_path / "a.bin", *states))
    off = record.leaf_deviations
    middle = 0.5 * (record.boundaries[1:] + record.boundaries[:-1])
    assert off.shape == (states[0].mu.size, np.count_nonzero((middle > -60) & (middle < 70)), 2)
    np.testing.assert_allclose(off[..., 0], 0.5, atol=1e-4)
    np.testing.assert_allclose(off[..., 1], -0.25, atol=1e-4)


def test_automatic_sequences_are_cut_into_beams(tmp_path, states):
    found = read_trajectory_log(logs.log(tmp_path / "a.bin", *states, starts=(0, 1, 2)))
    totals = [r.planned.total for r in found]
    assert len(found) == 3
    assert sum(totals) == pytest.approx(60.0, rel=0.03)


def test_narrow_leaves_have_their_own_sides(tmp_path, states):
    (record,) = read_trajectory_log(logs.log(tmp_path / "a.bin", *states, model=3))
    assert np.unique(np.diff(record.boundaries)).tolist() == [2.5, 5.0]
    assert record.boundaries[[0, -1]].tolist() == [-110.0, 110.0]


def test_names_in_the_file_are_not_read(tmp_path, states):
    (record,) = read_trajectory_log(logs.log(tmp_path / "a.bin", *states, starts=(0,)))
    assert "Sentinel" not in repr(record) + record.source + str(record.warnings)


def test_a_folder_holds_the_logs_of_a_fraction(tmp_path, states):
    for name in ("b.bin", "a.bin"):
        logs.log(tmp_path / name, *states)
    (tmp_path / "notes.txt").write_text("none")
    assert is_photon_delivery(tmp_path)
    assert len(read_photon_delivery(tmp_path)) == 2
    with pytest.raises(FileFormatError, match="trajectory log of photons"):
        read_delivery(tmp_path / "a.bin")
    with pytest.raises(FileFormatError, match="there is no trajectory log"):
        read_photon_delivery(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("lies", "words"),
    [
        ({"samples": 10**6}, "is cut off"),
        ({"samples": -1}, "not possible"),
        ({"axes": 10**6}, "impossible header"),
        ({"size": 100}, "impossible header"),
        ({"interval": 0}, "impossible header"),
        ({"sizes": [1] * 15 + [82]}, "contradict"),
        ({"sizes": [1] * 14 + [10**9, 122]}, "contradict"),
        ({"scale": 9}, "scale 9"),
        ({"model": 7}, "model 7"),
    ],
)
def test_damaged_logs_are_refused(tmp_path, states, lies, words):
    path = logs.log(tmp_path / "a.bin", *states, **lies)
    with pytest.raises(FileFormatError, match=words):
        read_trajectory_log(path)


def test_other_files_and_impossible_values_are_refused(tmp_path, states):
    planned, delivered = states
    with pytest.raises(FileFormatError, match="there is no trajectory log"):
        read_trajectory_log(tmp_path / "none.bin")
    (tmp_path / "b.bin").write_bytes(b"VOSTL")
    with pytest.raises(FileFormatError, match="no trajectory log"):
        read_trajectory_log(tmp_path / "b.bin")
    wrong = copy.copy(delivered)
    wrong.left = np.full_like(delivered.left, np.nan)
    with pytest.raises(FileFormatError, match="not finite"):
        read_trajectory_log(logs.log(tmp_path / "c.bin", planned, wrong))
    swapped = copy.copy(planned)
    swapped.left, swapped.right = planned.right, planned.left
    with pytest.raises(FileFormatError, match="overlap"):
        read_trajectory_log(logs.log(tmp_path / "d.bin", swapped, swapped))
    off = copy.copy(planned)
    off.mu = np.zeros_like(planned.mu)
    with pytest.raises(FileFormatError, match="no sample with beam"):
        read_trajectory_log(logs.log(tmp_path / "e.bin", off, off))


def test_mutated_logs_never_end_in_another_error(tmp_path, states):
    content = logs.log(tmp_path / "a.bin", *states).read_bytes()
    rng = np.random.default_rng(11)
    for _ in range(200):
        mutant = bytearray(content[: rng.integers(20, len(content))])
        for place in rng.integers(0, min(len(mutant), 1100), 4):
            mutant[place] = rng.integers(0, 256)
        (tmp_path / "m.bin").write_bytes(mutant)
        try:
            read_trajectory_log(tmp_path / "m.bin")
        except FileFormatError as error:
            assert "m.bin" in str(error)
