"""``dosegrad demo``: plan the built-in case and show it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from dosegrad.cli.console import ExitCode, Json, Quiet, say, say_json, step, working
from dosegrad.cli.output import check_picture, save_picture
from dosegrad.cli.results import report_content

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option(help="Picture to write.")] = Path("dosegrad-demo.png"),
    show: Annotated[bool, typer.Option("--open", help="Open the picture when done.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Plan four proton fields on a built-in case, check its goals, and write a picture."""
    from dosegrad.cli.demo_case import plan_demo
    from dosegrad.plot.impt import impt_summary

    check_picture(out)
    start = time.monotonic()
    with working(silent=quiet or as_json) as bars:
        with step(bars, "planning"):
            patient, plan, report = plan_demo()
        with step(bars, "drawing"):
            save_picture(impt_summary(patient, plan, report), out)
    seconds = time.monotonic() - start
    if as_json:
        say_json({"report": report_content(report), "n_spots": plan.n_spots, "picture": str(out)})
    elif not quiet:
        say(f"{plan.n_spots} spots of {len(plan.beams)} proton fields, {seconds:.1f} s\n")
        say(str(report))
        say(f"\npicture: {out.resolve()}")
    if show:
        typer.launch(str(out.resolve()))
    return ExitCode.DONE if report.all_met else ExitCode.GOALS_NOT_MET
