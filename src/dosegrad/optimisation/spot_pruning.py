"""Fewer spots for the same dose: those that coincide, those that hardly count, least weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from dosegrad.arrays import Array, BoolArray
from dosegrad.beams.beam import Beams
from dosegrad.errors import PlanError, SettingsError
from dosegrad.influence.matrix import Influence
from dosegrad.influence.products import in_kernel_types
from dosegrad.influence.range_map import layers_of
from dosegrad.influence.scenario_doses import scenario_doses
from dosegrad.influence.spot_map import particle_machine
from dosegrad.optimisation.optimise import optimise
from dosegrad.optimisation.problem import PlanProblem, typical_steps
from dosegrad.optimisation.robust_course import RobustCourse
from dosegrad.optimisation.robust_wishes import RobustChoice, robust_ways, split_wishes
from dosegrad.optimisation.solvers.lbfgsb import LBFGSB
from dosegrad.optimisation.solvers.protocols import Function
from dosegrad.optimisation.wishes import Wishes, make_terms
from dosegrad.plan import Plan

__all__ = [
    "keep_minimum_weight",
    "merge_spots",
    "move_spots",
    "prune_spots",
    "shift_layers",
    "thin_out",
]

#: Iterations between two rounds in which spots are left out, and the share of spots that stays.
_THIN_ITERATIONS: Final = 60
_KEPT_SHARE: Final = 0.85


def move_spots(beams: Beams, x: Array, y: Array) -> Beams:
    """``beams`` with their columns at ``x`` and ``y`` (n_columns,), mm, each on a ray of its own.

    Columns at the same place of the same beam share a ray.
    """
    columns = beams.columns.copy()
    columns["x"], columns["y"] = x, y
    return Beams(beams.machine, beams.fields, _with_rays(columns))


def merge_spots(beams: Beams, weights: Array, *, within: float = 1.0) -> tuple[Beams, Array]:
    """Beams and weights in which spots of a layer nearer than ``within`` mm are one.

    The nearest pairs are joined first, at the mean of their places by weight, until no two spots
    of a layer are that near. The sum of weights stays.

    Parameters
    ----------
    beams
        Fields and columns.
    weights
        Of all columns, (n_columns,).
    within
        Distance in the isocentre plane, mm; 0 joins nothing.
    """
    check_distance(within)
    columns = beams.columns.copy()
    keys = np.column_stack([columns["beam"], columns["energy"]])
    _, layer = np.unique(keys, axis=0, return_inverse=True)
    layer = layer.reshape(-1)
    kept = np.zeros(columns.size, dtype=bool)
    total = np.array(weights, dtype=np.float64)
    spots = np.column_stack([columns["x"], columns["y"]])
    for number in range(int(layer.max()) + 1):
        here = np.flatnonzero(layer == number)
        kept[_join(spots, total, here, within)] = True
    columns["x"], columns["y"] = spots.T
    return Beams(beams.machine, beams.fields, _with_rays(columns[kept])), total[kept]


def check_distance(within: float) -> None:
    """Raise unless spots may be joined ``within`` so many mm."""
    if not (np.isfinite(within) and within >= 0):
        raise SettingsError(
            f"spots cannot be joined within {within} mm; give zero or more, such as 1."
        )


def drop_unused(plan: Plan) -> Plan:
    """The same plan without spots of weight zero; a plan of zeros alone stays as it is."""
    kept = plan.weights > 0
    if kept.all() or not kept.any():
        return plan
    beams = plan.beams
    columns = _with_rays(beams.columns[kept])
    return replace(
        plan, beams=Beams(beams.machine, beams.fields, columns), weights=plan.weights[kept]
    )


def prune_spots(beams: Beams, weights: Array, *, below: float) -> tuple[Beams, Array]:
    """Beams and weights without spots whose weight is ``below`` so many times the mean weight.

    Raises
    ------
    PlanError
        If no spot would be left.
    """
    kept = weights > below * weights.mean()
    if not kept.any():
        raise PlanError(
            f"no spot weighs more than {below:g} times the mean; prune less, or look why all "
            "weights are zero."
        )
    return Beams(beams.machine, beams.fields, _with_rays(beams.columns[kept])), weights[kept]


def shift_layers(beams: Beams, shifts: Array) -> Beams:
    """``beams`` whose layers have the machine's energies nearest to those shifted in range.

    Parameters
    ----------
    beams
        Fields and columns.
    shifts
        Of the range of each layer, mm, in the order of
        :func:`~dosegrad.influence.range_map.layers_of`.
    """
    machine = particle_machine(beams)
    found, numbers = layers_of(beams)
    ranges, energies = machine.ranges, machine.energies
    columns = beams.columns.copy()
    moved = np.empty(found.size)
    for k, energy in enumerate(found["energy"]):
        wanted = machine.at_energy(float(energy)).range + float(shifts[k])
        moved[k] = energies[int(np.argmin(np.abs(ranges - wanted)))]
    columns["energy"] = moved[numbers]
    return Beams(beams.machine, beams.fields, columns)


def thin_out(
    influence: Influence, objectives: Wishes, weights: Array, *, most: int
) -> tuple[Beams, Array]:
    """Beams and weights with at most so many spots, the lightest left out round by round.

    Parameters
    ----------
    influence
        Of all spots.
    objectives
        As for :func:`~dosegrad.optimise`; in the plan's own case alone.
    weights
        Of all columns (n_columns,), to begin with.
    most
        Number of spots at most.
    """
    kept = np.arange(weights.size)
    while True:
        part = _columns_of(influence, kept)
        plan = optimise(part, objectives, initial=weights[kept], max_iterations=_THIN_ITERATIONS)
        weights = weights.copy()
        weights[kept] = plan.weights
        if kept.size <= most:
            return part.beams, plan.weights
        n = max(most, int(_KEPT_SHARE * kept.size))
        kept = np.sort(kept[np.argsort(-plan.weights, kind="stable")[:n]])


def _columns_of(influence: Influence, kept: NDArray[np.int64]) -> Influence:
    """The influence of some columns, ascending."""
    beams = influence.beams
    columns = _with_rays(beams.columns[kept])
    return Influence(
        influence.patient,
        Beams(beams.machine, beams.fields, columns),
        influence.grid,
        influence.voxels,
        influence.matrix[:, kept],
        provenance=influence.provenance,
        covers_body=influence.covers_body,
    )


def keep_minimum_weight(
    influence: Influence,
    objectives: Wishes,
    plan: Plan,
    *,
    minimum: float,
    robust: RobustChoice = None,
    max_iterations: int = 200,
    tolerance: float = 1e-4,
) -> Plan:
    """The plan with no weight between 0 and ``minimum``, optimised again within that limit.

    Spots below half the minimum are dropped, the others raised to it at least; then weights are
    optimised with the minimum as their lower bound.

    Parameters
    ----------
    influence
        Of the beams of ``plan``.
    objectives
        As for :func:`~dosegrad.optimise`.
    plan
        Optimised without the limit.
    minimum
        Least weight of a delivered spot, 10^6 particles for the whole course.
    robust
        How objectives see the scenarios of the influence.
    max_iterations, tolerance
        Of the solver.

    Raises
    ------
    PlanError
        If no spot reaches half the minimum.
    """
    kept = plan.weights >= 0.5 * minimum
    if not kept.any():
        raise PlanError(
            f"no spot weighs half the minimum of {minimum:g} x 10^6 particles; the heaviest has "
            f"{plan.weights.max():.3g}. Give a smaller minimum."
        )
    base = np.where(kept, minimum, 0.0)
    value_at, function, scale = _functions(influence, objectives, plan, robust)

    def above(part: Array) -> tuple[float, Array]:
        value, slope = function(base + np.where(kept, part, 0.0))
        return value, np.where(kept, slope, 0.0)

    history: list[float] = []

    def watch(_number: int, _variables: Array, value: float) -> bool:
        history.append(value)
        return False

    solution = LBFGSB(tolerance=tolerance).minimise(
        above,
        np.where(kept, np.maximum(plan.weights - minimum, 0.0), 0.0),
        scale=scale,
        max_iterations=max_iterations,
        watch=watch,
    )
    weights = np.where(kept, base + solution.variables, 0.0)
    value = value_at(weights)
    return replace(
        plan,
        weights=weights,
        dose=influence.dose(weights),
        objective=value,
        history=(*plan.history, *history, value),
        provenance={**plan.provenance, "minimum_weight": minimum},
        scenario_doses=scenario_doses(influence, weights) if plan.scenario_doses else (),
    )


def _functions(
    influence: Influence, objectives: Wishes, plan: Plan, robust: RobustChoice
) -> tuple[Callable[[Array], float], Function, Array]:
    """Objective, the smooth one to minimise, and the typical change (n_columns,) of weights."""
    wishes, marks = split_wishes(objectives)
    terms = make_terms(influence, wishes)
    problem = PlanProblem(in_kernel_types(influence.matrix), terms)
    function = problem.following(np.ones(influence.voxels.size, dtype=bool))
    scale = typical_steps(function, plan.weights)
    ways = robust_ways(influence, terms, marks, robust)
    if not any(way is not None for way in ways):
        return (
            lambda weights: float(sum(problem.values(problem.dose(weights), weights))),
            function.value_and_gradient,
            scale,
        )
    course = RobustCourse.of(influence, problem, ways, LBFGSB(), None, warms_up=False)
    return course.value, course.last_function(plan.weights), scale


def _join(
    spots: Array, weights: Array, here: NDArray[np.int64], within: float
) -> NDArray[np.int64]:
    """Columns among ``here`` that are left; ``spots`` (n, 2) and ``weights`` (n,) are changed."""
    left = here
    while left.size > 1 and within > 0:
        pairs = cKDTree(spots[left]).query_pairs(within, output_type="ndarray")
        if pairs.size == 0:
            break
        first, second = left[pairs.T]
        nearest = np.argsort(np.hypot(*(spots[first] - spots[second]).T), kind="stable")
        gone = _join_pairs(spots, weights, first[nearest], second[nearest])
        left = left[~gone[left]]
    return left


def _join_pairs(
    spots: Array, weights: Array, first: NDArray[np.int64], second: NDArray[np.int64]
) -> BoolArray:
    """Which columns were joined to another; each takes part once."""
    used, gone = np.zeros((2, weights.size), dtype=bool)
    for a, b in zip(first, second, strict=True):
        if used[a] or used[b]:
            continue
        total = weights[a] + weights[b]
        share = weights[b] / total if total > 0 else 0.5
        spots[a] += share * (spots[b] - spots[a])
        weights[a] = total
        used[a] = used[b] = gone[b] = True
    return gone


def _with_rays(columns: NDArray[np.void]) -> NDArray[np.void]:
    """Columns with rays numbered anew: same beam, same place."""
    keys = np.column_stack([columns[name] for name in ("beam", "x", "y")])
    columns["ray"] = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
    return columns
