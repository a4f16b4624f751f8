"""A plan file carried out: from a patient and a plan file to a plan and its report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import Progress

from dosegrad.cli.console import step
from dosegrad.cli.patients import built_in, find_patient
from dosegrad.cli.plan_file import PlanFile, SequencePart
from dosegrad.errors import FileFormatError, PlanError
from dosegrad.registry import DEFAULT_ENGINES

if TYPE_CHECKING:
    from dosegrad.beams.beam import Beams
    from dosegrad.dose import Dose
    from dosegrad.evaluation.report import Report
    from dosegrad.influence.matrix import Influence
    from dosegrad.machine.kinds import Machine
    from dosegrad.optimisation.wishes import Wishes
    from dosegrad.patient.patient import Patient
    from dosegrad.plan import Plan

__all__ = ["Planned", "carry_out", "choose_machine", "choose_patient"]


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """A plan with the patient it is for, and how it meets its goals.

    ``dose`` is what goals are about: RBE-weighted dose if the file names a model of the RBE.
    ``in_scenarios`` is the report of a robust plan's scenarios.
    """

    patient: Patient
    plan: Plan
    dose: Dose
    report: Report
    in_scenarios: Report | None = None


def choose_patient(plan_file: PlanFile, folder: Path, instead: str | None) -> Patient:
    """The patient ``instead``, or else the one that ``plan_file`` in ``folder`` names.

    Raises
    ------
    PlanError
        If neither names one.
    """
    part = plan_file.patient
    if instead is not None:
        return find_patient(instead)
    if part.phantom is not None:
        return built_in(part.phantom, part.options)
    if part.path is None:
        raise PlanError("no patient; give one with --patient, or as phantom or path in [patient].")
    path = folder / part.path
    if not path.exists():
        raise FileFormatError(
            f"patient '{path}' does not exist; correct path in [patient] (it is relative to the "
            "plan file), or give another with --patient."
        )
    from dosegrad.io.patients import read_patient

    return read_patient(path)


def choose_machine(plan_file: PlanFile, folder: Path) -> Machine:
    """The machine that ``plan_file`` in ``folder`` names; a path is relative to the plan file."""
    from dosegrad.machine.library import load_machine

    beside = folder / plan_file.beams.machine
    return load_machine(str(beside) if beside.is_file() else plan_file.beams.machine)


def carry_out(plan_file: PlanFile, machine: Machine, patient: Patient, bars: Progress) -> Planned:
    """The plan that ``plan_file`` describes; every name is checked first."""
    from dosegrad.beams.steering import steer
    from dosegrad.evaluation.clinical_goals import evaluate
    from dosegrad.evaluation.goals import Goal
    from dosegrad.influence.build import resolve_engine

    goals = [Goal.parse(sentence) for sentence in plan_file.check.goals]
    for name in {o.structure for o in plan_file.objectives} | {g.structure for g in goals}:
        patient.structure(name)
    for name in () if plan_file.robust is None else plan_file.robust.structures:
        patient.structure(name)
    objectives = plan_file.objectives or patient.objectives
    if not objectives:
        raise PlanError(
            "there are no objectives, neither in the plan file nor with the patient. "
            "Add an [[objective]] table for the target."
        )
    wanted = plan_file.dose
    engine = resolve_engine(wanted.engine or DEFAULT_ENGINES[machine.modality])
    engine = replace(engine, outside_body=wanted.outside_body)
    _check_tables(plan_file, machine)
    with step(bars, "steering beams"):
        options = plan_file.beams.steering_options()
        beams = steer(patient, machine, **options, outside_body=wanted.outside_body)
    if plan_file.spots is not None:
        with step(bars, "moving spots"):
            plan = _moved(plan_file, patient, beams, objectives, engine)
    else:
        plan = _optimised(plan_file, patient, beams, objectives, engine, bars)
    with step(bars, "evaluating"):
        assert plan.dose is not None
        shown = plan.dose if plan.rbe_dose is None else plan.rbe_dose
        report = evaluate(shown, patient, goals)
        cases = plan.scenario_doses
        in_scenarios = evaluate(cases, patient, goals) if cases and goals else None
    return Planned(patient, plan, shown, report, in_scenarios)


def _check_tables(plan_file: PlanFile, machine: Machine) -> None:
    """Raise if tables do not go together, or not with the machine."""
    if plan_file.sequence is not None and machine.modality != "photons":
        raise PlanError(
            f"[sequence] makes apertures for photons, but machine {machine.name!r} delivers "
            f"{machine.modality}; remove the table."
        )
    if plan_file.spots is None:
        return
    if machine.modality == "photons":
        raise PlanError(
            f"[spots] moves spots of particles, but machine {machine.name!r} delivers photons; "
            "remove the table."
        )
    if plan_file.biology.make() is not None or plan_file.optimisation.mode != "together":
        raise PlanError(
            '[spots] goes with neither [biology] nor mode = "sfud"; remove one of the two.'
        )


def _optimised(
    plan_file: PlanFile,
    patient: Patient,
    beams: Beams,
    objectives: Wishes,
    engine: Any,
    bars: Progress,
) -> Plan:
    """The plan of weights, and of apertures if there are to be any."""
    from dosegrad.influence.build import compute_influence
    from dosegrad.optimisation.optimise import optimise

    robust, stopping = plan_file.robust, plan_file.optimisation
    with step(bars, "computing influence"):
        influence = compute_influence(
            patient,
            beams,
            engine=engine,
            dose_spacing=plan_file.dose.spacing,
            quantities=_quantities(plan_file),
            rbe=plan_file.biology.make(),
            scenarios=None if robust is None else robust.make(),
        )
    with step(bars, "optimising"):
        plan = optimise(
            influence,
            objectives,
            fractions=stopping.fractions,
            max_iterations=stopping.max_iterations,
            mode=stopping.mode,
            robust=None if robust is None else robust.choice(),
        )
    if plan_file.sequence is not None:
        with step(bars, "sequencing"):
            plan = _delivered(plan_file.sequence, influence, plan, objectives, engine)
    return plan if plan.dose is not None else replace(plan, dose=influence.dose(plan.weights))


def _moved(
    plan_file: PlanFile, patient: Patient, beams: Beams, objectives: Wishes, engine: Any
) -> Plan:
    """The plan whose spots found their places."""
    from dosegrad.optimisation.spot_positions import optimise_spots

    assert plan_file.spots is not None
    robust, stopping = plan_file.robust, plan_file.optimisation
    more: dict[str, Any] = {}
    if stopping.max_iterations is not None:
        more["max_iterations"] = stopping.max_iterations
    if robust is not None:
        more |= {"scenarios": robust.make(), "robust": robust.choice()}
    return optimise_spots(
        patient,
        beams,
        objectives,
        engine=engine,
        dose_spacing=plan_file.dose.spacing,
        fractions=stopping.fractions,
        **plan_file.spots.options(),
        **more,
    )


def _delivered(
    part: SequencePart, influence: Influence, plan: Plan, objectives: Wishes, engine: Any
) -> Plan:
    """The plan as apertures, with their dose on the grid of the influence."""
    from dosegrad.optimisation.apertures import optimise_apertures
    from dosegrad.optimisation.sequencing.sequence import sequence
    from dosegrad.plan_dose import compute_dose

    made = sequence(
        plan,
        levels=part.levels,
        algorithm=part.algorithm,
        tongue_and_groove=part.tongue_and_groove,  # type: ignore[arg-type]  # checked in the file
    )
    if part.move_leaves:
        most = part.move_leaves
        return optimise_apertures(influence, made, objectives, engine=engine, max_iterations=most)
    dose = compute_dose(influence.patient, made, engine=engine, grid=influence.grid)
    return replace(made, dose=dose)


def _quantities(plan_file: PlanFile) -> tuple[str, ...]:
    """Columns beside dose that objectives need."""
    named = {getattr(wish.objective, "quantity", "") for wish in plan_file.objectives}
    return ("dose", "let_dose") if named & {"let", "let_dose"} else ("dose",)
