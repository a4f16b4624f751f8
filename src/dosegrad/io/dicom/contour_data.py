"""Contours of one ROI as a structure set holds them, checked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from dosegrad.arrays import Points
from dosegrad.errors import FileFormatError
from dosegrad.io.dicom.attributes import items, optional_numbers, text

__all__ = ["RoiContours", "read_contours"]

_CLOSED: Final = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR"})
_CONTOUR_DATA: Final = 0x30060050


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RoiContours:
    """Closed polygons (n, 3) mm of one ROI, the images they name, and contours of other kinds."""

    polygons: tuple[Points, ...]
    images: frozenset[str]
    ignored: Counter[str]


def read_contours(roi: Any, path: Path) -> RoiContours:
    """Closed contours of an item of the ROIContourSequence; points and open lines are counted.

    Raises
    ------
    FileFormatError
        If coordinates are missing in number, not finite, or not triples: a contour that was cut
        off would be a wrong region.
    """
    polygons, images, ignored = [], set(), Counter[str]()
    for contour in items(roi, "ContourSequence", path):
        points = _points(contour, path)
        kind = text(contour, "ContourGeometricType").upper()
        if kind in _CLOSED or not kind:
            polygons.append(points)
        else:
            ignored[_kind_in_words(kind)] += 1
        for image in items(contour, "ContourImageSequence", path):
            images.add(text(image, "ReferencedSOPInstanceUID"))
    return RoiContours(tuple(polygons), frozenset(images - {""}), ignored)


def _kind_in_words(kind: str) -> str:
    known = {"POINT": "points", "OPEN_PLANAR": "open lines", "OPEN_NONPLANAR": "open lines"}
    return known.get(kind, "contours of unknown type")


def _points(contour: Any, path: Path) -> Points:
    """Corners (n, 3) of a contour, mm."""
    values = _values(contour)
    if values is None or values.size % 3 or not np.isfinite(values).all():
        raise FileFormatError(
            f"{path.name}: a contour does not hold finite (x, y, z) triples; the file is damaged "
            "or was written wrongly. Export the structure set again."
        )
    declared = optional_numbers(contour, "NumberOfContourPoints", 1, path)
    if declared is not None and declared[0] != values.size // 3:
        raise FileFormatError(
            f"{path.name}: a contour holds {values.size // 3} points but declares "
            f"{declared[0]:g}; the file is damaged or was cut off. Export the structure set again."
        )
    return values.reshape(-1, 3)


def _values(contour: Any) -> np.ndarray | None:
    """ContourData as numbers, straight from the bytes where pydicom has not parsed them yet."""
    if _CONTOUR_DATA not in contour:
        return np.empty(0)
    element = contour.get_item(_CONTOUR_DATA)
    raw = element.value
    try:
        if isinstance(raw, bytes):
            fields = raw.strip(b"\0 ").split(b"\\")
            return np.empty(0) if fields == [b""] else np.array(fields).astype(np.float64)
        value = contour[_CONTOUR_DATA].value
        if value is None or value == "":
            return np.empty(0)
        return np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError):
        return None
