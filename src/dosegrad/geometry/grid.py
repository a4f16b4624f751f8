"""Regular grids of voxels, and the only two methods that translate indices and points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array, Points
from dosegrad.errors import GeometryError

__all__ = ["Grid"]

Triple: TypeAlias = tuple[float, float, float]

#: A grid may hold at most this many voxels; more is a unit mistake, not a patient.
MAX_VOXELS = 4_000_000_000


@dataclass(frozen=True, slots=True)
class Grid:
    """Voxels of equal size on a regular lattice in patient space.

    Parameters
    ----------
    shape
        Number of voxels along (z, y, x).
    spacing
        Distance between voxel centres along (z, y, x), mm, positive.
    origin
        Centre of the first voxel, (x, y, z), mm, patient LPS.
    direction
        Rows of a rotation matrix whose columns are the unit vectors of the grid's x, y and z axes
        in patient space; the identity for an axial grid.

    Raises
    ------
    GeometryError
        If a size or spacing is not positive and finite, or the direction is no rotation.

    Examples
    --------
    >>> grid = Grid(shape=(10, 20, 30), spacing=(2.5, 2.0, 1.0), origin=(-14.5, -19.0, 0.0))
    >>> grid
    Grid(10×20×30 voxels, 2.5×2×1 mm)
    >>> grid.to_point([[1, 0, 2]]).tolist()
    [[-12.5, -19.0, 2.5]]
    """

    shape: tuple[int, int, int]
    spacing: Triple
    origin: Triple
    direction: tuple[Triple, Triple, Triple] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    def __post_init__(self) -> None:
        shape = tuple(int(n) if np.isfinite(n) and n == int(n) else 0 for n in self.shape)
        spacing = _numbers(self.spacing)
        origin = _numbers(self.origin)
        if len(shape) != 3 or min(shape) < 1 or np.prod(shape, dtype=float) > MAX_VOXELS:
            raise GeometryError(
                f"a grid of shape {tuple(self.shape)} cannot be; give three positive "
                f"sizes (z, y, x) with at most {MAX_VOXELS:.0e} voxels in all."
            )
        if len(spacing) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing):
            raise GeometryError(
                f"grid spacing {self.spacing} mm is not possible; give three positive numbers "
                "(z, y, x)."
            )
        if len(origin) != 3 or not np.isfinite(origin).all():
            raise GeometryError(
                f"grid origin {self.origin} must be three finite numbers (x, y, z), mm."
            )
        matrix = np.asarray(self.direction, dtype=float)
        if matrix.shape != (3, 3) or not np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-6):
            raise GeometryError("a grid's direction must be a rotation: orthonormal axes.")
        if np.linalg.det(matrix) < 0:
            raise GeometryError(
                "a grid's direction must be right-handed; flip one array axis and its direction."
            )
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "spacing", spacing)
        object.__setattr__(self, "origin", origin)
        object.__setattr__(self, "direction", tuple(tuple(map(float, row)) for row in matrix))

    def __repr__(self) -> str:
        sizes = "×".join(map(str, self.shape))
        steps = "×".join(f"{s:g}" for s in self.spacing)
        return f"Grid({sizes} voxels, {steps} mm)"

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def voxel_volume_cc(self) -> float:
        """Volume of one voxel, cm3."""
        return self.spacing[0] * self.spacing[1] * self.spacing[2] / 1000.0

    @property
    def is_axial(self) -> bool:
        """Whether the grid's axes are the patient's axes."""
        return bool(np.allclose(self.direction, np.eye(3), atol=1e-9))

    def to_point(self, indices: ArrayLike) -> Points:
        """Points (..., 3), (x, y, z) mm, at fractional ``indices`` (..., 3), (z, y, x)."""
        steps = np.asarray(indices, dtype=float) * np.asarray(self.spacing)
        points: Points = steps[..., ::-1] @ np.asarray(self.direction).T + np.asarray(self.origin)
        return points

    def to_index(self, points: ArrayLike) -> Array:
        """Fractional indices (..., 3), (z, y, x), of ``points`` (..., 3), (x, y, z) mm."""
        local = (np.asarray(points, dtype=float) - np.asarray(self.origin)) @ np.asarray(
            self.direction
        )
        indices: Array = local[..., ::-1] / np.asarray(self.spacing)
        return indices

    def voxel_points(self, flat_indices: ArrayLike) -> Points:
        """Centres (n, 3), (x, y, z) mm, of the voxels with ``flat_indices`` (n,)."""
        indices = np.stack(np.unravel_index(np.asarray(flat_indices), self.shape), axis=-1)
        return self.to_point(indices)

    def axis_coordinates(self) -> tuple[Array, Array, Array]:
        """Voxel-centre coordinates along the grid's own z, y and x axes, mm from patient origin.

        For an axial grid these are patient coordinates; otherwise those along the turned axes.
        """
        local = np.asarray(self.origin) @ np.asarray(self.direction)
        z, y, x = (local[2 - k] + self.spacing[k] * np.arange(self.shape[k]) for k in range(3))
        return z, y, x

    def part(self, first: ArrayLike, last: ArrayLike) -> Grid:
        """The voxels from index ``first`` to before ``last``, (z, y, x), as a grid."""
        nz, ny, nx = (int(n) for n in np.asarray(last) - np.asarray(first))
        x, y, z = (float(v) for v in self.to_point(first))
        return Grid((nz, ny, nx), self.spacing, (x, y, z), self.direction)

    def with_spacing(self, spacing: Triple) -> Grid:
        """The grid of ``spacing`` (z, y, x) mm that covers the same box, centred on it."""
        step = np.asarray(spacing, dtype=float)
        if step.shape != (3,) or not (np.isfinite(step).all() and (step > 0).all()):
            raise GeometryError(
                f"grid spacing {spacing} mm is not possible; give three positive numbers (z, y, x)."
            )
        size = np.asarray(self.shape) * np.asarray(self.spacing)
        shape = np.maximum(np.ceil(size / step - 1e-6), 1).astype(int)
        centre = (np.asarray(self.shape) - 1) / 2
        first_step = centre * np.asarray(self.spacing) - (shape - 1) / 2 * step
        origin = self.to_point(first_step / np.asarray(self.spacing))
        nz, ny, nx = (int(n) for n in shape)
        x, y, z = (float(v) for v in origin)
        return Grid((nz, ny, nx), (step[0], step[1], step[2]), (x, y, z), self.direction)


def _numbers(values: object) -> tuple[float, ...]:
    """``values`` as floats; nothing where they are no sequence of numbers."""
    try:
        return tuple(np.asarray(values, dtype=float).reshape(-1).tolist())
    except (TypeError, ValueError):
        return ()
