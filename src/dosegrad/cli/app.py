"""The program ``dosegrad``: its commands under their names."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dosegrad import __version__
from dosegrad.cli.adapt import adapt
from dosegrad.cli.batch import batch
from dosegrad.cli.check import check
from dosegrad.cli.console import ExitCode, guarded, say, warn
from dosegrad.cli.deidentify import deidentify
from dosegrad.cli.demo import demo
from dosegrad.cli.evaluate import evaluate
from dosegrad.cli.info import info
from dosegrad.cli.logcheck import logcheck
from dosegrad.cli.machine import show
from dosegrad.cli.mu import mu
from dosegrad.cli.phantom import phantom
from dosegrad.cli.plan import plan
from dosegrad.cli.report import report
from dosegrad.cli.web import web

__all__ = ["app", "main"]

app = typer.Typer(
    name="dosegrad",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Exit codes: 0 done and every goal met; 3 done, some goal not met; 4 undecided; "
        "2 wrong input; 1 unforeseen; 130 interrupted. Not a medical device."
    ),
)
machine = typer.Typer(no_args_is_help=True, help="Look at treatment machines.")

for command in (
    *(demo, plan, batch, evaluate, report, phantom, info, mu, web),
    *(check, adapt, logcheck, deidentify),
):
    app.command()(guarded(command))
machine.command()(guarded(show))
app.add_typer(machine, name="machine")


def _tell_version(wanted: bool) -> None:
    if wanted:
        say(f"dosegrad {__version__}")
        raise typer.Exit


@app.callback()
def dosegrad(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Open radiotherapy treatment planning: research, teaching, independent checks."""


def main() -> None:
    """Run the command that the command line names, and leave with its exit code."""
    try:
        app()
    except KeyboardInterrupt:
        warn("interrupted", "nothing written.")
        sys.exit(ExitCode.INTERRUPTED)
