"""Penalties on points of the dose-volume histogram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dosegrad.arrays import Array, BoolArray
from dosegrad.errors import PlanError
from dosegrad.objectives.structure_objective import ObjectiveBase, check_dose, check_weight

__all__ = ["MaxDVH", "MinDVH", "dose_at_volume"]


def dose_at_volume(dose: Array, share: Array, volume: float) -> float:
    """Highest dose that at least the fraction ``volume`` receives; minus infinity if none.

    No interpolation: it is the dose of one voxel, as in matRad's penalty, so that the active set
    below is one of whole voxels.
    """
    order = np.argsort(dose)[::-1]
    hotter = np.cumsum(share[order])
    place = int(np.searchsorted(hotter, volume - 1e-9))
    return float(dose[order[place]]) if place < dose.size else -np.inf


def _check_volume(name: str, volume: float) -> None:
    if not 0 <= volume <= 1:
        raise PlanError(
            f"{name} has the volume {volume}; it needs a fraction from 0 to 1. Write 30 % as 0.30."
        )


def _mean_square_of(active: BoolArray, dose: Array, at: float, share: Array) -> tuple[float, Array]:
    excess = np.where(active, dose - at, 0.0)
    weighted = share * excess
    return float(weighted @ excess), 2.0 * weighted


@dataclass(frozen=True, slots=True)
class MaxDVH(ObjectiveBase):
    r"""Penalty while more than a volume gets at least a dose: :math:`V(d_\mathrm{ref}) \le v`.

    .. math:: f = \sum_{i:\, d_\mathrm{ref} \le d_i \le D_v} v_i (d_i - d_\mathrm{ref})^2

    :math:`D_v` is the dose that the hottest fraction :math:`v` receives at least: those voxels
    may stay hot, the next ones are pushed down. As in matRad, the voxel that has :math:`D_v`
    counts among these. So where :math:`v` is a whole number of voxels, the penalty asks for one
    voxel more than the wish says, and ends above 0 where the wish is just met; of a structure of
    many voxels that is little. The gradient leaves the motion of :math:`D_v` out and jumps when a
    voxel crosses it; the value is not convex.

    Parameters
    ----------
    dose
        :math:`d_\mathrm{ref}`, Gy for the whole course.
    volume
        Fraction :math:`v` of the structure, 0 to 1.
    weight
        Factor in the sum of objectives.
    """

    kind: ClassVar[str] = "max-dvh"

    dose: float
    volume: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_dose(type(self).__name__, self.dose)
        _check_volume(type(self).__name__, self.volume)
        check_weight(type(self).__name__, self.weight)

    @property
    def is_convex(self) -> bool:
        """False: the active set moves with the dose."""
        return False

    @property
    def idle_below(self) -> float:
        """The reference dose: voxels below it are as they should be."""
        return self.dose

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Value, Gy2, and its derivative (n,), for ``dose`` (n,) and volume ``share`` (n,)."""
        spared = dose_at_volume(dose, share, self.volume)
        active = (dose >= self.dose) & (dose <= spared)
        return _mean_square_of(active, dose, self.dose, share)


@dataclass(frozen=True, slots=True)
class MinDVH(ObjectiveBase):
    r"""Penalty while less than a volume gets a dose: :math:`V(d_\mathrm{ref}) \ge v`.

    .. math:: f = \sum_{i:\, D_v \le d_i \le d_\mathrm{ref}} v_i (d_i - d_\mathrm{ref})^2

    :math:`D_v` is the dose that the hottest fraction :math:`v` receives at least: the voxels
    between it and the reference are pushed up, the coldest are let be. The gradient leaves the
    motion of :math:`D_v` out; the value is not convex.

    Parameters
    ----------
    dose
        :math:`d_\mathrm{ref}`, Gy for the whole course.
    volume
        Fraction :math:`v` of the structure, 0 to 1.
    weight
        Factor in the sum of objectives.
    """

    kind: ClassVar[str] = "min-dvh"

    dose: float
    volume: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_dose(type(self).__name__, self.dose)
        _check_volume(type(self).__name__, self.volume)
        check_weight(type(self).__name__, self.weight)

    @property
    def is_convex(self) -> bool:
        """False: the active set moves with the dose."""
        return False

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Value, Gy2, and its derivative (n,), for ``dose`` (n,) and volume ``share`` (n,)."""
        reached = dose_at_volume(dose, share, self.volume)
        active = (dose <= self.dose) & (dose >= reached)
        return _mean_square_of(active, dose, self.dose, share)
