"""From medium, beam and voxels to the arrays that the kernels walk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, IntArray, Points
from dosegrad.beams.air import SKIN_STOPPING_POWER_RATIO, air_thickness
from dosegrad.beams.beam import Beam, Beams
from dosegrad.engines.pencil_beam._arrays import BLOCK, Rays, Scene, Tables
from dosegrad.engines.pencil_beam._tables import build_tables
from dosegrad.engines.pencil_beam.model import range_shifter_variance
from dosegrad.errors import BeamError
from dosegrad.geometry.depth import water_equivalent_depth
from dosegrad.geometry.rays import crossings
from dosegrad.machine.particle import ParticleMachine, PencilBeamData
from dosegrad.patient.medium import Medium

__all__ = ["Skin", "meet_skin", "prepare_rays", "prepare_scene", "rays_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Skin:
    """Where each ray of a beam meets the patient.

    ``heights`` (n_rays,): of the skin above the isocentre plane along the ray, mm; SAD minus SSD
    for a divergent beam. ``depths`` (n_rays,): water-equivalent depth of the skin in the grid.
    """

    heights: Array
    depths: Array


def rays_of(beams: Beams, index: int) -> tuple[Array, NDArray[np.int64]]:
    """Positions (n_rays, 2) in the isocentre plane, mm, and the ray of each column of a beam."""
    columns = beams.columns[beams.columns_of(index)]
    positions = np.column_stack([columns["x"], columns["y"]])
    spots, ray = np.unique(positions, axis=0, return_inverse=True)
    return spots, ray.reshape(-1).astype(np.int64)


def prepare_scene(medium: Medium, beam: Beam, voxels: IntArray, depths: Array | None) -> Scene:
    """Voxels of a beam; their depths are traced through the medium unless they are given."""
    points = medium.grid.voxel_points(voxels)
    if depths is None:
        depths = _depths(medium, beam, points)
    local = np.ascontiguousarray(beam.to_gantry(points))
    if beam.sad is not None and local[:, 2].max() >= beam.sad:
        raise BeamError(
            f"the source of the beam at gantry {beam.gantry:g}° lies among the voxels of the dose "
            f"grid ({beam.sad:g} mm from the isocentre). Move the isocentre or enlarge the SAD."
        )
    return Scene(local, np.array(depths, dtype=np.float64), _blocks(local, beam.sad))


def _depths(medium: Medium, beam: Beam, points: Points) -> Array:
    ratio = medium.stopping_power_ratio
    if beam.source is None:
        return water_equivalent_depth(medium.grid, ratio, points, direction=beam.direction)
    return water_equivalent_depth(medium.grid, ratio, points, source=beam.source)


def _blocks(local: Points, sad: float | None) -> Array:
    """Boxes (n_blocks, 4) of runs of voxels in the isocentre plane."""
    scale = np.ones(len(local)) if sad is None else sad / (sad - local[:, 2])
    runs = np.arange(0, len(local), BLOCK)
    sides = []
    for axis in range(2):
        projected = local[:, axis] * scale
        sides += [np.minimum.reduceat(projected, runs), np.maximum.reduceat(projected, runs)]
    return np.ascontiguousarray(np.column_stack(sides))


def meet_skin(medium: Medium, beam: Beam, spots: Array) -> Skin:
    """Where rays first meet a stopping power ratio above 0.05.

    A ray that meets nothing takes the median of the others, or the isocentre plane if none meets
    anything: it has no voxel of its own, and only its spot size depends on the choice.
    """
    grid = medium.grid
    box = np.asarray(grid.shape) * np.asarray(grid.spacing)
    corner = grid.voxel_points([0, grid.n_voxels - 1])
    reach = float(np.linalg.norm(box) + np.abs(corner - np.asarray(beam.isocentre)).max() * 2)
    axes = _directions(spots, beam.sad)
    above = (
        reach
        if beam.sad is None
        else np.linalg.norm(np.column_stack([spots, np.full(len(spots), beam.sad)]), axis=1)
    )
    at_plane = np.column_stack([spots, np.zeros(len(spots))])
    starts = at_plane - axes * np.reshape(above, (-1, 1))
    ends = at_plane + axes * reach
    dense = medium.stopping_power_ratio > SKIN_STOPPING_POWER_RATIO
    starts, ends = beam.to_patient(starts), beam.to_patient(ends)
    found = crossings(grid, dense, starts, ends)

    hits = np.diff(found.offsets) > 0
    alpha = np.zeros(len(spots))
    alpha[hits] = found.alpha_in[found.offsets[:-1][hits]]
    travelled = alpha * np.linalg.norm(ends - starts, axis=1)
    heights = (reach if beam.sad is None else beam.sad) - travelled
    heights[~hits] = np.median(heights[hits]) if hits.any() else 0.0
    depths = np.zeros(len(spots))
    if hits.any():
        skin = starts[hits] + alpha[hits, None] * (ends - starts)[hits]
        depths[hits] = _depths(medium, beam, skin)
    return Skin(heights, depths)


def _directions(spots: Array, sad: float | None) -> Array:
    """Unit directions of flight (n, 3) of rays through ``spots``, gantry frame."""
    if sad is None:
        return np.tile([0.0, 0.0, -1.0], (len(spots), 1))
    vectors = np.column_stack([spots, np.full(len(spots), -sad)])
    unit: Array = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def prepare_rays(
    beams: Beams, index: int, skin: Skin, scene: Scene, cutoff: float
) -> tuple[Rays, Tables]:
    """Rays and columns of a beam and the tables that they look things up in."""
    beam, machine = beams[index], beams.machine
    spots, ray = rays_of(beams, index)
    nominal = beams.columns["energy"][beams.columns_of(index)]
    levels, energies = np.unique(nominal, return_inverse=True)
    data = [machine.at_energy(float(level)) for level in levels]
    energies = energies.reshape(-1).astype(np.int64)

    distance = _nozzle_to_skin(machine, beam, skin)
    thickness = air_thickness(distance, machine.air_offset) - skin.depths
    if beam.range_shifter is not None:
        thickness = thickness + beam.range_shifter.thickness
    variances = _spot_variances(machine, beam, data, distance)[energies, ray]
    tables, reach = build_tables(data, energies, variances, cutoff)

    order = np.lexsort([-nominal, ray]).astype(np.int64)
    offsets = np.searchsorted(ray[order], np.arange(len(spots) + 1)).astype(np.int64)
    axes = np.column_stack([spots, _directions(spots, beam.sad), thickness])
    limits = np.maximum.reduceat(reach.limits[order], offsets[:-1])
    rays = Rays(
        axes=np.ascontiguousarray(axes),
        bounds=np.sqrt(limits) / -axes[:, 4] / _smallest_scale(scene, beam.sad),
        offsets=offsets,
        columns=order,
        energies=energies,
        variances=variances,
        reaches=reach.starts,
        shares=reach.shares,
        limits=reach.limits,
    )
    return rays, tables


def _nozzle_to_skin(machine: ParticleMachine, beam: Beam, skin: Skin) -> Array:
    """Distances (n_rays,) from the nozzle exit to the skin, mm."""
    distance: Array = machine.nozzle_distance - skin.heights
    if (distance < 0).any():
        raise BeamError(
            f"the patient reaches {-distance.min():.0f} mm past the nozzle exit at gantry "
            f"{beam.gantry:g}°, {machine.nozzle_distance:.0f} mm from the isocentre. Move the "
            "isocentre, or leave out what is not in the beam's way."
        )
    return distance


def _spot_variances(
    machine: ParticleMachine, beam: Beam, data: list[PencilBeamData], distance: Array
) -> Array:
    """Variances (energies, n_rays) of spots at the skin, mm2, range shifter included."""
    variances = np.array([np.interp(distance, d.focus_distance, d.focus_sigma) ** 2 for d in data])
    shifter = beam.range_shifter
    if shifter is None:
        return variances
    gap = shifter.distance - (machine.nozzle_distance - distance)
    added = [
        range_shifter_variance(
            d.energy, modality=machine.modality, thickness=shifter.thickness, gap=gap
        )
        for d in data
    ]
    return variances + np.array(added)


def _smallest_scale(scene: Scene, sad: float | None) -> float:
    """Least ratio of a length at a voxel to its projection on the isocentre plane."""
    return 1.0 if sad is None else float((sad - scene.points[:, 2].max()) / sad)
