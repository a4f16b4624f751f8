"""Base data of the energies in use, laid out for the kernels."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.engines.pencil_beam._arrays import Tables
from dosegrad.engines.pencil_beam.model import squared_reach
from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.units import GY_PER_MEV_CM2_PER_G_PER_MM2

__all__ = ["ColumnReach", "build_tables", "linear_quadratic_tables"]

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
    sizes = [d.depths.size for d in data]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    depths = np.concatenate([d.depths for d in data])
    # looked up with the water-equivalent depth itself
    looked_up = depths - np.repeat([d.offset for d in data], sizes)
    lattice, buckets, bucket_starts = _buckets(looked_up, starts)
    reach, columns = _reach(data, (looked_up, starts), energies, variances, cutoff)
    quantities = [value for pair in _table_values(data) for value in pair]
    tables = Tables(
        depths=looked_up,
        values=np.column_stack([v for q in quantities for v in (q, _slopes(q, depths, starts))]),
        starts=starts,
        most_knots=max(sizes),
        buckets=buckets,
        bucket_starts=bucket_starts,
        most_in_bucket=max(1, int(np.diff(buckets).max())),
        reach=reach,
    )
    return tables, columns, lattice


def linear_quadratic_tables(data: list[PencilBeamData]) -> Array:
    """Tables (n_knots, 4 classes) of :class:`~dosegrad.engines.pencil_beam._arrays.Biology`."""
    starts = np.concatenate([[0], np.cumsum([d.depths.size for d in data])]).astype(np.int64)
    depths = np.concatenate([d.depths for d in data])
    alpha = np.concatenate([d.alpha for d in data], axis=1)
    beta = np.concatenate([d.beta for d in data], axis=1)
    values = [value for pair in zip(alpha, beta, strict=True) for value in pair]
    columns = [v for q in values for v in (q, _slopes(q, depths, starts))]
    return np.ascontiguousarray(np.column_stack(columns))


def _table_values(data: list[PencilBeamData]) -> list[tuple[Array, Array]]:
    """Pairs of quantities at all knots: dose and LET, then spread and share of each Gaussian."""
    dose = np.concatenate([d.dose for d in data]) * GY_PER_MEV_CM2_PER_G_PER_MM2
    let = np.concatenate([d.let if d.let.size else np.zeros_like(d.depths) for d in data])
    sigmas = np.concatenate([d.sigmas for d in data], axis=1)
    weights = np.concatenate([d.weights for d in data], axis=1)
    return [(dose, let), *zip(sigmas, weights, strict=True)]


def _slopes(values: Array, depths: Array, starts: NDArray[np.int64]) -> Array:
    """Slopes (n,) towards the next knot; 0 at the last knot of each table."""
    steps = np.diff(depths, append=np.inf)
    steps[starts[1:] - 1] = np.inf
    return np.diff(values, append=0.0) / steps


def _buckets(
    depths: Array, starts: NDArray[np.int64]
) -> tuple[Array, NDArray[np.int32], NDArray[np.int64]]:
    """Lattice of buckets, last knot at or before each one's lower end, and where energies begin."""
    ends = depths[starts[1:] - 1]
    first = float(depths[starts[:-1]].min())
    steps = np.delete(np.diff(depths), starts[1:-1] - 1)
    width = max(float(steps.min()), _LEAST_BUCKET)
    sizes = ((ends - first) / width).astype(np.int64) + 2
    begins = np.concatenate([[0], np.cumsum(sizes)])
    knots = np.diff(starts)
    # A little later, so that rounding never puts a depth before its bucket's knot.
    reached = np.ceil((depths - first) / width + 1e-6).astype(np.int64)
    reached = np.minimum(reached, np.repeat(sizes - 1, knots)) + np.repeat(begins[:-1], knots)
    passed = np.cumsum(np.bincount(reached, minlength=int(begins[-1])))
    last = passed - np.repeat(starts[:-1], sizes) - 1
    last = np.clip(last, 0, np.repeat(knots - 2, sizes))
    lattice = np.array([first, 1.0 / width, width / _ENVELOPE_STEP])
    return lattice, last.astype(np.int32), begins.astype(np.int64)


def _reach(
    data: list[PencilBeamData],
    looked_up: tuple[Array, NDArray[np.int64]],
    energies: NDArray[np.int64],
    variances: Array,
    cutoff: float,
) -> tuple[Array, ColumnReach]:
    """Squared reaches of the pairs of energy and spot size in use, and each column's place.

    ``looked_up``: depths of all knots and where energies begin.
    """
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

    low, high = (step * _SIZE_STEP) ** 2, ((step + 1) * _SIZE_STEP) ** 2
    tops = _tops(*looked_up, of_energy, starts, reach)
    depths = np.concatenate([d.depths for d in chosen])
    columns = ColumnReach(
        starts=np.ascontiguousarray(starts[place]),
        shares=(variances - low) / (high - low),
        tops=np.maximum(tops[place[:, 0]], tops[place[:, 1]]),
    )
    return np.column_stack([reach, _slopes(reach, depths, starts)]), columns


def _tops(
    depths: Array,
    begins: NDArray[np.int64],
    of_energy: NDArray[np.int64],
    starts: NDArray[np.int64],
    reach: Array,
) -> Array:
    """Largest reach of each table (n, steps) within steps of depth, -1 behind the last depth.

    ``depths`` of energies begin at ``begins``; the tables are of the energies ``of_energy`` (n,)
    and begin at ``starts`` in ``reach``.
    """
    tables = [depths[a:b] for a, b in itertools.pairwise(begins)]
    first = min(float(d[0]) for d in tables)
    last = max(float(d[-1]) for d in tables)
    edges = np.arange(first, last + 2 * _ENVELOPE_STEP, _ENVELOPE_STEP)
    before = np.array([np.searchsorted(d, edges[:-1] - 1e-9) - 1 for d in tables])
    behind = np.array([np.searchsorted(d, edges[1:] + 1e-9) + 1 for d in tables])
    sizes = np.diff(begins)[:, None]
    before = np.clip(before, 0, sizes - 1)
    behind = np.clip(behind, before + 1, sizes)
    pairs = np.stack([before, behind], axis=-1)[of_energy] + starts[:-1, None, None]
    largest = np.maximum.reduceat(np.append(reach, -1.0), pairs.ravel())[::2]
    ends = np.array([d[-1] for d in tables])[of_energy]
    return np.where(edges[:-1] <= ends[:, None], largest.reshape(ends.size, -1), -1.0)
