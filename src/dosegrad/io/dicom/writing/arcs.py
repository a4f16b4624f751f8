"""Arcs: which fields of a plan are one turn of the gantry, and its control points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.beams.apertures import Aperture, Apertures
from dosegrad.beams.beam import Beam
from dosegrad.io.dicom.photon_plans import ARC_DESCRIPTION
from dosegrad.io.dicom.writing.data_sets import decimal
from dosegrad.plan import Plan

__all__ = ["ARC_DESCRIPTION", "ArcPoint", "add_turn", "arc_points", "turns"]

#: A step of the gantry so many times the median one is a gap, not part of an arc.
_GAP: Final = 3.0
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class ArcPoint:
    """Gantry, how it turns from here, leaves, and MU of one fraction up to here."""

    gantry: float
    direction: str
    aperture: Aperture
    meterset: float


def turns(plan: Plan) -> list[list[int]]:
    """Numbers of the fields that one beam of the file delivers.

    Fields belong to one arc if the optimiser of arcs made them or their file had them as one beam,
    each has one aperture, they differ in nothing but the gantry angle, and no step of the gantry
    is out of line. All others are beams of their own.
    """
    found = []
    for group in _candidates(plan):
        found += [group] if _is_arc(plan, group) else [[k] for k in group]
    return found


def arc_points(fields: Sequence[Beam], segments: Apertures, metersets: Array) -> Iterator[ArcPoint]:
    """Control points of an arc: each segment in the middle of its MU, and half-way to the next.

    MU of a segment are delivered half before and half after it, so the gantry stands for half of
    the first one at the begin, and of the last one at the end.
    """
    ends = np.cumsum(metersets)
    shapes = list(segments)
    steps = [_step(a.gantry, b.gantry) for a, b in pairwise(fields)]
    words = ["CW" if step > 0 else "CC" for step in steps]
    yield ArcPoint(fields[0].gantry, "NONE", shapes[0], 0.0)
    for k, field in enumerate(fields):
        middle = float(ends[k] - 0.5 * metersets[k])
        if k + 1 == len(fields):
            yield ArcPoint(field.gantry, "NONE", shapes[k], middle)
            continue
        yield ArcPoint(field.gantry, words[k], shapes[k], middle)
        between = (field.gantry + 0.5 * steps[k]) % 360.0
        yield ArcPoint(between, words[k], _between(shapes[k], shapes[k + 1]), float(ends[k]))
    yield ArcPoint(fields[-1].gantry, "NONE", shapes[-1], float(ends[-1]))


def add_turn(point: Any, state: ArcPoint) -> None:
    """Gantry angle and how it turns, into an item of the ControlPointSequence."""
    point.GantryAngle = decimal(state.gantry)
    point.GantryRotationDirection = state.direction


def _candidates(plan: Plan) -> list[list[int]]:
    """Fields that may be one beam, in their order."""
    n = len(plan.beams)
    if isinstance(plan.provenance.get("arc"), Mapping):
        return [list(range(n))]
    numbers = plan.provenance.get("beam_numbers")
    if not isinstance(numbers, Sequence) or len(numbers) != n:
        return [[k] for k in range(n)]
    cuts = np.flatnonzero(np.diff(np.asarray(numbers, dtype=np.int64))) + 1
    return [[int(k) for k in part] for part in np.split(np.arange(n), cuts)]


def _is_arc(plan: Plan, group: list[int]) -> bool:
    if len(group) < 2 or plan.apertures is None:
        return False
    fields = [plan.beams[k] for k in group]
    owners = plan.apertures.beam
    mine = np.isin(owners, group)
    places = {(f.couch, f.isocentre, f.position, f.sad) for f in fields}
    steps = np.abs([_step(a.gantry, b.gantry) for a, b in pairwise(fields)])
    one_each = np.array_equal(owners[mine], group)
    stiff = np.ptp(plan.apertures.rotation[mine]) < _ROUNDING
    return bool(
        one_each
        and stiff
        and len(places) == 1
        and 0.0 < steps.min() <= steps.max() <= _GAP * np.median(steps)
        and plan.apertures.monitor_units[mine].sum() > 0
    )


def _step(before: float, after: float) -> float:
    """Turn of the gantry the short way round, degree, clockwise positive."""
    return (after - before + 180.0) % 360.0 - 180.0


def _between(first: Aperture, second: Aperture) -> Aperture:
    x1, x2, y1, y2 = (0.5 * (a + b) for a, b in zip(first.jaws, second.jaws, strict=True))
    return Aperture(
        (x1, x2, y1, y2),
        0.5 * (first.left + second.left),
        0.5 * (first.right + second.right),
        first.rotation,
    )
