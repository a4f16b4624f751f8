"""An objective together with the structure that it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from dosegrad.arrays import Array
from dosegrad.errors import PlanError
from dosegrad.objectives.protocols import Objective

__all__ = [
    "ObjectiveBase",
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


def check_weight(name: str, weight: float) -> None:
    """Raise unless ``weight`` may be the factor of an objective."""
    if not 0 <= weight < float("inf"):
        raise PlanError(
            f"{name} has the weight {weight}; an objective needs a finite weight that is not "
            "negative. Give how much it counts against the others, such as 100."
        )


def check_dose(name: str, dose: float) -> None:
    """Raise unless ``dose`` may be the dose that an objective refers to."""
    if not 0 <= dose < float("inf"):
        raise PlanError(
            f"{name} has the dose {dose} Gy; it needs a finite dose that is not negative. Give "
            "Gy for the whole course, such as 50.0."
        )
