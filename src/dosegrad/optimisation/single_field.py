"""Single-field uniform dose: every field by itself gives its share of a uniform dose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from scipy.sparse import csc_array

from dosegrad.arrays import Array
from dosegrad.beams.beam import Beams
from dosegrad.errors import CapabilityError, SettingsError, unknown_name
from dosegrad.influence.matrix import Influence
from dosegrad.optimisation.problem import PlanProblem
from dosegrad.optimisation.solvers.protocols import Solution
from dosegrad.plan import Plan
from dosegrad.progress import report

__all__ = ["SFUD", "FieldCourse", "field_influence", "resolve_mode"]


@dataclass(frozen=True, slots=True)
class SFUD:
    r"""Single-field uniform dose.

    Each field is optimised by itself, for all objectives, as if it gave the whole dose; the plan is
    the sum of the fields, each times its share:

    .. math:: d = \sum_k s_k d_k, \qquad f(d) \le \sum_k s_k f(d_k)

    The bound holds for convex objectives of dose: what no field violates, the plan does not either.
    With an RBE model of the linear-quadratic kind the RBE-weighted doses of fields do not simply
    add up; the plan's is that of all fields together.

    Parameters
    ----------
    shares
        Of the dose, one for each field, in any scale; equal by default.
    """

    shares: tuple[float, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "shares", tuple(float(s) for s in self.shares))
        if any(not 0.0 < s < np.inf for s in self.shares):
            raise SettingsError(
                f"shares {self.shares} of fields cannot be; give a positive number for each field."
            )

    def of(self, beams: Beams) -> Array:
        """Share (n_beams,) of each field; they sum to one.

        Raises
        ------
        SettingsError
            If there is not one for each field.
        """
        n = len(beams)
        if len(self.shares) not in (0, n):
            raise SettingsError(
                f"{len(self.shares)} shares do not fit {n} fields; give one for each, or none for "
                "equal ones."
            )
        given = np.array(self.shares or (1.0,) * n)
        shares: Array = given / given.sum()
        return shares


@dataclass(slots=True, eq=False)
class FieldCourse:
    """The optimisation of all fields, one by one.

    Parameters
    ----------
    influence
        Of all fields.
    problem
        Objectives on the sum of them.
    mode
        What each field gives.
    alone
        Makes the plan of one field from its influence and the weights to start from, or ``None``.
    keeps_start
        Whether the weights given to :meth:`run` are to be kept to.
    """

    influence: Influence
    problem: PlanProblem
    mode: SFUD
    alone: Callable[..., Plan]
    keeps_start: bool = False
    history: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.influence.scenarios is not None:
            raise CapabilityError(
                "fields cannot be optimised one by one in scenarios; compute the influence "
                'without scenarios=, or leave out mode="sfud".'
            )

    def run(self, start: Array) -> Solution:
        """Weights (n_columns,) of the sum of fields."""
        beams, plans = self.influence.beams, []
        shares = self.mode.of(beams)
        weights = np.zeros(beams.n_columns)
        for number, share in enumerate(shares):
            report("fields", number / len(shares), f"field {number + 1} of {len(shares)}")
            part = beams.columns_of(number)
            first = start[part] / share if self.keeps_start else None
            plan = self.alone(field_influence(self.influence, number), initial=first)
            weights[part] = share * plan.weights
            plans.append(plan)
        self.history = _mixed([plan.history for plan in plans], shares)
        n_evaluations = sum(int(str(p.provenance["n_evaluations"])) for p in plans)
        words = _describe(plans)
        return Solution(weights, self.value(weights), len(self.history), n_evaluations, words)

    def value(self, weights: Array) -> float:
        """Objective of ``weights`` (n_columns,) of all fields together."""
        return float(sum(self.problem.values(self.problem.dose(weights), weights)))


def resolve_mode(mode: str | SFUD) -> SFUD | None:
    """How fields share the dose; ``None`` if they are optimised together.

    Raises
    ------
    UnknownNameError
        If there is no such mode.
    """
    if isinstance(mode, SFUD):
        return mode
    if mode not in _MODES:
        raise unknown_name("mode of planning", mode, _MODES)
    return SFUD() if mode == "sfud" else None


_MODES: Final = ("together", "sfud")


def field_influence(influence: Influence, number: int) -> Influence:
    """The influence of one field by its number."""
    beams, matrix = influence.beams, influence.matrix
    part = beams.columns_of(number)
    first, last = int(matrix.indptr[part.start]), int(matrix.indptr[part.stop])
    columns = beams.columns[part].copy()
    columns["beam"] = 0
    indptr = matrix.indptr[part.start : part.stop + 1] - matrix.indptr[part.start]
    parts = (matrix.data[first:last], matrix.indices[first:last], indptr)
    alone = Beams(beams.machine, (beams[number],), columns)
    return replace(
        influence,
        beams=alone,
        matrix=csc_array(parts, shape=(matrix.shape[0], columns.size)),
        extra={name: values[first:last] for name, values in influence.extra.items()},
    )


def _mixed(histories: Sequence[Sequence[float]], shares: Array) -> list[float]:
    """Mean objective of the fields after each iteration; those that have ended stay."""
    longest = max(len(h) for h in histories)
    filled = [[*h, *([h[-1]] * (longest - len(h)))] for h in histories]
    return [float(v) for v in shares @ np.array(filled)]


def _describe(plans: Sequence[Plan]) -> str:
    """Why the optimisation of each field ended, in words."""
    ends = "; ".join(f"field {k} {plan.message}" for k, plan in enumerate(plans, 1))
    return f"fields one by one: {ends}"
