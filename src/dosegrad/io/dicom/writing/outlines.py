"""Outlines of masks as closed polygons along voxel faces, and keyholes that join holes to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from dosegrad.arrays import Array, Mask, Points
from dosegrad.geometry.grid import Grid
from dosegrad.patient.contours import ContourShape
from dosegrad.patient.structures import Structure

__all__ = ["join_holes", "outlines", "planar_polygons"]

#: Steps along the sides of a pixel in the order in which they surround it: +x, +y, -x, -y.
_STEPS: Final = ((1, 0), (0, 1), (-1, 0), (0, -1))


def planar_polygons(structure: Structure, grid: Grid) -> list[Points]:
    """Closed polygons (n, 3), mm, of a structure; holes are joined to what surrounds them.

    Contours stay the contours they are. Of any other shape the mask on ``grid`` is outlined
    along the faces of its voxels, slice by slice, so that it has the same mask again.
    """
    shape = structure.shape
    if isinstance(shape, ContourShape):
        axes = np.asarray(shape.direction)
        return [
            np.column_stack([polygon, np.full(len(polygon), plane.height)]) @ axes.T
            for plane in shape.planes
            for polygon in join_holes(plane.polygons)
        ]
    polygons = []
    mask = structure.mask(grid)
    for k in np.flatnonzero(mask.any(axis=(1, 2))):
        for corners in join_holes(outlines(mask[k])):
            indices = np.column_stack([np.full(len(corners), k), corners[:, ::-1] - 0.5])
            polygons.append(grid.to_point(indices))
    return polygons


def outlines(mask: Mask) -> list[Array]:
    """Corners (n, 2), (x, y) in pixels counted from the outer corner of the first, of each loop.

    Loops run along pixel sides around the pixels of ``mask`` (y, x) and, the other way round,
    around holes. Pixels that touch at a corner only are in different loops.

    Examples
    --------
    >>> outlines(np.array([[True, True], [False, False]]))[0].astype(int).tolist()
    [[0, 0], [2, 0], [2, 1], [0, 1]]
    """
    leaving = _sides(mask)
    loops = []
    for start in list(leaving):
        while leaving.get(start):
            direction = min(leaving[start])
            loops.append(_follow(leaving, start, direction))
    return loops


def _sides(mask: Mask) -> dict[tuple[int, int], set[int]]:
    """For each corner (x, y) the directions of the outer sides that leave it, rows first."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])
    offsets = ((0, 0), (1, 0), (1, 1), (0, 1))  # where the side of each direction begins
    leaving: dict[tuple[int, int], set[int]] = {}
    for direction, (neighbour, (dx, dy)) in enumerate(zip(neighbours, offsets, strict=True)):
        rows, columns = np.nonzero(inside & ~neighbour)
        for x, y in zip((columns + dx).tolist(), (rows + dy).tolist(), strict=True):
            leaving.setdefault((x, y), set()).add(direction)
    return leaving


def _follow(
    leaving: dict[tuple[int, int], set[int]], start: tuple[int, int], direction: int
) -> Array:
    """Corners of the loop that leaves ``start`` in ``direction``; its sides are used up."""
    corners = [start]
    x, y = start
    while True:
        leaving[x, y].remove(direction)
        x, y = x + _STEPS[direction][0], y + _STEPS[direction][1]
        if (x, y) == start and (direction + 1) % 4 not in leaving[x, y]:
            break
        choices = leaving[x, y]
        inward = (direction + 1) % 4
        following = inward if inward in choices else next(iter(choices))
        if following != direction:
            corners.append((x, y))
        direction = following
    return np.array(corners, dtype=float)


def join_holes(polygons: Sequence[Array]) -> list[Array]:
    """Polygons (n, 2) in which holes are joined to what surrounds them by slits without width.

    By the even-odd rule the region stays the same; polygons within holes stay by themselves.
    """
    order = sorted(range(len(polygons)), key=lambda k: -abs(_area(polygons[k])))
    around: dict[int, list[int]] = {}
    for rank, k in enumerate(order):
        point = _inner_point(polygons[k])
        around[k] = [j for j in order[:rank] if _contains(polygons[j], point)]
    joined = {k: np.asarray(polygons[k]) for k in order if len(around[k]) % 2 == 0}
    for k in order:
        if len(around[k]) % 2:
            parent = around[k][-1]
            if parent in joined:
                joined[parent] = _with_keyhole(joined[parent], np.asarray(polygons[k]))
            else:  # polygons that cross each other have no order; even-odd still holds
                joined[k] = np.asarray(polygons[k])
    return list(joined.values())


def _with_keyhole(outer: Array, hole: Array) -> Array:
    """One polygon of both, joined where their corners are nearest."""
    gaps = ((outer[:, None, :] - hole[None, :, :]) ** 2).sum(axis=2)
    i, j = np.unravel_index(int(np.argmin(gaps)), gaps.shape)
    return np.concatenate([outer[: i + 1], hole[j:], hole[: j + 1], outer[i:]])


def _area(polygon: Array) -> float:
    x, y = polygon[:, 0], polygon[:, 1]
    return 0.5 * float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


def _inner_point(polygon: Array) -> Array:
    """A point on the polygon that is no corner: the middle of its longest side."""
    ends = np.roll(polygon, -1, axis=0)
    longest = int(np.argmax(((ends - polygon) ** 2).sum(axis=1)))
    middle: Array = 0.5 * (polygon[longest] + ends[longest])
    return middle


def _contains(polygon: Array, point: Array) -> bool:
    """Whether a point lies inside, by counting edges on its left."""
    x0, y0 = polygon[:, 0], polygon[:, 1]
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    crosses = (y0 <= point[1]) != (y1 <= point[1])
    slope = np.where(crosses, (point[1] - y0) / np.where(crosses, y1 - y0, 1.0), 0.0)
    return bool(np.count_nonzero(crosses & (x0 + slope * (x1 - x0) < point[0])) % 2)
