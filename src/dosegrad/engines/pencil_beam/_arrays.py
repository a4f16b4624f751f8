"""What kernels and their plain twins are given: bundles of arrays, nothing else."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "FIRST_GAUSSIAN", "Biology", "Rays", "Scene", "Tables", "no_biology"]

#: Voxels of one block of a :class:`Scene`. Compiled into the kernels.
BLOCK: Final = 16

#: Column of ``Tables.values`` where the Gaussians begin. Compiled into the kernels.
FIRST_GAUSSIAN: Final = 4


class Scene(NamedTuple):
    """Voxels that a beam may reach, in the order of matrix rows.

    ``points`` (n, 3): gantry frame, mm, from the isocentre. ``depths`` (n,): water-equivalent, mm.
    ``rows`` (n,): row of the matrix, ascending. ``blocks`` (ceil(n / BLOCK), 4): lowest and
    highest x, lowest and highest y of each run of BLOCK voxels after projection to the isocentre
    plane, mm.
    """

    points: NDArray[np.float64]
    depths: NDArray[np.float64]
    rows: NDArray[np.int32]
    blocks: NDArray[np.float64]


class Rays(NamedTuple):
    """Rays of one beam and the columns on them.

    ``axes`` (n_rays, 6): x and y in the isocentre plane, unit direction of flight (3), and the
    water-equivalent thickness to add to depths, mm. ``bounds`` (n_rays,): distance in the
    isocentre plane beyond which no column of the ray reaches, mm. ``envelopes`` (n_rays, n): the
    same as a squared distance, mm2, for steps of depth, negative where no column reaches.
    ``lattice`` (3,): depth where buckets and steps begin, mm, buckets per mm, steps per bucket.
    ``offsets`` (n_rays + 1,) into ``columns`` (n_columns,): numbers of the columns of each ray,
    the deepest table first. ``energies`` (n_columns,): number of the energy in the tables.
    ``variances`` (n_columns,): of the spot in air at the skin, mm2. ``reaches`` (n_columns, 2):
    where the two tabulated reaches of a column begin; ``shares`` (n_columns,) of the second.
    ``profiles`` (n_rays, n): depth along each ray itself, mm, at ``stations`` (2,), mm along it
    from the isocentre plane to the first and per station; without any, n = 0, every voxel has its
    own depth.
    """

    axes: NDArray[np.float64]
    bounds: NDArray[np.float64]
    envelopes: NDArray[np.float64]
    lattice: NDArray[np.float64]
    offsets: NDArray[np.int64]
    columns: NDArray[np.int64]
    energies: NDArray[np.int64]
    variances: NDArray[np.float64]
    reaches: NDArray[np.int64]
    shares: NDArray[np.float64]
    profiles: NDArray[np.float64]
    stations: NDArray[np.float64]


class Tables(NamedTuple):
    """Base data of the energies in use, one after another.

    ``depths`` (n_knots,): mm. ``values`` (n_knots, 4 + 4 k): value and slope per mm towards the
    next knot of dose (Gy mm2 per 10^6 particles) and LET (keV/µm), then for each of k Gaussians
    of spread (mm) and share. ``starts`` (n_energies + 1,): first knot of each energy;
    ``most_knots``: of any energy. ``buckets``: last knot of the energy, counted from its first,
    at or before the lower end of each bucket; those of energy e begin at ``bucket_starts[e]``
    (n_energies + 1,); ``most_in_bucket``: of knots. ``reach`` (m, 2): squared radius of the
    cut-off, mm2, and its slope at the knots of an energy for one spot size, one table after
    another.
    """

    depths: NDArray[np.float64]
    values: NDArray[np.float64]
    starts: NDArray[np.int64]
    most_knots: int
    buckets: NDArray[np.int32]
    bucket_starts: NDArray[np.int64]
    most_in_bucket: int
    reach: NDArray[np.float64]


class Biology(NamedTuple):
    """Linear-quadratic tables of ions and the tissues they are looked up for.

    ``tables`` (n_knots, 4 classes): at the knots of :class:`Tables`, value and slope per mm of
    alpha (1/Gy) and of beta (1/Gy2), class after class. ``tissue`` (n_rows,): class of the voxel
    of each row of the matrix. Neither has an element where no such column is wanted.
    """

    tables: NDArray[np.float64]
    tissue: NDArray[np.int32]


def no_biology() -> Biology:
    """What stands for tables and tissues where only dose and LET are asked for."""
    return Biology(np.empty((0, 4)), np.empty(0, dtype=np.int32))
