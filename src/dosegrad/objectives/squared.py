"""Squared deviation from a dose: both ways, above it only, below it only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dosegrad.arrays import Array
from dosegrad.objectives.structure_objective import ObjectiveBase, check_dose, check_weight

__all__ = ["SquaredDeviation", "SquaredOverdose", "SquaredUnderdose"]


def _mean_square(excess: Array, share: Array) -> tuple[float, Array]:
    weighted = share * excess
    return float(weighted @ excess), 2.0 * weighted


@dataclass(frozen=True, slots=True)
class SquaredDeviation(ObjectiveBase):
    r"""Mean squared distance of the dose from a prescription.

    .. math:: f = \sum_i v_i (d_i - \hat d)^2

    Parameters
    ----------
    dose
        The prescription :math:`\hat d`, Gy for the whole course.
    weight
        Factor in the sum of objectives.

    Examples
    --------
    >>> import numpy as np
    >>> value, gradient = SquaredDeviation(50.0).value_and_gradient(
    ...     np.array([49.0, 53.0]), np.array([0.5, 0.5])
    ... )
    >>> value, gradient.tolist()
    (5.0, [-1.0, 3.0])
    """

    kind: ClassVar[str] = "squared-deviation"

    dose: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_dose(type(self).__name__, self.dose)
        check_weight(type(self).__name__, self.weight)

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Value, Gy2, and its derivative (n,), for ``dose`` (n,) and volume ``share`` (n,)."""
        return _mean_square(dose - self.dose, share)


@dataclass(frozen=True, slots=True)
class SquaredOverdose(ObjectiveBase):
    r"""Mean squared dose above a maximum.

    .. math:: f = \sum_i v_i \max(d_i - d^\mathrm{max}, 0)^2

    Parameters
    ----------
    dose
        The maximum, Gy for the whole course.
    weight
        Factor in the sum of objectives.
    """

    kind: ClassVar[str] = "squared-overdose"

    dose: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_dose(type(self).__name__, self.dose)
        check_weight(type(self).__name__, self.weight)

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    @property
    def idle_below(self) -> float:
        """The maximum: voxels below it are as they should be."""
        return self.dose

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Value, Gy2, and its derivative (n,), for ``dose`` (n,) and volume ``share`` (n,)."""
        return _mean_square(np.maximum(dose - self.dose, 0.0), share)


@dataclass(frozen=True, slots=True)
class SquaredUnderdose(ObjectiveBase):
    r"""Mean squared dose lacking to a minimum.

    .. math:: f = \sum_i v_i \max(d^\mathrm{min} - d_i, 0)^2

    Parameters
    ----------
    dose
        The minimum, Gy for the whole course.
    weight
        Factor in the sum of objectives.
    """

    kind: ClassVar[str] = "squared-underdose"

    dose: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_dose(type(self).__name__, self.dose)
        check_weight(type(self).__name__, self.weight)

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Value, Gy2, and its derivative (n,), for ``dose`` (n,) and volume ``share`` (n,)."""
        return _mean_square(np.minimum(dose - self.dose, 0.0), share)
