"""Regions drawn as closed polygons on parallel planes, as planning systems store them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array, IntArray, Mask, Points
from dosegrad.errors import PatientError
from dosegrad.geometry.grid import Grid
from dosegrad.patient.contour_planes import (
    AXIAL,
    TOLERANCE,
    ContourPlane,
    Direction,
    gather_planes,
)

__all__ = ["ContourPlane", "ContourShape", "Direction", "gather_planes"]

#: A gap of more than this many typical gaps separates two pieces.
BRIDGED_GAPS: Final = 2.5


@dataclass(frozen=True, slots=True, eq=False)
class ContourShape:
    """A region given by closed polygons on parallel planes.

    *In a plane* a point belongs when an odd number of edges lies on its low-u side, all polygons
    of the plane together (even-odd): inner polygons are holes, islands in holes count again,
    keyholes and either winding give the same. Edges are half-open: a point on the low-u or low-v
    side of the boundary belongs, one on the high side does not, so that regions that share an edge
    share no point. Coordinates within 1e-5 mm count as equal.

    *Between planes* each plane stands for the slab of points nearer to it than to its
    neighbours, ``[half-way below, half-way above)``; nothing is interpolated, so a hole stays as
    drawn. A gap of more than 2.5 typical gaps is not bridged: it parts two pieces. At the ends of
    a piece a plane owns half a typical gap outwards, because the image slice on which it was drawn
    shows tissue of that thickness; thus the slice itself always belongs. The typical gap is the
    median of the shape's own gaps when it has three or more, else ``spacing``.

    *Volume* is the trapezoid rule over the planes of each piece, areas by the even-odd rule and
    exact. It is second order in the gap and measures between the first and the last plane: 21
    planes 5 mm apart around a cube of 100 mm give 1000 cc, where area times gap would give 1050. A
    mask is larger by the two outer half slabs; a lone plane has no extent of its own, and counts
    area times typical gap in both.

    Parameters
    ----------
    planes
        Ascending by height.
    spacing
        Gap that is usual for planes drawn with these (the spacing of the image slices), mm; needed
        by a shape of one plane.
    direction
        Axes u, v and normal in patient space, as in `Grid`; the patient's own axes by default.

    Raises
    ------
    PatientError
        If there is no plane, planes do not ascend, or a lone plane comes without ``spacing``.

    Examples
    --------
    >>> square = [[0, 0], [100, 0], [100, 100], [0, 100]]
    >>> cube = ContourShape.from_polygons(
    ...     [[(x, y, 5.0 * k) for x, y in square] for k in range(21)]
    ... )
    >>> cube
    ContourShape(21 planes, 21 polygons, 5 mm apart)
    >>> round(cube.volume_cc, 9)
    1000.0
    """

    planes: tuple[ContourPlane, ...]
    spacing: float | None = None
    direction: Direction = AXIAL

    def __post_init__(self) -> None:
        object.__setattr__(self, "planes", tuple(self.planes))
        if not self.planes:
            raise PatientError(
                "a contour shape needs at least one closed polygon of three corners or more; "
                "draw the structure, or leave it out."
            )
        if (np.diff([p.height for p in self.planes]) <= 0).any():
            raise PatientError("the planes of a contour shape must ascend in height.")
        if self.spacing is not None and not (np.isfinite(self.spacing) and self.spacing > 0):
            raise PatientError(f"contour spacing {self.spacing} mm must be positive and finite.")
        if self.spacing is None and len(self.planes) == 1:
            raise PatientError(
                "a contour on one plane has no thickness of its own; give spacing=, the distance "
                "of the image slices in mm."
            )
        Grid((1, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), self.direction)  # checks the rotation

    @classmethod
    def from_polygons(
        cls,
        polygons: Iterable[ArrayLike],
        *,
        spacing: float | None = None,
        direction: Direction | None = None,
    ) -> ContourShape:
        """The shape of closed ``polygons`` (n, 3), (x, y, z) mm, in any order; see `gather_planes`.

        Warns of contours that are left out.
        """
        planes, axes, notes = gather_planes(polygons, direction=direction)
        for note in notes:
            warnings.warn(note, UserWarning, stacklevel=2)
        return cls(planes, spacing, axes)

    def __repr__(self) -> str:
        n = sum(len(p.polygons) for p in self.planes)
        return (
            f"ContourShape({len(self.planes)} planes, {n} polygons, {self.typical_gap:g} mm apart)"
        )

    @property
    def heights(self) -> Array:
        """Positions of the planes along the normal, mm, ascending."""
        return np.array([p.height for p in self.planes])

    @property
    def typical_gap(self) -> float:
        """Median gap between planes, mm; ``spacing`` if fewer than three gaps can tell."""
        gaps = np.diff(self.heights)
        if self.spacing is not None and gaps.size < 3:
            return float(self.spacing)
        return float(np.median(gaps))

    @property
    def bounds(self) -> Points:
        """Lowest and highest (x, y, z) of the polygons in patient space, mm, (2, 3)."""
        corners = np.concatenate(
            [
                np.column_stack([polygon, np.full(len(polygon), plane.height)])
                for plane in self.planes
                for polygon in plane.polygons
            ]
        ) @ np.transpose(self.direction)
        box: Points = np.stack([corners.min(axis=0), corners.max(axis=0)])
        return box

    @property
    def volume_cc(self) -> float:
        """Volume, cm3, by the trapezoid rule over the planes of each piece."""
        areas = np.array([_area(plane) for plane in self.planes])
        gaps = np.diff(self.heights)
        bridged = gaps <= BRIDGED_GAPS * self.typical_gap
        between = float(np.sum(((areas[1:] + areas[:-1]) / 2 * gaps)[bridged]))
        joined = np.append(bridged, False) | np.append(False, bridged)
        return (between + float(areas[~joined].sum()) * self.typical_gap) / 1000.0

    def slabs(self) -> tuple[Array, Array]:
        """Lower (included) and upper (excluded) end of each plane's slab, mm, each (planes,)."""
        heights, typical = self.heights, self.typical_gap
        gaps = np.diff(heights)
        half = np.where(gaps <= BRIDGED_GAPS * typical, gaps / 2, typical / 2)
        outer = typical / 2
        return heights - np.append(outer, half), heights + np.append(half, outer)

    def mask(self, grid: Grid) -> Mask:
        """Voxels of ``grid`` whose centre lies inside, bool (z, y, x)."""
        turn = np.asarray(self.direction).T @ np.asarray(grid.direction)
        if np.allclose(np.abs(turn), np.round(np.abs(turn)), atol=1e-6):
            return self._mask_on_parallel_axes(grid, np.round(turn))
        return self._mask_by_points(grid)

    def _mask_on_parallel_axes(self, grid: Grid, turn: Array) -> Mask:
        """Mask on a grid whose axes are those of the contours, permuted and flipped by ``turn``."""
        from dosegrad.patient._contour_kernels import fill_slices

        first = np.asarray(grid.origin) @ np.asarray(self.direction)
        axes = [2 - int(np.argmax(np.abs(turn[a]))) for a in range(3)]  # array axis of u, v, w
        signs = [float(turn[a, 2 - axes[a]]) for a in range(3)]
        sizes = [grid.shape[axis] for axis in axes]
        steps = [grid.spacing[axis] for axis in axes]
        for a in range(3):
            if signs[a] < 0:
                first[a] -= steps[a] * (sizes[a] - 1)
        planes = self._plane_of(first[2] + steps[2] * np.arange(sizes[2]))
        edges, starts = _edges(self.planes)
        inside = np.zeros((sizes[2], sizes[1], sizes[0]), dtype=bool)
        lattice = np.array([first[0], steps[0], first[1], steps[1]])
        fill_slices(edges, starts, planes, lattice, TOLERANCE, inside)
        flips = tuple(slice(None, None, -1 if s < 0 else 1) for s in reversed(signs))
        places = np.argsort([axes[2], axes[1], axes[0]])
        result: Mask = np.ascontiguousarray(inside[flips].transpose(places))
        return result

    def _mask_by_points(self, grid: Grid) -> Mask:
        """Mask on a turned grid: each centre is tested by itself."""
        from dosegrad.patient._contour_kernels import bucket_edges, points_inside

        edges, starts = _edges(self.planes)
        low, step, n_buckets = _buckets(edges, starts)
        pointers, members = bucket_edges(edges, starts, low, step, n_buckets)
        result = np.zeros(grid.shape, dtype=bool)
        indices = np.moveaxis(np.indices((1, *grid.shape[1:])), 0, -1).reshape(-1, 3)
        for k in range(grid.shape[0]):
            indices[:, 0] = k
            points = grid.to_point(indices) @ np.asarray(self.direction)
            planes = self._plane_of(points[:, 2])
            if (planes >= 0).any():
                flat = np.ascontiguousarray(points[:, :2])
                inside = result[k].reshape(-1)
                points_inside(
                    flat, planes, edges, pointers, members, low, step, n_buckets, TOLERANCE, inside
                )
        return result

    def _plane_of(self, heights: Array) -> IntArray:
        """Index of the plane whose slab holds each of ``heights``; -1 where there is none."""
        lower, upper = self.slabs()
        found = np.searchsorted(lower, heights + TOLERANCE, side="right") - 1
        held = (found >= 0) & (heights + TOLERANCE < upper[found])
        return np.where(held, found, -1).astype(np.int64)


def _edges(planes: tuple[ContourPlane, ...]) -> tuple[Array, IntArray]:
    """Edges (n, 4) that are not level, low end first, and where each plane's begin (planes + 1,).

    The low end comes first so that the two sides of a keyhole cross a row at the very same place.
    """
    per_plane = []
    for plane in planes:
        ends = [np.hstack([p, np.roll(p, -1, axis=0)]) for p in plane.polygons]
        edges = np.concatenate(ends)
        edges = edges[edges[:, 1] != edges[:, 3]]
        falling = edges[:, 1] > edges[:, 3]
        edges[falling] = edges[falling][:, [2, 3, 0, 1]]
        per_plane.append(edges)
    starts = np.concatenate([[0], np.cumsum([len(e) for e in per_plane])]).astype(np.int64)
    return np.ascontiguousarray(np.concatenate(per_plane)), starts


def _buckets(edges: Array, starts: IntArray) -> tuple[Array, Array, int]:
    """Lowest v and band height of each plane, and a number of bands that keeps the lists short."""
    n_planes = len(starts) - 1
    low, step = np.zeros(n_planes), np.ones(n_planes)
    n_buckets = 256
    span = edges[:, 3] - edges[:, 1]
    for p in range(n_planes):
        part = edges[starts[p] : starts[p + 1]]
        if len(part):
            low[p] = part[:, 1].min() - 1e-3
            step[p] = (part[:, 3].max() + 1e-3 - low[p]) / n_buckets
    per_edge = np.repeat(step, np.diff(starts))
    while n_buckets > 1 and float(np.sum(span / per_edge + 3)) > 4e7:
        n_buckets //= 2
        step, per_edge = step * 2, per_edge * 2
    return low, step, n_buckets


def _area(plane: ContourPlane) -> float:
    """Area of a plane's polygons by the even-odd rule, mm2, exact also where edges cross."""
    from dosegrad.patient._contour_kernels import even_odd_area

    edges, _ = _edges((plane,))
    edges = np.ascontiguousarray(edges[np.argsort(edges[:, 1], kind="stable")])
    events = np.unique(edges[:, [1, 3]])
    crossings = np.empty(max(16, 4 * len(edges)))
    area = 0.0
    for _ in range(8):  # each pass may uncover crossings behind those just found
        area, n_crossings = even_odd_area(edges, events, crossings)
        if not n_crossings:
            break
        events = np.unique(np.concatenate([events, crossings[:n_crossings]]))
    return area
