"""Dose on a grid, with where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array, Mask, Volume, readonly
from dosegrad.errors import GeometryError
from dosegrad.geometry.grid import Grid
from dosegrad.geometry.resample import interpolate
from dosegrad.units import QUANTITIES

__all__ = ["Dose", "Region"]


class Region(Protocol):
    """Anything that has voxels on a grid, such as a structure."""

    def mask(self, grid: Grid) -> Mask:
        """Voxels of ``grid`` whose centre lies inside, bool (z, y, x)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Dose:
    """Dose of a whole course on a grid.

    Parameters
    ----------
    grid
        Where the voxels are.
    array
        Dose (z, y, x), Gy for the whole course, or Gy (RBE) if ``quantity`` says so.
    quantity
        A key of :data:`dosegrad.units.QUANTITIES`: ``"dose"``, ``"rbe_dose"``, ``"let"``...
    provenance
        What made it: engine, settings, version.
    """

    grid: Grid
    array: Volume
    quantity: str = "dose"
    provenance: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        array = readonly(self.array)
        if array.shape != self.grid.shape:
            raise GeometryError(
                f"dose of shape {array.shape} does not fit its grid of shape {self.grid.shape}; "
                "both are (z, y, x)."
            )
        object.__setattr__(self, "array", array)
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    def __repr__(self) -> str:
        return (
            f"Dose({self.grid}, {self.quantity}, maximum {np.nanmax(self.array):.3g} {self.unit})"
        )

    @property
    def unit(self) -> str:
        """Unit of its values: ``"Gy"``, ``"Gy (RBE)"``, ``"keV/µm"``..."""
        known = QUANTITIES.get(self.quantity)
        return "Gy" if known is None else known.unit

    @property
    def label(self) -> str:
        """What its values are, in words."""
        known = QUANTITIES.get(self.quantity)
        return self.quantity if known is None else known.label

    def mean(self, structure: Region) -> float:
        """Mean dose over the voxels of ``structure`` on this dose's grid, Gy."""
        inside = self.array[structure.mask(self.grid)]
        if inside.size == 0:
            raise GeometryError(
                f"{structure!r} has no voxel centre on the dose grid; use a finer or larger grid."
            )
        return float(inside.mean())

    def at(self, points: ArrayLike) -> Array:
        """Dose (...), Gy, at ``points`` (..., 3), (x, y, z) mm, trilinear; 0 outside the grid."""
        return interpolate(self.grid, self.array, points)

    def difference(self, other: Dose) -> Dose:
        """Dose minus ``other``, which is interpolated to this dose's grid if it must."""
        values = other.array
        if other.grid != self.grid:
            indices = np.moveaxis(np.indices(self.grid.shape), 0, -1)
            values = other.at(self.grid.to_point(indices))
        return Dose(self.grid, self.array - values, self.quantity, self.provenance)
