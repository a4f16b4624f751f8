"""Fields that leaves cannot deliver at once: strips, and where jaws and leaves stand for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.beams.apertures import Aperture
from dosegrad.errors import PlanError
from dosegrad.machine.collimator import MultileafCollimator
from dosegrad.optimisation.sequencing.fluence import LeafRaster
from dosegrad.optimisation.sequencing.shapes import (
    NEIGHBOURS,
    LeafRules,
    Levels,
    Sequencer,
    Shape,
    sum_of,
)

__all__ = ["Piece", "part_field", "units_between_jaws"]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Shapes of the columns from ``first`` to before ``last``, and the openings that make them."""

    first: int
    last: int
    shapes: tuple[Shape, ...]
    openings: tuple[Aperture, ...]

    def broken_limits(self, collimator: MultileafCollimator) -> tuple[str, ...]:
        """Limits of leaves that the openings do not keep, in words."""
        left, right = ([getattr(o, side) for o in self.openings] for side in ("left", "right"))
        return collimator.broken_limits(np.array(left), np.array(right))


def part_field(
    collimator: MultileafCollimator,
    raster: LeafRaster,
    gantry: float,
    decompose: Sequencer,
    rules: LeafRules,
    levels: Levels,
) -> tuple[Piece, ...]:
    """Strips of columns, each as wide as leaves can deliver by itself; one if that is possible.

    Parameters
    ----------
    collimator, raster
        Leaves, and the bixels under them.
    gantry
        Angle of the beam, degree, for messages.
    decompose, rules
        Algorithm, and what it has to obey.
    levels
        Of the whole field (leaf rows, columns).

    Raises
    ------
    PlanError
        If not even single columns can be delivered.
    """
    columns = np.flatnonzero(levels.any(axis=0))
    first, last = int(columns[0]), int(columns[-1]) + 1
    piece_of = partial(_piece, collimator, raster, decompose, rules, levels)
    whole = piece_of(first, last)
    if not whole.broken_limits(collimator):
        return (whole,)
    found = []
    while first < last:
        piece = piece_of(first, first + 1)
        broken = piece.broken_limits(collimator)
        if broken:
            raise PlanError(
                f"leaves cannot deliver the field at gantry {gantry:g}°, not even column by column "
                f"of its {raster.width:g} mm bixels: {'; '.join(broken)}. Steer it with wider "
                "bixels or at another isocentre, or choose a machine with other leaves."
            )
        low, high = first + 1, last
        while high - low > 1:  # low can be delivered, high perhaps not
            middle = (low + high) // 2
            wider = piece_of(first, middle)
            if wider.broken_limits(collimator):
                high = middle
            else:
                low, piece = middle, wider
        found.append(piece)
        first = low + int(np.argmax(levels[:, low:].any(axis=0))) if low < last else last
    return tuple(found)


def units_between_jaws(raster: LeafRaster, pieces: Sequence[Piece]) -> Array:
    """Levels (n,) of the bixels during which their strip is irradiated, open or not.

    What passes leaves and a jaw is not counted.
    """
    found = np.zeros(raster.columns.size)
    column = raster.places[:, 1]
    for number, piece in enumerate(pieces):
        low = 0 if number == 0 else piece.first
        high = raster.shape[1] if number + 1 == len(pieces) else piece.last
        inside = (column >= low) & (column < high)
        found[inside] += sum(shape.weight for shape in piece.shapes)
    return found


def _piece(
    collimator: MultileafCollimator,
    raster: LeafRaster,
    decompose: Sequencer,
    rules: LeafRules,
    levels: Levels,
    first: int,
    last: int,
) -> Piece:
    shapes = tuple(
        Shape(s.weight, s.left + first, s.right + first)
        for s in decompose(levels[:, first:last], rules)
    )
    if last - first == 1:  # closed pairs may stand at either end, and do on the side of the axis
        end = first if raster.x_edges[first] + raster.x_edges[last] > 0.0 else last
        shapes = tuple(
            Shape(s.weight, np.where(s.is_open, s.left, end), np.where(s.is_open, s.right, end))
            for s in shapes
        )
    openings = _apertures(collimator, raster, shapes, rules.interdigitation)
    return Piece(first, last, shapes, tuple(openings))


def _apertures(
    collimator: MultileafCollimator,
    raster: LeafRaster,
    shapes: tuple[Shape, ...],
    may_pass: bool,
) -> Iterator[Aperture]:
    """Jaws and tips of each shape; closed pairs wait behind a jaw where they may."""
    opened = sum_of(shapes, raster.shape) > 0
    rows, columns = np.flatnonzero(opened.any(axis=1)), np.flatnonzero(opened.any(axis=0))
    sides = collimator.boundaries
    x1, x2 = float(raster.x_edges[columns[0]]), float(raster.x_edges[columns[-1] + 1])
    y1, y2 = float(sides[raster.pairs[rows[0]]]), float(sides[raster.pairs[rows[-1]] + 1])
    for shape in shapes:
        left, right = np.zeros(collimator.pairs), np.zeros(collimator.pairs)
        tips = _tips(collimator, raster.x_edges, shape, may_pass)
        at_jaws = shape.left == columns[0], shape.right == columns[-1] + 1
        hidden = _behind_jaws(collimator, tips, ~shape.is_open, at_jaws)
        left[raster.pairs], right[raster.pairs] = hidden
        if may_pass:
            closed = np.ones(collimator.pairs, dtype=bool)
            closed[raster.pairs] = ~shape.is_open
            left, right = collimator.waiting(left, right, closed, (x1, x2))
        else:  # pairs beyond the field stand as the outermost ones of it
            _follow(left, right, raster.pairs)
        yield Aperture((x1, x2, y1, y2), left, right)


def _behind_jaws(
    collimator: MultileafCollimator,
    tips: tuple[Array, Array],
    closed: BoolArray,
    at_jaws: tuple[BoolArray, BoolArray],
) -> tuple[Array, Array]:
    """Tips (rows,) that stay as far behind as they must where a jaw makes the edge as well."""
    gap, most = collimator.minimum_gap, collimator.over_travel
    left = np.where(at_jaws[0], np.minimum(tips[0], most - gap * closed), tips[0])
    right = np.where(at_jaws[1], np.maximum(tips[1], gap * closed - most), tips[1])
    return (
        np.where(closed & at_jaws[1], np.minimum(left, right - gap), left),
        np.where(closed & at_jaws[0], np.minimum(right, left + gap), right),
    )


def _follow(left: Array, right: Array, pairs: IntArray) -> None:
    """Put all pairs beyond the first and the last of ``pairs`` where those stand."""
    for bank in (left, right):
        bank[: pairs[0]], bank[pairs[-1] + 1 :] = bank[pairs[0]], bank[pairs[-1]]


def _tips(
    collimator: MultileafCollimator, x_edges: Array, shape: Shape, may_pass: bool
) -> tuple[Array, Array]:
    """Tips (rows,) of both banks whose radiation edges are those of the shape, mm.

    Where leaves may not pass each other and those of neighbouring pairs meet at one edge, tips
    stand at the edge itself: the opening is wider there by the offset of rounded ends.
    """
    inset = np.full((2, shape.left.size), collimator.leaf_end_offset)
    if not may_pass:
        for here, there in (NEIGHBOURS, NEIGHBOURS[::-1]):
            inset[0, here][shape.left[here] == shape.right[there]] = 0.0
            inset[1, here][shape.right[here] == shape.left[there]] = 0.0
    low, high = x_edges[shape.left], x_edges[shape.right]
    half = 0.5 * collimator.minimum_gap
    left = np.where(shape.is_open, low + inset[0], low - half)
    right = np.where(shape.is_open, high - inset[1], low + half)
    return left, right
