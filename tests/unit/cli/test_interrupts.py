"""Ctrl-C that some code swallows ends the work all the same."""

import contextlib
import signal

import pytest

from dosegrad.cli.console import working
from dosegrad.cli.interrupts import keeping_interrupts
from dosegrad.progress import report


def lost_interrupt():
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_lost_interrupt_is_raised_with_the_next_report():
    came_so_far = False
    with pytest.raises(KeyboardInterrupt), working(silent=True):
        lost_interrupt()
        came_so_far = True
        report("work", 0.5)
        pytest.fail("work went on")
    assert came_so_far


def test_a_lost_interrupt_is_raised_at_the_end():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), keeping_interrupts():
        lost_interrupt()
    assert signal.getsignal(signal.SIGINT) is before
