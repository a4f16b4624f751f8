"""Closed polygons sorted into parallel planes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array, Points, readonly
from dosegrad.errors import PatientError

__all__ = ["AXIAL", "TOLERANCE", "ContourPlane", "Direction", "gather_planes"]

#: Rows of a rotation matrix, as `Grid.direction`: its columns are the u, v axes and the normal.
Direction: TypeAlias = tuple[
    tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]
]

AXIAL: Final[Direction] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

#: Coordinates that differ by less count as equal, mm: files round to some decimals.
TOLERANCE: Final = 1e-5
#: Contours whose heights differ by less lie on one plane, mm.
SAME_PLANE: Final = 0.02
#: A contour whose points leave its plane by more is not planar, mm.
PLANAR: Final = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class ContourPlane:
    """Closed polygons on one plane.

    Parameters
    ----------
    height
        Position of the plane along the normal, mm.
    polygons
        Corners (n, 2) of each, (u, v) mm along the axes of the shape, n >= 3; the last corner is
        joined to the first.
    """

    height: float
    polygons: tuple[Array, ...]

    def __post_init__(self) -> None:
        polygons = tuple(readonly(p) for p in self.polygons)
        for polygon in polygons:
            if polygon.ndim != 2 or polygon.shape[1] != 2 or len(polygon) < 3:
                raise PatientError(
                    f"a polygon of shape {polygon.shape} is no contour; give at least three "
                    "corners (n, 2)."
                )
        if not (np.isfinite(self.height) and all(np.isfinite(p).all() for p in polygons)):
            raise PatientError("a contour holds NaN or infinity; every corner needs finite mm.")
        object.__setattr__(self, "height", float(self.height))
        object.__setattr__(self, "polygons", polygons)

    def __repr__(self) -> str:
        return f"ContourPlane({len(self.polygons)} polygons at {self.height:g} mm)"


def gather_planes(
    polygons: Iterable[ArrayLike], *, direction: Direction | None = None
) -> tuple[tuple[ContourPlane, ...], Direction, tuple[str, ...]]:
    """Planes of closed ``polygons`` (n, 3), (x, y, z) mm, their axes, and notes on what was amiss.

    Repeated corners and second copies of a polygon on its plane (which even-odd would cancel) are
    dropped. Polygons with fewer than three corners or no area are left out with a note. The planes
    are axial if all polygons are, else those of ``direction``, else those of the largest polygon.

    Raises
    ------
    PatientError
        If a corner is not finite, a polygon is not planar, or polygons are not parallel.
    """
    corners = [_corners(polygon) for polygon in polygons]
    drawn = [c for c in map(_without_repeats, corners) if len(c) >= 3]
    notes: list[str] = []
    if len(drawn) < len(corners):
        notes.append(f"{len(corners) - len(drawn)} contours with fewer than 3 points left out")
    if not drawn:
        return (), direction or AXIAL, tuple(notes)
    axes = _common_direction(drawn, direction)
    local = [c @ np.asarray(axes) for c in drawn]
    flat = [c for c in local if np.ptp(c[:, 0]) > TOLERANCE and np.ptp(c[:, 1]) > TOLERANCE]
    if len(flat) < len(local):
        notes.append(f"{len(local) - len(flat)} contours without area left out")
    planes, n_copies = _group(flat)
    if n_copies:
        notes.append(f"{n_copies} contours drawn twice counted once")
    return planes, axes, tuple(notes)


def _corners(polygon: ArrayLike) -> Points:
    points = np.asarray(polygon, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise PatientError(
            f"a contour of shape {points.shape} cannot be read; give its corners as (n, 3), mm."
        )
    if not np.isfinite(points).all():
        raise PatientError(
            "a contour holds NaN or infinity; every corner needs three finite numbers, mm."
        )
    return points


def _without_repeats(points: Points) -> Points:
    """``points`` without corners that repeat the one before, the first after the last included."""
    if not len(points):
        return points
    moved = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1) > TOLERANCE
    kept: Points = points[moved]
    return kept


def _common_direction(polygons: list[Points], direction: Direction | None) -> Direction:
    """Axes whose normal is common to all ``polygons``."""
    tried = [AXIAL] if direction in (None, AXIAL) else [AXIAL, direction]
    for axes in filter(None, [*tried, _fitted_direction(polygons)]):
        normal = np.asarray(axes)[:, 2]
        if all(np.ptp(points @ normal) <= PLANAR for points in polygons):
            return axes
    raise PatientError(
        "contours of one structure do not lie on parallel planes, or one is not flat; export the "
        "structure again as closed planar contours, or as a mask."
    )


def _fitted_direction(polygons: list[Points]) -> Direction:
    """Axes with the normal of the largest polygon (its area vector, Newell's rule)."""
    centred = [points - points.mean(axis=0) for points in polygons]
    vectors = [np.cross(c, np.roll(c, -1, axis=0)).sum(axis=0) for c in centred]
    vector = max(vectors, key=lambda v: float(np.linalg.norm(v)))
    length = float(np.linalg.norm(vector))
    if length == 0.0:
        return AXIAL
    normal = vector / length
    normal *= np.sign(normal[np.argmax(np.abs(normal))])
    helper = np.eye(3)[0] if abs(normal[0]) < 0.9 else np.eye(3)[1]
    u = helper - (helper @ normal) * normal
    u /= np.linalg.norm(u)
    rows = np.column_stack([u, np.cross(normal, u), normal]).tolist()
    return (tuple(rows[0]), tuple(rows[1]), tuple(rows[2]))


def _group(polygons: list[Points]) -> tuple[tuple[ContourPlane, ...], int]:
    """Planes of ``polygons`` (n, 3), (u, v, height), and how many second copies were dropped."""
    planes: list[ContourPlane] = []
    n_copies = 0
    heights = [float(points[:, 2].mean()) for points in polygons]
    members: list[Array] = []
    seen: set[bytes] = set()
    base = 0.0
    for k in np.argsort(heights, kind="stable"):
        if members and heights[k] - base > SAME_PLANE:
            planes.append(ContourPlane(base, tuple(members)))
            members = []
        if not members:
            base, seen = heights[k], set()
        key = _key(polygons[k][:, :2])
        if key in seen:
            n_copies += 1
        else:
            seen.add(key)
            members.append(polygons[k][:, :2])
    if members:
        planes.append(ContourPlane(base, tuple(members)))
    return tuple(planes), n_copies


def _key(polygon: Array) -> bytes:
    """Bytes that are equal for copies of a polygon whatever its first corner and winding."""
    cells = np.round(polygon * 1e3).astype(np.int64)
    first = np.lexsort((cells[:, 1], cells[:, 0]))[0]
    ahead = np.roll(cells, -first, axis=0)
    back = np.roll(ahead[::-1], 1, axis=0)
    return min(ahead.tobytes(), back.tobytes())
