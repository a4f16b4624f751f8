r"""Hard limits: what a plan has to keep, whatever its objectives.

Each states by how much a dose is beyond it, in Gy (a fraction of the volume for those of volumes),
not above zero where it is kept, with the derivative. They act on whole structures, as goals do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import expit

from dosegrad.arrays import Array
from dosegrad.errors import PlanError
from dosegrad.objectives.equivalent_uniform_dose import equivalent_uniform_dose
from dosegrad.objectives.limit_protocols import Excess, LimitBase
from dosegrad.objectives.mean_tail import mean_tail, soft_mean_tail
from dosegrad.objectives.structure_objective import check_dose

__all__ = [
    "MaxDose",
    "MaxEUD",
    "MaxMean",
    "MaxMeanTail",
    "MaxVolume",
    "MinDose",
    "MinEUD",
    "MinMean",
    "MinMeanTail",
    "MinVolume",
]

#: Ramps about the edge of a tail or a volume have this width, as a share of the dose.
_WIDTH: Final = 0.01
#: Excesses of volumes count as Gy by this much per unit of volume and Gy of the dose.
_VOLUME_SIZE: Final = 0.2


def _one(excess: float, slope: Array) -> Excess:
    return np.array([excess]), lambda g: float(g[0]) * slope


def _check_exponent(name: str, a: float) -> None:
    if not np.isfinite(a) or a == 0:
        raise PlanError(
            f"{name} has the exponent {a}; it needs a finite number other than 0, such as 8 for a "
            "serial organ, 1 for the mean, -10 for a target."
        )


def _check_volume(name: str, volume: float) -> None:
    if not 0 < volume < 1:
        raise PlanError(
            f"{name} has the volume {volume}; it needs a fraction between 0 and 1. Write 5 % as "
            "0.05."
        )


@dataclass(frozen=True, slots=True)
class MaxDose(LimitBase):
    """No voxel above a dose, Gy."""

    dose: float

    def __post_init__(self) -> None:
        check_dose(type(self).__name__, self.dose)

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    @property
    def size(self) -> float:
        """The dose."""
        return max(self.dose, 1.0)

    def excess(self, dose: Array, share: Array) -> Excess:
        """Excess of each voxel (n,), Gy."""
        return dose - self.dose, lambda g: g

    def miss(self, dose: Array, share: Array) -> float:
        """Excess of the hottest voxel, Gy."""
        return float(dose.max()) - self.dose


@dataclass(frozen=True, slots=True)
class MinDose(LimitBase):
    """No voxel below a dose, Gy."""

    dose: float

    def __post_init__(self) -> None:
        check_dose(type(self).__name__, self.dose)

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    @property
    def size(self) -> float:
        """The dose."""
        return max(self.dose, 1.0)

    def excess(self, dose: Array, share: Array) -> Excess:
        """What each voxel (n,) lacks, Gy."""
        return self.dose - dose, lambda g: -g

    def miss(self, dose: Array, share: Array) -> float:
        """What the coldest voxel lacks, Gy."""
        return self.dose - float(dose.min())


@dataclass(frozen=True, slots=True)
class MaxMean(LimitBase):
    """Mean dose not above a dose, Gy."""

    dose: float

    def __post_init__(self) -> None:
        check_dose(type(self).__name__, self.dose)

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    @property
    def size(self) -> float:
        """The dose."""
        return max(self.dose, 1.0)

    def excess(self, dose: Array, share: Array) -> Excess:
        """Excess of the mean (1,), Gy."""
        return _one(self.miss(dose, share), share)

    def miss(self, dose: Array, share: Array) -> float:
        """Excess of the mean, Gy."""
        return float(share @ dose) - self.dose


@dataclass(frozen=True, slots=True)
class MinMean(LimitBase):
    """Mean dose not below a dose, Gy."""

    dose: float

    def __post_init__(self) -> None:
        check_dose(type(self).__name__, self.dose)

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    @property
    def size(self) -> float:
        """The dose."""
        return max(self.dose, 1.0)

    def excess(self, dose: Array, share: Array) -> Excess:
        """What the mean lacks (1,), Gy."""
        return _one(self.miss(dose, share), -share)

    def miss(self, dose: Array, share: Array) -> float:
        """What the mean lacks, Gy."""
        return self.dose - float(share @ dose)


@dataclass(frozen=True, slots=True)
class MaxEUD(LimitBase):
    """Generalised equivalent uniform dose with exponent ``a`` not above a dose, Gy."""

    dose: float
    a: float

    def __post_init__(self) -> None:
        check_dose(type(self).__name__, self.dose)
        _check_exponent(type(self).__name__, self.a)

    @property
    def is_convex(self) -> bool:
        """Whether ``a`` is 1 or more."""
        return self.a >= 1

    @property
    def size(self) -> float:
        """The dose."""
        return max(self.dose, 1.0)

    def excess(self, dose: Array, share: Array) -> Excess:
        """Excess (1,), Gy."""
        value, slope = equivalent_uniform_dose(dose, share, self.a)
        return _one(value - self.dose, slope)

    def miss(self, dose: Array, share: Array) -> float:
        """Excess, Gy."""
        return equivalent_uniform_dose(dose, share, self.a)[0] - self.dose


@dataclass(frozen=True, slots=True)
class MinEUD(LimitBase):
    """Generalised equivalent uniform dose with exponent ``a`` not below a dose, Gy."""

    dose: float
    a: float

    def __post_init__(self) -> None:
        check_dose(type(self).__name__, self.dose)
        _check_exponent(type(self).__name__, self.a)

    @property
    def is_convex(self) -> bool:
        """Whether ``a`` is 1 or less."""
        return self.a <= 1

    @property
    def size(self) -> float:
        """The dose."""
        return max(self.dose, 1.0)

    def excess(self, dose: Array, share: Array) -> Excess:
        """What is lacking (1,), Gy."""
        value, slope = equivalent_uniform_dose(dose, share, self.a)
        return _one(self.dose - value, -slope)

    def miss(self, dose: Array, share: Array) -> float:
        """What is lacking, Gy."""
        return self.dose - equivalent_uniform_dose(dose, share, self.a)[0]


@dataclass(frozen=True, slots=True)
class MaxMeanTail(LimitBase):
    """Mean dose of the hottest part ``volume`` not above a dose, Gy.

    Then no more than the volume gets the dose: a convex limit that implies ``D5% <= dose`` with the
    volume 0.05.
    """

    dose: float
    volume: float

    def __post_init__(self) -> None:
        check_dose(type(self).__name__, self.dose)
        _check_volume(type(self).__name__, self.volume)

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    @property
    def size(self) -> float:
        """The dose."""
        return max(self.dose, 1.0)

    def excess(self, dose: Array, share: Array) -> Excess:
        """Excess (1,), Gy, rounded to the safe side."""
        value, slope = soft_mean_tail(dose, share, self.volume, _WIDTH * self.size)
        return _one(value - self.dose, slope)

    def miss(self, dose: Array, share: Array) -> float:
        """Excess, Gy."""
        return mean_tail(dose, share, self.volume)[0] - self.dose


@dataclass(frozen=True, slots=True)
class MinMeanTail(LimitBase):
    """Mean dose of the coldest part ``volume`` not below a dose, Gy.

    A convex limit that implies ``D95% >= dose`` with the volume 0.05.
    """

    dose: float
    volume: float

    def __post_init__(self) -> None:
        check_dose(type(self).__name__, self.dose)
        _check_volume(type(self).__name__, self.volume)

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    @property
    def size(self) -> float:
        """The dose."""
        return max(self.dose, 1.0)

    def excess(self, dose: Array, share: Array) -> Excess:
        """What is lacking (1,), Gy, rounded to the safe side."""
        width = _WIDTH * self.size
        value, slope = soft_mean_tail(dose, share, self.volume, width, coldest=True)
        return _one(self.dose - value, -slope)

    def miss(self, dose: Array, share: Array) -> float:
        """What is lacking, Gy."""
        return self.dose - mean_tail(dose, share, self.volume, coldest=True)[0]


def _smooth_volume(dose: Array, share: Array, at: float, width: float) -> tuple[float, Array]:
    """Part of the volume above a dose, each voxel by a sigmoid of its own, and the slope (n,)."""
    part = expit((dose - at) / width)
    return float(share @ part), share * part * (1.0 - part) / width


@dataclass(frozen=True, slots=True)
class MaxVolume(LimitBase):
    """No more than a ``volume`` at ``dose``, Gy, or above: a point of the histogram itself.

    The set of doses that keep it is not convex; :class:`MaxMeanTail` is the convex limit that
    implies it, and the safer one to optimise with.
    """

    dose: float
    volume: float

    def __post_init__(self) -> None:
        check_dose(type(self).__name__, self.dose)
        _check_volume(type(self).__name__, self.volume)

    @property
    def is_convex(self) -> bool:
        """False."""
        return False

    @property
    def size(self) -> float:
        """A fraction of the volume."""
        return _VOLUME_SIZE

    def excess(self, dose: Array, share: Array) -> Excess:
        """Volume too much (1,), as a fraction, rounded off."""
        value, slope = _smooth_volume(dose, share, self.dose, _WIDTH * max(self.dose, 1.0))
        return _one(value - self.volume, slope)

    def miss(self, dose: Array, share: Array) -> float:
        """Volume too much, as a fraction."""
        return float(share[dose >= self.dose].sum()) - self.volume


@dataclass(frozen=True, slots=True)
class MinVolume(LimitBase):
    """At least a ``volume`` at ``dose``, Gy, or above: a point of the histogram itself.

    The set of doses that keep it is not convex; :class:`MinMeanTail` implies it and is.
    """

    dose: float
    volume: float

    def __post_init__(self) -> None:
        check_dose(type(self).__name__, self.dose)
        _check_volume(type(self).__name__, self.volume)

    @property
    def is_convex(self) -> bool:
        """False."""
        return False

    @property
    def size(self) -> float:
        """A fraction of the volume."""
        return _VOLUME_SIZE

    def excess(self, dose: Array, share: Array) -> Excess:
        """Volume lacking (1,), as a fraction, rounded off."""
        value, slope = _smooth_volume(dose, share, self.dose, _WIDTH * max(self.dose, 1.0))
        return _one(self.volume - value, -slope)

    def miss(self, dose: Array, share: Array) -> float:
        """Volume lacking, as a fraction."""
        return self.volume - float(share[dose >= self.dose].sum())
