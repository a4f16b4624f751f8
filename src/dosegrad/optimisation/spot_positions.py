"""Plans in which spots move: positions and weights optimised together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array
from dosegrad.beams.beam import Beams
from dosegrad.engines.pencil_beam.engine import PencilBeam
from dosegrad.errors import CapabilityError, PlanError, SettingsError, unknown_name
from dosegrad.geometry.grid import Grid, Triple
from dosegrad.influence.build import choose_grid, compute_influence, prepare_medium, resolve_engine
from dosegrad.influence.scenarios import Scenarios
from dosegrad.optimisation.optimise import optimise
from dosegrad.optimisation.robust_wishes import RobustChoice, split_wishes
from dosegrad.optimisation.spot_course import Method, SpotBox, SpotCourse
from dosegrad.optimisation.spot_objective import SpotObjective, SpotSettings
from dosegrad.optimisation.spot_pruning import (
    check_distance,
    drop_unused,
    keep_minimum_weight,
    merge_spots,
    move_spots,
    prune_spots,
    shift_layers,
    thin_out,
)
from dosegrad.optimisation.wishes import Wishes, prescription
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan

__all__ = ["Energies", "Method", "optimise_spots"]

#: Whether the energies of layers move.
Energies: TypeAlias = Literal["fixed", "layers"]

_METHODS: Final = ("simultaneous", "alternating")
_ENERGIES: Final = ("fixed", "layers")
#: A layer may move by at most so much, mm of water.
_FARTHEST: Final = 6.0
#: Iterations of weights alone at the end, on the standard influence, and with scenarios.
_LAST_ITERATIONS: Final = 1000
_LAST_ROBUST_ITERATIONS: Final = 300


def optimise_spots(
    patient: Patient,
    beams: Beams,
    objectives: Wishes,
    *,
    max_shift: float,
    method: Method = "simultaneous",
    energies: Energies = "fixed",
    max_range_shift: float = 2.0,
    scenarios: Scenarios | None = None,
    robust: RobustChoice = None,
    robust_structures: Sequence[str] | None = None,
    engine: str | PencilBeam = "pencil-beam",
    grid: Grid | None = None,
    dose_spacing: Triple | None = None,
    fractions: int = 1,
    initial: ArrayLike | None = None,
    max_iterations: int = 220,
    tolerance: float = 1e-4,
    merge_within: float = 1.0,
    prune_below: float = 1e-2,
    max_spots: int | None = None,
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

    A plan of few spots holds less well when the patient moves: give ``scenarios``.

    Parameters
    ----------
    patient, beams
        Whom to irradiate, and where spots begin.
    objectives
        As for :func:`~dosegrad.optimise`.
    max_shift
        How far a spot may move along x and along y, mm; about three quarters of the spacing. Where
        spots move a second time, by half as much again.
    method
        ``"simultaneous"``, or ``"alternating"`` turns of weights and positions as published.
    energies
        ``"fixed"``, or ``"layers"``: the energy of every layer moves too. Then layers are put to
        the machine's nearest energies, and spots move a second time.
    max_range_shift
        How far a layer may move in depth, mm.
    scenarios, robust, robust_structures
        Errors that the plan shall stand and how objectives see them, as for
        :func:`~dosegrad.compute_influence` and :func:`~dosegrad.optimise`. Where scenarios are
        given and neither ``robust`` nor an objective says how they count, it is by
        ``"minimax"``, as in plan files.
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
        Spots of a layer nearer than this are joined, mm; 0 joins none.
    prune_below
        Spots of less than this many times the mean weight are left out.
    max_spots
        At most so many spots: the lightest are left out in rounds with weights optimised between
        them, then what is left moves a second time.
    minimum_weight
        Least weight of a spot that is delivered, 10^6 particles for the whole course; weights are
        optimised again with it as their lower bound.
    watch
        Called with weight, x and y of every column (n_columns, 3) after each move.

    Returns
    -------
        A plan with fresh ``beams``, of those spots alone that have a weight. Its ``history`` is
        that of the moving part, on the voxels that it looks at, then that of the weights at the
        end.

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
    _check_more(energies, max_range_shift, max_spots, merge_within)
    robust = _way(objectives, scenarios, robust, robust_structures)
    chosen = _moving_engine(engine)
    dose_grid = choose_grid(patient, grid=grid, dose_spacing=dose_spacing)
    medium = prepare_medium(patient, dose_grid, chosen)
    cases = (scenarios, robust, robust_structures)
    settings = SpotSettings(patient, dose_grid, chosen, medium, objectives, max_shift, 0.0, *cases)
    if energies == "layers":
        settings = replace(settings, max_range_shift=max_range_shift)
    course = SpotCourse(tolerance, max_iterations, method, watch)
    moves = _Moves(settings, course, merge_within, prune_below)
    moved, weights = moves.all_the_way(beams, initial, max_spots)

    influence = compute_influence(
        patient,
        moved,
        engine=chosen,
        grid=dose_grid,
        scenarios=scenarios,
        robust_structures=robust_structures,
    )
    plan = optimise(
        influence,
        objectives,
        fractions=fractions,
        initial=weights,
        max_iterations=_LAST_ITERATIONS if scenarios is None else _LAST_ROBUST_ITERATIONS,
        tolerance=0.1 * tolerance if scenarios is None else tolerance,
        robust=robust,
    )
    if minimum_weight > 0:
        plan = keep_minimum_weight(
            influence, objectives, plan, minimum=minimum_weight, robust=robust
        )
    plan = drop_unused(plan)
    told: dict[str, object] = {
        "method": method,
        "max_shift": max_shift,
        "merge_within": merge_within,
        "energies": energies,
    }
    return replace(
        plan,
        history=(*course.history, *plan.history),
        message=f"{course.message}; then {plan.message}",
        provenance={**plan.provenance, "spot_positions": told},
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Moves:
    """Moves of spots one after the other, and what is done to spots after each."""

    settings: SpotSettings
    course: SpotCourse
    merge_within: float
    prune_below: float

    def all_the_way(
        self, beams: Beams, initial: ArrayLike | None, max_spots: int | None
    ) -> tuple[Beams, Array]:
        """Beams and weights after all moves."""
        moves_energies = self.settings.max_range_shift > 0
        again = moves_energies or max_spots is not None
        n = self.course.max_iterations
        first = max(1, n - n // 3) if again else n
        moved, weights = self._once(self.settings, beams, initial, first)
        if not again:
            return moved, weights
        if max_spots is not None:
            moved, weights = self._thinned(moved, weights, max_spots)
        settings = replace(
            self.settings, max_range_shift=0.0, max_shift=0.5 * self.settings.max_shift
        )
        left = max(1, n - self.course.n_moves)
        return self._once(settings, moved, weights, min(left, max(1, n // 3)))

    def _once(
        self, settings: SpotSettings, beams: Beams, initial: ArrayLike | None, most: int
    ) -> tuple[Beams, Array]:
        objective = SpotObjective.of(settings, beams)
        start = objective.spots.variables(beams, _first_weights(objective, beams, initial))
        found = self.course.run(objective, start, _box(settings, start, beams), max_iterations=most)
        n = beams.n_columns
        moved = move_spots(beams, found[n : 2 * n], found[2 * n : 3 * n])
        if settings.max_range_shift > 0:
            moved = shift_layers(moved, found[3 * n :])
        moved, weights = merge_spots(moved, found[:n], within=self.merge_within)
        return prune_spots(moved, weights, below=self.prune_below)

    def _thinned(self, beams: Beams, weights: Array, most: int) -> tuple[Beams, Array]:
        settings = self.settings
        if beams.n_columns <= most:
            return beams, weights
        influence = compute_influence(
            settings.patient, beams, engine=settings.engine, grid=settings.grid
        )
        return thin_out(influence, split_wishes(settings.objectives)[0], weights, most=most)


def _moving_engine(engine: str | PencilBeam) -> PencilBeam:
    """Settings of the pencil beam, the one engine whose dose is smooth in spot positions."""
    chosen = resolve_engine(engine)
    if not isinstance(chosen, PencilBeam):
        raise CapabilityError(
            f"engine {type(chosen).__name__} gives no derivative by spot positions; engines that "
            "do: pencil-beam. Move the spots with it, then compute the dose with the other one."
        )
    return chosen


def _first_weights(objective: SpotObjective, beams: Beams, initial: ArrayLike | None) -> Array:
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
    spots = objective.spots
    weights = np.ones(spots.n_columns)
    asked = prescription(objective.whole.terms)
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


def _box(settings: SpotSettings, start: Array, beams: Beams) -> SpotBox:
    """Weights not negative, positions and layers within their shifts of where they start."""
    n = beams.n_columns
    reach = np.full(start.size, settings.max_range_shift)
    reach[: 3 * n] = settings.max_shift
    low, high = start - reach, start + reach
    low[:n], high[:n] = 0.0, np.inf
    return SpotBox(low, high)


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


def _way(
    objectives: Wishes,
    scenarios: Scenarios | None,
    robust: RobustChoice,
    structures: Sequence[str] | None,
) -> RobustChoice:
    """How objectives see the scenarios: as asked for, else by minimax where there are some."""
    if scenarios is None:
        if robust is not None or structures is not None:
            raise SettingsError(
                "robust= and robust_structures= say how errors count, but no errors are given; add "
                "scenarios=, such as Scenarios.worst_case(setup=3.0, range_percent=3.5)."
            )
        return None
    if robust is None and not any(split_wishes(objectives)[1]):
        return "minimax"
    return robust


def _check_more(
    energies: str, max_range_shift: float, max_spots: int | None, merge_within: float
) -> None:
    check_distance(merge_within)
    if energies not in _ENERGIES:
        raise unknown_name("choice of energies", energies, _ENERGIES)
    if not 0 < max_range_shift <= _FARTHEST:
        raise SettingsError(
            f"layers cannot move by {max_range_shift} mm of range; give up to {_FARTHEST:g}, such "
            "as 2: farther off, another energy does something else than a shifted one."
        )
    if max_spots is not None and max_spots < 1:
        raise SettingsError(f"{max_spots} spots make no plan; ask for 1 or more.")
