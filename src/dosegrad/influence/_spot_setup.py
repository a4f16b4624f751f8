"""From medium, beam and voxels to the arrays of moving spots."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, IntArray
from dosegrad.beams.air import air_thickness
from dosegrad.beams.beam import Beam
from dosegrad.engines.pencil_beam._setup import Skin, meet_skin
from dosegrad.engines.pencil_beam.model import range_shifter_variance, squared_reach
from dosegrad.engines.protocols import Stopping
from dosegrad.errors import BeamError
from dosegrad.geometry.depth import water_equivalent_depth
from dosegrad.influence._spot_arrays import SpotField
from dosegrad.influence._spot_reference import OPEN_UP_TO
from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.machine.particle import ParticleMachine
from dosegrad.units import GY_PER_MEV_CM2_PER_G_PER_MM2

__all__ = ["Layout", "coefficients", "lay_out", "prepare_field", "spot_variances"]

#: Width of a tile in the isocentre plane, mm.
_TILE: Final = 6.0
#: Nodes and weights on (0, 1) for integrals over the closing window.
_NODES, _NODE_WEIGHTS = (0.5 * a for a in np.polynomial.legendre.leggauss(12))


class Layout(NamedTuple):
    """Voxels of a beam, tile by tile and within a tile by depth.

    As in :class:`~dosegrad.influence._spot_arrays.SpotField`; besides ``rows`` (n,) of the voxels,
    the size ``scale`` (n,) there relative to the isocentre plane, ``depths`` (n,), mm, and where
    each tile meets the skin.
    """

    us: Array
    vs: Array
    scale: Array
    depths: Array
    rows: NDArray[np.int64]
    tile: NDArray[np.int64]
    heads: NDArray[np.int64]
    boxes: Array
    skin: Skin


def prepare_field(
    medium: Stopping,
    machine: ParticleMachine,
    beam: Beam,
    energies: Array,
    voxels: IntArray,
    *,
    box: tuple[Array, Array],
    cutoff: float,
    range_percent: float = 0.0,
    range_mm: float = 0.0,
) -> tuple[SpotField, NDArray[np.int64]]:
    """Arrays of one beam, and the row of each of its voxels.

    Depth, air and spot size in air are those on the ray through the voxel, not through the spot,
    so that dose is a smooth function of where the spot is.

    Parameters
    ----------
    medium, machine, beam
        What the beam travels through, what delivers it, and whence it comes.
    voxels
        Flat indices into the medium's grid.
    energies
        Of the layers, (n_layers,).
    box
        Lowest and highest (x, y) that a spot may have, mm.
    cutoff
        Share of the lateral integral inside the reach.
    range_percent, range_mm
        Range errors, as of the pencil beam engine.
    """
    data = [machine.at_energy(float(energy)) for energy in energies]
    error = (range_percent, range_mm)
    us, vs, scale, depths, rows, tile, heads, boxes, skin = lay_out(
        medium, machine, beam, data, voxels, box, error
    )
    n_layers, n_tiles, n = len(data), boxes.shape[0], rows.size
    n_gaussians = max(d.sigmas.shape[0] for d in data)
    gaussians = np.zeros((n_layers, n, 2 * n_gaussians), dtype=np.float32)
    limits = np.ones((n_layers, n), dtype=np.float32)
    stops = np.zeros((n_layers, n_tiles), dtype=np.int64)
    reaches = np.zeros((n_layers, n_tiles))
    for k, one in enumerate(data):
        variances = spot_variances(machine, beam, one, skin)[tile]
        inside = depths <= one.depths[-1] - one.offset
        stops[k] = np.add.reduceat(inside, heads[:-1])
        m = one.sigmas.shape[0]
        found = coefficients(one, depths[inside], variances[inside], cutoff)
        s2 = scale[inside] ** 2
        gaussians[k, inside, : 2 * m : 2] = found[0].T
        gaussians[k, inside, 1 : 2 * m : 2] = (found[1] * s2).T
        limits[k, inside] = found[2] / s2
        reaches[k] = np.sqrt(np.maximum.reduceat(np.where(inside, limits[k], 0.0), heads[:-1]))
    return SpotField(us, vs, heads, boxes, stops, reaches, gaussians, limits), rows


def lay_out(
    medium: Stopping,
    machine: ParticleMachine,
    beam: Beam,
    data: list[PencilBeamData],
    voxels: IntArray,
    box: tuple[Array, Array],
    error: tuple[float, float],
) -> Layout:
    """Voxels of a beam in tiles, with depths under a range ``error``, per cent and mm."""
    us, vs, scale, rows = _projected(medium, beam, voxels, data, box)
    tile, heads, boxes = _tiles(us, vs)
    skin = meet_skin(medium, beam, np.column_stack([boxes[:, :2].mean(1), boxes[:, 2:].mean(1)]))
    distance = machine.nozzle_distance - skin.heights
    if (distance < 0).any():
        raise BeamError(
            f"the patient reaches {-distance.min():.0f} mm past the nozzle exit at gantry "
            f"{beam.gantry:g}°. Move the isocentre, or leave out what is not in the beam's way."
        )
    depths = _depths(medium, beam, voxels[rows], skin, tile, error)
    depths += air_thickness(distance, machine.air_offset)[tile]
    order = np.lexsort([depths, tile])
    us, vs, scale, depths = us[order], vs[order], scale[order], depths[order]
    return Layout(us, vs, scale, depths, rows[order], tile[order], heads, boxes, skin)


def _projected(
    medium: Stopping,
    beam: Beam,
    voxels: IntArray,
    data: list[PencilBeamData],
    box: tuple[Array, Array],
) -> tuple[Array, Array, Array, NDArray[np.int64]]:
    """Voxels that spots may reach: isocentre plane u and v, size relative to there, and rows."""
    local = beam.to_gantry(medium.grid.voxel_points(voxels))
    scale = np.ones(len(local)) if beam.sad is None else (beam.sad - local[:, 2]) / beam.sad
    if (scale <= 0).any():
        raise BeamError(
            f"the source of the beam at gantry {beam.gantry:g}° lies beside or inside the dose "
            f"grid ({beam.sad:g} mm from the isocentre). Move the isocentre, or shrink the grid."
        )
    widest = max(
        float(np.sqrt((d.sigmas**2).max() + (d.focus_sigma**2).max())) for d in data
    ) / float(scale.min())
    us, vs = local[:, 0] / scale, local[:, 1] / scale
    low, high = box[0] - 4.0 * widest, box[1] + 4.0 * widest
    rows = np.flatnonzero((us >= low[0]) & (us <= high[0]) & (vs >= low[1]) & (vs <= high[1]))
    if rows.size == 0:
        raise BeamError(
            f"no spot of the beam at gantry {beam.gantry:g}° reaches any of the chosen voxels; "
            "check isocentre, energies and voxels."
        )
    return us[rows], vs[rows], scale[rows], rows


def _tiles(us: Array, vs: Array) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Tile of each voxel, where tiles begin once voxels are sorted by them, and their boxes."""
    across = np.floor(us / _TILE).astype(np.int64)
    along = np.floor(vs / _TILE).astype(np.int64)
    number = (across - across.min()) * (np.ptp(along) + 1) + along - along.min()
    _, tile, sizes = np.unique(number, return_inverse=True, return_counts=True)
    tile = tile.reshape(-1).astype(np.int64)
    heads = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    order = np.argsort(tile, kind="stable")
    ends = [f.reduceat(a[order], heads[:-1]) for a in (us, vs) for f in (np.minimum, np.maximum)]
    return tile, heads, np.column_stack(ends)


def _depths(
    medium: Stopping,
    beam: Beam,
    voxels: IntArray,
    skin: Skin,
    tile: NDArray[np.int64],
    error: tuple[float, float],
) -> Array:
    """Water-equivalent depths (n,) behind the skin, with a range shifter, mm."""
    points, ratio = medium.grid.voxel_points(voxels), medium.stopping_power_ratio
    if beam.source is None:
        depths = water_equivalent_depth(medium.grid, ratio, points, direction=beam.direction)
    else:
        depths = water_equivalent_depth(medium.grid, ratio, points, source=beam.source)
    percent, mm = error
    shifter = 0.0 if beam.range_shifter is None else beam.range_shifter.thickness
    behind: Array = (1.0 + percent / 100.0) * (depths - skin.depths[tile]) + mm + shifter
    return behind


def spot_variances(machine: ParticleMachine, beam: Beam, data: PencilBeamData, skin: Skin) -> Array:
    """Variances (n_tiles,) of a layer's spots at the skin, mm2, range shifter included."""
    distance = machine.nozzle_distance - skin.heights
    variances: Array = np.interp(distance, data.focus_distance, data.focus_sigma) ** 2
    shifter = beam.range_shifter
    if shifter is None:
        return variances
    return variances + range_shifter_variance(
        data.energy,
        modality=machine.modality,
        thickness=shifter.thickness,
        gap=shifter.distance - skin.heights,
    )


def coefficients(
    data: PencilBeamData, depths: Array, variances: Array, cutoff: float
) -> tuple[Array, Array, Array]:
    r"""Heights (k, n), steepness (k, n) and squared reach (n,) at depths, in the patient.

    The heights are divided by the share of the lateral integral that the window leaves, with
    u the squared distance:

    .. math:: S = \sum_k w_k \Bigl(1 + \int_{a L}^{L} e^{-B_k u}\, W'(u)\, du\Bigr)
    """
    at = depths + data.offset
    dose = np.interp(at, data.depths, data.dose) * GY_PER_MEV_CM2_PER_G_PER_MM2
    sigmas = np.array([np.interp(at, data.depths, s) for s in data.sigmas])
    shares = np.array([np.interp(at, data.depths, w) for w in data.weights])
    spread = data.sigmas**2 + (variances.mean() if variances.size else 1.0)
    limits = np.interp(at, data.depths, squared_reach(spread, data.weights, cutoff))
    steepness = 0.5 / (sigmas**2 + variances)
    left = np.zeros(at.size)
    for node, weight in zip(_NODES + 0.5, _NODE_WEIGHTS, strict=True):
        u = limits * (OPEN_UP_TO + (1.0 - OPEN_UP_TO) * node)
        # W'(u) du = -6 s (1 - s) ds with s = 1 - node
        left += (-6.0 * node * (1.0 - node) * weight) * (shares * np.exp(-steepness * u)).sum(0)
    heights = dose * shares * steepness / np.pi / (shares.sum(axis=0) + left)
    return heights, steepness, limits
