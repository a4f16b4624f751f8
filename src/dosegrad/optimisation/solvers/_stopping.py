"""When solvers stop: what their settings may be."""

from __future__ import annotations

import operator

from dosegrad.errors import SettingsError

__all__ = ["check_stopping", "check_whole"]


def check_whole(name: str, count: object) -> None:
    """Raise unless ``count`` is a whole number."""
    try:
        operator.index(count)  # type: ignore[arg-type]
    except TypeError as error:
        raise SettingsError(
            f"{name} {count!r} is no whole number; give how many, such as 100."
        ) from error


def check_stopping(tolerance: float, **counts: int) -> None:
    """Raise unless every count is at least 1 and the relative tolerance from 0 to below 1."""
    for name, count in counts.items():
        check_whole(name, count)
    if min(counts.values()) < 1:
        *first, last = (f"{name} {value}" for name, value in counts.items())
        raise SettingsError(
            f"{', '.join(first)} and {last} must be at least 1; leave them out to take the "
            "defaults."
        )
    if not 0 <= tolerance < 1:
        raise SettingsError(
            f"tolerance {tolerance} must be from 0 to below 1, such as 1e-4; it is the relative "
            "decrease of the objective that is too small to go on."
        )
