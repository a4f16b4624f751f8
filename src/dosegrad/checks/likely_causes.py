"""What a record that does not fit its plan may be: another unit, another frame, another share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.beams.deliveries import match_spots
from dosegrad.checks.spot_deviations import SpotDeviations

__all__ = ["likely_causes"]

_Change = Callable[[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]

#: What x and y may be instead of mm in the isocentre plane of the IEC gantry frame.
_FRAMES: Final[dict[str, _Change]] = {
    "in cm": lambda x, y: (10.0 * x, 10.0 * y),
    "in m": lambda x, y: (1000.0 * x, 1000.0 * y),
    "with x and y exchanged": lambda x, y: (y, x),
    "with x of the other sign": lambda x, y: (-x, y),
    "with y of the other sign": lambda x, y: (x, -y),
    "with x and y of the other sign": lambda x, y: (-x, -y),
}
#: Mean distance, mm, above which positions are doubted; what counts as none; and how much nearer
#: spots must come for another reading to be told.
_DOUBTFUL: Final = 1.0
_FAR: Final = 10.0
_NEARER: Final = 0.25
_SAME_SHARE: Final = 0.05


def likely_causes(spots: SpotDeviations, fractions: int) -> tuple[str, ...]:
    """Sentences on readings of the record that fit the plan far better; nothing is changed.

    Parameters
    ----------
    spots
        As they were compared.
    fractions
        Of the plan.
    """
    notes = []
    planned, delivered = spots.planned, spots.delivered
    found = _distance(planned, delivered)
    if found > _DOUBTFUL:
        others = {}
        for words, change in _FRAMES.items():
            table = delivered.copy()
            table["x"], table["y"] = change(delivered["x"], delivered["y"])
            others[words] = _distance(planned, table)
        best = min(others, key=lambda words: others[words])
        if others[best] < _NEARER * found:
            notes.append(f"positions would fit the plan {best}; check how the record was written")
    share = delivered["mu"].sum() / max(float(planned["mu"].sum()), 1e-12)
    if fractions > 1 and abs(share - fractions) < _SAME_SHARE * fractions:
        notes.append(
            f"the meterset is {share:.3g} times that of a fraction, and the plan has {fractions} "
            "fractions; the record seems to be of the whole course"
        )
    return tuple(notes)


def _distance(planned: NDArray[Any], delivered: NDArray[Any]) -> float:
    """Mean distance of spots from their places, mm; those without one count as far."""
    found, _ = match_spots(planned, delivered, reach=_FAR)
    known = found >= 0
    distances = np.full(delivered.size, _FAR)
    distances[known] = np.hypot(
        delivered["x"][known] - planned["x"][found[known]],
        delivered["y"][known] - planned["y"][found[known]],
    )
    return float(distances.mean())
