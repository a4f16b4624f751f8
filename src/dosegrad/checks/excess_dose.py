"""Dose given where none like it was planned: hot spots that pass rates do not see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter

from dosegrad.dose import Dose

__all__ = ["ExcessDose", "find_excess"]


@dataclass(frozen=True, slots=True)
class ExcessDose:
    """The place where a delivered dose goes furthest beyond what was planned around it.

    Parameters
    ----------
    delivered
        Dose there, Gy.
    planned
        Highest planned dose around it, Gy.
    place
        x, y, z of the voxel, mm.
    planned_maximum, delivered_maximum
        Highest dose of either, Gy.
    """

    delivered: float
    planned: float
    place: tuple[float, float, float]
    planned_maximum: float
    delivered_maximum: float

    def __repr__(self) -> str:
        return f"ExcessDose({self.delivered:.4g} Gy where {self.planned:.4g} Gy was planned)"

    @property
    def percent(self) -> float:
        """Excess in percent of the highest planned dose; negative if there is none."""
        return 100.0 * (self.delivered - self.planned) / self.planned_maximum

    def flags(self, limit: float) -> list[str]:
        """A sentence if the excess is more than ``limit`` percent."""
        if not self.percent > limit:
            return []
        x, y, z = self.place
        return [
            f"{self.delivered:.2f} Gy is delivered at ({x:.0f}, {y:.0f}, {z:.0f}) mm, where at "
            f"most {self.planned:.2f} Gy was planned nearby: {self.percent:.1f} % of the planned "
            f"maximum more, tolerated are {limit:g} %"
        ]

    def to_json(self) -> dict[str, Any]:
        """As what JSON knows."""
        return {
            "planned_maximum_gy": self.planned_maximum,
            "delivered_maximum_gy": self.delivered_maximum,
            "excess_percent": self.percent,
            "excess_delivered_gy": self.delivered,
            "excess_planned_gy": self.planned,
            "excess_place_mm": list(self.place),
        }


def find_excess(planned: Dose, delivered: Dose, *, distance: float) -> ExcessDose:
    """Where ``delivered`` goes furthest beyond the highest planned dose nearby.

    Nearby is a box of ``distance`` mm, and of a voxel at least, each way, so that a steep gradient
    that moved by as much is no excess. A pass rate averages over all voxels; this does not.

    Parameters
    ----------
    planned, delivered
        Doses on one grid.
    distance
        mm.

    Examples
    --------
    >>> from dosegrad.geometry.grid import Grid
    >>> grid = Grid(shape=(1, 1, 5), spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0))
    >>> one = Dose(grid, np.array([[[50.0, 50.0, 0.0, 0.0, 0.0]]]))
    >>> other = Dose(grid, np.array([[[50.0, 50.0, 50.0, 0.0, 20.0]]]))
    >>> find_excess(one, other, distance=1.0)
    ExcessDose(20 Gy where 0 Gy was planned)
    """
    steps = [max(int(distance / spacing), 1) for spacing in planned.grid.spacing]
    nearby = maximum_filter(planned.array, size=[2 * n + 1 for n in steps], mode="nearest")
    worst = int(np.argmax(delivered.array - nearby))
    x, y, z = planned.grid.voxel_points(np.array([worst]))[0]
    return ExcessDose(
        delivered=float(delivered.array.flat[worst]),
        planned=float(nearby.flat[worst]),
        place=(float(x), float(y), float(z)),
        planned_maximum=float(planned.array.max()),
        delivered_maximum=float(delivered.array.max()),
    )
