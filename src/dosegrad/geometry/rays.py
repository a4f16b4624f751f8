"""Exact paths of straight rays through a grid: chords, integrals and crossings of a mask.

A voxel owns its lower faces and not its upper ones, along all three axes. So a ray that runs
inside a plane between two layers of voxels belongs to the layer with the higher index, one on the
grid's last face to none, and results do not depend on the order of computation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosegrad.arrays import Array, BoolArray, Mask, Points, Volume, readonly
from dosegrad.errors import GeometryError
from dosegrad.geometry import _rays_reference
from dosegrad.geometry.grid import Grid

__all__ = ["Crossings", "RayPath", "crossings", "path_integrals", "trace_ray"]


@dataclass(frozen=True, slots=True, eq=False)
class RayPath:
    """Voxels that a ray passes, in order.

    Parameters
    ----------
    lengths
        Chord in each voxel (m,), mm.
    voxels
        Flat indices (m,) of the voxels.
    alphas
        Where the ray crosses faces (m + 1,): 0 at its start and 1 at its end.
    """

    lengths: Array
    voxels: NDArray[np.int64]
    alphas: Array

    def __repr__(self) -> str:
        return f"RayPath({self.voxels.size} voxels, {self.lengths.sum():g} mm)"


class Crossings(NamedTuple):
    """Intervals in which rays lie inside a mask, one after another.

    Ray ``i`` has the intervals ``offsets[i]`` to ``offsets[i + 1]``; ``alpha_in`` and
    ``alpha_out`` are 0 at the start of its ray and 1 at its end.
    """

    offsets: NDArray[np.int64]
    alpha_in: Array
    alpha_out: Array

    def of_ray(self, ray: int) -> Array:
        """Intervals (k, 2) of one ray: where it enters and leaves."""
        part = slice(int(self.offsets[ray]), int(self.offsets[ray + 1]))
        return np.column_stack([self.alpha_in[part], self.alpha_out[part]])

    def rays(self) -> NDArray[np.int64]:
        """Number of the ray that each interval belongs to."""
        return np.repeat(np.arange(self.offsets.size - 1), np.diff(self.offsets))


def trace_ray(grid: Grid, start: ArrayLike, end: ArrayLike) -> RayPath:
    """Chords and voxels of the straight ray from ``start`` to ``end``.

    Parameters
    ----------
    grid
        Grid to pass, turned or not.
    start, end
        Points (3,), (x, y, z) mm, inside the grid or out.

    Raises
    ------
    GeometryError
        If a point is not three finite numbers.

    References
    ----------
    Siddon 1985, Med. Phys. 12, 252 [Siddon1985]_.

    Examples
    --------
    >>> grid = Grid(shape=(1, 1, 3), spacing=(2.0, 2.0, 5.0), origin=(0.0, 0.0, 0.0))
    >>> path = trace_ray(grid, (0.0, 0.0, 0.0), (100.0, 0.0, 0.0))
    >>> path.lengths.round(9).tolist(), path.voxels.tolist()
    ([2.5, 5.0, 5.0], [0, 1, 2])
    """
    first, last = ray_ends(start, end)
    if len(last) != 1:
        raise GeometryError(
            f"trace_ray got {len(last)} rays; give one start (3,) and one end (3,), or use "
            "path_integrals for many rays."
        )
    alphas, voxels = _rays_reference.trace(grid, first[0], last[0])
    lengths = np.diff(alphas) * float(np.linalg.norm(last[0] - first[0]))
    return RayPath(readonly(lengths), readonly(voxels, np.int64), readonly(alphas))


def path_integrals(grid: Grid, values: Volume, starts: ArrayLike, ends: ArrayLike) -> Array:
    r"""Integrals (n,) of a volume along straight rays, mm times the unit of ``values``.

    .. math:: I = \sum_i l_i\, v_i

    with :math:`l_i` the chord in voxel i; exact to round-off. Outside the grid counts 0.

    Parameters
    ----------
    grid, values
        Volume (z, y, x), finite.
    starts, ends
        Points (n, 3), (x, y, z) mm; ``starts`` may be one point (3,) for all rays.

    Raises
    ------
    GeometryError
        If shapes do not match or a number is not finite.

    References
    ----------
    Siddon 1985, Med. Phys. 12, 252 [Siddon1985]_.
    """
    from dosegrad.geometry import _rays_kernels

    first, last = ray_ends(starts, ends)
    flat = _checked(grid, values, "values").astype(np.float64, copy=False)
    if not np.isfinite(flat).all():
        raise GeometryError(
            "the volume to integrate holds values that are not finite; replace them, for "
            "example by 0 where nothing is known."
        )
    result = np.zeros(len(last))
    box = _occupied_box(flat)
    if box is not None:
        shape, frame = _frame_of(grid)
        _rays_kernels.path_integrals(
            _shared(flat.reshape(-1)), shape, frame, box, first, last, result
        )
    return result


def crossings(grid: Grid, mask: Mask, starts: ArrayLike, ends: ArrayLike) -> Crossings:
    """Intervals of rays inside a mask; a ray may enter and leave several times.

    Parameters
    ----------
    grid, mask
        Voxels (z, y, x) that count as inside.
    starts, ends
        Points (n, 3), (x, y, z) mm; ``starts`` may be one point (3,) for all rays.

    Raises
    ------
    GeometryError
        If shapes do not match or a point is not finite.

    Examples
    --------
    >>> grid = Grid(shape=(1, 1, 5), spacing=(1.0, 1.0, 1.0), origin=(0.5, 0.0, 0.0))
    >>> mask = np.array([[[True, True, False, False, True]]])
    >>> found = crossings(grid, mask, (-5.0, 0.0, 0.0), [[5.0, 0.0, 0.0]])
    >>> found.of_ray(0).round(9).tolist()
    [[0.5, 0.7], [0.9, 1.0]]
    """
    from dosegrad.geometry import _rays_kernels

    first, last = ray_ends(starts, ends)
    flat = _checked(grid, mask, "mask").astype(np.bool_, copy=False)
    offsets = np.zeros(len(last) + 1, dtype=np.int64)
    intervals = np.empty((0, 2))
    box = _occupied_box(flat)
    if box is not None:
        geometry = (_shared(flat.reshape(-1)), *_frame_of(grid), box, first, last)
        _rays_kernels.crossings(*geometry, offsets, intervals)
        np.cumsum(offsets, out=offsets)
        intervals = np.empty((int(offsets[-1]), 2))
        if len(intervals):
            _rays_kernels.crossings(*geometry, offsets, intervals)
    return Crossings(offsets, intervals[:, 0].copy(), intervals[:, 1].copy())


def ray_ends(starts: ArrayLike, ends: ArrayLike) -> tuple[Points, Points]:
    """Checked starts (n, 3) or (1, 3) and ends (n, 3) of rays, as arrays that cannot be written."""
    first, last = (np.atleast_2d(np.asarray(p, dtype=np.float64)) for p in (starts, ends))
    for name, points in (("starts", first), ("ends", last)):
        if points.ndim != 2 or points.shape[1] != 3:
            raise GeometryError(
                f"{name} of rays have shape {points.shape}; give points (n, 3) as (x, y, z) in mm."
            )
        if not np.isfinite(points).all():
            raise GeometryError(f"{name} of rays must be finite; leave out the undefined points.")
    if len(first) not in (1, len(last)):
        raise GeometryError(
            f"{len(first)} starts do not go with {len(last)} ends; give as many, or one start."
        )
    return _shared(first), _shared(last)


def _checked(grid: Grid, values: Any, name: str) -> NDArray[Any]:
    """``values`` as a contiguous array, if they lie on the grid."""
    array = np.ascontiguousarray(values)
    if array.shape != grid.shape:
        raise GeometryError(
            f"{name} of shape {array.shape} do not lie on {grid}; give an array of shape "
            f"{grid.shape} (z, y, x)."
        )
    return array


def _shared(array: NDArray[Any]) -> NDArray[Any]:
    """View that cannot be written: kernels then see one type, whatever the caller holds."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _frame_of(grid: Grid) -> tuple[Array, Array]:
    """Shape (x, y, z) of a grid; and its origin, three axes and spacing as rows (5, 3)."""
    rows = [grid.origin, *np.asarray(grid.direction).T, grid.spacing[::-1]]
    return _shared(np.array(grid.shape[::-1], dtype=np.float64)), _shared(np.array(rows))


def _occupied_box(values: Array | BoolArray) -> Array | None:
    """First and last-plus-one voxel (2, 3), (x, y, z), of what is not zero; None if all is."""
    occupied = values != 0
    by_row = occupied.any(axis=2)
    spans = [occupied.any(axis=(0, 1)), by_row.any(axis=0), by_row.any(axis=1)]
    if not spans[0].any():
        return None
    found = [np.flatnonzero(span)[[0, -1]] for span in spans]
    return _shared(np.array([[f[0], f[1] + 1] for f in found], dtype=np.float64).T.copy())
