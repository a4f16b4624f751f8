"""Wishes about the mean dose of the hottest or the coldest part of a structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dosegrad.arrays import Array
from dosegrad.errors import PlanError
from dosegrad.objectives.structure_objective import ObjectiveBase, check_dose, check_weight

__all__ = ["LowerMeanTail", "UpperMeanTail", "mean_tail", "soft_mean_tail", "tail_edge"]


def mean_tail(
    dose: Array, share: Array, volume: float, *, coldest: bool = False
) -> tuple[float, Array]:
    r"""Mean dose of the hottest (or ``coldest``) part ``volume``, and its slope (n,) by dose.

    .. math:: \min_t\; t + \frac{1}{v} \sum_i v_i \max(d_i - t, 0)

    which is convex in the dose, and not below the dose that the part gets at least; the mean of
    the coldest part is concave, and not above the dose that the rest gets at least. The voxel at
    the edge counts by the fraction of it that is inside.

    References
    ----------
    Rockafellar, Uryasev 2000, J. Risk 2, 21; Romeijn et al. 2006, Oper. Res. 54, 201.

    Examples
    --------
    >>> value, slope = mean_tail(np.array([10.0, 40.0, 20.0, 30.0]), np.full(4, 0.25), 0.375)
    >>> round(value, 3), slope.round(3).tolist()
    (36.667, [0.0, 0.667, 0.0, 0.333])
    """
    order = np.argsort(dose if coldest else -dose, kind="stable")
    before = np.cumsum(share[order]) - share[order]
    inside = np.clip(volume - before, 0.0, share[order])
    slope = np.zeros(dose.size)
    slope[order] = inside / volume
    return float(slope @ dose), slope


def soft_mean_tail(
    dose: Array, share: Array, volume: float, width: float, *, coldest: bool = False
) -> tuple[float, Array]:
    r"""Smooth bound of the mean dose of a tail, on the safe side, and its slope (n,).

    Voxels count in full, not at all, or by a ramp of ``width`` Gy about the edge of the tail. The
    value is not below the mean of the hottest part (not above that of the ``coldest``), and off
    by less than half the width:

    .. math:: \max_q \sum_i q_i d_i + \frac{w}{2} \Bigl(1 - v \sum_i \frac{q_i^2}{v_i}\Bigr),
       \quad 0 \le q_i \le v_i / v,\; \sum_i q_i = 1

    Its slope q is one of those over which the mean of the tail itself is the extreme.
    """
    sign = -1.0 if coldest else 1.0
    hot = sign * dose
    edge = tail_edge(hot, share, min(volume, float(share.sum())), width)
    part = np.clip((hot - edge) / width + 0.5, 0.0, 1.0)
    slope = part * share / volume
    spread = 0.5 * width * (1.0 - float(part @ slope))
    return float(slope @ dose) + sign * spread, slope


def tail_edge(hot: Array, share: Array, volume: float, width: float) -> float:
    """Dose, Gy, about which a ramp of ``width`` lets in voxels of ``volume`` together.

    Exact: the volume let in falls with the edge in straight pieces between known doses.
    """
    half = 0.5 * width
    low, high = float(hot.min()) - half, float(hot.max()) + half
    edge = float(np.quantile(hot, max(1.0 - volume, 0.0))) if hot.size else 0.0
    for _ in range(100):  # Newton's steps, kept between bounds; few, since the pieces are straight
        ramp = (hot - edge) / width + 0.5
        inside = float(share @ np.clip(ramp, 0.0, 1.0))
        low, high = (edge, high) if inside > volume else (low, edge)
        if abs(inside - volume) <= 1e-14 or high - low <= 1e-14 * max(abs(low), abs(high)):
            break
        bend = float(share[(ramp > 0) & (ramp < 1)].sum()) / width
        following = edge + (inside - volume) / bend if bend > 0 else 0.5 * (low + high)
        edge = following if low < following < high else 0.5 * (low + high)
    return edge


def _check(name: str, dose: float, volume: float, weight: float) -> None:
    check_dose(name, dose)
    check_weight(name, weight)
    if not 0 < volume <= 1:
        raise PlanError(
            f"{name} has the volume {volume}; it needs a fraction above 0, up to 1. Write 5 % as "
            "0.05."
        )


@dataclass(frozen=True, slots=True)
class UpperMeanTail(ObjectiveBase):
    r"""Squared excess of the mean dose of the hottest part over a dose.

    The convex companion of :class:`~dosegrad.objectives.MaxDVH`: where it is 0, no more than the
    volume gets the dose.

    Parameters
    ----------
    dose
        Gy for the whole course; 0 asks for as little as possible.
    volume
        Part of the structure, above 0 and up to 1.
    weight
        Factor in the sum of objectives.
    """

    kind: ClassVar[str] = "upper-mean-tail"

    dose: float = 0.0
    volume: float = 0.05
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check(type(self).__name__, self.dose, self.volume, self.weight)

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Value, Gy2, and its derivative (n,), for ``dose`` (n,) and volume ``share`` (n,)."""
        reached, slope = mean_tail(dose, share, self.volume)
        excess = max(reached - self.dose, 0.0)
        return excess * excess, 2.0 * excess * slope


@dataclass(frozen=True, slots=True)
class LowerMeanTail(ObjectiveBase):
    r"""Squared distance by which the mean dose of the coldest part falls short of a dose.

    The convex companion of :class:`~dosegrad.objectives.MinDVH`: where ``LowerMeanTail(57.0,
    volume=0.05)`` is 0, 95 % of the structure get 57 Gy.

    Parameters
    ----------
    dose
        Gy for the whole course.
    volume
        Part of the structure, above 0 and up to 1.
    weight
        Factor in the sum of objectives.
    """

    kind: ClassVar[str] = "lower-mean-tail"

    dose: float
    volume: float = 0.05
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check(type(self).__name__, self.dose, self.volume, self.weight)

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Value, Gy2, and its derivative (n,), for ``dose`` (n,) and volume ``share`` (n,)."""
        reached, slope = mean_tail(dose, share, self.volume, coldest=True)
        lack = max(self.dose - reached, 0.0)
        return lack * lack, -2.0 * lack * slope
