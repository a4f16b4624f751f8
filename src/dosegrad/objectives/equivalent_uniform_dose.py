"""Penalty on the generalised equivalent uniform dose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias, get_args

import numpy as np

from dosegrad.arrays import Array
from dosegrad.errors import PlanError, unknown_name
from dosegrad.objectives.structure_objective import ObjectiveBase, check_dose, check_weight

__all__ = ["EUD", "equivalent_uniform_dose"]

Side: TypeAlias = Literal["both", "above", "below"]

#: Doses below this, Gy, count as this: powers below one have no slope at zero.
_LOWEST_DOSE: Final = 1e-6


def equivalent_uniform_dose(dose: Array, share: Array, a: float) -> tuple[float, Array]:
    r"""Generalised equivalent uniform dose, Gy, and its derivative (n,) by dose.

    .. math:: \mathrm{gEUD} = \Bigl(\sum_i v_i d_i^a\Bigr)^{1/a}

    Powers are of dose over a scale (its maximum, or its minimum for negative ``a``), so that none
    overflows. Doses below 1e-6 Gy count as 1e-6 Gy.

    References
    ----------
    Niemierko 1999, Med. Phys. 26, 1100 (abstract).
    """
    floored = np.maximum(dose, _LOWEST_DOSE)
    scale = float(floored.max() if a > 0 else floored.min())
    ratio = floored / scale
    powers = share * ratio**a
    mean = float(powers.sum())
    value = scale * mean ** (1.0 / a)
    # d gEUD / d d_i = v_i (d_i/s)^(a-1) mean^(1/a - 1)
    gradient = powers / ratio * mean ** (1.0 / a - 1.0)
    return value, np.where(dose > _LOWEST_DOSE, gradient, 0.0)


@dataclass(frozen=True, slots=True)
class EUD(ObjectiveBase):
    r"""Squared distance of the generalised equivalent uniform dose from a reference.

    .. math:: f = (\mathrm{gEUD}_a - d_\mathrm{ref})^2

    ``side="above"`` counts the distance only where gEUD is higher, ``"below"`` only where lower.

    Parameters
    ----------
    dose
        The reference, Gy for the whole course; 0 asks for as little as possible.
    a
        Volume exponent: large for serial organs, 1 the mean dose, negative for targets.
    weight
        Factor in the sum of objectives.
    side
        ``"both"``, ``"above"`` or ``"below"``.
    """

    kind: ClassVar[str] = "eud"

    dose: float
    a: float
    weight: float = 1.0
    side: Side = "both"

    def __post_init__(self) -> None:
        check_dose(type(self).__name__, self.dose)
        check_weight(type(self).__name__, self.weight)
        if self.a == 0 or not np.isfinite(self.a):
            raise PlanError(
                f"EUD has the exponent a = {self.a}; it needs a finite number other than 0. Give "
                "1 or more for organs (8 where the maximum matters), about -10 for targets."
            )
        if self.side not in get_args(Side):
            raise unknown_name("side of an EUD objective", self.side, get_args(Side))

    @property
    def is_convex(self) -> bool:
        """Whether it is: gEUD is convex from a = 1 upwards and concave up to 1."""
        if self.side == "above" or (self.side == "both" and self.dose == 0):
            return self.a >= 1
        return self.a == 1 if self.side == "both" else self.a <= 1

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Value, Gy2, and its derivative (n,), for ``dose`` (n,) and volume ``share`` (n,)."""
        reached, slope = equivalent_uniform_dose(dose, share, self.a)
        excess = reached - self.dose
        if (self.side == "above" and excess < 0) or (self.side == "below" and excess > 0):
            excess = 0.0
        return excess * excess, 2.0 * excess * slope
