"""``dosegrad evaluate``: a saved plan against clinical goals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dosegrad.cli.console import ExitCode, Json, Quiet, say, say_json, step, working
from dosegrad.cli.patients import find_patient
from dosegrad.cli.plan_file import PlanFile, read_plan_file
from dosegrad.cli.planning import choose_patient
from dosegrad.cli.results import dose_statistics, report_content, statistics_as_text
from dosegrad.errors import PlanError

if TYPE_CHECKING:
    from dosegrad.dose import Dose
    from dosegrad.patient.patient import Patient
    from dosegrad.plan import Plan

__all__ = ["evaluate", "load_case"]


def evaluate(
    plan: Annotated[Path, typer.Argument(help="A saved plan, or a folder of 'dosegrad plan'.")],
    patient: Annotated[
        str | None, typer.Option(help="A .mat file, a DICOM folder, or a phantom.")
    ] = None,
    goal: Annotated[
        list[str] | None, typer.Option(help="Such as 'PTV: D95% >= 57 Gy'; may be repeated.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Check a saved plan's dose against goals, and say the dose of every structure.

    A folder written by 'dosegrad plan' knows its patient, if that was a phantom, and its goals.
    """
    from dosegrad.evaluation.clinical_goals import evaluate as check

    with working(silent=quiet or as_json) as bars, step(bars, "evaluating"):
        _, dose, subject, goals = load_case(plan, patient, goal)
        report = check(dose, subject, goals)
        statistics = dose_statistics(dose, subject)
    if as_json:
        say_json({"report": report_content(report), "structures": statistics})
    elif not quiet:
        if goals:
            say(f"{report}\n")
        say(statistics_as_text(statistics, dose.unit))
    return ExitCode.DONE if report.all_met else ExitCode.GOALS_NOT_MET


def load_case(
    place: Path, patient: str | None, goals: Sequence[str] | None
) -> tuple[Plan, Dose, Patient, Sequence[str]]:
    """A saved plan, its dose (RBE-weighted if it has that), its patient and its goals.

    Goals that are given go before those of the plan file.

    Raises
    ------
    PlanError
        If the plan holds no dose, or nothing tells its patient.
    """
    from dosegrad.io.archive import load_plan

    request = read_plan_file(place / "plan.toml") if (place / "plan.toml").is_file() else None
    saved = load_plan(place / "plan.npz" if place.is_dir() else place)
    if saved.dose is None:
        raise PlanError(f"plan '{place}' holds no dose; compute one first with compute_dose.")
    subject = find_patient(patient) if patient else _patient_of(request, place)
    shown = saved.dose if saved.rbe_dose is None else saved.rbe_dose
    return saved, shown, subject, goals or (request.check.goals if request else ())


def _patient_of(request: PlanFile | None, folder: Path) -> Patient:
    """The patient of the plan file in ``folder``, which moved there from elsewhere."""
    if request is None or request.patient.phantom is None:
        raise PlanError(
            f"'{folder}' does not tell its patient; name it with --patient: a .mat file, a DICOM "
            "folder, or a phantom."
        )
    return choose_patient(request, folder, None)
