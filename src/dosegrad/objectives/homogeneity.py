"""Evenness of the dose of a structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dosegrad.arrays import Array
from dosegrad.objectives.structure_objective import ObjectiveBase, check_weight

__all__ = ["Homogeneity"]


@dataclass(frozen=True, slots=True)
class Homogeneity(ObjectiveBase):
    r"""Variance of the dose within a structure, whatever its mean.

    .. math:: f = \sum_i v_i (d_i - \bar d)^2, \quad \bar d = \sum_i v_i d_i

    Parameters
    ----------
    weight
        Factor in the sum of objectives.
    """

    kind: ClassVar[str] = "homogeneity"

    weight: float = 1.0

    def __post_init__(self) -> None:
        check_weight(type(self).__name__, self.weight)

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Value, Gy2, and its derivative (n,), for ``dose`` (n,) and volume ``share`` (n,)."""
        off = dose - float(np.dot(share, dose))
        weighted = share * off
        return float(weighted @ off), 2.0 * weighted
