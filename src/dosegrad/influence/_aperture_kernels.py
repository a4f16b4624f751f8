"""Compiled look-up of convolved fluence, and its adjoint; ``_aperture_reference`` is the twin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dosegrad.compiled import parallel_kernel, prange
from dosegrad.influence._aperture_arrays import Look

__all__ = ["gather", "scatter"]


@parallel_kernel
def gather(look: Look, maps: NDArray[np.float64], dose: NDArray[np.float64]) -> None:
    """Add to ``dose`` what voxels find in ``maps`` (n_nodes, 3), bilinear."""
    side = look.side
    for k in prange(look.nodes.size):
        at, fx, fy = look.nodes[k], look.shares[k, 0], look.shares[k, 1]
        found = 0.0
        for m in range(3):
            low = (1.0 - fx) * maps[at, m] + fx * maps[at + 1, m]
            high = (1.0 - fx) * maps[at + side, m] + fx * maps[at + side + 1, m]
            found += look.factors[k, m] * ((1.0 - fy) * low + fy * high)
        dose[look.rows[k]] += found


@parallel_kernel
def scatter(look: Look, slopes: NDArray[np.float64], partial: NDArray[np.float64]) -> None:
    """Add derivatives by dose ``slopes`` to those by maps, ``partial`` (n_blocks, n_nodes, 3).

    Each block of voxels owns its part, so that the sum does not depend on threads.
    """
    n, n_blocks, side = look.nodes.size, partial.shape[0], look.side
    for block in prange(n_blocks):
        for k in range(block * n // n_blocks, (block + 1) * n // n_blocks):
            slope = slopes[look.rows[k]]
            if slope == 0.0:
                continue
            at, fx, fy = look.nodes[k], look.shares[k, 0], look.shares[k, 1]
            for m in range(3):
                value = slope * look.factors[k, m]
                partial[block, at, m] += (1.0 - fy) * (1.0 - fx) * value
                partial[block, at + 1, m] += (1.0 - fy) * fx * value
                partial[block, at + side, m] += fy * (1.0 - fx) * value
                partial[block, at + side + 1, m] += fy * fx * value
