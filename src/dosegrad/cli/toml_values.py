"""Readers of single TOML values: each gives the value in the wanted type, or says what is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from dosegrad.errors import PlanError, unknown_name

__all__ = [
    "at",
    "choices",
    "number",
    "numbers",
    "settings",
    "text",
    "texts",
    "triple",
    "whole",
]

#: Reads a value; told where it stands and what a good one looks like.
Reader: TypeAlias = Callable[[object, str, str], Any]


def at(read: Reader, example: str) -> Mapping[str, object]:
    """Field metadata: how to read the value, and an example of it as the file would say it."""
    return {"read": read, "example": example}


def text(value: object, where: str, example: str) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise _wrong(value, where, "a text in quotes", example)
    return value


def texts(value: object, where: str, example: str) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise _wrong(value, where, "a list of texts in quotes", example)
    return tuple(value)


def number(value: object, where: str, example: str) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(value, where, "a finite number without quotes", example)
    return float(value)


def whole(value: object, where: str, example: str) -> int:
    """A whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _wrong(value, where, "a whole number of at least 1", example)
    return value


def numbers(value: object, where: str, example: str) -> tuple[float, ...]:
    """One finite number or a list of some."""
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise _wrong(value, where, "one number or more", example)
    try:
        return tuple(number(v, where, example) for v in listed)
    except PlanError:
        raise _wrong(value, where, "a number or a list of numbers", example) from None


def triple(value: object, where: str, example: str) -> tuple[float, float, float]:
    """A list of three finite numbers."""
    if not isinstance(value, list) or len(value) != 3:
        raise _wrong(value, where, "a list of three numbers", example)
    a, b, c = numbers(value, where, example)
    return a, b, c


def choices(*allowed: str) -> Reader:
    """A reader of one of these texts."""

    def read(value: object, where: str, example: str) -> str:
        chosen = text(value, where, example)
        if chosen not in allowed:
            raise unknown_name(f"choice for {where}", chosen, allowed)
        return chosen

    return read


def settings(value: object, where: str, example: str) -> Mapping[str, float]:
    """A table of finite numbers."""
    if not isinstance(value, dict):
        raise _wrong(value, where, "a table of numbers", example)
    return {key: number(v, f"{where} {key}", "5.0") for key, v in value.items()}


def _wrong(value: object, where: str, expected: str, example: str) -> PlanError:
    return PlanError(f"{where} is {value!r}; expected {expected}, such as {example}.")
