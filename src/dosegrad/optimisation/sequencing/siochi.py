"""Sequencing by Siochi: some shapes extracted, the rest delivered by a sweep of pushed rods."""

from __future__ import annotations

from dosegrad.optimisation.sequencing.shapes import LeafRules, Levels, Shape, removed
from dosegrad.optimisation.sequencing.sweep import swept_shapes
from dosegrad.optimisation.sequencing.xia_verhey import next_shape

__all__ = ["siochi"]

#: Time between two shapes, in levels.
_PAUSE = 1


def siochi(levels: Levels, rules: LeafRules) -> tuple[Shape, ...]:
    """Shapes extracted one by one, then rods: as many of the first as take the least time.

    Time is that of all levels, and as long as one level between two shapes. Extraction takes large
    common openings; pushed rods deliver the rest in the least time that a sweep can.

    References
    ----------
    Siochi 1999, Int. J. Radiat. Oncol. Biol. Phys. 43, 671 [Siochi1999]_.
    """
    extracted: list[Shape] = []
    best: tuple[Shape, ...] = ()
    least = float("inf")
    rest = levels
    while True:
        shapes = (*extracted, *swept_shapes(rest, rules))
        time = sum(s.weight + _PAUSE for s in shapes)
        if time < least:
            best, least = shapes, time
        if not rest.any():
            return best
        extracted.append(next_shape(rest, rules))
        rest = removed(rest, extracted[-1])
