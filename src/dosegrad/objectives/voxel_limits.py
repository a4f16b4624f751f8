"""Limits that differ from voxel to voxel: given as a dose, or falling off around a target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeAlias, get_args

import numpy as np
from scipy.ndimage import distance_transform_edt

from dosegrad.arrays import Array, BoolArray, IntArray, Points, readonly
from dosegrad.dose import Dose
from dosegrad.errors import PlanError, unknown_name
from dosegrad.geometry.grid import Grid
from dosegrad.objectives.structure_objective import ObjectiveBase, check_dose, check_weight
from dosegrad.patient.patient import Patient

__all__ = ["DoseFallOff", "VoxelLimit", "VoxelPenalty", "distance_from"]

#: Which side of a limit counts.
Side: TypeAlias = Literal["both", "above", "below"]


@dataclass(frozen=True, slots=True, eq=False)
class VoxelPenalty(ObjectiveBase):
    r"""Mean squared distance from a limit of each voxel.

    .. math:: f = \sum_i v_i (d_i - l_i)^2

    over the voxels on the ``side`` that counts. It is bound to the voxels of one structure;
    :class:`VoxelLimit` and :class:`DoseFallOff` make it.

    Parameters
    ----------
    limits
        Gy for the whole course, one for each voxel (n,).
    side
        ``"above"``, ``"below"`` or ``"both"``.
    weight
        Factor in the sum of objectives.
    """

    kind: ClassVar[str] = "voxel-penalty"

    limits: Array
    side: Side = "above"
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_weight(type(self).__name__, self.weight)
        limits = readonly(self.limits)
        if not np.isfinite(limits).all():
            raise PlanError(
                f"{np.count_nonzero(~np.isfinite(limits))} voxels of the structure have no finite "
                "limit; give limits that cover it."
            )
        object.__setattr__(self, "limits", limits)

    def __repr__(self) -> str:
        return f"VoxelPenalty({self.limits.size} limits, side={self.side!r}, weight={self.weight})"

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    @property
    def idle_below(self) -> float:
        """Dose, Gy, below which no voxel has an effect."""
        return float(self.limits.min(initial=np.inf)) if self.side == "above" else -np.inf

    def keeping(self, kept: BoolArray) -> VoxelPenalty:
        """The same on the voxels that are ``kept`` (n,)."""
        return replace(self, limits=self.limits[kept])

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Value, Gy2, and its derivative (n,), for ``dose`` (n,) and volume ``share`` (n,)."""
        off = dose - self.limits
        if self.side != "both":
            off = np.maximum(off, 0.0) if self.side == "above" else np.minimum(off, 0.0)
        weighted = share * off
        return float(weighted @ off), 2.0 * weighted


@dataclass(frozen=True, slots=True, eq=False)
class VoxelLimit(ObjectiveBase):
    """A limit for each voxel, taken from a dose: no more than, no less than, or exactly so.

    Parameters
    ----------
    limits
        Gy for the whole course, on any grid that holds the structure; between its voxels it is
        interpolated.
    side
        ``"above"`` counts dose above the limit, ``"below"`` dose below it, ``"both"`` either.
    weight
        Factor in the sum of objectives.
    """

    kind: ClassVar[str] = "voxel-limit"

    limits: Dose
    side: Side = "above"
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_weight(type(self).__name__, self.weight)
        if self.side not in get_args(Side):
            raise unknown_name("side of a voxel limit", self.side, get_args(Side))

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    def placed(self, patient: Patient, grid: Grid, voxels: IntArray) -> VoxelPenalty:
        """The penalty on ``voxels`` (n,), flat indices into ``grid``."""
        limits = np.asarray(self.limits.at(grid.voxel_points(voxels)), dtype=float)
        return VoxelPenalty(limits, self.side, self.weight)

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Raise: limits have to be placed on voxels first."""
        raise _not_placed(self)


@dataclass(frozen=True, slots=True)
class DoseFallOff(ObjectiveBase):
    r"""Squared dose above a limit that falls off with the distance from a target.

    .. math:: f = \sum_i v_i \max(d_i - l(r_i), 0)^2, \quad
       l(r) = d_0 + (d_1 - d_0) \min(r / L, 1)

    with r the distance from the target's nearest voxel centre. On the body it shapes the whole
    dose around a target; on a ring, the dose in it.

    Parameters
    ----------
    target
        Name of the structure from which distances count.
    start
        :math:`d_0`, limit at the target, Gy for the whole course.
    end
        :math:`d_1`, limit at the distance and beyond, Gy.
    distance
        :math:`L`, mm.
    weight
        Factor in the sum of objectives.
    """

    kind: ClassVar[str] = "dose-fall-off"

    target: str
    start: float
    end: float
    distance: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_dose(name, self.start)
        check_dose(name, self.end)
        check_weight(name, self.weight)
        if not 0 < self.distance < np.inf:
            raise PlanError(
                f"{name} falls off over {self.distance} mm; give a positive distance, such as 20."
            )

    @property
    def is_convex(self) -> bool:
        """True."""
        return True

    def limits_at(self, distance: Array) -> Array:
        """Limit, Gy, at a ``distance`` from the target, mm; any shape."""
        part = np.minimum(distance / self.distance, 1.0)
        return self.start + (self.end - self.start) * part

    def placed(self, patient: Patient, grid: Grid, voxels: IntArray) -> VoxelPenalty:
        """The penalty on ``voxels`` (n,), flat indices into ``grid``."""
        distance = distance_from(patient, self.target, grid).ravel()[voxels]
        return VoxelPenalty(self.limits_at(distance), "above", self.weight)

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Raise: limits have to be placed on voxels first."""
        raise _not_placed(self)


def distance_from(patient: Patient, structure: str, grid: Grid) -> Array:
    """Distance (z, y, x), mm, of every voxel centre from the nearest one inside ``structure``.

    Raises
    ------
    PlanError
        If no voxel centre of the grid lies in the structure.
    """
    inside = patient.structure(structure).mask(grid)
    if not inside.any():
        raise PlanError(
            f"no voxel centre of the dose grid ({grid}) lies in {structure!r}, so no distance from "
            "it can be told. Use a finer or larger grid."
        )
    found: Points = distance_transform_edt(~inside, sampling=grid.spacing)
    return found


def _not_placed(objective: object) -> PlanError:
    return PlanError(
        f"{type(objective).__name__} has no value until its limits are placed on the voxels of a "
        "structure; optimise does so, or call placed(patient, grid, voxels)."
    )
