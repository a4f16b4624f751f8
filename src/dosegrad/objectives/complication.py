"""Normal tissue complication probability, of Lyman, Kutcher and Burman and of Niemierko."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit, ndtr

from dosegrad.arrays import Array
from dosegrad.errors import PlanError
from dosegrad.objectives.equivalent_uniform_dose import equivalent_uniform_dose
from dosegrad.objectives.structure_objective import ObjectiveBase, check_weight

__all__ = ["LogisticNTCP", "LymanNTCP"]


def _check_positive(name: str, **values: float) -> None:
    for key, value in values.items():
        if not 0 < value < np.inf:
            raise PlanError(
                f"{name} has {key} = {value}; it needs a positive number. Take the values "
                "published for the organ and endpoint."
            )


@dataclass(frozen=True, slots=True)
class LymanNTCP(ObjectiveBase):
    r"""Complication probability of Lyman, Kutcher and Burman.

    .. math:: f = \Phi(t), \quad t = \frac{\mathrm{gEUD}_{1/n} - \mathrm{TD}_{50}}
       {m\, \mathrm{TD}_{50}}

    Parameters
    ----------
    td50
        Uniform dose with a complication probability of one half, Gy for the whole course.
    m
        Slope parameter.
    n
        Volume parameter: small for serial organs, 1 for the mean dose.
    weight
        Factor in the sum of objectives.

    References
    ----------
    Lyman 1985, Radiat. Res. Suppl. 8, S13; Kutcher, Burman 1989, Int. J. Radiat. Oncol. Biol.
    Phys. 16, 1623.
    """

    kind: ClassVar[str] = "ntcp-lyman"

    td50: float
    m: float
    n: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_weight(type(self).__name__, self.weight)
        _check_positive(type(self).__name__, td50=self.td50, m=self.m, n=self.n)

    @property
    def is_convex(self) -> bool:
        """False: it saturates."""
        return False

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Probability, and its derivative (n,), for ``dose`` (n,) and volume ``share`` (n,)."""
        reached, slope = equivalent_uniform_dose(dose, share, 1.0 / self.n)
        t = (reached - self.td50) / (self.m * self.td50)
        density = np.exp(-0.5 * t * t) / np.sqrt(2.0 * np.pi)
        return float(ndtr(t)), density / (self.m * self.td50) * slope


@dataclass(frozen=True, slots=True)
class LogisticNTCP(ObjectiveBase):
    r"""Complication probability of Niemierko.

    .. math:: f = \frac{1}{1 + (\mathrm{TD}_{50} / \mathrm{gEUD}_a)^{4 \gamma_{50}}}

    Parameters
    ----------
    td50
        Uniform dose with a complication probability of one half, Gy for the whole course.
    gamma50
        Rise of the probability there, per relative rise of the dose.
    a
        Volume exponent of gEUD: large for serial organs, 1 the mean dose.
    weight
        Factor in the sum of objectives.

    References
    ----------
    Gay, Niemierko 2007, Phys. Med. 23, 115.
    """

    kind: ClassVar[str] = "ntcp-logistic"

    td50: float
    gamma50: float
    a: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_weight(type(self).__name__, self.weight)
        _check_positive(type(self).__name__, td50=self.td50, gamma50=self.gamma50, a=self.a)

    @property
    def is_convex(self) -> bool:
        """False: it saturates."""
        return False

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Probability, and its derivative (n,), for ``dose`` (n,) and volume ``share`` (n,)."""
        reached, slope = equivalent_uniform_dose(dose, share, self.a)
        rise = 4.0 * self.gamma50
        value = float(expit(rise * np.log(reached / self.td50)))
        return value, rise * value * (1.0 - value) / reached * slope
