"""What the kernels of apertures are given."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Look"]


class Look(NamedTuple):
    """Where voxels look up a beam's convolved fluence.

    ``nodes`` (n,): lower left node of the cell that each voxel lies in, x fastest; ``shares``
    (n, 2): how far across the cell along x and y; ``factors`` (n, 3): inverse square times each
    depth component; ``rows`` (n,): position in the dose. ``side``: nodes along x.
    """

    nodes: NDArray[np.int64]
    shares: NDArray[np.float64]
    factors: NDArray[np.float64]
    rows: NDArray[np.int64]
    side: int
