"""New structures from old: unions, overlaps, differences, margins, rings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final, Literal, TypeAlias

import numpy as np
from scipy.signal import oaconvolve

from dosegrad.arrays import Mask
from dosegrad.errors import PatientError, unknown_name
from dosegrad.geometry.grid import Grid
from dosegrad.patient.structures import MaskShape, Role, Shape, Structure

__all__ = ["CombinedShape", "Margin", "combine", "grow", "ring", "shrink"]

Operation: TypeAlias = Literal["union", "overlap", "difference"]

#: One number for all sides, (x, y, z), or six: right, left, front, back, foot, head, mm. Right and
#: left are the patient's; in LPS axes they are -x, +x, -y, +y, -z, +z.
Margin: TypeAlias = float | Sequence[float]

_OPERATIONS: Final[Mapping[str, Callable[[Mask, Mask], Mask]]] = {
    "union": lambda first, second: first | second,
    "overlap": lambda first, second: first & second,
    "difference": lambda first, second: first & ~second,
}
#: A margin that needs more voxels than this along one axis is taken for a mistake.
_MOST_VOXELS: Final = 500


@dataclass(frozen=True, slots=True, eq=False)
class CombinedShape:
    """A region made of others; asked for a mask, it combines theirs, whatever the grid.

    Parameters
    ----------
    operation
        ``"union"``, ``"overlap"`` (in all of them), ``"difference"`` (in the first, in no other).
    shapes
        The regions, two or more.
    grid
        Grid on whose voxels the volume is counted.
    """

    operation: Operation
    shapes: tuple[Shape, ...]
    grid: Grid

    def mask(self, grid: Grid) -> Mask:
        """Voxels of ``grid`` whose centre lies inside, bool (z, y, x)."""
        return reduce(_OPERATIONS[self.operation], (s.mask(grid) for s in self.shapes))

    @property
    def volume_cc(self) -> float:
        """Number of voxels of the shape's own grid inside, times their volume, cm3."""
        return float(np.count_nonzero(self.mask(self.grid))) * self.grid.voxel_volume_cc


def combine(
    name: str,
    operation: Operation,
    structures: Sequence[Structure],
    grid: Grid,
    *,
    role: Role = "organ",
) -> Structure:
    """Union, overlap or difference of structures as a new one.

    Parameters
    ----------
    name
        Of the new structure.
    operation
        ``"union"``, ``"overlap"`` (in all of them), ``"difference"`` (in the first, in no other).
    structures
        Two or more.
    grid
        Grid on whose voxels the volume is counted, such as the CT's; masks are exact on any.
    role
        Of the new structure.

    Raises
    ------
    PatientError
        If there are fewer than two structures.
    UnknownNameError
        If there is no such operation.
    """
    if operation not in _OPERATIONS:
        raise unknown_name("operation", operation, _OPERATIONS)
    if len(structures) < 2:
        raise PatientError(f"{operation} of {len(structures)} structure; give two or more.")
    shapes = tuple(structure.shape for structure in structures)
    return Structure(name, CombinedShape(operation, shapes, grid), role=role)


def grow(
    structure: Structure, margin: Margin, grid: Grid, *, name: str = "", role: Role | None = None
) -> Structure:
    """A structure with a margin around it.

    A voxel of ``grid`` belongs when the ellipsoid about some voxel centre of the structure, its
    half axes the margins of the sides, holds its centre: for one number, when that is at most so
    far away. A side without margin does not grow.

    Parameters
    ----------
    structure
        What to grow.
    margin
        mm: one number, (x, y, z), or six for the patient's right, left, front, back, foot, head.
    grid
        Grid of the result, with axes of the patient; finer ones are more exact.
    name
        Of the result; by default the old one with the margin.
    role
        Of the result; by default the old one.

    Raises
    ------
    PatientError
        If a margin is negative or not finite, or the structure has no voxel on the grid.
    """
    reach = _sides(margin)
    grown = _dilated(_mask_on(structure, grid), _ball(reach, grid))
    return _result(structure, grown, grid, name or f"{structure.name} + {_words(margin)}", role)


def shrink(
    structure: Structure, margin: Margin, grid: Grid, *, name: str = "", role: Role | None = None
) -> Structure:
    """What is left of a structure when a margin is taken off; arguments as of :func:`grow`.

    Sides are those of the structure that move inwards. Space beyond the grid counts as outside.
    """
    sides = _sides(margin)
    mirrored = tuple((high, low) for low, high in sides)
    inside = _mask_on(structure, grid)
    ball = _ball(mirrored, grid)
    pads = [(n // 2, n // 2) for n in ball.shape]
    outside = _dilated(np.pad(~inside, pads, constant_values=True), ball)
    kept = ~outside[tuple(slice(a, n - b) for (a, b), n in zip(pads, outside.shape, strict=True))]
    return _result(structure, kept, grid, name or f"{structure.name} - {_words(margin)}", role)


def ring(
    structure: Structure, inner: Margin, outer: Margin, grid: Grid, *, name: str = ""
) -> Structure:
    """The shell between two margins of a structure, such as for a dose fall-off.

    Raises
    ------
    PatientError
        If a margin is negative or not finite, or the outer one reaches no farther.
    """
    far = grow(structure, outer, grid).mask(grid)
    near = grow(structure, inner, grid).mask(grid)
    shell = far & ~near
    if not shell.any():
        raise PatientError(
            f"there is no ring between {_words(inner)} and {_words(outer)} around "
            f"{structure.name!r}; let the outer margin reach a voxel farther."
        )
    words = f"{structure.name} ring {_words(inner)} to {_words(outer)}"
    return _result(structure, shell, grid, name or words, "organ")


def _sides(margin: Margin) -> tuple[tuple[float, float], ...]:
    """(towards lower, towards higher index) along x, y, z, mm."""
    try:
        values = np.atleast_1d(np.asarray(margin, dtype=float)).ravel()
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.size not in (1, 3, 6) or not np.isfinite(values).all() or (values < 0).any():
        raise PatientError(
            f"margin {margin!r} mm is not possible; give one number, three (x, y, z) or six "
            "(right, left, front, back, foot, head), none negative."
        )
    if values.size == 6:
        return tuple((float(low), float(high)) for low, high in values.reshape(3, 2))
    return tuple((float(v), float(v)) for v in np.broadcast_to(values, 3))


def _words(margin: Margin) -> str:
    values = np.atleast_1d(np.asarray(margin, dtype=float)).ravel()
    return "/".join(f"{v:g}" for v in values) + " mm"


def _mask_on(structure: Structure, grid: Grid) -> Mask:
    if not grid.is_axial:
        raise PatientError("margins need a grid along the patient's axes; resample the image.")
    mask = structure.mask(grid)
    if not mask.any():
        raise PatientError(
            f"structure {structure.name!r} has no voxel centre on {grid}; use a finer grid."
        )
    return mask


def _ball(sides: Sequence[tuple[float, float]], grid: Grid) -> Mask:
    """Voxels (z, y, x), odd numbers of them, within the margins of the middle one."""
    squares = np.zeros((1, 1, 1))
    for axis, (low, high), step in zip((2, 1, 0), sides, reversed(grid.spacing), strict=True):
        n = int(np.floor(max(low, high) / step + 1e-9))
        if n > _MOST_VOXELS:
            raise PatientError(
                f"a margin of {max(low, high):g} mm is {n} voxels; check it, or use a coarser grid."
            )
        offsets = step * np.arange(-n, n + 1)
        reach = np.where(offsets < 0, low, high)
        share = np.full(offsets.shape, np.inf)
        share[offsets == 0] = 0.0
        np.divide(np.abs(offsets), reach, out=share, where=(reach > 0) & (offsets != 0))
        shape = [1, 1, 1]
        shape[axis] = offsets.size
        squares = squares + (share**2).reshape(shape)
    ball: Mask = squares <= 1.0 + 1e-9
    return ball


def _dilated(inside: Mask, ball: Mask) -> Mask:
    """Voxels that a ball around some voxel inside covers; only their surroundings are worked on."""
    box = tuple(
        slice(max(int(found.min()) - half, 0), int(found.max()) + half + 1)
        for found, half in zip(np.nonzero(inside), (n // 2 for n in ball.shape), strict=True)
    )
    part = inside[box].astype(np.float64)
    covered = np.zeros_like(inside)
    covered[box] = oaconvolve(part, ball.astype(np.float64), mode="same") > 0.5
    return covered


def _result(old: Structure, inside: Mask, grid: Grid, name: str, role: Role | None) -> Structure:
    return Structure(name, MaskShape(grid, inside), role=role or old.role)
