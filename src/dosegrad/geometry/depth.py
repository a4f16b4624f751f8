"""Water-equivalent depth of points along beams."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array, Points, Volume
from dosegrad.errors import GeometryError
from dosegrad.geometry.grid import Grid
from dosegrad.geometry.rays import path_integrals, ray_ends

__all__ = ["water_equivalent_depth"]


def water_equivalent_depth(
    grid: Grid,
    values: Volume,
    points: ArrayLike,
    *,
    source: ArrayLike | None = None,
    direction: ArrayLike | None = None,
) -> Array:
    r"""Water-equivalent depth (n,) of points, mm: the exact integral of ``values`` up to them.

    .. math:: t(\vec p) = \int v \, \mathrm{d}l

    from the source, or for a parallel beam from outside the grid, to the point. All that the grid
    holds on the way counts; set voxels that are to be treated as air to zero. Exact to round-off:
    chords are those of Siddon, with no interpolation between rays.

    Parameters
    ----------
    grid, values
        Stopping power ratio or relative density (z, y, x).
    points
        Points (n, 3), (x, y, z) mm, in the grid or out.
    source
        Virtual source (3,), mm, of a divergent beam.
    direction
        Direction of flight (3,) of a parallel beam, of any length.

    Raises
    ------
    GeometryError
        Unless exactly one of ``source`` and ``direction`` is given and all numbers are finite.

    References
    ----------
    Siddon 1985, Med. Phys. 12, 252 [Siddon1985]_.

    Examples
    --------
    >>> grid = Grid(shape=(3, 40, 4), spacing=(2.0, 2.5, 3.0), origin=(0.0, 0.0, 0.0))
    >>> water = np.ones(grid.shape)
    >>> water_equivalent_depth(grid, water, [[1.0, 48.75, 1.0]], direction=(0, 1, 0)).tolist()
    [50.0]
    """
    if (source is None) == (direction is None):
        raise GeometryError(
            "the beam is not defined: give either the source of a divergent beam or the direction "
            "of a parallel one."
        )
    if source is not None:
        return path_integrals(grid, values, source, points)
    _, ends = ray_ends(grid.origin, points)
    return path_integrals(grid, values, _starts_outside(grid, ends, np.asarray(direction)), ends)


def _starts_outside(grid: Grid, points: Points, direction: Array) -> Points:
    """Starts (n, 3) of parallel rays to ``points``, each upstream of the whole grid."""
    flight = direction.astype(np.float64)
    if flight.shape != (3,) or not np.isfinite(flight).all() or not flight.any():
        raise GeometryError(
            f"beam direction {flight.tolist()} is not possible; give three finite "
            "numbers (x, y, z), not all zero."
        )
    flight = flight / np.linalg.norm(flight)
    corners = grid.to_point(list(product(*((-0.5, n - 0.5) for n in grid.shape))))
    upstream = float((corners @ flight).min()) - max(grid.spacing)
    distance = np.maximum(points @ flight - upstream, 0.0)
    starts: Points = points - distance[:, None] * flight
    return starts
