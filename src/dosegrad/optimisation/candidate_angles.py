"""Angles that beams may be chosen from, and the even spread among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.errors import SettingsError

__all__ = ["Angle", "list_angles", "spread_evenly"]

#: Gantry and couch angle, degree.
Angle: TypeAlias = tuple[float, float]

#: Degrees between candidates, unless they are given.
_STEP: Final = 10.0


def list_angles(candidates: Sequence[float | Angle] | None, couch: ArrayLike) -> tuple[Angle, ...]:
    """Different pairs of gantry and couch angle; full turns make no difference."""
    given = np.arange(0.0, 360.0, _STEP).tolist() if candidates is None else list(candidates)
    turns = _numbers(couch, "couch")
    pairs: list[Angle] = []
    for one in given:
        values = _numbers(one, "candidate")
        if len(values) == 2:
            pairs.append((values[0] % 360.0, values[1]))
        elif len(values) == 1:
            pairs += [(values[0] % 360.0, turn) for turn in turns]
        else:
            raise _no_angle("candidate", one)
    different: dict[Angle, Angle] = {}
    for gantry, turn in pairs:
        different.setdefault((gantry, turn % 360.0), (gantry, turn))
    return tuple(different.values())


def _numbers(given: object, what: str) -> list[float]:
    """One finite number or several."""
    try:
        values = np.atleast_1d(np.asarray(given, dtype=float))
    except (TypeError, ValueError) as error:
        raise _no_angle(what, given) from error
    if values.ndim > 1 or not values.size or not np.isfinite(values).all():
        raise _no_angle(what, given)
    found: list[float] = values.tolist()
    return found


def _no_angle(what: str, given: object) -> SettingsError:
    return SettingsError(
        f"{what} {given!r} is no angle; give a gantry angle, or a pair of gantry and couch angle, "
        "in degrees."
    )


def spread_evenly(angles: Sequence[Angle], n: int) -> list[int]:
    """Candidates nearest to ``n`` evenly spread gantry angles with the couch least turned."""
    left = dict(enumerate(angles))
    found = []
    for wanted in np.arange(n) * 360.0 / n:

        def apart(k: int, wanted: float = wanted) -> tuple[float, float]:
            gantry, couch = left[k]
            return abs((couch + 180.0) % 360.0 - 180.0), abs(
                (gantry - wanted + 180.0) % 360.0 - 180.0
            )

        best = min(left, key=apart)
        found.append(best)
        del left[best]
    return found
