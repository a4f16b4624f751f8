"""From medium, beam and voxels to the arrays that the kernels walk."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, IntArray, Points
from dosegrad.beams.air import SKIN_STOPPING_POWER_RATIO, air_thickness
from dosegrad.beams.beam import Beam, Beams
from dosegrad.engines.pencil_beam._arrays import BLOCK, Biology, Rays, Scene, Tables, no_biology
from dosegrad.engines.pencil_beam._tables import build_tables, linear_quadratic_tables
from dosegrad.engines.pencil_beam.model import range_shifter_variance
from dosegrad.engines.protocols import Stopping
from dosegrad.errors import BeamError, CapabilityError, SettingsError
from dosegrad.geometry.depth import water_equivalent_depth
from dosegrad.geometry.grid import Grid
from dosegrad.geometry.rays import crossings
from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.machine.particle import ParticleMachine

__all__ = [
    "Skin",
    "meet_skin",
    "prepare_biology",
    "prepare_rays",
    "prepare_scene",
    "ray_directions",
    "ray_profiles",
    "rays_of",
]


@dataclass(frozen=True, slots=True, eq=False)
class Skin:
    """Where each ray of a beam meets the patient.

    ``heights`` (n_rays,): of the skin above the isocentre plane along the ray, mm; SAD minus SSD
    for a divergent beam. ``depths`` (n_rays,): water-equivalent depth of the skin in the grid.
    """

    heights: Array
    depths: Array

    def with_range_error(self, *, percent: float, mm: float) -> Skin:
        """The same with depths longer by ``percent`` %, less ``mm``.

        Depths of voxels are counted from the skin's, so that theirs come out longer.
        """
        return Skin(self.heights, (1.0 + percent / 100.0) * self.depths - mm)


def rays_of(beams: Beams, index: int) -> tuple[Array, NDArray[np.int64]]:
    """Positions (n_rays, 2) in the isocentre plane, mm, and the ray of each column of a beam."""
    columns = beams.columns[beams.columns_of(index)]
    spots, ray = np.unique(columns["x"] + 1j * columns["y"], return_inverse=True)
    return np.column_stack([spots.real, spots.imag]), ray.reshape(-1).astype(np.int64)


def prepare_scene(
    medium: Stopping, beam: Beam, voxels: IntArray, rays: Rays, depths: Array | None
) -> Scene:
    """Voxels that a beam may reach; depths are traced through the medium unless they are given."""
    local = _gantry_points(medium.grid, beam, voxels)
    scale = 1.0 if beam.sad is None else beam.sad / (beam.sad - local[2])
    projected = local[:2] * scale
    widest = rays.bounds.max()
    low, high = rays.axes[:, :2].min(axis=0) - widest, rays.axes[:, :2].max(axis=0) + widest
    inside = [(p >= a) & (p <= b) for p, a, b in zip(projected, low, high, strict=True)]
    rows = np.flatnonzero(inside[0] & inside[1])
    traced = (
        _depths(medium, beam, medium.grid.voxel_points(voxels[rows]))
        if depths is None
        else depths[rows]
    )
    return Scene(
        points=np.ascontiguousarray(local[:, rows].T),
        depths=np.array(traced, dtype=np.float64),
        rows=rows.astype(np.int32),
        blocks=_blocks(projected[:, rows]),
    )


def _gantry_points(grid: Grid, beam: Beam, voxels: IntArray) -> Array:
    """Voxel centres (3, n) in the gantry frame, mm: linear in the indices of the voxels."""
    corner, *neighbours = beam.to_gantry(
        grid.to_point([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    )
    k, j, i = np.unravel_index(voxels, grid.shape)
    a, b, c = (n - corner for n in neighbours)
    return np.stack([corner[m] + k * a[m] + j * b[m] + i * c[m] for m in range(3)])


def _depths(medium: Stopping, beam: Beam, points: Points) -> Array:
    ratio = medium.stopping_power_ratio
    if beam.source is None:
        return water_equivalent_depth(medium.grid, ratio, points, direction=beam.direction)
    return water_equivalent_depth(medium.grid, ratio, points, source=beam.source)


def _blocks(projected: Array) -> Array:
    """Boxes (n_blocks, 4) of runs of voxels at ``projected`` (2, n) in the isocentre plane."""
    runs = np.arange(0, projected.shape[1], BLOCK)
    if runs.size == 0:
        return np.empty((0, 4))
    ends = [f.reduceat(p, runs) for p in projected for f in (np.minimum, np.maximum)]
    return np.column_stack(ends)


def meet_skin(medium: Stopping, beam: Beam, spots: Array) -> Skin:
    """Where rays first meet a stopping power ratio above 0.05.

    A ray that meets nothing takes the median of the others, or the isocentre plane if none meets
    anything: it has no voxel of its own, and only its spot size depends on the choice.
    """
    grid = medium.grid
    box = np.asarray(grid.shape) * np.asarray(grid.spacing)
    corner = grid.voxel_points([0, grid.n_voxels - 1])
    reach = float(np.linalg.norm(box) + np.abs(corner - np.asarray(beam.isocentre)).max() * 2)
    axes = ray_directions(spots, beam.sad)
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


def ray_directions(spots: Array, sad: float | None) -> Array:
    """Unit directions of flight (n, 3) of rays through ``spots``, gantry frame."""
    if sad is None:
        return np.tile([0.0, 0.0, -1.0], (len(spots), 1))
    vectors = np.column_stack([spots, np.full(len(spots), -sad)])
    unit: Array = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def prepare_rays(
    beams: Beams,
    index: int,
    skin: Skin,
    grid: Grid,
    cutoff: float,
    *,
    narrowing: Array | None = None,
) -> tuple[Rays, Tables]:
    """Rays and columns of a beam and the tables that they look things up in.

    ``narrowing`` (n_columns,): spread of a sub-beam over that of its spot in air.
    """
    beam, machine = beams[index], beams.particles
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
    if narrowing is not None:
        variances = variances * narrowing**2
    tables, reach, lattice = build_tables(data, energies, variances, cutoff)

    ends = np.array([d.depths[-1] - d.offset for d in data])[energies]
    order = np.lexsort([-ends, ray]).astype(np.int64)
    offsets = np.searchsorted(ray[order], np.arange(len(spots) + 1)).astype(np.int64)
    axes = np.column_stack([spots, ray_directions(spots, beam.sad), thickness])
    envelopes = np.maximum.reduceat(reach.tops[order], offsets[:-1])
    widest = np.sqrt(np.maximum(envelopes.max(axis=1), 0.0))
    rays = Rays(
        axes=np.ascontiguousarray(axes),
        bounds=widest / -axes[:, 4] / _smallest_scale(grid, beam),
        envelopes=envelopes,
        lattice=lattice,
        offsets=offsets,
        columns=order,
        energies=energies,
        variances=variances,
        reaches=reach.starts,
        shares=reach.shares,
        profiles=np.empty((len(spots), 0)),
        stations=np.zeros(2),
    )
    return rays, tables


def ray_profiles(medium: Stopping, beam: Beam, rays: Rays) -> tuple[Array, Array]:
    """Depths (n_rays, n), mm, along rays at stations a voxel apart, and where these are.

    Stations begin at the first of the two numbers returned, mm along a ray from the isocentre
    plane, and are the second apart; they reach through the whole grid.
    """
    grid = medium.grid
    corners = grid.to_point(list(product(*((-0.5, n - 0.5) for n in grid.shape))))
    local = beam.to_gantry(corners)
    reach = float(np.hypot(*np.abs(local[:, :2]).max(axis=0))) * 0.1
    first, last = -float(local[:, 2].max()) - reach, -float(local[:, 2].min()) + reach
    step = float(min(grid.spacing))
    along = first + step * np.arange(int(np.ceil((last - first) / step)) + 2)
    starts = np.column_stack([rays.axes[:, :2], np.zeros(len(rays.axes))])
    points = starts[:, None] + along[:, None] * rays.axes[:, None, 2:5]
    depths = _depths(medium, beam, beam.to_patient(points.reshape(-1, 3)))
    return depths.reshape(len(starts), -1), np.array([first, step])


def prepare_biology(beams: Beams, index: int, n_rows: int, tissue: IntArray | None) -> Biology:
    """Alpha and beta tables of the energies of a beam, in the order of :func:`prepare_rays`.

    Raises
    ------
    CapabilityError
        If the machine has no such tables.
    SettingsError
        If a tissue is none of the machine's, or the tissues are not one for each row.
    """
    if tissue is None:
        return no_biology()
    machine = beams.particles
    classes = np.asarray(tissue)
    if classes.shape != (n_rows,):
        raise SettingsError(
            f"tissue classes of shape {classes.shape} do not fit {n_rows} voxels; give one class "
            "for each voxel."
        )
    if not machine.has_biology:
        raise CapabilityError(
            f"machine {machine.name!r} has no alpha and beta tables; use an RBE model that works "
            "from LET, or a machine that has them, such as generic-carbon."
        )
    if classes.size and not (classes.min() >= 0 and classes.max() < len(machine.tissues)):
        raise SettingsError(
            f"tissue class {classes.min()} to {classes.max()} is outside those of machine "
            f"{machine.name!r} (0 to {len(machine.tissues) - 1}); give rows of machine.tissues."
        )
    levels = np.unique(beams.columns["energy"][beams.columns_of(index)])
    data = [machine.at_energy(float(level)) for level in levels]
    return Biology(linear_quadratic_tables(data), np.ascontiguousarray(classes, dtype=np.int32))


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


def _smallest_scale(grid: Grid, beam: Beam) -> float:
    """Least ratio of a length in the grid to its projection on the isocentre plane."""
    if beam.sad is None:
        return 1.0
    corners = grid.to_point(list(product(*((0, n - 1) for n in grid.shape))))
    highest = float(beam.to_gantry(corners)[:, 2].max())
    if highest >= beam.sad:
        raise BeamError(
            f"the source of the beam at gantry {beam.gantry:g}° lies beside or inside the dose "
            f"grid ({beam.sad:g} mm from the isocentre). Move the isocentre, or shrink the grid."
        )
    return (beam.sad - highest) / beam.sad
