"""Base data of the energies in use, laid out for the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.engines.pencil_beam._arrays import Tables
from dosegrad.engines.pencil_beam.model import squared_reach
from dosegrad.machine.particle import PencilBeamData
from dosegrad.units import GY_PER_MEV_CM2_PER_G_PER_MM2

__all__ = ["ColumnReach", "build_tables"]

#: Spot sizes at which the reach is tabulated are multiples of this, mm. Between them the squared
#: reach is interpolated in the spot's variance: exact for one Gaussian, and near enough for more.
_SIZE_STEP: Final = 0.25

#: Depth over which the widest column of a ray is looked up, mm.
_ENVELOPE_STEP: Final = 4.0

#: Buckets are at least this wide, mm; several knots may then share one.
_LEAST_BUCKET: Final = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class ColumnReach:
    """Where columns find their squared reach.

    ``starts`` (n, 2) of the two tables of each column and ``shares`` (n,) of the second;
    ``tops`` (n, steps): largest squared reach within steps of depth, mm2, negative behind the
    end of the table.
    """

    starts: NDArray[np.int64]
    shares: Array
    tops: Array


def build_tables(
    data: list[PencilBeamData], energies: NDArray[np.int64], variances: Array, cutoff: float
) -> tuple[Tables, ColumnReach, Array]:
    """Tables of all energies in ``data``, the reach of each column, and the lattice of depths.

    Parameters
    ----------
    data
        Base data in use.
    energies
        Which of them each column has, (n_columns,).
    variances
        Of the spot in air at the skin, (n_columns,), mm2.
    cutoff
        Share of the lateral integral inside the reach.
    """
    starts = np.concatenate([[0], np.cumsum([d.depths.size for d in data])]).astype(np.int64)
    lattice, buckets, bucket_starts = _buckets([_table_depths(d) for d in data])
    reach, columns = _reach(data, energies, variances, cutoff)
    tables = Tables(
        depths=np.concatenate([_table_depths(d) for d in data]),
        values=np.concatenate([_values(d) for d in data]),
        starts=starts,
        most_knots=int(np.diff(starts).max()),
        buckets=buckets,
        bucket_starts=bucket_starts,
        reach=reach,
    )
    return tables, columns, lattice


def _table_depths(data: PencilBeamData) -> Array:
    """Depths that are looked up with the water-equivalent depth itself, mm."""
    return data.depths - data.offset


def _values(data: PencilBeamData) -> Array:
    let = data.let if data.let.size else np.zeros_like(data.depths)
    dose = data.dose * GY_PER_MEV_CM2_PER_G_PER_MM2
    gaussians = [values for pair in zip(data.sigmas, data.weights, strict=True) for values in pair]
    return np.column_stack([_with_slope(v, data.depths) for v in (dose, let, *gaussians)])


def _with_slope(values: Array, depths: Array) -> Array:
    """Values and slopes towards the next knot (n, 2); no slope at the last."""
    slopes = np.append(np.diff(values) / np.diff(depths), 0.0)
    return np.column_stack([values, slopes])


def _buckets(
    depths: list[Array],
) -> tuple[Array, NDArray[np.int32], NDArray[np.int64]]:
    """Lattice of buckets, last knot at or before each one's lower end, and where energies begin."""
    first = min(float(d[0]) for d in depths)
    width = max(min(float(np.diff(d).min()) for d in depths), _LEAST_BUCKET)
    found = []
    for d in depths:
        n = int((d[-1] - first) / width) + 2
        # A little lower, so that rounding never puts a depth before its bucket's knot.
        edges = first + (np.arange(n) - 1e-6) * width
        last = np.searchsorted(d, edges, side="right") - 1
        found.append(np.clip(last, 0, d.size - 2))
    sizes = np.cumsum([0, *(f.size for f in found)])
    lattice = np.array([first, 1.0 / width, width / _ENVELOPE_STEP])
    return lattice, np.concatenate(found).astype(np.int32), sizes.astype(np.int64)


def _reach(
    data: list[PencilBeamData], energies: NDArray[np.int64], variances: Array, cutoff: float
) -> tuple[Array, ColumnReach]:
    """Squared reaches of the pairs of energy and spot size in use, and each column's place."""
    step = np.floor(np.sqrt(variances) / _SIZE_STEP).astype(np.int64)
    most = int(step.max()) + 2
    pairs, place = np.unique(
        np.concatenate([energies * most + step, energies * most + step + 1]), return_inverse=True
    )
    place = place.reshape(2, -1).T
    of_energy, of_size = np.divmod(pairs, most)

    chosen = [data[i] for i in of_energy]
    lengths = [d.depths.size for d in chosen]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    air = np.repeat((of_size * _SIZE_STEP) ** 2, lengths)
    spreads = np.concatenate([d.sigmas for d in chosen], axis=1) ** 2 + air
    weights = np.concatenate([d.weights for d in chosen], axis=1)
    reach = squared_reach(np.maximum(spreads, 1e-12), weights, cutoff)

    first = min(float(_table_depths(d)[0]) for d in data)
    last = max(float(_table_depths(d)[-1]) for d in data)
    edges = np.arange(first, last + 2 * _ENVELOPE_STEP, _ENVELOPE_STEP)
    parts = list(zip(chosen, starts[:-1], starts[1:], strict=True))
    tops = np.array([_tops(_table_depths(d), reach[a:b], edges) for d, a, b in parts])
    low, high = (step * _SIZE_STEP) ** 2, ((step + 1) * _SIZE_STEP) ** 2
    slopes = [_with_slope(reach[a:b], d.depths)[:, 1] for d, a, b in parts]
    columns = ColumnReach(
        starts=np.ascontiguousarray(starts[place]),
        shares=(variances - low) / (high - low),
        tops=np.maximum(tops[place[:, 0]], tops[place[:, 1]]),
    )
    return np.column_stack([reach, np.concatenate(slopes)]), columns


def _tops(depths: Array, reach: Array, edges: Array) -> Array:
    """Largest reach between neighbouring ``edges`` (n + 1,), -1 behind the last depth."""
    before = np.clip(np.searchsorted(depths, edges[:-1] - 1e-9) - 1, 0, depths.size - 1)
    behind = np.clip(np.searchsorted(depths, edges[1:] + 1e-9) + 1, before + 1, depths.size)
    pairs = np.column_stack([before, behind]).ravel()
    largest = np.maximum.reduceat(np.append(reach, -1.0), pairs)[::2]
    return np.where(edges[:-1] <= depths[-1], largest, -1.0)
