"""Attributes of a data set as checked Python values.

pydicom hands out what the file holds, whatever its type or number; here it becomes numbers that
are there and finite, or one clear error without the value.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dosegrad.arrays import Array
from dosegrad.errors import FileFormatError

__all__ = ["integer", "items", "number_array", "numbers", "optional_numbers", "text"]


def numbers(data_set: Any, keyword: str, count: int, path: Path) -> tuple[float, ...]:
    """The ``count`` finite numbers of an attribute that must be there."""
    found = optional_numbers(data_set, keyword, count, path)
    if found is None:
        raise FileFormatError(
            f"{path.name}: {keyword} is missing; it is needed to place the data in the patient. "
            "Export the series again, complete."
        )
    return found


def optional_numbers(
    data_set: Any, keyword: str, count: int, path: Path
) -> tuple[float, ...] | None:
    """The ``count`` finite numbers of an attribute, or None if it is absent or empty."""
    value = data_set.get(keyword)
    if value is None or value == "" or (hasattr(value, "__len__") and len(value) == 0):
        return None
    found: tuple[float, ...]
    try:
        if isinstance(value, bytes | str):
            found = (float(value),)
        elif hasattr(value, "__len__"):
            found = tuple(float(v) for v in value)
        else:
            found = (float(value),)
    except (TypeError, ValueError):
        found = ()
    if len(found) != count or not np.isfinite(found).all():
        raise FileFormatError(
            f"{path.name}: {keyword} does not hold {count} finite number{'s'[: count > 1]}; the "
            "file is damaged or was written wrongly. Export it again."
        )
    return found


def number_array(data_set: Any, keyword: str, path: Path) -> Array:
    """All finite numbers (n,) of an attribute, one number included; none if absent or empty.

    Some writers store a list of one number as the number alone.
    """
    value = data_set.get(keyword)
    if value is None or value == "":
        return np.empty(0)
    try:
        found: Array = np.atleast_1d(np.asarray(value, dtype=np.float64)).ravel()
    except (TypeError, ValueError):
        found = np.array([np.nan])
    if not np.isfinite(found).all():
        raise FileFormatError(
            f"{path.name}: {keyword} holds something that is no finite number; the file is damaged "
            "or was written wrongly. Export it again."
        )
    return found


def integer(data_set: Any, keyword: str, path: Path, *, default: int | None = None) -> int:
    """A whole number, not negative; ``default`` where it is absent."""
    found = optional_numbers(data_set, keyword, 1, path)
    if found is None and default is not None:
        return default
    value = numbers(data_set, keyword, 1, path)[0] if found is None else found[0]
    if value != int(value) or value < 0:
        raise FileFormatError(
            f"{path.name}: {keyword} is not a whole number from 0 up; export the file again."
        )
    return int(value)


def text(data_set: Any, keyword: str) -> str:
    """A text without blanks around it; empty if absent or not a single text."""
    value = data_set.get(keyword)
    return value.strip(" \0") if isinstance(value, str) else ""


def items(data_set: Any, keyword: str, path: Path) -> tuple[Any, ...]:
    """Items of a sequence; none if it is absent or empty."""
    value = data_set.get(keyword)
    if value is None or value == "":
        return ()
    if isinstance(value, bytes | str) or not hasattr(value, "__iter__"):
        raise FileFormatError(
            f"{path.name}: {keyword} is no sequence; the file is damaged or was written wrongly. "
            "Export it again."
        )
    return tuple(value)
