"""Jaws and multileaf collimators of a beam, control point by control point."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from dosegrad.arrays import Array, readonly
from dosegrad.errors import FileFormatError
from dosegrad.io.dicom.attributes import integer, items, number_array, optional_numbers, text

__all__ = ["Collimators", "Leaves", "read_collimators"]

_JAWS_X: Final = frozenset({"X", "ASYMX"})
_JAWS_Y: Final = frozenset({"Y", "ASYMY"})
_LEAVES: Final = {"MLCX": "x", "MLCY": "y"}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Leaves:
    """A multileaf collimator.

    Parameters
    ----------
    axis
        ``"x"`` or ``"y"``: along which axis of the collimator the leaves move.
    boundaries
        Sides of the leaf pairs along the other axis, mm in the isocentre plane, (pairs + 1,).
    positions
        Tips of both banks, mm in the isocentre plane, (2, pairs); the first bank is the one on the
        negative side (X1 or Y1).
    distance
        From the source to the collimator, mm; None where not stated.
    """

    axis: str
    boundaries: Array
    positions: Array
    distance: float | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "boundaries", readonly(self.boundaries))
        object.__setattr__(self, "positions", readonly(self.positions))

    def __repr__(self) -> str:
        return f"Leaves({self.positions.shape[1]} pairs along {self.axis})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Collimators:
    """Jaws (low, high), mm in the isocentre plane, and leaves; None or empty where there are none.

    A symmetric jaw (X, Y) and a pair of independent ones (ASYMX, ASYMY) read alike.
    """

    jaws_x: tuple[float, float] | None = None
    jaws_y: tuple[float, float] | None = None
    leaves: tuple[Leaves, ...] = field(default=())

    def __repr__(self) -> str:
        return f"Collimators(x {self.jaws_x}, y {self.jaws_y}, {len(self.leaves)} MLC)"


def read_collimators(
    beam: Any, points: tuple[Any, ...], number: int, path: Path
) -> tuple[Collimators, ...]:
    """Jaws and leaves at each control point (points,); what is not stated again stays.

    Raises
    ------
    FileFormatError
        If a device moves that the beam does not declare, or numbers of leaves, sides and positions
        do not fit together.
    """
    declared = _declared(beam, number, path)
    current = Collimators()
    found = []
    for point in points:
        for each in items(point, "BeamLimitingDevicePositionSequence", path):
            current = _moved(current, each, declared, number, path)
        found.append(current)
    return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class _Device:
    """A declared device: number of pairs, sides of leaves, distance from the source."""

    pairs: int
    boundaries: Array
    distance: float | None


def _declared(beam: Any, number: int, path: Path) -> dict[str, _Device]:
    """Devices of the beam by type."""
    found = {}
    for each in items(beam, "BeamLimitingDeviceSequence", path):
        kind = text(each, "RTBeamLimitingDeviceType").upper()
        pairs = integer(each, "NumberOfLeafJawPairs", path, default=1)
        boundaries = number_array(each, "LeafPositionBoundaries", path)
        fits = boundaries.size == pairs + 1 and bool((np.diff(boundaries) > 0).all())
        if kind in _LEAVES and not fits:
            raise FileFormatError(
                f"{path.name}: beam {number} declares {pairs} leaf pairs with {boundaries.size} "
                "ascending sides; there must be one more than pairs. Export the plan again."
            )
        distance = optional_numbers(each, "SourceToBeamLimitingDeviceDistance", 1, path)
        found[kind] = _Device(pairs, boundaries, distance[0] if distance else None)
    return found


def _moved(
    current: Collimators, item: Any, declared: dict[str, _Device], number: int, path: Path
) -> Collimators:
    """``current`` with the position that ``item`` states."""
    kind = text(item, "RTBeamLimitingDeviceType").upper()
    positions = number_array(item, "LeafJawPositions", path)
    device = declared.get(kind)
    if device is None:
        raise FileFormatError(
            f"{path.name}: beam {number} moves a collimator that it does not declare; export the "
            "plan again."
        )
    if positions.size != 2 * device.pairs:
        raise FileFormatError(
            f"{path.name}: beam {number} gives {positions.size} positions for {device.pairs} "
            "pairs of leaves or jaws; the file was cut off or written wrongly. Export it again."
        )
    if kind in _JAWS_X:
        return replace(current, jaws_x=(float(positions[0]), float(positions[1])))
    if kind in _JAWS_Y:
        return replace(current, jaws_y=(float(positions[0]), float(positions[1])))
    if kind not in _LEAVES:
        raise FileFormatError(
            f"{path.name}: beam {number} has a collimator of unknown type; export the plan with "
            "jaws and MLC of the standard's types."
        )
    banks = positions.reshape(2, device.pairs)
    moved = Leaves(_LEAVES[kind], device.boundaries, banks, device.distance)
    others = tuple(each for each in current.leaves if each.axis != moved.axis)
    return replace(current, leaves=(*others, moved))
