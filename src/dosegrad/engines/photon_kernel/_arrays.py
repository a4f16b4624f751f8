"""What kernels and their plain twins are given: bundles of arrays, nothing else."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "Bixels", "FieldMap", "Lattice", "Profiles", "Scene"]

#: Voxels of one block of a :class:`Scene`. Compiled into the kernels.
BLOCK: Final = 16


class Scene(NamedTuple):
    """Voxels that a beam may reach, in the order of matrix rows.

    ``points`` (n, 3): gantry frame, mm, from the source. ``factors`` (n, c): inverse square times
    each of three depth components; of several kernels where they are scaled by density. ``rows``
    (n,): row of the matrix, ascending. ``blocks`` (ceil(n / BLOCK), 4): lowest and highest x,
    lowest and highest y of each run of BLOCK voxels after projection to the isocentre plane, mm.
    """

    points: NDArray[np.float64]
    factors: NDArray[np.float64]
    rows: NDArray[np.int32]
    blocks: NDArray[np.float64]


class Bixels(NamedTuple):
    """The columns of one beam.

    ``centres`` (n, 2): in the isocentre plane, mm. ``frames`` (n, 9): three vectors a, b, c, so
    that a point p from the source lies at (a p, b p) / (c p) from the bixel's axis, mm, in the
    plane where lateral distances count. ``bounds`` (n,): distance in the isocentre plane beyond
    which no voxel is in reach, mm. ``reaches`` (n,): radius of the cut-off, mm. ``floors`` (n,):
    least dose that is kept, Gy per unit weight; minus infinity to keep all. ``kinds`` (n,): which
    of the profiles. ``scales`` (n,): relative fluence in air.
    """

    centres: NDArray[np.float64]
    frames: NDArray[np.float64]
    bounds: NDArray[np.float64]
    reaches: NDArray[np.float64]
    floors: NDArray[np.float64]
    kinds: NDArray[np.int64]
    scales: NDArray[np.float64]


class Profiles(NamedTuple):
    """Convolved bixels, one quadrant for each width, one after another.

    ``values`` (n_nodes, c): Gy per unit weight of each depth component at nodes x fastest.
    ``starts`` (n_kinds,): first node; ``sides`` (n_kinds,): nodes along an edge; ``first``
    (n_kinds,): where the first node lies, in rasters. ``raster``: mm. ``shift``: added to both
    coordinates before they are looked up, mm. ``mirrored``: whether values are one quadrant, that
    of positive coordinates, or all four.
    """

    values: NDArray[np.float64]
    starts: NDArray[np.int64]
    sides: NDArray[np.int64]
    first: NDArray[np.float64]
    raster: float
    shift: float
    mirrored: bool = True


class Lattice(NamedTuple):
    """Bixels of one width on a square lattice that holds a whole number of rasters.

    ``table``: the convolved bixel, (steps + 1, steps + 1, n, 3, width) flattened: phase along y,
    phase along x, cell along y, component, cell along x backwards; node number phase + steps *
    cell. ``cells``: n, along an axis; ``width``: the same with room behind. ``middle``: the node,
    or between which nodes, the bixel's centre lies. ``low`` (2,): x and y of the first bixel, mm.
    ``rows``, ``columns``: bixels of the lattice along y and x. ``spacing``: between bixels, mm;
    ``steps``: the same in rasters. ``scales`` (rows * columns,): relative fluence in air.
    ``reach``, ``raster``, ``shift``: as of :class:`Bixels` and :class:`Profiles`, mm. ``sad``: mm.
    """

    table: NDArray[np.float32]
    cells: int
    width: int
    middle: float
    low: NDArray[np.float64]
    rows: int
    columns: int
    spacing: float
    steps: int
    scales: NDArray[np.float32]
    reach: float
    raster: float
    shift: float
    sad: float


class FieldMap(NamedTuple):
    """A whole field's fluence after sources and kernels.

    ``values`` (ny, nx, c): Gy of each depth component at nodes; ``low`` (2,): x and y of the first
    node, mm; ``raster``: distance of nodes, mm; ``turn`` (2,): cosine and sine of the collimator's
    angle, by which a point of the gantry frame is turned into that of the map.
    """

    values: NDArray[np.float64]
    low: NDArray[np.float64]
    raster: float
    turn: NDArray[np.float64]
