r"""Dose of beamlets on voxels.

In a voxel at the depth s along a beamlet and the distances x, y across it, the dose is that on the
beamlet's axis, energy lost over mass crossed there, times a Gaussian [Burlacu2024]_, Eq. 10, 11:

.. math:: D = \frac{\Delta W}{\Delta m}(s)\,
          \frac{e^{-x^2/2v_x - y^2/2v_y}}{2\pi\sqrt{v_x v_y}}

so that the density on the axis counts, not that of the voxel. Both differences are over the width
of a voxel along the beamlet. Where beamlets run along an axis of the grid, the Gaussian is averaged
over the voxel exactly, by error functions; elsewhere its variances hold those of a voxel across it,
which is the average to the fourth order of the voxel's size. The Gaussian ends at four standard
deviations and is scaled to keep its integral.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.engines.yoda._scoring_arrays import FINE, Edges, Pencils, Profiles, Voxels
from dosegrad.geometry.grid import Grid

__all__ = [
    "FARTHEST",
    "GRAY",
    "DepthProfile",
    "make_profiles",
    "score",
    "score_column",
    "voxels_of",
]

#: Gy mm2 per 10^6 particles that 1 MeV cm2/g is.
GRAY: Final = 0.01602176634
#: Exponent at four standard deviations.
FARTHEST: Final = 8.0
_NEGLIGIBLE: Final = 1e-5  # of the largest dose on the axis, behind which a profile ends
_ALIGNED: Final = 1e-12  # 1 minus the cosine, up to which a beamlet runs along a grid axis


@dataclass(frozen=True, slots=True, eq=False)
class DepthProfile:
    """What some paths deposit on the steps of their axis.

    Parameters
    ----------
    step
        Length of the steps, mm.
    deposit
        Energy, MeV per particle, (paths, steps).
    mass
        Mass depth, g/cm2, (paths, steps).
    let
        Dose-averaged LET, keV/µm, (paths, steps).
    """

    step: float
    deposit: Array
    mass: Array
    let: Array


def voxels_of(grid: Grid) -> Voxels:
    """The grid as kernels want it."""
    return Voxels(np.array(grid.shape, dtype=np.int64), np.array(grid.spacing))


def make_profiles(
    depth: DepthProfile,
    path: NDArray[np.intp],
    variance: Array,
    *,
    width: float,
    blur: Array,
) -> Profiles:
    """Profiles of ``path`` (profiles,) with variances (profiles, 2, steps + 1) at the edges.

    Parameters
    ----------
    depth
        What the paths deposit.
    path
        Path of each profile.
    variance
        Across the beamlet along x and y at the edges of the steps, mm2.
    width
        Of a voxel along the beamlet, mm.
    blur
        Variance of a voxel across it along x and y, mm2, (2,).
    """
    from dosegrad.engines.yoda._profile_kernels import fill_profiles

    n_nodes = FINE * depth.deposit.shape[1] + 1
    values = np.zeros((len(path), n_nodes, 4))
    reach = np.zeros((len(path), 2))
    edges = Edges(*(_summed(v) for v in (depth.deposit, depth.mass, depth.deposit * depth.let)))
    shape = (0.5 * width / depth.step, float(blur[0]), float(blur[1]))
    scale = GRAY / (1.0 - np.exp(-FARTHEST)) / (2.0 * np.pi)
    limits = (scale, FARTHEST, _NEGLIGIBLE, depth.step)
    fill_profiles(
        *(edges, path.astype(np.int64), np.ascontiguousarray(variance), shape, limits),
        *(values, reach),
    )
    return Profiles(depth.step / FINE, values, blur, reach, FARTHEST)


def _summed(values: Array) -> Array:
    """Sums of steps (paths, steps) up to each edge."""
    first = np.zeros((len(values), 1))
    return np.asarray(np.concatenate([first, np.cumsum(values, axis=1)], axis=1))


def score(voxels: Voxels, pencils: Pencils, profiles: Profiles, dose: Array) -> None:
    """Add the dose of all beamlets to ``dose`` (n_voxels,), Gy."""
    first, last = _box(voxels, [(pencils, profiles)])
    _add(voxels, pencils, profiles, (int(first[0]), int(last[0])), dose, np.empty(0))


def _add(
    voxels: Voxels,
    pencils: Pencils,
    profiles: Profiles,
    slices: tuple[int, int],
    dose: Array,
    let_dose: Array,
) -> None:
    """Add dose to ``slices`` by the kernel that fits the directions of the beamlets."""
    from dosegrad.compiled import thread_count
    from dosegrad.engines.yoda._scoring_kernels import add_aligned, add_dose

    # The number of parts is no matter for the result: each voxel adds up beamlet by beamlet.
    n = thread_count()
    parts = np.unique(np.linspace(*slices, (2 * n if n > 1 else 1) + 1).astype(np.int64))
    axes = _grid_axes(pencils)
    if axes is None:
        add_dose(voxels, pencils, profiles, parts, dose, let_dose)
    else:
        add_aligned(voxels, pencils, profiles, axes, parts, dose, let_dose)


def _grid_axes(pencils: Pencils) -> NDArray[np.int64] | None:
    """Axes of the grid (3,) along which all beamlets run and have x and y, or None."""
    found = []
    for vectors in (pencils.axis, pencils.across_x, pencils.across_y):
        axis = int(np.argmax(np.abs(vectors[0])))
        if (np.abs(vectors[:, axis]) < 1.0 - _ALIGNED).any():
            return None
        found.append(axis)
    return np.array(found, dtype=np.int64)


def score_column(
    voxels: Voxels, parts: Iterable[tuple[Pencils, Profiles, NDArray[np.intp]]]
) -> tuple[NDArray[np.int64], Array, Array]:
    """Voxels that some pencils reach, ascending, their dose, Gy, and LET times dose, keV/µm Gy."""
    held = [(pencils, profiles) for pencils, profiles, _ in parts]
    first, last = _box(voxels, held)
    shape = np.maximum(last - first, 0)
    dose, let_dose = np.zeros(int(shape.prod())), np.zeros(int(shape.prod()))
    if dose.size == 0:
        return np.empty(0, dtype=np.int64), dose, let_dose
    box = Voxels(shape, voxels.spacing)
    for pencils, profiles in held:
        moved = pencils._replace(origin=pencils.origin - first * voxels.spacing)
        _add(box, moved, profiles, (0, int(shape[0])), dose, let_dose)
    inside = np.flatnonzero(dose)
    place = np.stack(np.unravel_index(inside, tuple(shape.tolist()))) + first[:, None]
    whole = np.ravel_multi_index(tuple(place), tuple(voxels.shape.tolist()))
    return whole.astype(np.int64), dose[inside], let_dose[inside]


def _box(
    voxels: Voxels, held: list[tuple[Pencils, Profiles]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First voxel and the one after the last (3,) along each axis that pencils may reach."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for pencils, profiles in held:
        length, radius = profiles.reach[pencils.profile].T[:, :, None]
        end = pencils.origin + pencils.axis * length
        margin = radius * np.sqrt(np.maximum(1.0 - pencils.axis**2, 0.0))
        low = np.minimum(low, (np.minimum(pencils.origin, end) - margin).min(axis=0))
        high = np.maximum(high, (np.maximum(pencils.origin, end) + margin).max(axis=0))
    first = np.clip(np.floor(low / voxels.spacing), 0, voxels.shape).astype(np.int64)
    last = np.clip(np.ceil(high / voxels.spacing) + 1, 0, voxels.shape).astype(np.int64)
    return first, last
