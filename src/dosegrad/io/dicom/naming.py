"""Names, roles and colours of structures, from what a structure set says or else from names."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Final

from dosegrad.patient.structures import Role

__all__ = ["role_of", "unique_name"]

_TARGET_TYPES: Final = frozenset({"PTV", "CTV", "GTV"})
_TARGET_NAME: Final = re.compile(r"^(i?ptv|i?ctv|i?gtv|itv|target)", re.IGNORECASE)
_EXTERNAL_NAME: Final = re.compile(
    r"^(body|external|skin|outline|patient|patient[ _-]?outline)$", re.IGNORECASE
)


def role_of(name: str, interpreted_type: str) -> tuple[Role, bool]:
    """Role of a structure, and whether it was guessed from the name.

    RTROIInterpretedType decides where it is given: PTV, CTV and GTV are targets, EXTERNAL is the
    outline of the body, all others are organs.

    Examples
    --------
    >>> role_of("Boost", "GTV")
    ('target', False)
    >>> role_of("PTV_60", "")
    ('target', True)
    >>> role_of("Heart", "")
    ('organ', False)
    """
    if interpreted_type in _TARGET_TYPES:
        return "target", False
    if interpreted_type:
        return ("external" if interpreted_type == "EXTERNAL" else "organ"), False
    if _TARGET_NAME.match(name):
        return "target", True
    if _EXTERNAL_NAME.match(name):
        return "external", True
    return "organ", False


def unique_name(name: str, number: int, taken: Container[str]) -> str:
    """``name`` without control characters, at most 64 long, numbered if it is taken.

    Examples
    --------
    >>> unique_name("PTV", 3, {"PTV"})
    'PTV (2)'
    >>> unique_name("", 7, ())
    'ROI 7'
    """
    plain = "".join(c for c in name if c.isprintable()).strip()[:64] or f"ROI {number}"
    candidate, count = plain, 1
    while candidate in taken:
        count += 1
        candidate = f"{plain} ({count})"
    return candidate
