"""Dose-volume histograms without bins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from dosegrad.arrays import Array, IntArray, Mask, Points, readonly
from dosegrad.dose import Dose, Region
from dosegrad.errors import PlanError
from dosegrad.geometry.grid import Grid
from dosegrad.patient.patient import Patient
from dosegrad.patient.structures import Structure

__all__ = ["DVH", "Samples", "dvh", "share_outside", "structure_dvh", "structure_samples"]

#: A structure with fewer voxels than this is sampled more finely whatever it is made of, one with
#: fewer than so many samples if its border runs through voxels.
_FEW_VOXELS: Final = 100
_ENOUGH_SAMPLES: Final = 10_000
#: Share of a volume outside the dose grid below which nothing is missed: rounding of borders.
_LITTLE: Final = 0.005
#: Parts of voxels below this in a sample are rounding.
_NOTHING: Final = 1e-9
#: Samples per voxel along each axis, tried in turn; odd, so that voxel centres are among them.
_FINER: Final = (3, 5, 7)


@dataclass(frozen=True, slots=True, eq=False)
class DVH:
    """Cumulative dose-volume histogram of one structure, exact for its samples.

    Every sample stands for the same volume. The curve joins, by straight lines, the points (volume
    hotter than the middle of a sample, dose of the sample), samples from the hottest to the
    coldest; it begins at the maximum and ends at the minimum. So it never rises, and
    :meth:`dose_at` and :meth:`volume_at` invert each other. All values are NaN for a structure
    without samples.

    Parameters
    ----------
    doses
        Dose of the samples, Gy, any order, shape (n,); kept in descending order.
    sample_volume_cc
        Volume that each stands for, cm3.
    """

    doses: Array
    sample_volume_cc: float

    def __post_init__(self) -> None:
        doses = np.asarray(self.doses, dtype=float).ravel()
        if not np.isfinite(doses).all():
            raise PlanError("a dose holds values that are not finite; compute it again.")
        object.__setattr__(self, "doses", readonly(np.sort(doses)[::-1].copy()))

    def __repr__(self) -> str:
        return f"DVH(mean {self.mean:.4g} Gy, maximum {self.maximum:.4g} Gy)"

    @property
    def volume_cc(self) -> float:
        """Volume of all samples, cm3."""
        return self.doses.size * self.sample_volume_cc

    @property
    def mean(self) -> float:
        """Mean dose, Gy."""
        return float(self.doses.mean()) if self.doses.size else float("nan")

    @property
    def minimum(self) -> float:
        """Lowest dose, Gy."""
        return float(self.doses[-1]) if self.doses.size else float("nan")

    @property
    def maximum(self) -> float:
        """Highest dose, Gy."""
        return float(self.doses[0]) if self.doses.size else float("nan")

    def dose_at(self, fraction: ArrayLike) -> float:
        """Dose, Gy, that the hottest ``fraction`` (0 to 1) of the volume gets at least.

        Examples
        --------
        >>> DVH([10.0, 20.0, 30.0, 40.0], 0.1).dose_at(0.5)
        25.0
        """
        wanted = float(np.asarray(fraction))
        if not 0 <= wanted <= 1:
            raise PlanError(f"volume fraction {wanted} must be from 0 to 1; write 95 % as 0.95.")
        n = self.doses.size
        if n == 0:
            return float("nan")
        if wanted in (0.0, 1.0):
            return self.maximum if wanted == 0 else self.minimum
        return float(np.interp(wanted, (np.arange(n) + 0.5) / n, self.doses))

    def dose_at_cc(self, volume_cc: float) -> float:
        """Dose, Gy, that the hottest ``volume_cc`` get at least; the minimum if it has less."""
        if not volume_cc >= 0:
            raise PlanError(f"volume {volume_cc} cc must not be negative, such as 0.03.")
        if not self.doses.size:
            return float("nan")
        return self.dose_at(min(volume_cc / self.volume_cc, 1.0))

    def volume_at(self, dose: ArrayLike) -> Array:
        """Fraction (...) of the volume that gets at least ``dose`` (...), Gy; a scalar for one."""
        wanted = np.asarray(dose, dtype=float)
        n = self.doses.size
        if n == 0:
            nothing: Array = np.full(wanted.shape, np.nan)[()]
            return nothing
        rising, hotter = self.doses[::-1], (n - np.arange(n) - 0.5) / n
        found = np.interp(wanted, rising, hotter)
        # all the volume of equal doses reaches that dose
        first = np.minimum(np.searchsorted(rising, wanted), n - 1)
        found = np.where(rising[first] == wanted, hotter[first], found)
        found = np.where(wanted <= self.minimum, 1.0, found)
        fraction: Array = np.where(wanted > self.maximum, 0.0, found)[()]
        return fraction

    def volume_cc_at(self, dose: float) -> float:
        """Volume, cm3, that gets at least ``dose``, Gy."""
        return float(self.volume_at(dose)) * self.volume_cc


def dvh(dose: Dose, patient: Patient) -> Mapping[str, DVH]:
    """Dose-volume histogram of every structure of a patient, whole structures, by name."""
    return MappingProxyType(
        {name: structure_dvh(dose, structure) for name, structure in patient.structures.items()}
    )


def structure_dvh(dose: Dose, structure: Region) -> DVH:
    """Dose-volume histogram of one structure, as far as it lies in the dose grid.

    Its samples are the voxels of the dose grid whose centre lies inside. A structure with fewer
    than 10,000 of them whose border runs through voxels is sampled 3, 5 or 7 times as finely along
    each axis, as little as makes 10,000 samples, with trilinear dose: so that the histogram hardly
    depends on where the dose grid lies, and small structures have their volume. One that is made
    of whole voxels of the dose grid is sampled so only if it has fewer than 100. Where the dose is
    not known (NaN) in part of a structure, as outside the rows of a restricted influence, the
    histogram has no samples and all its values are NaN.
    """
    mask, points, volume = _sampled(structure, dose.grid)
    if np.isnan(dose.array[mask]).any():
        return DVH(np.empty(0), dose.grid.voxel_volume_cc)
    if points is None:
        return DVH(dose.array[mask], volume)
    values = dose.at(points)
    return DVH(np.empty(0) if np.isnan(values).any() else values, volume)


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Where a structure's dose is looked at, as a linear map of the dose of voxels.

    Parameters
    ----------
    voxels
        Flat indices (n_voxels,), ascending, of the voxels of the dose grid that samples depend on.
    mixing
        Part of each voxel in each sample (n, n_voxels); ``None`` where the voxels are the samples.
    sample_volume_cc
        Volume that each sample stands for, cm3.
    """

    voxels: IntArray
    mixing: csr_array | None
    sample_volume_cc: float

    @property
    def n(self) -> int:
        """Number of samples."""
        return int(self.voxels.size if self.mixing is None else self.mixing.shape[0])

    def doses(self, dose: Array) -> Array:
        """Dose (n,) of the samples, Gy, for that of the voxels (n_voxels,)."""
        return dose if self.mixing is None else np.asarray(self.mixing @ dose)


def structure_samples(structure: Region, grid: Grid) -> Samples:
    """The samples that :func:`structure_dvh` takes of a structure, for any dose on ``grid``."""
    mask, points, volume = _sampled(structure, grid)
    if points is None:
        return Samples(np.flatnonzero(mask), None, volume)
    last = np.asarray(grid.shape) - 1
    index = np.clip(grid.to_index(points), 0.0, last)
    low = np.minimum(index.astype(np.int64), np.maximum(last - 1, 0))
    part = index - low
    corners, parts = [], []
    for step in np.ndindex(2, 2, 2):
        at = np.minimum(low + step, last)
        corners.append(np.ravel_multi_index(tuple(at.T), grid.shape))
        parts.append(np.prod(np.where(step, part, 1.0 - part), axis=1))
    all_corners, all_parts = np.concatenate(corners), np.concatenate(parts)
    numbers = np.tile(np.arange(len(points)), 8)
    used = all_parts > _NOTHING
    voxels, columns = np.unique(all_corners[used], return_inverse=True)
    entries = (all_parts[used], (numbers[used], columns.ravel()))
    mixing = csr_array(entries, shape=(len(points), voxels.size))
    return Samples(voxels, mixing, volume)


def _sampled(structure: Region, grid: Grid) -> tuple[Mask, Points | None, float]:
    """Voxels of a structure, its samples (n, 3) unless they are the voxels, the volume of each."""
    mask = structure.mask(grid)
    n_voxels = int(np.count_nonzero(mask))
    if n_voxels >= _ENOUGH_SAMPLES or (
        n_voxels >= _FEW_VOXELS and _has_whole_voxels(structure, grid, mask)
    ):
        return mask, None, grid.voxel_volume_cc
    box = _box(mask) if n_voxels else _find(structure, grid)
    if box is None:
        return mask, None, grid.voxel_volume_cc
    points, finer = np.empty((0, 3)), grid
    for times in _FINER:
        finer = _refined(grid, box, times)
        points = finer.voxel_points(np.flatnonzero(structure.mask(finer)))
        if len(points) >= _ENOUGH_SAMPLES:
            break
    return mask, points, finer.voxel_volume_cc


def share_outside(structure: Structure, grid: Grid, sampled_cc: float) -> float:
    """Share of a structure's volume (0 to 1) that a dose grid does not reach.

    Parameters
    ----------
    structure
        Whose volume is known whatever the grid.
    grid
        Of the dose.
    sampled_cc
        Volume of the structure's samples there, cm3. Without any, nothing is known, and the share
        is 0.
    """
    whole = structure.volume_cc
    share = 1.0 - sampled_cc / whole if whole > 0 else 0.0
    if not sampled_cc or share < _LITTLE or not _reaches_over(structure, grid):
        return 0.0
    return share


def _reaches_over(structure: Structure, grid: Grid) -> bool:
    """Whether one of the voxels just outside a grid belongs to a structure."""
    x, y, z = (float(v) for v in grid.to_point([-1.0, -1.0, -1.0]))
    nz, ny, nx = grid.shape
    around = replace(grid, shape=(nz + 2, ny + 2, nx + 2), origin=(x, y, z))
    mask = structure.mask(around)
    return bool(np.count_nonzero(mask) > np.count_nonzero(mask[1:-1, 1:-1, 1:-1]))


def _has_whole_voxels(structure: Region, grid: Grid, mask: Mask) -> bool:
    """Whether no border of the structure runs through a voxel, seen at a third of its size."""
    box = _box(mask)
    finer = structure.mask(_refined(grid, box, 3))
    coarse = mask[box].repeat(3, axis=0).repeat(3, axis=1).repeat(3, axis=2)
    return bool(np.array_equal(finer, coarse))


def _box(mask: Mask) -> tuple[slice, slice, slice]:
    """Voxels around a mask and one more on every side, inside the grid."""
    found = []
    for axis in range(3):
        other = tuple(k for k in range(3) if k != axis)
        inside = np.flatnonzero(mask.any(axis=other))
        found.append(slice(max(inside[0] - 1, 0), min(inside[-1] + 2, mask.shape[axis])))
    return found[0], found[1], found[2]


def _find(structure: Region, grid: Grid) -> tuple[slice, slice, slice] | None:
    """Box of a structure that misses every voxel centre: looked for three times as finely."""
    occupied = np.zeros(grid.shape, dtype=bool)
    nz, ny, nx = grid.shape
    for layer in range(nz):
        fine = _refined(grid, (slice(layer, layer + 1), slice(0, ny), slice(0, nx)), 3)
        mask = structure.mask(fine).reshape(1, 3, ny, 3, nx, 3)
        occupied[layer] = mask.any(axis=(0, 1, 3, 5))
    return _box(occupied) if occupied.any() else None


def _refined(grid: Grid, box: tuple[slice, slice, slice], times: int) -> Grid:
    """The voxels of ``box``, each cut into ``times`` along every axis."""
    nz, ny, nx = ((s.stop - s.start) * times for s in box)
    dz, dy, dx = (step / times for step in grid.spacing)
    first = [s.start - 0.5 + 0.5 / times for s in box]
    x, y, z = (float(v) for v in grid.to_point(first))
    return replace(grid, shape=(nz, ny, nx), spacing=(dz, dy, dx), origin=(x, y, z))
