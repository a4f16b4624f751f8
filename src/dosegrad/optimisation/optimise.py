"""From influence and objectives to a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from dosegrad._version import __version__
from dosegrad.arrays import Array
from dosegrad.errors import CapabilityError, PlanError, SettingsError
from dosegrad.influence.matrix import Influence
from dosegrad.influence.products import in_kernel_types, multiply
from dosegrad.influence.sources import QuantitySource
from dosegrad.objectives.protocols import ColumnWish
from dosegrad.objectives.smoothness import SpotSmoothness
from dosegrad.optimisation.course import Course
from dosegrad.optimisation.descent_course import DescentCourse, suits
from dosegrad.optimisation.hard_limits import ConstrainedCourse, Constraints, place_limits
from dosegrad.optimisation.problem import PlanProblem, Term
from dosegrad.optimisation.quantities import doses_in_scenarios, in_dose, plan_quantities, remark_on
from dosegrad.optimisation.robust import Robust
from dosegrad.optimisation.robust_course import RobustCourse
from dosegrad.optimisation.robust_wishes import RobustChoice, robust_ways, split_wishes
from dosegrad.optimisation.single_field import (
    SFUD,
    FieldCourse,
    resolve_mode,
)
from dosegrad.optimisation.solvers.coordinate_descent import CoordinateDescent
from dosegrad.optimisation.solvers.lbfgsb import LBFGSB
from dosegrad.optimisation.solvers.names import resolve_solver
from dosegrad.optimisation.solvers.protocols import Solution, Solver
from dosegrad.optimisation.wishes import Wishes, make_terms, prescribing
from dosegrad.plan import Plan
from dosegrad.progress import report
from dosegrad.units import whole_fractions

__all__ = ["optimise"]

#: Below this share of the prescription, voxels count less in objectives of LET.
_FAINT: Final = 0.005
#: The first weights give the prescribed dose to this share of it, after so many steps at most.
_NEAR: Final = 1e-3
_MOST_STEPS: Final = 20


def optimise(
    influence: Influence,
    objectives: Wishes,
    *,
    fractions: int = 1,
    solver: str | Solver = "l-bfgs-b",
    initial: ArrayLike | None = None,
    max_iterations: int | None = None,
    tolerance: float | None = None,
    stop_below: float | None = None,
    smoothness: SpotSmoothness | None = None,
    penalties: Sequence[ColumnWish] = (),
    constraints: Constraints | None = None,
    robust: RobustChoice = None,
    mode: str | SFUD = "together",
) -> Plan:
    """The plan whose weights, none negative, make the weighted sum of objectives least.

    Objectives act on structures after overlaps are resolved by priority, on the voxels of the
    influence; doses are Gy for the whole course. They are about dose, or about RBE-weighted dose if
    the influence was computed with ``rbe=``; one such as ``MeanDose().of("let")`` is about another
    quantity.

    Parameters
    ----------
    influence
        Dose per unit weight.
    objectives
        By structure, ``{"PTV": [SquaredDeviation(60.0, weight=100)]}``; or a sequence of
        ``SquaredDeviation(60.0, weight=100).on("PTV")``; or the objectives of a patient file.
    fractions
        Number of fractions of the course. It changes no optimum of dose; biology counts the effect
        of each fraction.
    solver
        A name, or settings such as ``LBFGSB(memory=30)``.
    initial
        Weights (n_columns,) to start from; by default equal ones that bring the mean dose of
        the structure with the highest prescription to that.
    max_iterations, tolerance
        Of the solver, instead of its own: 500, and 1e-4 of the objective over 10 iterations.
    stop_below
        Value of the objective that is good enough.
    smoothness
        A wish that neighbouring spots have similar weights.
    penalties
        Further wishes about the weights, such as ``SpotSparsity`` and ``LayerSparsity``.
    constraints
        What the plan has to keep, on whole structures: ``{"Cord": [limits.MaxDose(45.0)]}`` of
        :mod:`dosegrad.objectives.limits`, a sequence of such ``.on("Cord")``, or sentences such as
        ``"PTV: D95% >= 57 Gy"``, which enter as limits on mean tails. The message of the plan says
        whether they are kept, its ``provenance["constraints"]`` by how much each is.
    robust
        How objectives see the scenarios of the influence: ``"expected"``, ``"minimax"``,
        ``"objective-wise"``, ``"voxel-wise"``, ``"cvar"``, or settings of these; or a mapping of
        structures to such. An objective may also say so itself, by ``.robust()``. Without either
        the plan is nominal, even if the influence holds scenarios; its message says so.
    mode
        ``"together"``: all fields at once. ``"sfud"``, or ``SFUD(shares=(2, 1))``: single-field
        uniform dose, every field by itself; see :mod:`dosegrad.optimisation.single_field`.

    Returns
    -------
        A plan with dose, objective, its ``history`` (one value at the start and after each
        iteration), and a ``message`` that says in words why the solver ended. A robust plan has
        the dose of every scenario; its history rounds worst cases off, its objective does not.
        With an RBE model it has ``rbe_dose``, with columns of LET ``let``.

    Raises
    ------
    PlanError
        If objectives are missing, empty or contradict each other, or a value is not finite.
    UnknownNameError
        If a structure, solver or kind of objective is unknown.
    SettingsError
        If a setting is out of its range.
    """
    fractions = whole_fractions(fractions)
    fields = resolve_mode(mode)
    if stop_below is not None and not np.isfinite(stop_below):
        raise SettingsError(
            f"stop_below {stop_below} must be a finite value of the objective that is good enough; "
            "leave it out to go on to the end."
        )
    chosen = resolve_solver(solver, max_iterations, tolerance)
    asked = (*penalties, *((smoothness,) if smoothness is not None else ()))
    on_weights = tuple(wish.between(influence.beams) for wish in asked)
    _check_matrix(influence)
    matrix = in_kernel_types(influence.matrix)
    wishes, marks = split_wishes(objectives)
    terms = make_terms(influence, wishes)
    ways = robust_ways(influence, terms, marks, robust)
    is_robust = any(way is not None for way in ways)
    if is_robust:
        terms = in_dose(influence, terms)
    problem = PlanProblem(matrix, terms, on_weights, _source(influence, terms, fractions))
    start = _start(influence, problem, initial)
    course: Course | DescentCourse | RobustCourse | FieldCourse | ConstrainedCourse
    if constraints is not None:
        _check_constrained(problem, is_robust, fields)
        if isinstance(chosen, CoordinateDescent):  # it keeps no limits
            chosen = LBFGSB(chosen.max_iterations, chosen.tolerance, chosen.patience)
        limits = place_limits(influence, constraints)
        course = ConstrainedCourse(problem, limits, chosen, stop_below)
    elif fields is not None:
        options: dict[str, Any] = {
            "stop_below": stop_below,
            "smoothness": smoothness,
            "penalties": penalties,
        }
        alone = partial(
            optimise, objectives=objectives, fractions=fractions, solver=chosen, **options
        )
        course = FieldCourse(influence, problem, fields, alone, keeps_start=initial is not None)
    elif is_robust:
        course = RobustCourse.of(
            *(influence, problem, ways, chosen, stop_below), warms_up=initial is None
        )
    elif isinstance(chosen, CoordinateDescent) and suits(problem):
        course = DescentCourse(problem, chosen, stop_below)
    else:
        course = Course(problem, chosen, stop_below)
    solution = course.run(start)
    value = course.value(solution.variables)
    report("optimisation", 1.0, f"objective {value:.5g}")
    dose = influence.on_grid(multiply(matrix, solution.variables))
    more = plan_quantities(influence, solution.variables, fractions)
    return Plan(
        beams=influence.beams,
        weights=solution.variables,
        dose=dose,
        objective=value,
        history=(*course.history, value),
        fractions=fractions,
        message=solution.message
        + remark_on(influence, terms, more.get("rbe_dose", dose))
        + _remark_on_scenarios(influence, is_robust),
        provenance={
            **_provenance(influence, problem, ways, chosen, solution),
            **({} if fields is None else {"mode": repr(fields)}),
            **_kept(course, solution.variables),
        },
        scenario_doses=doses_in_scenarios(influence, solution.variables, fractions)
        if is_robust
        else (),
        quantities=more,
    )


def _source(influence: Influence, terms: Sequence[Term], fractions: int) -> QuantitySource | None:
    """Where values come from; ``None`` if all objectives are about dose."""
    names = tuple(dict.fromkeys(term.quantity for term in terms))
    if names == ("dose",):
        return None
    asked = prescribing(terms)
    softening = _FAINT * asked[1] if asked is not None else 0.0
    return QuantitySource(influence, names, fractions, softening)


def _check_constrained(problem: PlanProblem, is_robust: bool, fields: SFUD | None) -> None:
    quantities = {term.quantity for term in problem.terms}
    if is_robust or fields is not None or len(quantities) > 1:
        what = "robust plans" if is_robust else "single fields" if fields else "several quantities"
        raise CapabilityError(
            f"constraints are kept in nominal plans of one quantity, not with {what}. Leave out "
            "constraints=, and ask for the same by objectives of high weight."
        )


def _kept(course: object, weights: Array) -> dict[str, object]:
    """How limits are kept, for the provenance of a plan that has some."""
    if not isinstance(course, ConstrainedCourse):
        return {}
    return {"constraints": course.report(weights)}


def _check_matrix(influence: Influence) -> None:
    values = influence.matrix.data
    if not np.isfinite(values).all():
        raise PlanError(
            "the influence matrix holds values that are not finite; check the machine's data and "
            "compute it again."
        )


def _start(influence: Influence, problem: PlanProblem, initial: ArrayLike | None) -> Array:
    """Weights (n_columns,) to begin with."""
    n = influence.beams.n_columns
    if initial is not None:
        given = np.array(initial, dtype=float)
        if given.shape != (n,) or not np.isfinite(given).all() or (given < 0).any():
            raise PlanError(
                f"initial weights of shape {given.shape} do not fit; give {n} finite numbers, "
                "none of them negative."
            )
        return given
    weights = np.ones(n)
    asked = prescribing(problem.terms)
    if asked is None:
        return weights
    term, dose = asked
    dose_map = problem.values_from.following(problem.places(term))

    def mean(scale: float) -> float:
        return float(dose_map.linearise(scale * weights)[0].mean())

    if not mean(1.0) > 0:
        raise PlanError(
            f"no column gives dose to the structure that is to get {dose:g} Gy; check that the "
            "beams were steered at it."
        )
    return weights * _scale_to(mean, dose)


def _scale_to(mean: Callable[[float], float], wanted: float) -> float:
    """Factor of all weights at which ``mean``, a rising function of it, is as ``wanted``.

    By secants of the logarithms: one step where the mean is proportional to the weights.
    """
    scale, slope, reached = 1.0, 1.0, mean(1.0)
    for _ in range(_MOST_STEPS):
        if abs(reached - wanted) <= _NEAR * wanted:
            break
        following = scale * (wanted / reached) ** (1.0 / slope)
        found = mean(following)
        change = np.log(following / scale)
        slope = float(np.log(found / reached) / change) if change else slope
        scale, reached = following, found
    return scale


def _provenance(
    influence: Influence,
    problem: PlanProblem,
    ways: Sequence[Robust | None],
    solver: Solver,
    solution: Solution,
) -> dict[str, object]:
    given: Any = solver
    settings = asdict(given) if is_dataclass(given) else {}  # type: ignore[arg-type]
    return {
        **influence.provenance,
        "version": __version__,
        "solver": type(solver).__name__,
        "solver_settings": settings,
        "n_evaluations": solution.n_evaluations,
        "objectives": [
            f"{t.structure}: {t.objective!r}" + (f", robust: {way!r}" if way is not None else "")
            for t, way in zip(problem.terms, ways, strict=True)
        ],
        "penalties": [type(p).__name__ for p in problem.penalties],
        **_cases(influence, ways),
    }


def _remark_on_scenarios(influence: Influence, is_robust: bool) -> str:
    """A remark where scenarios are there and not looked at."""
    if influence.scenarios is None or is_robust:
        return ""
    return "; nominal: the scenarios of the influence play no part without robust="


def _cases(influence: Influence, ways: Sequence[Robust | None]) -> dict[str, object]:
    """Names of the scenarios of a robust plan; nothing for a nominal one."""
    held = influence.scenarios
    if held is None or not any(way is not None for way in ways):
        return {}
    return {"scenarios": list(held.scenarios.names)}
