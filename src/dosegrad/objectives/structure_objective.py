"""An objective together with the structure that it is about."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Final

from dosegrad.arrays import Array
from dosegrad.errors import PlanError, unknown_name
from dosegrad.objectives.protocols import Objective
from dosegrad.units import QUANTITIES

__all__ = [
    "ObjectiveBase",
    "QuantityObjective",
    "RobustObjective",
    "StructureObjective",
    "check_dose",
    "check_weight",
]


@dataclass(frozen=True, slots=True)
class StructureObjective:
    """An objective on one structure.

    Parameters
    ----------
    structure
        Name of a structure of the patient.
    objective
        What is wished for it.
    """

    structure: str
    objective: Objective

    def __repr__(self) -> str:
        return f"{self.objective!r}.on({self.structure!r})"


class ObjectiveBase:
    """Gives objectives their one common verb; holds no data."""

    __slots__ = ()

    def on(self: Objective, structure: str) -> StructureObjective:
        """The same wish, about the structure of that name."""
        return StructureObjective(structure, self)

    def of(self: Objective, quantity: str) -> QuantityObjective:
        """The same wish about another quantity than the plan's dose.

        Parameters
        ----------
        quantity
            ``"dose"``, ``"rbe_dose"``, ``"effect"``, ``"bed"``, ``"eqd2"``, ``"let"`` or
            ``"let_dose"``. What the objective calls dose then is in the unit of that.

        Raises
        ------
        UnknownNameError
            If there is no such quantity.
        """
        return QuantityObjective(self, quantity)

    def robust(self: Objective, how: Any = None) -> RobustObjective:
        """The same wish, in all scenarios of errors.

        Parameters
        ----------
        how
            ``"expected"``, ``"minimax"``, ``"objective-wise"``, ``"voxel-wise"``, ``"cvar"`` or
            settings of these; by default as the plan is, or ``"minimax"``.
        """
        return RobustObjective(self, how)


@dataclass(frozen=True, slots=True)
class RobustObjective(ObjectiveBase):
    """An objective that is to hold in all scenarios.

    Parameters
    ----------
    objective
        What is wished in each.
    how
        How they come together; ``None`` for the way of the whole plan.
    """

    kind: ClassVar[str] = "robust"

    objective: Objective
    how: Any = None

    @property
    def weight(self) -> float:
        """Factor in the sum of objectives."""
        return self.objective.weight

    @property
    def is_convex(self) -> bool:
        """Whether the objective is a convex function of the dose."""
        return self.objective.is_convex

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Value in one scenario, and its derivative (n,), for ``dose`` (n,) and ``share`` (n,)."""
        return self.objective.value_and_gradient(dose, share)


@dataclass(frozen=True, slots=True)
class QuantityObjective(ObjectiveBase):
    """An objective about another quantity than the plan's dose.

    Parameters
    ----------
    objective
        What is wished of it.
    quantity
        Which it is.
    """

    kind: ClassVar[str] = "quantity"

    objective: Objective
    quantity: str

    def __post_init__(self) -> None:
        if self.quantity not in _OPTIMISABLE:
            raise unknown_name("quantity to optimise", self.quantity, _OPTIMISABLE)

    @property
    def weight(self) -> float:
        """Factor in the sum of objectives."""
        return self.objective.weight

    @property
    def is_convex(self) -> bool:
        """Whether the objective is a convex function of the quantity."""
        return self.objective.is_convex

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Value, and its derivative (n,), for values ``dose`` (n,) of the quantity."""
        return self.objective.value_and_gradient(dose, share)


_OPTIMISABLE: Final = tuple(name for name in QUANTITIES if name != "rbe")


def check_weight(name: str, weight: object) -> None:
    """Raise unless ``weight`` may be the factor of an objective."""
    if not isinstance(weight, Real):
        raise PlanError(f"{name} has {weight!r} as its weight; it needs one number, such as 100.")
    if not 0 <= float(weight) < float("inf"):
        raise PlanError(
            f"{name} has the weight {weight}; an objective needs a finite weight that is not "
            "negative. Give how much it counts against the others, such as 100."
        )


def check_dose(name: str, dose: object) -> None:
    """Raise unless ``dose`` may be the dose that an objective refers to."""
    if not isinstance(dose, Real):
        raise PlanError(
            f"{name} has {dose!r} as its dose; it needs one number, Gy for the whole course, such "
            "as 50.0. For limits that differ from voxel to voxel there is VoxelLimit."
        )
    if not 0 <= float(dose) < float("inf"):
        raise PlanError(
            f"{name} has the dose {dose} Gy; it needs a finite dose that is not negative. Give "
            "Gy for the whole course, such as 50.0."
        )
