"""``dosegrad adapt``: whether a plan still holds on today's CT."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dosegrad.cli.console import ExitCode, Json, Quiet, say, say_json, step, working
from dosegrad.cli.output import output_folder
from dosegrad.cli.studies import read_ct, read_study

if TYPE_CHECKING:
    from dosegrad.checks.adaptation import Adaptation

__all__ = ["adapt", "as_text"]


def adapt(
    study: Annotated[Path, typer.Argument(help="DICOM folder: CT, structures, ion plan, dose.")],
    today: Annotated[Path, typer.Argument(help="DICOM folder with today's CT.")],
    out: Annotated[Path, typer.Option(help="Folder for the report; it is replaced as a whole.")],
    machine: Annotated[
        str, typer.Option(help="Machine or beam model (.csv) that turns MU into protons.")
    ] = "generic-protons",
    goal: Annotated[
        list[str] | None, typer.Option(help="Such as 'CTV: D95% >= 57 Gy'; may be repeated.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="Without goals: allowed change of mean doses, % of the target's.")
    ] = 3.0,
    aligned: Annotated[
        bool, typer.Option("--aligned", help="Today's CT lies as in the plan; do not register it.")
    ] = False,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Compute the dose again and decide by it.")
    ] = False,
    clip_metal: Annotated[
        bool, typer.Option("--clip-metal", help="Accept voxels above the HU calibration.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="What to call the patient; by default a pseudonym.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Predict how a proton plan's doses change on today's CT: pass, or plan anew.

    Exit code 0 if the plan holds, 3 if it has to be made anew, 4 if the prediction cannot tell;
    --recompute then can.
    """
    from dosegrad.checks.adaptation import adapt as judge
    from dosegrad.report.write import report_content, write_report

    start = time.monotonic()
    with output_folder(out) as folder, working(silent=quiet or as_json) as bars:
        with step(bars, "reading the studies"):
            planned, scanned = read_study(study, machine), read_ct(today)
        result = judge(
            planned,
            scanned,
            goals=goal or (),
            alignment="none" if aligned else "rigid",
            tolerance_percent=tolerance,
            recompute=recompute,
            metal="clip" if clip_metal else "refuse",
        )
        with step(bars, "writing the report"):
            write_report(folder, result, name=name)
    if as_json:
        say_json(report_content(result, name=name))
    elif not quiet:
        say(as_text(result))
        say(f"\nreport: {(out / 'report.html').resolve()} ({time.monotonic() - start:.0f} s)")
    codes = {"pass": ExitCode.DONE, "re-plan": ExitCode.GOALS_NOT_MET}
    return codes.get(result.verdict, ExitCode.UNDECIDED)


def as_text(result: Adaptation) -> str:
    """The trigger for people, in a few lines."""
    lines = [result.verdict.upper()]
    for each in result.changes:
        recomputed = ""
        if each.recomputed is not None:
            recomputed = f", recomputed {each.recomputed:+.2f} Gy"
        lines.append(
            f"{each.name}: mean {each.before:.2f} Gy, change {each.change:+.2f} ± "
            f"{each.uncertainty:.2f} Gy{recomputed}"
        )
    for goal in result.goals:
        value, blur = goal.predicted, f" ± {goal.uncertainty:.2f}"
        if goal.recomputed is not None:
            value, blur = goal.recomputed, ""
        lines.append(f"{goal.goal}: {value:.2f}{blur}")
    lines += [f"- {reason}" for reason in result.reasons]
    lines += [f"warning: {warning}" for warning in result.warnings]
    return "\n".join(lines)
