"""Wishes for few spots and for few energy layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dosegrad.arrays import Array, IntArray, readonly
from dosegrad.beams.beam import Beams
from dosegrad.errors import PlanError
from dosegrad.objectives.structure_objective import check_weight

__all__ = ["GroupSparsity", "LayerSparsity", "SpotSparsity", "layer_numbers"]


@dataclass(frozen=True, slots=True)
class SpotSparsity:
    r"""Concave price of each spot: the first bit of weight costs most.

    .. math:: f = \sum_j \log \Bigl(1 + \frac{w_j}{\epsilon}\Bigr)

    Minimising it by linearisations is the reweighted :math:`\ell_1` norm. It is not convex.

    Parameters
    ----------
    scale
        :math:`\epsilon`, weight from which a spot counts as used.
    weight
        Factor in the sum of objectives.

    References
    ----------
    Candès, Wakin, Boyd 2008, J. Fourier Anal. Appl. 14, 877.
    """

    kind: ClassVar[str] = "spot-sparsity"

    scale: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check(type(self).__name__, self.scale, self.weight)

    def between(self, beams: Beams) -> GroupSparsity:
        """The penalty on the columns of ``beams``."""
        return GroupSparsity(np.arange(beams.n_columns), self.scale, self.weight)


@dataclass(frozen=True, slots=True)
class LayerSparsity:
    r"""Concave price of each energy layer of each beam, by its total weight.

    .. math:: f = \sum_l \log \Bigl(1 + \frac{1}{\epsilon} \sum_{j \in l} w_j\Bigr)

    Parameters
    ----------
    scale
        :math:`\epsilon`, total weight from which a layer counts as used.
    weight
        Factor in the sum of objectives.

    References
    ----------
    van de Water et al. 2015, Phys. Med. Biol. 60, 2969.
    """

    kind: ClassVar[str] = "layer-sparsity"

    scale: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check(type(self).__name__, self.scale, self.weight)

    def between(self, beams: Beams) -> GroupSparsity:
        """The penalty on the columns of ``beams``."""
        return GroupSparsity(layer_numbers(beams), self.scale, self.weight)


@dataclass(frozen=True, slots=True, eq=False)
class GroupSparsity:
    """Concave price of each group of columns, by its total weight.

    Parameters
    ----------
    groups
        Number of the group of each column (n_columns,), from 0.
    scale
        Total weight from which a group counts as used.
    weight
        Factor in the sum of objectives.
    """

    kind: ClassVar[str] = "group-sparsity"

    groups: IntArray
    scale: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check(type(self).__name__, self.scale, self.weight)
        object.__setattr__(self, "groups", readonly(self.groups, np.int64))

    def value_and_gradient(self, weights: Array) -> tuple[float, Array]:
        """Value, and its derivative (n_columns,), for ``weights`` (n_columns,), none negative."""
        totals = np.bincount(self.groups, np.maximum(weights, 0.0))
        slopes = np.asarray(1.0 / (self.scale + totals), dtype=float)
        return float(np.log1p(totals / self.scale).sum()), slopes[self.groups]


def layer_numbers(beams: Beams) -> IntArray:
    """Number of the energy layer (n_columns,) of each column; layers of other beams are others."""
    columns = beams.columns
    pairs = np.stack([columns["beam"].astype(float), columns["energy"]], axis=1)
    numbers: IntArray = np.unique(pairs, axis=0, return_inverse=True)[1].ravel().astype(np.int64)
    return numbers


def _check(name: str, scale: float, weight: float) -> None:
    check_weight(name, weight)
    if not 0 < scale < np.inf:
        raise PlanError(
            f"{name} has the scale {scale}; it needs a positive weight. Give about a hundredth of "
            "a typical one."
        )
