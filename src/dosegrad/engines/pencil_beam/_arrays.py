"""What kernels and their plain twins are given: bundles of arrays, nothing else."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "Rays", "Scene", "Tables"]

#: Voxels of one block of a :class:`Scene`.
BLOCK = 16


class Scene(NamedTuple):
    """Voxels of one beam, in the order of matrix rows.

    ``points`` (n, 3): gantry frame, mm, from the isocentre. ``depths`` (n,): water-equivalent, mm.
    ``blocks`` (ceil(n / BLOCK), 4): lowest and highest x, lowest and highest y of each run of
    BLOCK voxels after projection to the isocentre plane, mm.
    """

    points: NDArray[np.float64]
    depths: NDArray[np.float64]
    blocks: NDArray[np.float64]


class Rays(NamedTuple):
    """Rays of one beam and the columns on them.

    ``axes`` (n_rays, 6): x and y in the isocentre plane, unit direction of flight (3), and the
    water-equivalent thickness to add to depths, mm. ``bounds`` (n_rays,): distance in the
    isocentre plane beyond which no column of the ray reaches, mm. ``offsets`` (n_rays + 1,) into
    ``columns`` (n_columns,): numbers of the columns of each ray, highest energy first.
    ``energies`` (n_columns,): row of the tables. ``variances`` (n_columns,): of the spot in air
    at the skin, mm2. ``reaches`` (n_columns, 2): where the two tabulated reaches of a column
    begin; ``shares`` (n_columns,): share of the second. ``limits`` (n_columns,): largest squared
    reach, mm2.
    """

    axes: NDArray[np.float64]
    bounds: NDArray[np.float64]
    offsets: NDArray[np.int64]
    columns: NDArray[np.int64]
    energies: NDArray[np.int64]
    variances: NDArray[np.float64]
    reaches: NDArray[np.int64]
    shares: NDArray[np.float64]
    limits: NDArray[np.float64]


class Tables(NamedTuple):
    """Base data of the energies in use, one after another.

    ``knots`` (n_knots, 3 + 2 k): depth mm, dose in Gy mm2 per 10^6 particles, LET keV/µm, k
    spreads mm, k shares. ``starts`` (n_energies + 1,): first knot of each energy. ``buckets``:
    last knot at or before each of the evenly spaced depths of an energy; those of energy e begin
    at ``bucket_starts[e]`` and are ``1 / bucket_rates[e]`` mm apart. ``reach``: squared radius of
    the cut-off at the knots of an energy for one spot size, mm2, one table after another.
    """

    knots: NDArray[np.float64]
    starts: NDArray[np.int64]
    buckets: NDArray[np.int64]
    bucket_starts: NDArray[np.int64]
    bucket_rates: NDArray[np.float64]
    reach: NDArray[np.float64]
