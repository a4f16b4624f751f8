"""``dosegrad report``: one page on a saved plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dosegrad.cli.console import ExitCode, Quiet, say, step, working
from dosegrad.cli.evaluate import load_case

__all__ = ["report"]


def report(
    plan: Annotated[Path, typer.Argument(help="A saved plan, or a folder of 'dosegrad plan'.")],
    out: Annotated[Path, typer.Option(help="Page to write; JSON goes beside it.")] = Path(
        "report.html"
    ),
    patient: Annotated[
        str | None, typer.Option(help="A .mat file, a DICOM folder, or a phantom.")
    ] = None,
    goal: Annotated[
        list[str] | None, typer.Option(help="Such as 'PTV: D95% >= 57 Gy'; may be repeated.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What to call the patient; by default a pseudonym.")
    ] = None,
    quiet: Quiet = False,
) -> int:
    """Write one self-contained page on a saved plan: dose, goals, structures, beams."""
    from dosegrad.evaluation.clinical_goals import evaluate
    from dosegrad.report.plan_page import PlanSummary
    from dosegrad.report.write import write_report

    with working(silent=quiet) as bars, step(bars, "writing the report"):
        saved, dose, subject, goals = load_case(plan, patient, goal)
        summary = PlanSummary(subject, saved, dose, evaluate(dose, subject, goals))
        page, _ = write_report(out, summary, name=name)
    if not quiet:
        say(f"report: {page.resolve()}")
    return ExitCode.DONE if summary.goals.all_met else ExitCode.GOALS_NOT_MET
