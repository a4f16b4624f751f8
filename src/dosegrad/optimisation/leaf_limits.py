"""Limits of leaves while they are moved: windows of both banks, and the nearest that obeys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.beams.apertures import Apertures
from dosegrad.machine.collimator import MultileafCollimator

__all__ = ["BankWindows", "bank_windows", "obedient", "passed"]

#: Passes over all limits that undo what leaves may not do.
_PASSES: Final = 1000
#: Changes of one pass that end them, mm.
_SETTLED: Final = 1e-9
#: By how much more than needed passing leaves are parted, relative.
_BEYOND: Final = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class BankWindows:
    """From where to where tips of the left (segments, 2) and of the right bank may stand, mm."""

    left: Array
    right: Array


def bank_windows(
    collimator: MultileafCollimator, apertures: Apertures, pairs: Sequence[slice], *, room: float
) -> BankWindows:
    """Windows within ``room`` mm of the jaws in which reach, over-travel and span are kept.

    Where the jaws are farther apart than a bank may span, its window lies around the moving
    ``pairs`` (segments,) where they stand; these must obey.
    """
    low, high = apertures.jaws[:, 0] - room, apertures.jaws[:, 1] + room
    reach, over = collimator.reach, collimator.over_travel
    windows = []
    for bank, limits in ((apertures.left, (-reach, over)), (apertures.right, (-over, reach))):
        window = np.clip(np.stack([low, high], axis=1), *limits)
        for k, span in enumerate(pairs):
            if window[k, 1] - window[k, 0] > collimator.span:
                tips = np.clip(bank[k, span], *window[k])
                spare = max(0.5 * (collimator.span - float(np.ptp(tips))), 0.0)
                around = np.array([tips.min() - spare, tips.max() + spare])
                window[k] = np.clip(around, *window[k])
        windows.append(window)
    left, right = windows
    # where opposing tips may stand must leave room for the gap between them
    left[:, 1] = np.minimum(left[:, 1], right[:, 1] - collimator.minimum_gap)
    left[:, 0] = np.minimum(left[:, 0], left[:, 1])
    return BankWindows(left, right)


def obedient(
    collimator: MultileafCollimator, apertures: Apertures, pairs: Sequence[slice]
) -> Apertures:
    """Apertures moved little, and only as far as it takes to keep all limits of leaves.

    Where limits would be broken by pairs that do not move, in the shade of a jaw, they stand as
    the outermost ones that do, in all segments.

    Parameters
    ----------
    collimator
        With its limits.
    apertures
        That may break them.
    pairs
        Which pairs of each segment (segments,) may move.
    """
    left, right = apertures.left.copy(), apertures.right.copy()
    for k, span in enumerate(pairs):
        left[k, span], right[k, span] = _placed(collimator, left[k, span], right[k, span])
    if collimator.broken_limits(left, right):
        for bank in (left, right):
            for k, span in enumerate(pairs):
                if span.stop > span.start:
                    bank[k, : span.start] = bank[k, span.start]
                    bank[k, span.stop :] = bank[k, span.stop - 1]
    return replace(apertures, left=left, right=right)


def passed(left: Array, right: Array) -> tuple[Array, Array]:
    """By how much left tips (..., pairs) pass right ones of the next, and of the pair before."""
    after = np.maximum(left[..., :-1] - right[..., 1:], 0.0)
    before = np.maximum(left[..., 1:] - right[..., :-1], 0.0)
    return after, before


def _placed(collimator: MultileafCollimator, left: Array, right: Array) -> tuple[Array, Array]:
    """Tips (pairs,) of one segment by projections in turn."""
    reach, over = collimator.reach, collimator.over_travel
    for _ in range(_PASSES):
        before = left, right
        left = _spanning(np.clip(left, -reach, over), collimator.span)
        right = _spanning(np.clip(right, -over, reach), collimator.span)
        lacking = 0.5 * np.maximum(collimator.minimum_gap - (right - left), 0.0)
        left, right = left - lacking, right + lacking
        if not collimator.interdigitation:
            left, right = _untangled(left, right)
        if max(np.abs(left - before[0]).max(), np.abs(right - before[1]).max()) < _SETTLED:
            break
    return left, right


def _spanning(bank: Array, span: float) -> Array:
    """Tips (pairs,) drawn towards the middle of the bank until it spans no more than it may."""
    middle = 0.5 * (bank.min() + bank.max())
    drawn: Array = np.clip(bank, middle - 0.5 * span, middle + 0.5 * span)
    return drawn


def _untangled(left: Array, right: Array) -> tuple[Array, Array]:
    """Tips (pairs,) of which those that pass each other go back half of the way each."""
    left, right = left.copy(), right.copy()
    here, there = slice(None, -1), slice(1, None)
    for a, b in ((here, there), (there, here)):
        excess = 0.5 * (1.0 + _BEYOND) * np.maximum(left[a] - right[b], 0.0)
        left[a] -= excess
        right[b] += excess
    return left, right
