"""The work itself: opening, steering, influence, optimising, comparing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.dose import Dose
from dosegrad.errors import PlanError
from dosegrad.objectives.records import from_record
from dosegrad.objectives.structure_objective import StructureObjective
from dosegrad.plan import Plan
from dosegrad.web.security import confined
from dosegrad.web.workspace import views
from dosegrad.web.workspace.case import Case, open_source
from dosegrad.web.workspace.curves import LiveCurves
from dosegrad.web.workspace.desk import Desk
from dosegrad.web.workspace.saving import save_plan, settings_of, write_page, write_study
from dosegrad.web.workspace.schemas import (
    JobName,
    JobRequest,
    NavigateRequest,
    OpenRequest,
    PlanSettings,
)
from dosegrad.web.workspace.suggestions import suggest
from dosegrad.web.workspace.watching import WatchedSolver

__all__ = ["JOBS", "TOLERANCE", "carry_out", "navigate", "open_case", "settle"]

#: Gamma criterion of comparisons: percent of the maximum, mm.
GAMMA: Final = (2.0, 2.0)
#: Relative decrease of the objective over 10 iterations that is too small to go on.
TOLERANCE: Final = 1e-3


def open_case(request: OpenRequest, folder: Path, desk: Desk, kept: Path | None) -> Case:
    """The case that the page asks for; ``kept`` is a plan from before the process ended."""
    from dosegrad.io.archive import load_plan

    desk.progress("opening", 0.0, "reading the patient")
    source, patient, plan = open_source(request.source, folder)
    saved = plan
    if kept is not None and kept.is_file():
        plan = load_plan(kept)
    desk.progress("opening", 0.4, "preparing pictures")
    phantom = getattr(source, "name", None)
    settings = request.settings or settings_of(plan, "settings") or suggest(patient, phantom)
    case = Case(source, patient, settings, saved=saved)
    if plan is not None:
        case.keep_beams(plan.beams, made_for=settings_of(plan, "planned_for"))
        case.keep_plan(plan, planned_for=settings_of(plan, "planned_for"))
    views.show_case(case, desk)
    views.show_all(case, desk)
    desk.progress("opening", 1.0)
    return case


def settle(case: Case, settings: PlanSettings, desk: Desk) -> None:
    """Keep new settings; goals are judged anew."""
    goals_differ = settings.goals != case.settings.goals
    case.settings = settings
    desk.state(settings=settings.model_dump(mode="json"), stale=views.staleness(case))
    if goals_differ:
        views.show_goals(case, desk)


def steer_beams(case: Case, desk: Desk, folder: Path, request: JobRequest) -> None:
    """Beams of the angles asked for."""
    del folder, request
    _steer(case, desk)
    views.show_all(case, desk)


def _steer(case: Case, desk: Desk) -> None:
    from dosegrad.beams.steering import steer
    from dosegrad.machine.library import load_machine

    wanted = case.settings
    if wanted.target is None:
        raise PlanError("no target is chosen; choose a structure under 'Beams'.")
    desk.progress("steering", 0.0)
    machine = load_machine(wanted.machine)
    photons = machine.modality == "photons"
    own: dict[str, Any] = (
        {"bixel": wanted.bixel}
        if photons
        else {"spot_spacing": wanted.spot_spacing, "layer_spacing": wanted.layer_spacing}
    )
    beams = steer(
        case.patient,
        machine,
        target=wanted.target,
        gantry=wanted.gantry,
        couch=wanted.couch or 0.0,
        margin=wanted.margin,
        **own,
    )
    case.keep_beams(beams, made_for=wanted)
    desk.progress("steering", 1.0)
    noun = "bixels" if photons else "spots"
    desk.log(f"steered {len(beams)} beams, {beams.n_columns} {noun}")


def make_influence(case: Case, desk: Desk, folder: Path, request: JobRequest) -> None:
    """Dose per weight; beams first, if they are not those asked for."""
    del folder, request
    if _influence(case, desk):
        views.show_all(case, desk)


def _influence(case: Case, desk: Desk) -> bool:
    """Make the influence that settings ask for; whether beams were steered anew for it."""
    from dosegrad.influence.build import compute_influence
    from dosegrad.influence.scenarios import Scenarios

    steered = case.needs("beams")
    if steered:
        _steer(case, desk)
        views.show_beams(case, desk)
    assert case.beams is not None
    robust, spacing = case.settings.robust, case.settings.dose_spacing
    scenarios = None
    if robust is not None:
        scenarios = Scenarios.worst_case(setup=robust.setup, range_percent=robust.range_percent)
    case.influence = None  # the old one makes room first
    influence = compute_influence(
        case.patient,
        case.beams,
        dose_spacing=None if spacing is None else (spacing, spacing, spacing),
        scenarios=scenarios,
    )
    case.keep_influence(influence)
    size = 1e-6 * (influence.matrix.data.nbytes + influence.matrix.indices.nbytes)
    desk.log(f"influence of {influence.matrix.nnz} values, {size:.0f} MB")
    desk.state(stale=views.staleness(case))
    return steered


def make_plan(case: Case, desk: Desk, folder: Path, request: JobRequest) -> None:
    """The best plan for the objectives, shown while it grows."""
    del folder, request
    from dosegrad.optimisation.optimise import optimise
    from dosegrad.optimisation.solvers.lbfgsb import LBFGSB

    wanted, wishes = case.settings, _wishes(case)
    if wanted.spots == "moving":
        _move_spots(case, desk, wishes)
        return
    if case.needs("beams") or case.needs("influence"):
        _influence(case, desk)
    assert case.influence is not None
    onlooker = _onlooker(case, desk)
    solver = LBFGSB(max_iterations=wanted.max_iterations, tolerance=TOLERANCE)
    plan = optimise(
        case.influence,
        wishes,
        fractions=wanted.fractions,
        solver=WatchedSolver(onlooker, solver),
        robust=None if wanted.robust is None else wanted.robust.mode,
        initial=None,
    )
    told = {"solver": "LBFGSB", "solver_settings": asdict(solver)}
    _keep(case, desk, replace(plan, provenance={**plan.provenance, **told}))


def _move_spots(case: Case, desk: Desk, wishes: list[StructureObjective]) -> None:
    """A plan whose spots find their places."""
    from dosegrad.optimisation.spot_positions import optimise_spots

    if case.needs("beams") or case.plan is not None:
        _steer(case, desk)
        views.show_beams(case, desk)
    assert case.beams is not None
    wanted, spacing = case.settings, case.settings.dose_spacing
    plan = optimise_spots(
        case.patient,
        case.beams,
        wishes,
        max_shift=round(0.75 * wanted.spot_spacing, 2),
        dose_spacing=None if spacing is None else (spacing, spacing, spacing),
        fractions=wanted.fractions,
        max_iterations=wanted.max_iterations,
        watch=views.spot_onlooker(desk),
    )
    case.beams, case.influence = plan.beams, None
    _keep(case, desk, plan)


def make_front(case: Case, desk: Desk, folder: Path, request: JobRequest) -> None:
    """Plans between which the user may choose: one goal for each structure with objectives.

    That no place gets more than the target is not traded by itself: it counts with the target.
    """
    del folder, request
    from dosegrad.optimisation.pareto import pareto_front

    if case.needs("beams") or case.needs("influence"):
        _influence(case, desk)
    assert case.influence is not None
    trade: dict[str, list[StructureObjective]] = {}
    for state, wish in zip(case.settings.objectives, _wishes(case), strict=True):
        with_target = case.is_ceiling(state)
        name = case.settings.target if with_target else None
        trade.setdefault(name or wish.structure, []).append(wish)
    case.front = pareto_front(
        case.influence, trade, gap=0.08, max_plans=16, fractions=case.settings.fractions
    )
    desk.log(f"front of {len(case.front)} plans; gap {case.front.gap:.2g}")
    case.front_for = case.settings
    first = case.settings.target if case.settings.target in trade else None
    navigate(case, desk, NavigateRequest(kind="navigate", limits={}, prefer=first))
    views.show_front(case, desk)


def navigate(case: Case, desk: Desk, request: NavigateRequest) -> None:
    """Show the mixture of plans that keeps limits."""
    if case.front is None:
        raise PlanError("there is no front of plans yet; choose 'Explore trade-offs' first.")
    choice = case.front.navigate(limits=dict(request.limits), prefer=request.prefer)
    case.keep_plan(choice.plan, planned_for=case.front_for)
    views.show_navigation(case, desk, choice.values)


def compare_engines(case: Case, desk: Desk, folder: Path, request: JobRequest) -> None:
    """The plan's dose by the deterministic engine, and where it differs."""
    del folder, request
    from dosegrad.plan_dose import compute_dose

    if case.plan is None or case.plan.dose is None:
        raise PlanError("there is no plan to be compared; optimise one first.")
    modality = case.plan.beams.machine.modality
    if modality != "protons":
        raise PlanError(f"the deterministic engine computes protons, not {modality}.")
    dose = compute_dose(case.patient, case.plan, engine="yoda", grid=case.plan.dose.grid)
    _compare(case, desk, case.plan.dose, dose, "deterministic engine (yoda)")


def compare_plan(case: Case, desk: Desk, folder: Path, request: JobRequest) -> None:
    """The dose of another saved plan, and where it differs."""
    from dosegrad.io.archive import load_plan

    if request.path is None:
        raise PlanError("no plan is named to compare with; choose a file.")
    place = confined(folder, request.path)
    other = load_plan(place / "plan.npz" if place.is_dir() else place)
    if other.dose is None:
        raise PlanError(f"plan {place.name!r} holds no dose; compute one and save it again.")
    if case.dose is None:
        raise PlanError("there is no plan of this case yet; optimise or open one first.")
    shown = other.dose if other.rbe_dose is None else other.rbe_dose
    _compare(case, desk, case.dose, shown, place.name)


def _compare(case: Case, desk: Desk, mine: Dose, other: Dose, title: str) -> None:
    from dosegrad.evaluation.gamma_index import gamma

    desk.progress("gamma", 0.0, "searching")
    percent, distance = GAMMA
    difference = mine.difference(other)
    found = gamma(
        replace(mine, quantity="dose"), replace(other, quantity="dose"),
        percent=percent, distance=distance, interpolation="sampled", steps=6,
    )  # fmt: skip
    case.comparison = other
    desk.progress("gamma", 1.0)
    desk.log(f"compared with {title}: {100 * found.pass_rate:.1f} % of voxels pass")
    views.show_comparison(case, desk, title, difference, found)


Job = Callable[[Case, Desk, Path, JobRequest], None]

#: What does each job.
JOBS: Final[Mapping[JobName, Job]] = {
    "steer": steer_beams,
    "influence": make_influence,
    "optimise": make_plan,
    "front": make_front,
    "compare": compare_engines,
    "other": compare_plan,
    "save": save_plan,
    "report": write_page,
    "dicom": write_study,
}


def carry_out(request: JobRequest, case: Case, desk: Desk, folder: Path) -> None:
    """Do a job; one that does not reach its end leaves beams and plan as they were."""
    recall = case.remember()
    try:
        JOBS[request.job](case, desk, folder, request)
    except BaseException:
        if recall():
            views.show_all(case, desk)
        raise


def _keep(case: Case, desk: Desk, plan: Plan) -> None:
    desk.check()
    case.keep_plan(plan, planned_for=case.settings)
    case.front = None
    desk.progress("evaluating", 0.3)
    desk.log(plan.message.replace("max_iterations", "'Iterations at most'"))
    views.show_all(case, desk)


def _wishes(case: Case) -> list[StructureObjective]:
    if not case.settings.objectives:
        raise PlanError("there are no objectives; add one for the target.")
    wishes = []
    for state in case.settings.objectives:
        case.patient.structure(state.structure)
        wishes.append(StructureObjective(state.structure, from_record(state.record())))
    return wishes


def _onlooker(case: Case, desk: Desk) -> Callable[[Array, float], None]:
    assert case.influence is not None
    known = tuple(
        g for g in case.settings.goals if g.rpartition(":")[0].strip() in case.patient.structures
    )
    live = LiveCurves(case.influence, known, 1.25 * max(case.prescription(), 1e-3))

    def look(weights: Array, value: float) -> None:
        desk.check()
        if live.is_due():
            desk.send(kind="live", objective=float(value), **live.content(np.asarray(weights)))

    return look
