"""Smoothness of the weights of neighbouring spots or bixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from scipy.spatial import cKDTree

from dosegrad.arrays import Array, IntArray, readonly
from dosegrad.beams.beam import Beams
from dosegrad.errors import PlanError
from dosegrad.objectives.structure_objective import check_weight

__all__ = ["NeighbourPenalty", "SpotSmoothness", "neighbour_pairs"]

#: Two columns of a layer are neighbours up to this multiple of the layer's nearest distance: four
#: on a square lattice, six on a hexagonal one, no diagonals (1.41 and 1.73).
_REACH: Final = 1.2


@dataclass(frozen=True, slots=True)
class SpotSmoothness:
    r"""Mean squared difference between the weights of neighbours.

    .. math:: f = \frac{1}{|N|} \sum_{(j,k) \in N} (w_j - w_k)^2

    Neighbours share beam and energy and lie a lattice step apart; see :func:`neighbour_pairs`.

    Parameters
    ----------
    weight
        Factor in the sum of objectives.
    """

    kind: ClassVar[str] = "spot-smoothness"

    weight: float = 1.0

    def __post_init__(self) -> None:
        check_weight(type(self).__name__, self.weight)

    def between(self, beams: Beams) -> NeighbourPenalty:
        """The penalty on the columns of ``beams``."""
        return NeighbourPenalty(neighbour_pairs(beams), self.weight)


@dataclass(frozen=True, slots=True, eq=False)
class NeighbourPenalty:
    """Mean squared difference between the weights of given pairs.

    Parameters
    ----------
    pairs
        Column numbers (n_pairs, 2).
    weight
        Factor in the sum of objectives.
    """

    kind: ClassVar[str] = "spot-smoothness"

    pairs: IntArray
    weight: float = 1.0

    def __post_init__(self) -> None:
        pairs = readonly(self.pairs, np.int64)
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise PlanError(f"pairs of neighbours must be (n, 2), not {pairs.shape}.")
        object.__setattr__(self, "pairs", pairs)

    def value_and_gradient(self, weights: Array) -> tuple[float, Array]:
        """Value, and its derivative (n_columns,), for ``weights`` (n_columns,)."""
        if not len(self.pairs):
            return 0.0, np.zeros_like(weights)
        first, second = self.pairs.T
        step = weights[first] - weights[second]
        slope = (2.0 / step.size) * step
        n = weights.size
        gradient = np.bincount(first, slope, n) - np.bincount(second, slope, n).astype(float)
        return float(step @ step) / step.size, gradient


def neighbour_pairs(beams: Beams) -> IntArray:
    """Numbers (n_pairs, 2) of the columns of one beam and energy that lie a lattice step apart.

    A lattice step is the median distance to the nearest column of the same layer; columns up to
    1.2 steps apart are neighbours.
    """
    columns = beams.columns
    layers = np.unique(
        np.stack([columns["beam"].astype(float), columns["energy"]], axis=1),
        axis=0,
        return_inverse=True,
    )[1].ravel()
    order = np.argsort(layers, kind="stable")
    starts = np.flatnonzero(np.diff(layers[order])) + 1
    found = [_pairs_of_layer(columns, layer) for layer in np.split(order, starts)]
    pairs: IntArray = np.concatenate([np.empty((0, 2), dtype=np.int64), *found])
    return pairs


def _pairs_of_layer(columns: np.ndarray, layer: IntArray) -> IntArray:
    if layer.size < 2:
        return np.empty((0, 2), dtype=np.int64)
    tree = cKDTree(np.stack([columns["x"][layer], columns["y"][layer]], axis=1))
    nearest = tree.query(tree.data, k=2)[0][:, 1]
    pairs: IntArray = layer[tree.query_pairs(_REACH * np.median(nearest), output_type="ndarray")]
    return pairs
