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

#: No energy gets more buckets than this.
_MOST_BUCKETS: Final = 1 << 14


@dataclass(frozen=True, slots=True, eq=False)
class ColumnReach:
    """Where columns find their squared reach: two starts (n, 2), share of the second, largest."""

    starts: NDArray[np.int64]
    shares: Array
    limits: Array


def build_tables(
    data: list[PencilBeamData], energies: NDArray[np.int64], variances: Array, cutoff: float
) -> tuple[Tables, ColumnReach]:
    """Tables of all energies in ``data``, and the reach of each column.

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
    knots = np.concatenate([_knots(entry) for entry in data])
    starts = np.concatenate([[0], np.cumsum([d.depths.size for d in data])]).astype(np.int64)
    buckets = [_buckets(d.depths) for d in data]
    first_buckets = np.concatenate([[0], np.cumsum([b.size for b, _ in buckets[:-1]])])
    reach, columns = _reach(data, energies, variances, cutoff)
    tables = Tables(
        knots=np.ascontiguousarray(knots),
        starts=starts,
        buckets=np.concatenate([b + starts[i] for i, (b, _) in enumerate(buckets)]),
        bucket_starts=first_buckets.astype(np.int64),
        bucket_rates=np.array([rate for _, rate in buckets]),
        reach=reach,
    )
    return tables, columns


def _knots(data: PencilBeamData) -> Array:
    let = data.let if data.let.size else np.zeros_like(data.depths)
    dose = data.dose * GY_PER_MEV_CM2_PER_G_PER_MM2
    depths = data.depths - data.offset  # looked up with the water-equivalent depth itself
    return np.column_stack([depths, dose, let, data.sigmas.T, data.weights.T])


def _buckets(depths: Array) -> tuple[NDArray[np.int64], float]:
    """Last knot at or before evenly spaced depths, and buckets per mm."""
    length = float(depths[-1] - depths[0])
    n = int(np.clip(np.ceil(length / np.diff(depths).min()), 1, _MOST_BUCKETS))
    edges = depths[0] + np.arange(n + 1) * (length / n)
    found = np.searchsorted(depths, edges, side="right") - 1
    return np.clip(found, 0, depths.size - 2).astype(np.int64), n / length


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

    largest = np.maximum.reduceat(reach, starts[:-1])[place]
    low, high = (step * _SIZE_STEP) ** 2, ((step + 1) * _SIZE_STEP) ** 2
    columns = ColumnReach(
        starts=np.ascontiguousarray(starts[place]),
        shares=(variances - low) / (high - low),
        limits=largest.max(axis=1),
    )
    return reach, columns
