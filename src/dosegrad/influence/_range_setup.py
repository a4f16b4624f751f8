"""From medium, beam and voxels to the arrays of layers whose energy moves."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, IntArray
from dosegrad.beams.beam import Beam
from dosegrad.engines.protocols import Stopping
from dosegrad.influence._range_arrays import RangeTables
from dosegrad.influence._spot_arrays import SpotField
from dosegrad.influence._spot_setup import Layout, coefficients, lay_out, spot_variances
from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.machine.particle import ParticleMachine

__all__ = ["prepare_ranges"]

#: Distance of nodes in depth, mm.
_STEP: Final = 0.5


def prepare_ranges(
    medium: Stopping,
    machine: ParticleMachine,
    beam: Beam,
    energies: Array,
    voxels: IntArray,
    *,
    box: tuple[Array, Array],
    max_range_shift: float,
    cutoff: float,
    range_percent: float = 0.0,
    range_mm: float = 0.0,
) -> tuple[SpotField, RangeTables, NDArray[np.int64]]:
    """Arrays of one beam whose Gaussians are yet to be filled, their tables, and rows of voxels.

    Parameters
    ----------
    max_range_shift
        How far a layer may move in depth, mm.
    medium, machine, beam, energies, voxels, box, cutoff, range_percent, range_mm
        As in :func:`~dosegrad.influence._spot_setup.prepare_field`.
    """
    data = [machine.at_energy(float(energy)) for energy in energies]
    error = (range_percent, range_mm)
    layout = lay_out(medium, machine, beam, data, voxels, box, error)
    n, n_layers, heads = layout.rows.size, len(data), layout.heads
    ends = np.array([one.depths[-1] - one.offset for one in data])
    stops = np.zeros((n_layers, heads.size - 1), dtype=np.int64)
    for k, end in enumerate(ends):
        stops[k] = np.add.reduceat(layout.depths <= end + max_range_shift, heads[:-1])
    firsts, starts, nodes, tile = _nodes(layout, max_range_shift)
    n_gaussians = max(one.sigmas.shape[0] for one in data)
    values = np.zeros((n_layers, nodes.size, 2 * n_gaussians + 1))
    values[:, :, -1] = 1.0
    for k, one in enumerate(data):
        _tabulate(machine, beam, one, layout, np.minimum(nodes, ends[k]), tile, cutoff, values[k])
    scales = layout.scale**2
    widest = np.maximum.reduceat(values[:, :, -1], starts[:-1], axis=1)
    nearest = np.minimum.reduceat(scales, heads[:-1])
    field = SpotField(
        *(layout.us, layout.vs, heads, layout.boxes, stops),
        # cubics between nodes rise above them by little
        np.where(stops > 0, np.sqrt(1.1 * widest / nearest), 0.0),
        np.zeros((n_layers, n, 2 * n_gaussians)),
        np.ones((n_layers, n)),
    )
    tables = RangeTables(layout.depths, scales, starts, firsts, _STEP, ends, values)
    return field, tables, layout.rows


def _nodes(
    layout: Layout, reach: float
) -> tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]]:
    """First depth and first node of each tile, and depth and tile of every node."""
    heads = layout.heads
    low = np.minimum.reduceat(layout.depths, heads[:-1]) - reach - 2.0 * _STEP
    high = np.maximum.reduceat(layout.depths, heads[:-1]) + reach + 3.0 * _STEP
    counts = np.ceil((high - low) / _STEP).astype(np.int64) + 1
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    tile = np.repeat(np.arange(counts.size), counts)
    depths = low[tile] + _STEP * (np.arange(starts[-1]) - starts[tile])
    return low, starts, depths, tile


def _tabulate(
    machine: ParticleMachine,
    beam: Beam,
    one: PencilBeamData,
    layout: Layout,
    nodes: Array,
    tile: NDArray[np.int64],
    cutoff: float,
    out: Array,
) -> None:
    """Heights, steepness and squared reach of one layer at all nodes into ``out``."""
    variances = spot_variances(machine, beam, one, layout.skin)[tile]
    heights, steepness, limits = coefficients(one, nodes, variances, cutoff)
    m = heights.shape[0]
    out[:, : 2 * m : 2] = heights.T
    out[:, 1 : 2 * m : 2] = steepness.T
    out[:, -1] = limits
