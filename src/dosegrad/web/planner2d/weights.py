"""Monitor units that meet goals best, by least squares."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from dosegrad.arrays import Array
from dosegrad.errors import PlanError
from dosegrad.evaluation.goals import Goal
from dosegrad.web.planner2d.dose import doses_per_mu
from dosegrad.web.planner2d.judging import pixels_of
from dosegrad.web.planner2d.state import PlanState

__all__ = ["optimise_weights"]

_TARGET_WEIGHT = 10.0
_GOAL_WEIGHT = 100.0
_BODY_WEIGHT = 0.02
_MOST = 2000.0  # MU of one beam


def optimise_weights(state: PlanState) -> list[float]:
    """Monitor units of each beam, not negative.

    Least squares: targets deviate from the prescription, goals are missed, and the whole section
    gets dose, each as a mean of squares, with falling weights.

    Raises
    ------
    PlanError
        If there is no beam or no target in the patient.
    """
    if not state.beams:
        raise PlanError("there is no beam whose weight could change; add one first.")
    columns = doses_per_mu(state)
    masks = {s.name: pixels_of(state.section, s) for s in state.structures}
    targets = [s.name for s in state.structures if s.role == "target" and masks[s.name].any()]
    if not targets:
        raise PlanError("there is no target in the patient; draw one, or move it inside.")
    parts = {name: columns[:, mask] for name, mask in masks.items() if mask.any()}
    goals = [Goal.parse(sentence) for sentence in state.goals]
    every = columns[:, ::7]

    def misfit(units: Array) -> tuple[float, Array]:
        value, slope = 0.0, np.zeros(len(units))
        for name in targets:
            gap = units @ parts[name] - state.prescription
            value += _TARGET_WEIGHT * float(np.mean(gap**2))
            slope += _TARGET_WEIGHT * 2.0 * (parts[name] @ gap) / gap.size
        for goal in goals:
            if goal.structure in parts:
                one, back = _missed(goal, units @ parts[goal.structure])
                value += _GOAL_WEIGHT * one
                slope += _GOAL_WEIGHT * (parts[goal.structure] @ back)
        dose = units @ every
        value += _BODY_WEIGHT * float(np.mean(dose**2))
        slope += _BODY_WEIGHT * 2.0 * (every @ dose) / dose.size
        return value, slope

    middle = np.array([parts[name].mean(axis=1) for name in targets]).mean(axis=0)
    start = np.full(len(columns), state.prescription / max(float(middle.sum()), 1e-6))
    scale = max(float(start[0]), 1e-3)

    def scaled(relative: Array) -> tuple[float, Array]:
        value, slope = misfit(scale * relative)
        return value, scale * slope

    found = minimize(
        scaled,
        np.ones(len(columns)),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, _MOST / scale)] * len(columns),
        options={"maxiter": 300, "ftol": 1e-12, "gtol": 1e-9},
    )
    units = scale * found.x
    return [round(float(u), 2) if u > 0.05 else 0.0 for u in units]


def _missed(goal: Goal, dose: Array) -> tuple[float, Array]:
    """Mean square by which a goal is missed, and its gradient (n,)."""
    n, kind = dose.size, goal.metric.kind
    at_least = ">" in goal.comparator
    sign = -1.0 if at_least else 1.0
    if kind == "mean":
        over = max(sign * (float(dose.mean()) - goal.limit), 0.0)
        return over**2, np.full(n, 2.0 * sign * over / n)
    limit, counted = goal.limit, np.ones(n, dtype=bool)
    if kind == "volume-at-dose":
        limit = float(goal.metric.number or 0.0)
        counted = _all_but(dose, goal.limit / 100.0, at_least=at_least)
    elif kind == "dose-at-percent":
        counted = _all_but(dose, float(goal.metric.number or 0.0) / 100.0, at_least=at_least)
    elif kind == "HI":
        return 0.0, np.zeros(n)
    over_each = np.where(counted, np.maximum(sign * (dose - limit), 0.0), 0.0)
    return float(np.mean(over_each**2)), 2.0 * sign * over_each / n


def _all_but(dose: Array, share: float, *, at_least: bool) -> Array:
    """Which voxels count: of those hottest ``share``, or of the rest, that a goal lets be."""
    order = np.argsort(-dose)
    hottest = np.zeros(dose.size, dtype=bool)
    hottest[order[: round(share * dose.size)]] = True
    return hottest if at_least else ~hottest
