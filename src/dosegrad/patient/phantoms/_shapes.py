"""Analytic shapes on a grid, by signed functions that phantoms combine.

A *level* (z, y, x) is negative inside a shape and positive outside. For spheres, boxes and
cylinders it is the distance to the surface in mm; for ellipsoids and the like it is a distance to
first order near the surface, which is where it is used. Union is the minimum, intersection the
maximum, difference ``max(a, -b)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dosegrad.arrays import Array, Mask, Volume
from dosegrad.geometry.grid import Grid, Triple
from dosegrad.patient.calibration import Calibration, CalibrationLike
from dosegrad.patient.ct import CT
from dosegrad.patient.patient import Patient
from dosegrad.patient.structures import MaskShape, Role, Structure

__all__ = ["AIR", "Canvas", "Region", "assemble", "centred_grid"]

#: HU of air.
AIR = -1000.0


def centred_grid(shape: tuple[int, int, int], spacing: Triple) -> Grid:
    """An axial grid of ``shape`` and ``spacing`` (z, y, x) whose middle is the point (0, 0, 0)."""
    z, y, x = (-(n - 1) / 2 * s for n, s in zip(shape, spacing, strict=True))
    return Grid(shape, spacing, (x, y, z))


class Canvas:
    """Voxel-centre coordinates of a grid, and the levels of shapes on it."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        z, y, x = grid.axis_coordinates()
        self.z: Array = z[:, None, None]
        self.y: Array = y[None, :, None]
        self.x: Array = x[None, None, :]

    def filled(self, hu: float) -> Volume:
        """A volume of one HU."""
        return np.full(self.grid.shape, float(hu))

    def box(self, low: Triple, high: Triple) -> Volume:
        """Level of the box between two corners (x, y, z), mm."""
        sides = (
            np.maximum(lo - at, at - hi)
            for lo, hi, at in zip(low, high, (self.x, self.y, self.z), strict=True)
        )
        x, y, z = sides
        return np.maximum(np.maximum(x, y), z)

    def slab(self, low: float, high: float) -> Array:
        """Level of all that lies between two heights z, mm; shape (z, 1, 1)."""
        return np.maximum(low - self.z, self.z - high)

    def ellipsoid(self, centre: Triple, radii: Triple, *, power: float = 2.0) -> Volume:
        """Level of the ellipsoid with ``radii`` (x, y, z), mm; higher powers are boxier."""
        axes = (self.x, self.y, self.z)
        return _rounded(list(zip(axes, centre, radii, strict=True)), power)

    def ellipse(
        self, centre: tuple[float, float], radii: tuple[float, float], *, power: float = 2.0
    ) -> Array:
        """Level of an elliptical cylinder along z, with ``radii`` (x, y), mm; shape (1, y, x)."""
        return _rounded(list(zip((self.x, self.y), centre, radii, strict=True)), power)

    def tube(self, start: Triple, end: Triple, radius: float) -> Volume:
        """Level of the round-ended cylinder between two points (x, y, z), mm."""
        axis = np.subtract(end, start)
        along = (
            (self.x - start[0]) * axis[0]
            + (self.y - start[1]) * axis[1]
            + (self.z - start[2]) * axis[2]
        ) / float(axis @ axis)
        t = np.clip(along, 0.0, 1.0)
        dx, dy, dz = (
            at - (begin + t * step)
            for at, begin, step in zip((self.x, self.y, self.z), start, axis, strict=True)
        )
        level: Volume = np.sqrt(dx**2 + dy**2 + dz**2) - radius
        return level

    def inside(self, level: Array) -> Mask:
        """Voxels (z, y, x) whose centre lies inside a level."""
        return np.broadcast_to(level <= 0, self.grid.shape)

    def paint(self, hu: Volume, level: Array, value: float, *, edge: float = 0.0) -> None:
        """Give ``value`` to the inside of a level, in place.

        ``edge`` mm is the width over which the old value fades into the new, as partial volume
        does in a CT; 0 goes by voxel centres.
        """
        if edge > 0:
            share = np.clip(0.5 - level / edge, 0.0, 1.0)
            hu += share * (value - hu)
        else:
            hu[self.inside(level)] = value


def _rounded(axes: list[tuple[Array, float, float]], power: float) -> Array:
    """(sum |u|^p)^(1/p) - 1 with u = (x - c)/r, over the length of its gradient."""
    scaled = [np.abs(at - centre) / radius for at, centre, radius in axes]
    total: Array = sum((u**power for u in scaled), start=np.zeros(()))
    norm = np.maximum(total ** (1.0 / power), 1e-6)
    slope = sum(
        (
            ((u / norm) ** (power - 1.0) / radius) ** 2
            for u, (_, _, radius) in zip(scaled, axes, strict=True)
        ),
        start=np.zeros(()),
    )
    level: Array = (norm - 1.0) / np.sqrt(np.maximum(slope, 1e-12))
    return level


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A structure of a phantom: its voxels, its role, and who wins an overlap."""

    inside: Mask
    role: Role = "organ"
    priority: int | None = None
    colour: tuple[float, float, float] | None = None


def assemble(
    name: str,
    grid: Grid,
    hu: Volume,
    regions: Mapping[str, Region],
    *,
    calibration: CalibrationLike = "schneider",
) -> Patient:
    """The patient of a phantom."""
    structures = {
        label: Structure(
            label, MaskShape(grid, region.inside), region.role, region.priority, region.colour
        )
        for label, region in regions.items()
    }
    # Whole HU, as in a stored CT.
    return Patient(CT(grid, np.rint(hu)), structures, Calibration.of(calibration), name=name)
