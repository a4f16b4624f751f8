"""Wishes about the highest and the lowest dose of a structure, rounded off to be smooth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dosegrad.arrays import Array
from dosegrad.errors import PlanError
from dosegrad.objectives.structure_objective import ObjectiveBase, check_dose, check_weight

__all__ = ["SoftMaximum", "SoftMinimum", "soft_extreme"]


def soft_extreme(dose: Array, softness: float, *, lowest: bool = False) -> tuple[float, Array]:
    r"""Logarithm of a sum of exponentials, Gy, and its derivative (n,) by dose.

    .. math:: \hat M = M + \tau \log \sum_i e^{(d_i - M) / \tau}, \quad M = \max_i d_i

    It lies above the maximum by :math:`\tau \log n` at most; the ``lowest`` mirrors it and lies
    below the minimum. The derivative is the softmax.

    Examples
    --------
    >>> value, share = soft_extreme(np.array([10.0, 10.0]), 0.5)
    >>> round(value, 4), share.tolist()
    (10.3466, [0.5, 0.5])
    """
    sign = -1.0 if lowest else 1.0
    top = float((sign * dose).max(initial=-np.inf))
    if not dose.size:
        return 0.0, np.zeros(0)
    parts = np.exp((sign * dose - top) / softness)
    total = float(parts.sum())
    return sign * (top + softness * float(np.log(total))), parts / total


def _check(name: str, dose: float, softness: float, weight: float) -> None:
    check_dose(name, dose)
    check_weight(name, weight)
    if not 0 < softness < np.inf:
        raise PlanError(
            f"{name} has the softness {softness} Gy; it needs a positive one. Give about 1 % of "
            "the dose that it is about, such as 0.5."
        )


@dataclass(frozen=True, slots=True)
class SoftMaximum(ObjectiveBase):
    r"""Squared excess of the rounded maximum over a dose.

    .. math:: f = \max(\hat M - d_\mathrm{ref}, 0)^2

    with :math:`\hat M` of :func:`soft_extreme`. Unlike a squared overdose it sees the hottest
    voxels alone.

    Parameters
    ----------
    dose
        :math:`d_\mathrm{ref}`, Gy for the whole course; 0 asks for as little as possible.
    softness
        :math:`\tau`, Gy.
    weight
        Factor in the sum of objectives.
    """

    kind: ClassVar[str] = "soft-maximum"

    dose: float = 0.0
    softness: float = 0.5
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check(type(self).__name__, self.dose, self.softness, self.weight)

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Value, Gy2, and its derivative (n,), for ``dose`` (n,); shares do not count."""
        reached, slope = soft_extreme(dose, self.softness)
        excess = max(reached - self.dose, 0.0)
        return excess * excess, 2.0 * excess * slope


@dataclass(frozen=True, slots=True)
class SoftMinimum(ObjectiveBase):
    r"""Squared distance by which the rounded minimum falls short of a dose.

    .. math:: f = \max(d_\mathrm{ref} - \hat m, 0)^2

    with :math:`\hat m` the ``lowest`` of :func:`soft_extreme`.

    Parameters
    ----------
    dose
        :math:`d_\mathrm{ref}`, Gy for the whole course.
    softness
        :math:`\tau`, Gy.
    weight
        Factor in the sum of objectives.
    """

    kind: ClassVar[str] = "soft-minimum"

    dose: float
    softness: float = 0.5
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check(type(self).__name__, self.dose, self.softness, self.weight)

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Value, Gy2, and its derivative (n,), for ``dose`` (n,); shares do not count."""
        reached, slope = soft_extreme(dose, self.softness, lowest=True)
        lack = max(self.dose - reached, 0.0)
        return lack * lack, -2.0 * lack * slope
