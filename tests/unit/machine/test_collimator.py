"""Leaves, jaws and limits of an arc."""

import numpy as np
import pytest

from dosegrad.errors import MachineError
from dosegrad.machine.collimator import ArcLimits, MultileafCollimator
from dosegrad.machine.library import load_machine
from dosegrad.machine.photon_archive import collimator_from, collimator_record


def test_generic_machines_have_sixty_pairs():
    leaves = load_machine("generic-6mv").collimator
    assert leaves.pairs == 60
    assert leaves.boundaries[[0, -1]].tolist() == [-200.0, 200.0]
    widths = np.diff(leaves.boundaries)
    assert (widths == 5.0).sum() == 40
    assert (widths == 10.0).sum() == 20
    assert repr(leaves) == "MultileafCollimator(60 pairs of 5 and 10 mm)"


def test_limits_that_are_broken_are_told():
    leaves = MultileafCollimator(
        np.arange(-10.0, 10.1, 5.0), minimum_gap=0.5, interdigitation=False, span=100.0
    )
    fine = (np.full(4, -10.0), np.full(4, 10.0))
    assert leaves.broken_limits(*fine) == ()
    cases = {
        "come within 0.00 mm": ([0, 0, 0, 0], [10, 0, 10, 10]),
        "pass opposing neighbours by 5.00 mm": ([-20, 10, -20, -20], [5, 20, 20, 20]),
        "210.0 mm from the axis": ([-210] * 4, [0] * 4),
        "beyond the axis": ([160] * 4, [170] * 4),
        "120.0 mm apart": ([-120, 0, 0, 0], [10, 10, 10, 10]),
    }
    for words, (left, right) in cases.items():
        broken = leaves.broken_limits(np.array(left, float), np.array(right, float))
        assert any(words in each for each in broken), words


def test_impossible_leaves_and_limits_are_refused():
    with pytest.raises(MachineError, match="must ascend"):
        MultileafCollimator(np.array([1.0, 0.0]))
    with pytest.raises(MachineError, match=r"transmission 1\.2 must be from 0"):
        MultileafCollimator(np.array([0.0, 1.0]), transmission=1.2)
    with pytest.raises(MachineError, match="span 0"):
        MultileafCollimator(np.array([0.0, 1.0]), span=0.0)
    with pytest.raises(MachineError, match="limits of an arc"):
        ArcLimits(gantry_speed=0.0)


def test_a_record_gives_the_same_leaves():
    leaves = MultileafCollimator.sixty_pairs()
    again = collimator_from(collimator_record(leaves))
    assert np.array_equal(again.boundaries, leaves.boundaries)
    assert again.leaf_end_offset == leaves.leaf_end_offset
    assert collimator_from(None) is None
