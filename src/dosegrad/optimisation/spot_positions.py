"""Plans in which spots move: positions and weights optimised together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import OptimizeResult, minimize

from dosegrad.arrays import Array, BoolArray
from dosegrad.beams.beam import Beams
from dosegrad.engines.pencil_beam.engine import PencilBeam
from dosegrad.errors import CapabilityError, PlanError, SettingsError, unknown_name
from dosegrad.geometry.grid import Grid, Triple
from dosegrad.influence.build import choose_grid, compute_influence, prepare_medium, resolve_engine
from dosegrad.influence.dose_map import InfluenceDoseMap
from dosegrad.influence.spot_map import SpotDoseMap
from dosegrad.optimisation.optimise import optimise
from dosegrad.optimisation.problem import DoseProblem, typical_steps
from dosegrad.optimisation.solvers.lbfgsb import LBFGSB
from dosegrad.optimisation.spot_problem import sample_terms
from dosegrad.optimisation.spot_pruning import (
    keep_minimum_weight,
    merge_spots,
    move_spots,
    prune_spots,
)
from dosegrad.optimisation.wishes import Wishes, prescription
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan
from dosegrad.progress import report

__all__ = ["Method", "optimise_spots"]

#: How weights and positions take turns.
Method: TypeAlias = Literal["simultaneous", "alternating"]

#: Iterations of weights and of positions in one turn of the alternating scheme.
_TURN: Final = (20, 8)
_METHODS: Final = ("simultaneous", "alternating")
#: Past steps that shape the next one.
_MEMORY: Final = 50
#: Iterations over which the decrease of the objective counts.
_PATIENCE: Final = 10
#: Iterations of weights alone before spots begin to move.
_WEIGHT_ITERATIONS: Final = 60
#: Iterations of weights alone at the end, on the standard influence.
_LAST_ITERATIONS: Final = 1000


def optimise_spots(
    patient: Patient,
    beams: Beams,
    objectives: Wishes,
    *,
    max_shift: float,
    method: Method = "simultaneous",
    engine: str | PencilBeam = "pencil-beam",
    grid: Grid | None = None,
    dose_spacing: Triple | None = None,
    fractions: int = 1,
    initial: ArrayLike | None = None,
    max_iterations: int = 220,
    tolerance: float = 1e-4,
    merge_within: float = 1.0,
    prune_below: float = 1e-2,
    minimum_weight: float = 0.0,
    watch: Callable[[Array], None] | None = None,
) -> Plan:
    r"""The plan whose weights and spot positions together make the objectives least.

    .. math:: \min_{w \ge 0,\; |x - x_0| \le m,\; |y - y_0| \le m} f(D(x, y)\, w)

    Spots start where ``beams`` have them. One bounded quasi-Newton method moves all weights and
    positions at once, each in units of its own: the mean weight, and the size of the spot in the
    peak. Then spots of a layer that met are joined, those that hardly count are left out, and
    weights are optimised once more with the influence matrix of the moved spots. So dose and
    objective of the plan are those of the standard engine, not of the smooth one that moved them.

    A plan of few spots holds less well when the patient moves; give margins, or a robust
    objective once the spots are where they should be.

    Parameters
    ----------
    patient, beams
        Whom to irradiate, and where spots begin.
    objectives
        As for :func:`~dosegrad.optimise`.
    max_shift
        How far a spot may move along x and along y, mm; about three quarters of the spacing.
    method
        ``"simultaneous"``, or ``"alternating"`` turns of weights and positions as published.
    engine
        ``"pencil-beam"``, or its settings.
    grid, dose_spacing
        Dose grid, or its spacing (z, y, x), mm, as for :func:`~dosegrad.compute_influence`.
    fractions
        Number of fractions of the course.
    initial
        Weights (n_columns,) to start from; by default equal ones that give the prescription.
    max_iterations, tolerance
        Of the moving part: at most so many, and the relative decrease over 10 iterations that
        is too small to go on.
    merge_within
        Spots of a layer nearer than this are joined, mm.
    prune_below
        Spots of less than this many times the mean weight are left out.
    minimum_weight
        Least weight of a spot that is delivered, 10^6 particles for the whole course.
    watch
        Called with weight, x and y of every column (n_columns, 3) after each move.

    Returns
    -------
        A plan with fresh ``beams``. Its ``history`` is that of the moving part, on the voxels
        that it looks at, then that of the weights at the end.

    Raises
    ------
    PlanError
        If objectives are missing or contradict each other.
    SettingsError
        If an option is out of its range.
    CapabilityError
        If the engine cannot move spots.

    References
    ----------
    The idea: AAPM 2026 abstract 2037 (JO-IMPT), which alternates; Byrd et al. 1995, SIAM J. Sci.
    Comput. 16, 1190, for the method.
    """
    _check(max_shift, method, max_iterations, tolerance, prune_below, minimum_weight)
    chosen = _moving_engine(engine)
    dose_grid = choose_grid(patient, grid=grid, dose_spacing=dose_spacing)
    medium = prepare_medium(patient, dose_grid, chosen)
    sampled = sample_terms(patient, beams, dose_grid, objectives)
    spots = SpotDoseMap.of(medium, beams, sampled.voxels, engine=chosen, max_shift=max_shift)
    problem = DoseProblem(spots, sampled.terms, sampled.shares)
    course = _Course(tolerance, max_iterations, method, watch)
    start = _first_spots(problem, beams, initial)
    at = course.run(problem, start, _box(beams, max_shift))

    moved, weights = merge_spots(
        move_spots(beams, at[:, 1], at[:, 2]), at[:, 0], within=merge_within
    )
    moved, weights = prune_spots(moved, weights, below=prune_below)
    influence = compute_influence(patient, moved, engine=chosen, grid=dose_grid)
    plan = optimise(
        influence,
        objectives,
        fractions=fractions,
        initial=weights,
        max_iterations=_LAST_ITERATIONS,
        tolerance=0.1 * tolerance,
    )
    if minimum_weight > 0:
        plan = keep_minimum_weight(influence, objectives, plan, minimum=minimum_weight)
    settings = {"method": method, "max_shift": max_shift, "merge_within": merge_within}
    return replace(
        plan,
        history=(*course.history, *plan.history),
        message=f"{course.message}; then {plan.message}",
        provenance={**plan.provenance, "spot_positions": settings},
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Box:
    """Lowest and highest variables (n,), and which of them are free."""

    low: Array
    high: Array
    free: BoolArray


@dataclass(slots=True, eq=False)
class _Course:
    """Minimises objectives of weights and positions, and keeps what they were."""

    tolerance: float
    max_iterations: int
    method: Method
    watch: Callable[[Array], None] | None = None
    history: list[float] = field(default_factory=list)
    n_moves: int = 0

    def run(self, problem: DoseProblem, spots: Array, box: _Box) -> Array:
        """The best weights and positions (n_columns, 3) found."""
        start = spots.T.ravel()
        scale = _scale(_spots_of(problem), spots[:, 0])
        self.history.append(problem.value_and_gradient(start)[0])
        found = self._turns(problem, start, scale, box)
        return np.ascontiguousarray(found.reshape(3, -1).T)

    def _turns(self, problem: DoseProblem, start: Array, scale: Array, box: _Box) -> Array:
        variables = start
        if self.method == "simultaneous":
            variables = self._weights(problem, variables, _WEIGHT_ITERATIONS)
            return self._minimise(problem, variables, scale, box, self.max_iterations)
        fixed = replace(box, free=np.arange(start.size) >= start.size // 3)
        while self.n_moves < self.max_iterations:
            before = self.history[-1]
            variables = self._weights(problem, variables, _TURN[0])
            most = min(_TURN[1], self.max_iterations - self.n_moves)
            variables = self._minimise(problem, variables, scale, fixed, most)
            if before - self.history[-1] <= self.tolerance * abs(before):
                break
        return variables

    @property
    def message(self) -> str:
        """How it ended, in words."""
        if self.n_moves >= self.max_iterations:
            return f"spots moved for {self.n_moves} iterations, as many as allowed"
        return f"spots settled after {self.n_moves} iterations"

    def _weights(self, problem: DoseProblem, variables: Array, most: int) -> Array:
        """Variables after so many iterations of weights alone, by a matrix."""
        matrix = InfluenceDoseMap.of(_spots_of(problem).matrices(variables)[0])
        function = replace(problem, dose_map=matrix)
        n = matrix.n_variables

        def watch(_number: int, _weights: Array, value: float) -> bool:
            self._tell(value)
            return False

        solution = LBFGSB(tolerance=self.tolerance).minimise(
            function.value_and_gradient,
            variables[:n],
            scale=typical_steps(function, variables[:n]),
            max_iterations=most,
            watch=watch,
        )
        return np.concatenate([solution.variables, variables[n:]])

    def _minimise(
        self, problem: DoseProblem, start: Array, scale: Array, box: _Box, most: int
    ) -> Array:
        low, high, free = box.low, box.high, box.free
        unit = scale[free]

        def scaled(part: Array) -> tuple[float, Array]:
            variables = start.copy()
            variables[free] = part * unit
            value, slope = problem.value_and_gradient(variables)
            if not np.isfinite(value):
                raise PlanError(
                    f"the objective became {value}; check weights and doses of the objectives."
                )
            return value, slope[free] * unit

        seen: list[float] = []

        def follow(intermediate_result: OptimizeResult) -> None:
            if self.watch is not None:
                moved = start.copy()
                moved[free] = intermediate_result.x * unit
                self.watch(moved.reshape(3, -1).T)
            self._follow(seen, float(intermediate_result.fun))

        limits: Any = import_module("threadpoolctl").threadpool_limits
        with limits(1, user_api="blas"):
            result = minimize(
                *(scaled, start[free] / unit),
                jac=True,
                method="L-BFGS-B",
                bounds=np.column_stack([low[free] / unit, high[free] / unit]),
                callback=follow,
                options={
                    "maxcor": _MEMORY,
                    "maxiter": most,
                    "maxfun": 20 * most,
                    "ftol": 0.0,
                    "gtol": 0.0,
                },
            )
        variables = start.copy()
        variables[free] = np.clip(result.x * unit, low[free], high[free])
        return variables

    def _follow(self, seen: list[float], value: float) -> None:
        """Keep the objective; end the turn once it has hardly fallen over the last iterations."""
        self.n_moves += 1
        self._tell(value)
        seen.append(value)
        if len(seen) > _PATIENCE and seen[-1 - _PATIENCE] - value <= self.tolerance * abs(value):
            raise StopIteration

    def _tell(self, value: float) -> None:
        self.history.append(value)
        report("moving spots", self.n_moves / self.max_iterations, f"objective {value:.5g}")


def _moving_engine(engine: str | PencilBeam) -> PencilBeam:
    """Settings of the pencil beam, the one engine whose dose is smooth in spot positions."""
    chosen = resolve_engine(engine)
    if not isinstance(chosen, PencilBeam):
        raise CapabilityError(
            f"engine {type(chosen).__name__} gives no derivative by spot positions; engines that "
            "do: pencil-beam. Move the spots with it, then compute the dose with the other one."
        )
    return chosen


def _spots_of(problem: DoseProblem) -> SpotDoseMap:
    spots = problem.dose_map
    assert isinstance(spots, SpotDoseMap)
    return spots


def _first_spots(problem: DoseProblem, beams: Beams, initial: ArrayLike | None) -> Array:
    """Weights and positions (n_columns, 3) to begin with."""
    weights = _first_weights(problem, beams, initial)
    return np.column_stack([weights, beams.columns["x"], beams.columns["y"]])


def _first_weights(problem: DoseProblem, beams: Beams, initial: ArrayLike | None) -> Array:
    """Weights (n_columns,) to begin with."""
    n = beams.n_columns
    if initial is not None:
        given = np.array(initial, dtype=float)
        if given.shape != (n,) or not np.isfinite(given).all() or (given < 0).any():
            raise PlanError(
                f"initial weights of shape {given.shape} do not fit; give {n} finite numbers, "
                "none of them negative."
            )
        return given
    spots = _spots_of(problem)
    weights = np.ones(spots.n_columns)
    asked = prescription(problem.terms)
    if asked is None:
        return weights
    rows, dose = asked
    mean = float(spots.linearise(spots.variables(beams, weights))[0][rows].mean())
    if not mean > 0:
        raise PlanError(
            f"no spot gives dose to the structure that is to get {dose:g} Gy; check that the "
            "beams were steered at it."
        )
    return weights * (dose / mean)


def _box(beams: Beams, max_shift: float) -> _Box:
    """Weights not negative, positions within ``max_shift`` of those of ``beams``."""
    n = beams.n_columns
    places = np.concatenate([beams.columns["x"], beams.columns["y"]])
    low = np.concatenate([np.zeros(n), places - max_shift])
    high = np.concatenate([np.full(n, np.inf), places + max_shift])
    return _Box(low, high, np.ones(3 * n, dtype=bool))


def _scale(spots: SpotDoseMap, weights: Array) -> Array:
    """Typical change (3 n_columns,): the mean weight, and the size of each spot in its peak."""
    n = spots.n_columns
    mean = float(weights.mean())
    sizes = spots.typical_shifts()
    return np.concatenate([np.full(n, mean if mean > 0 else 1.0), sizes, sizes])


def _check(
    max_shift: float,
    method: str,
    max_iterations: int,
    tolerance: float,
    prune_below: float,
    minimum_weight: float,
) -> None:
    if method not in _METHODS:
        raise unknown_name("method", method, _METHODS)
    if not (np.isfinite(max_shift) and max_shift > 0):
        raise SettingsError(
            f"spots cannot move by {max_shift} mm; give a positive number, about three quarters of "
            "the spot spacing, or call optimise() for spots that stay."
        )
    if max_iterations < 1 or not 0 <= tolerance < 1:
        raise SettingsError(
            f"max_iterations {max_iterations} must be at least 1 and tolerance {tolerance} from 0 "
            "to below 1; leave them out to take the defaults."
        )
    if not (0 <= prune_below < 1 and 0 <= minimum_weight < np.inf):
        raise SettingsError(
            f"prune_below {prune_below} must be from 0 to below 1, and minimum_weight "
            f"{minimum_weight} zero or more."
        )
