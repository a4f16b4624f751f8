"""What a plan with biology tells beside dose, and how robust objectives see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np

from dosegrad.arrays import Array, BoolArray
from dosegrad.dose import Dose
from dosegrad.errors import CapabilityError
from dosegrad.influence.effect_columns import is_variable
from dosegrad.influence.matrix import Influence
from dosegrad.influence.scenario_doses import scenario_doses, scenario_rbe_doses
from dosegrad.influence.scenario_map import ScenarioMatrices
from dosegrad.influence.sources import quantity_dose
from dosegrad.objectives.protocols import Objective, OneSidedObjective
from dosegrad.optimisation.problem import Term
from dosegrad.optimisation.wishes import prescribing
from dosegrad.rbe.constant import ConstantRBE

__all__ = [
    "ScaledObjective",
    "doses_in_scenarios",
    "in_dose",
    "knows_effects",
    "plan_quantities",
    "remark_on",
]

#: A dose outside of all structures with objectives is told if it is so many times that inside.
_MUCH_HOTTER: Final = 1.15
#: A dose that is so many times the highest prescription is told wherever it lies.
_FAR_ABOVE: Final = 1.5


def plan_quantities(influence: Influence, weights: Array, fractions: int) -> Mapping[str, Dose]:
    """RBE-weighted dose and LET of ``weights`` (n_columns,), where the influence can tell."""
    names = [] if influence.rbe is None else ["rbe_dose"]
    if "let_dose" in influence.quantities:
        names.append("let")
    return {name: quantity_dose(influence, weights, name, fractions) for name in names}


def remark_on(influence: Influence, terms: Sequence[Term], dose: Dose) -> str:
    """Words about a highest dose where no objective looks, or far above what is prescribed.

    Empty if there is no such dose.
    """
    rows: Array = dose.array.ravel()[influence.voxels]
    seen = np.zeros(rows.size, dtype=bool)
    for term in terms:
        seen[term.rows] = True
    known = np.where(np.isfinite(rows), rows, 0.0)
    inside, outside = (float(known[part].max(initial=0.0)) for part in (seen, ~seen))
    if outside > _MUCH_HOTTER * inside:
        return (
            f"; the highest dose, {outside:.3g} {dose.unit}, lies in no structure with an "
            "objective: add one for the body"
        )
    asked = prescribing([term for term in terms if term.quantity == dose.quantity])
    highest = max(inside, outside)
    if asked is None or highest <= _FAR_ABOVE * asked[1]:
        return ""
    return (
        f"; the highest dose, {highest:.3g} {dose.unit}, is {highest / asked[1]:.2g} times the "
        "highest prescription: add SquaredOverdose for where it lies, or place beams or spots "
        "closer"
    )


def doses_in_scenarios(influence: Influence, weights: Array, fractions: int) -> tuple[Dose, ...]:
    """Dose of ``weights`` (n_columns,) in each scenario; RBE-weighted if there is an RBE."""
    if knows_effects(influence):
        return scenario_rbe_doses(influence, weights, fractions)
    doses, model = scenario_doses(influence, weights), influence.rbe
    if not isinstance(model, ConstantRBE):
        return doses
    return tuple(
        replace(dose, array=model.factor * dose.array, quantity="rbe_dose") for dose in doses
    )


@dataclass(frozen=True, slots=True)
class ScaledObjective:
    """An objective of dose times a constant RBE, as one of dose.

    Parameters
    ----------
    objective
        What is wished of the RBE-weighted dose.
    factor
        RBE-weighted dose over dose.
    """

    kind: ClassVar[str] = "scaled"

    objective: Objective
    factor: float

    @property
    def weight(self) -> float:
        """Factor in the sum of objectives."""
        return self.objective.weight

    @property
    def is_convex(self) -> bool:
        """Whether the objective is a convex function of the dose."""
        return self.objective.is_convex

    @property
    def idle_below(self) -> float:
        """Dose, Gy, up to which a voxel has no effect; minus infinity if there is none."""
        if isinstance(self.objective, OneSidedObjective):
            return self.objective.idle_below / self.factor
        return -np.inf

    def keeping(self, kept: BoolArray) -> ScaledObjective:
        """The same on the voxels that are ``kept`` (n,), where voxels have limits of their own."""
        if not hasattr(self.objective, "keeping"):
            return self
        return replace(self, objective=self.objective.keeping(kept))

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Value, and its derivative (n,), for ``dose`` (n,), Gy, and volume ``share`` (n,)."""
        value, slope = self.objective.value_and_gradient(self.factor * dose, share)
        return value, self.factor * slope


def knows_effects(influence: Influence) -> bool:
    """Whether scenarios hold columns of alpha and beta."""
    held = influence.scenarios
    return isinstance(held, ScenarioMatrices) and bool(held.effects) and is_variable(influence.rbe)


def in_dose(influence: Influence, terms: tuple[Term, ...]) -> tuple[Term, ...]:
    """Objectives of dose or of dose times a constant RBE, all as objectives of dose.

    Objectives that are all about RBE-weighted dose stay as they are where scenarios hold what a
    variable RBE needs.

    Raises
    ------
    CapabilityError
        If an objective is about something else, or some are about dose and others about a
        variable RBE.
    """
    if knows_effects(influence) and all(term.quantity == "rbe_dose" for term in terms):
        return terms
    return tuple(_in_dose(influence, term) for term in terms)


def _in_dose(influence: Influence, term: Term) -> Term:
    if term.quantity == "dose":
        return term
    model = influence.rbe
    if term.quantity == "rbe_dose" and isinstance(model, ConstantRBE):
        return replace(
            term, objective=ScaledObjective(term.objective, model.factor), quantity="dose"
        )
    what = "a variable RBE" if term.quantity == "rbe_dose" else f"{term.quantity!r}"
    raise CapabilityError(
        f"the objective on {term.structure!r} is about {what}, which this robust plan does not "
        "know: all objectives must be about dose, or all about RBE-weighted dose. Plan with "
        "rbe.ConstantRBE, or without robust objectives."
    )
