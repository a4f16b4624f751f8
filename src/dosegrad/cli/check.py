"""``dosegrad check``: a DICOM proton plan recomputed by the deterministic engine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dosegrad.cli.console import ExitCode, Json, Quiet, say, say_json, step, working
from dosegrad.cli.output import output_folder
from dosegrad.cli.studies import read_study

if TYPE_CHECKING:
    from dosegrad.checks.plan_check import PlanCheck

__all__ = ["as_text", "check"]


def check(
    study: Annotated[Path, typer.Argument(help="DICOM folder: CT, structures, ion plan, dose.")],
    out: Annotated[Path, typer.Option(help="Folder for the report; it is replaced as a whole.")],
    machine: Annotated[
        str, typer.Option(help="Machine or beam model (.csv) that turns MU into protons.")
    ],
    goal: Annotated[
        list[str] | None, typer.Option(help="Such as 'CTV: D95% >= 57 Gy'; may be repeated.")
    ] = None,
    engine: Annotated[str, typer.Option(help="Engine that recomputes the dose.")] = "yoda",
    clip_metal: Annotated[
        bool, typer.Option("--clip-metal", help="Accept voxels above the HU calibration.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="What to call the patient; by default a pseudonym.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Recompute a proton plan, compare it with the plan's dose, and write a report.

    Exit code 0 if the check passes, 3 if not.
    """
    from dosegrad.checks.plan_check import check_plan
    from dosegrad.report.write import report_content, write_report

    start = time.monotonic()
    with output_folder(out) as folder, working(silent=quiet or as_json) as bars:
        with step(bars, "reading the study"):
            found = read_study(study, machine)
        result = check_plan(
            found,
            engine=engine,
            goals=goal or (),
            metal="clip" if clip_metal else "refuse",
        )
        with step(bars, "writing the report"):
            write_report(folder, result, name=name)
    if as_json:
        say_json(report_content(result, name=name))
    elif not quiet:
        say(as_text(result))
        say(f"\nreport: {(out / 'report.html').resolve()} ({time.monotonic() - start:.0f} s)")
    return ExitCode.DONE if result.passed else ExitCode.GOALS_NOT_MET


def as_text(result: PlanCheck) -> str:
    """The check for people, in a few lines."""
    lines = [f"{result.verdict.upper()}: {result.plan!r}"]
    for each in result.gammas:
        s = each.settings
        lines.append(
            f"gamma {s.percent:g} %/{s.distance:g} mm: {100 * each.pass_rate:.2f} % of "
            f"{each.n_evaluated} voxels"
        )
    lines += [
        f"{row.name}: mean {row.before.mean:.2f} Gy planned, {row.after.mean:.2f} Gy recomputed"
        for row in result.structures
    ]
    lines += [f"- {reason}" for reason in result.reasons]
    lines += [f"warning: {warning}" for warning in result.warnings]
    if len(result.goals):
        lines += ["", str(result.goals)]
    return "\n".join(lines)
