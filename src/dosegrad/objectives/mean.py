"""Wishes about the mean dose of a structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dosegrad.arrays import Array
from dosegrad.objectives.structure_objective import ObjectiveBase, check_dose, check_weight

__all__ = ["MeanDose", "SquaredMeanDeviation"]


@dataclass(frozen=True, slots=True)
class MeanDose(ObjectiveBase):
    r"""Distance of the mean dose from a reference; the mean dose itself where that is 0.

    .. math:: f = |\bar d - d_\mathrm{ref}|, \quad \bar d = \sum_i v_i d_i

    Parameters
    ----------
    dose
        The reference, Gy for the whole course.
    weight
        Factor in the sum of objectives.
    """

    kind: ClassVar[str] = "mean-dose"

    dose: float = 0.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_dose(type(self).__name__, self.dose)
        check_weight(type(self).__name__, self.weight)

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    def of_mean(self, mean: float) -> tuple[float, float]:
        """Value, Gy, and its derivative by the mean dose (Gy)."""
        return abs(mean - self.dose), 1.0 if mean >= self.dose else -1.0

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Value, Gy, and its derivative (n,), for ``dose`` (n,) and volume ``share`` (n,)."""
        value, slope = self.of_mean(float(np.dot(share, dose)))
        return value, slope * share


@dataclass(frozen=True, slots=True)
class SquaredMeanDeviation(ObjectiveBase):
    r"""Squared distance of the mean dose from a reference.

    .. math:: f = (\bar d - d_\mathrm{ref})^2, \quad \bar d = \sum_i v_i d_i

    Parameters
    ----------
    dose
        The reference, Gy for the whole course.
    weight
        Factor in the sum of objectives.
    """

    kind: ClassVar[str] = "squared-mean-deviation"

    dose: float = 0.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_dose(type(self).__name__, self.dose)
        check_weight(type(self).__name__, self.weight)

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    def of_mean(self, mean: float) -> tuple[float, float]:
        """Value, Gy2, and its derivative by the mean dose (Gy)."""
        excess = mean - self.dose
        return excess * excess, 2.0 * excess

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Value, Gy2, and its derivative (n,), for ``dose`` (n,) and volume ``share`` (n,)."""
        value, slope = self.of_mean(float(np.dot(share, dose)))
        return value, slope * share
