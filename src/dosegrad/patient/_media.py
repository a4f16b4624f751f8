"""Media on a dose grid from a CT: tissue at CT resolution, then averaged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, Mask
from dosegrad.geometry import resample as resampling
from dosegrad.geometry.grid import Grid
from dosegrad.patient.calibration import AIR_HU, Calibration, Tissue
from dosegrad.patient.ct import CT
from dosegrad.patient.medium import Medium

__all__ = ["make_medium"]


def make_medium(ct: CT, calibration: Calibration, grid: Grid, body: Mask | None) -> Medium:
    """Medium on ``grid``; voxels of the CT outside ``body`` (z, y, x), if given, become air."""
    tissue = calibration.tissue(ct.hu)
    air = Calibration.of("schneider").tissue(AIR_HU)
    materials = calibration.materials
    air_name = Calibration.of("schneider").materials[int(air.material)]
    if air_name not in materials:
        materials = (*materials, air_name)
    air_index = materials.index(air_name)
    if body is not None:
        tissue = _only_inside(body, tissue, air, air_index)
    if grid == ct.grid:
        material = tissue.material
        density, stopping, electrons = (
            tissue.density,
            tissue.stopping_power_ratio,
            tissue.electron_density,
        )
    else:
        material = _material_of_most_mass(tissue, ct.grid, grid, air_index)
        density, stopping, electrons = (
            resampling.resample(values, ct.grid, grid, outside=float(outside))
            for values, outside in (
                (tissue.density, air.density),
                (tissue.stopping_power_ratio, air.stopping_power_ratio),
                (tissue.electron_density, air.electron_density),
            )
        )
    return Medium(grid, density, stopping, electrons, material, materials, ct.position)


def _only_inside(body: Mask, tissue: Tissue, air: Tissue, air_index: int) -> Tissue:
    return Tissue(
        density=np.where(body, tissue.density, air.density),
        stopping_power_ratio=np.where(body, tissue.stopping_power_ratio, air.stopping_power_ratio),
        electron_density=np.where(body, tissue.electron_density, air.electron_density),
        material=np.where(body, tissue.material, np.int16(air_index)).astype(np.int16),
    )


def _material_of_most_mass(
    tissue: Tissue, source: Grid, target: Grid, outside: int
) -> NDArray[np.int16]:
    """Material (z, y, x) on ``target`` with the most mass among the CT voxels in each voxel.

    A CT voxel is in the voxel that holds its centre. A voxel that holds none, as where ``target``
    is finer, takes the material of the CT voxel that holds its own centre.
    """
    material = _nearest(tissue.material, source, target, outside).ravel()
    holder = _holding_voxels(source, target)
    heaviest: Array = np.zeros(target.n_voxels)
    flat_material, flat_density = tissue.material.ravel(), tissue.density.ravel()
    for index in np.unique(tissue.material):
        chosen = np.flatnonzero((flat_material == index) & (holder >= 0))
        mass = np.bincount(holder[chosen], flat_density[chosen], minlength=target.n_voxels)
        more = mass > heaviest
        heaviest[more] = mass[more]
        material[more] = index
    return material.reshape(target.shape)


def _nearest(
    values: NDArray[np.int16], source: Grid, target: Grid, outside: int
) -> NDArray[np.int16]:
    holder = _holding_voxels(target, source)
    picked = np.where(holder >= 0, values.ravel()[np.maximum(holder, 0)], outside)
    return picked.astype(np.int16).reshape(target.shape)


def _holding_voxels(grid: Grid, holder: Grid) -> NDArray[np.int64]:
    """Flat index (n,) of the voxel of ``holder`` with each voxel centre of ``grid``; -1 if none."""
    found = np.empty(grid.shape, dtype=np.int64)
    rows, columns = np.indices(grid.shape[1:])
    shape = np.asarray(holder.shape)
    for k in range(grid.shape[0]):
        indices = np.stack([np.full_like(rows, k), rows, columns], axis=-1)
        # The small shift keeps centres that lie on a face by design on its upper side.
        nearest = np.floor(holder.to_index(grid.to_point(indices)) + 0.5 + 1e-9).astype(np.int64)
        within = ((nearest >= 0) & (nearest < shape)).all(axis=-1)
        clipped = np.clip(nearest, 0, shape - 1)
        flat = np.ravel_multi_index(tuple(np.moveaxis(clipped, -1, 0)), holder.shape)
        found[k] = np.where(within, flat, -1)
    return found.ravel()
