"""Structures: named regions of a patient with a role and a priority."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol, TypeAlias, get_args

import numpy as np

from dosegrad.arrays import Mask
from dosegrad.errors import PatientError, unknown_name
from dosegrad.geometry.grid import Grid

__all__ = ["DEFAULT_PRIORITY", "MaskShape", "Role", "Shape", "Structure", "resolve_overlaps"]

Role: TypeAlias = Literal["target", "organ", "external"]

#: Priority by role where a structure brings none: the lower number wins an overlap.
DEFAULT_PRIORITY: Final[Mapping[str, int]] = {"target": 1, "organ": 2, "external": 10}


class Shape(Protocol):
    """A region of space that can tell its voxels on any grid, and its volume."""

    def mask(self, grid: Grid) -> Mask:
        """Voxels of ``grid`` whose centre lies inside, bool (z, y, x)."""
        ...

    @property
    def volume_cc(self) -> float:
        """Volume, cm3, by the rule that the shape states."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class MaskShape:
    """A region made of whole voxels of a grid; its volume is their sum.

    On another grid a voxel belongs when its centre lies in a voxel of the region; a centre on the
    face between two voxels belongs to the one with the higher index (half-open voxels).
    """

    grid: Grid
    inside: Mask

    def __post_init__(self) -> None:
        inside = np.ascontiguousarray(self.inside, dtype=bool)
        if inside.shape != self.grid.shape:
            raise PatientError(
                f"a mask of shape {inside.shape} does not fit its grid of shape "
                f"{self.grid.shape}; both are (z, y, x)."
            )
        if inside.flags.writeable:
            inside = inside.copy()
            inside.flags.writeable = False
        object.__setattr__(self, "inside", inside)

    def mask(self, grid: Grid) -> Mask:
        """Voxels of ``grid`` whose centre lies in a voxel of the region, bool (z, y, x)."""
        if grid == self.grid:
            return self.inside
        if grid.direction == self.grid.direction:
            return self._mask_on_parallel_axes(grid)
        indices = np.moveaxis(np.indices(grid.shape), 0, -1)
        nearest = np.floor(self.grid.to_index(grid.to_point(indices)) + 0.5).astype(np.int64)
        shape = np.asarray(self.grid.shape)
        within = ((nearest >= 0) & (nearest < shape)).all(axis=-1)
        nearest = np.clip(nearest, 0, shape - 1)
        looked_up: Mask = within & self.inside[nearest[..., 0], nearest[..., 1], nearest[..., 2]]
        return looked_up

    def _mask_on_parallel_axes(self, grid: Grid) -> Mask:
        start = self.grid.to_index(grid.to_point([0, 0, 0]))
        picked = []
        for axis in range(3):
            steps = np.arange(grid.shape[axis]) * (grid.spacing[axis] / self.grid.spacing[axis])
            picked.append(np.floor(start[axis] + steps + 0.5 + 1e-9).astype(np.int64))
        within = [(p >= 0) & (p < n) for p, n in zip(picked, self.grid.shape, strict=True)]
        clipped = [np.clip(p, 0, n - 1) for p, n in zip(picked, self.grid.shape, strict=True)]
        z, y, x = within
        box = z[:, np.newaxis, np.newaxis] & y[:, np.newaxis] & x
        result: Mask = self.inside[np.ix_(*clipped)] & box
        return result

    @property
    def volume_cc(self) -> float:
        """Number of voxels times the voxel volume, cm3."""
        return float(np.count_nonzero(self.inside)) * self.grid.voxel_volume_cc


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """A named region of a patient.

    Parameters
    ----------
    name
        As the user calls it.
    shape
        The region: voxels or contours.
    role
        ``"target"``, ``"organ"`` or ``"external"`` (the outline of the body).
    priority
        Which structure owns a voxel in an overlap, for objectives: the lower number wins, equal
        numbers share. Default by role: target 1, organ 2, external 10.
    colour
        Red, green, blue from 0 to 1; chosen by the plot when absent.
    """

    name: str
    shape: Shape
    role: Role = "organ"
    priority: int | None = None
    colour: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise PatientError("a structure needs a name.")
        if self.role not in get_args(Role):
            raise unknown_name("role", self.role, get_args(Role))
        if self.priority is None:
            object.__setattr__(self, "priority", DEFAULT_PRIORITY[self.role])

    def __repr__(self) -> str:
        return f"Structure({self.name!r}, {self.role}, {self.volume_cc:.3g} cc)"

    def mask(self, grid: Grid) -> Mask:
        """Voxels of ``grid`` whose centre lies inside, bool (z, y, x)."""
        return self.shape.mask(grid)

    @property
    def volume_cc(self) -> float:
        """Volume, cm3, by the rule of its shape, whatever the dose grid."""
        return self.shape.volume_cc

    def with_role(self, role: Role, *, priority: int | None = None) -> Structure:
        """The same region in another role."""
        return replace(self, role=role, priority=priority)


def resolve_overlaps(structures: Mapping[str, Structure], grid: Grid) -> dict[str, Mask]:
    """Masks (z, y, x) by name in which no voxel belongs to two structures of unequal priority.

    A structure loses the voxels that it shares with one of lower priority number; equal numbers
    keep their common voxels. Objectives act on these masks; evaluation uses whole structures.
    """
    masks = {name: structure.mask(grid) for name, structure in structures.items()}
    resolved: dict[str, Mask] = {}
    taken = np.zeros(grid.shape, dtype=bool)
    levels = sorted({_priority(s) for s in structures.values()})
    for level in levels:
        names = [n for n, s in structures.items() if _priority(s) == level]
        for name in names:
            resolved[name] = masks[name] & ~taken
        for name in names:
            taken |= masks[name]
    return {name: resolved[name] for name in structures}


def _priority(structure: Structure) -> int:
    assert structure.priority is not None  # set by the constructor
    return structure.priority
