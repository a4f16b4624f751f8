"""What commands share in talking to people: options, progress bars, errors, exit codes."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from typing import Annotated, ParamSpec, TypeAlias

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from dosegrad.cli.interrupts import keeping_interrupts
from dosegrad.errors import DosegradError
from dosegrad.progress import listening

__all__ = [
    "ExitCode",
    "Json",
    "Quiet",
    "guarded",
    "say",
    "say_json",
    "say_json_line",
    "step",
    "warn",
    "working",
]

P = ParamSpec("P")

Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress bars and no tables; errors only.")
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="The result as JSON on standard output, and nothing else.")
]


class ExitCode(IntEnum):
    """What a command tells the shell."""

    DONE = 0
    UNFORESEEN = 1
    WRONG_INPUT = 2
    GOALS_NOT_MET = 3
    UNDECIDED = 4
    INTERRUPTED = 130


def say(text: str) -> None:
    """Print ``text`` for people as it stands; the verdicts of goals at line ends are coloured."""
    coloured = Text(text)
    coloured.highlight_regex(r"(?m)\byes$", "green")
    coloured.highlight_regex(r"(?m)\bNO$", "bold red")
    Console().print(coloured, soft_wrap=True)


def say_json(content: Mapping[str, object]) -> None:
    """Print ``content`` for programs."""
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def say_json_line(content: Mapping[str, object]) -> None:
    """Print ``content`` for programs on one line, at once."""
    sys.stdout.write(json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def warn(label: str, text: str) -> None:
    """Print one paragraph on standard error, led by ``label``."""
    console = Console(stderr=True)
    console.print(f"{label}: ", style="bold red", end="", markup=False, highlight=False)
    paragraph = " ".join(text.split())
    console.print(paragraph, markup=False, highlight=False, soft_wrap=not console.is_terminal)


def guarded(command: Callable[P, int | None]) -> Callable[P, None]:
    """``command`` whose return value is its exit code and whose errors are one paragraph each.

    What it returns becomes the exit code. An error of ours or of the file system, or Ctrl-C, ends
    it without a traceback. Anything else is a bug and keeps its traceback.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = command(*args, **kwargs)
        except DosegradError as error:
            warn(type(error).__name__, str(error))
            code = ExitCode.WRONG_INPUT
        except BrokenPipeError:
            raise  # the reader of our output has gone; nobody is left to tell
        except OSError as error:
            place = f" ({error.filename})" if error.filename else ""
            warn("error", f"{error.strerror or error}{place}; nothing written.")
            code = ExitCode.WRONG_INPUT
        except MemoryError:
            warn("error", "out of memory, nothing written; use a coarser dose grid or fewer beams.")
            code = ExitCode.UNFORESEEN
        except KeyboardInterrupt:
            warn("interrupted", "nothing written.")
            code = ExitCode.INTERRUPTED
        raise typer.Exit(int(code or 0))

    return run


@contextmanager
def working(*, silent: bool) -> Iterator[Progress]:
    """While this lasts, progress that the library reports is shown as bars on standard error.

    Bars vanish at the end and appear only where standard error is a terminal. Ctrl-C that got lost
    on the way is raised with the next report, or at the end.
    """
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[remark]}", style="dim"),
    )
    console = Console(stderr=True)
    hidden = silent or not console.is_terminal
    bars = Progress(*columns, console=console, transient=True, disable=hidden)
    tasks: dict[str, TaskID] = {}

    with bars, keeping_interrupts() as check:

        def show(stage: str, fraction: float, remark: str) -> None:
            check()
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=1.0, remark=remark)
            bars.update(tasks[stage], completed=fraction, remark=remark)

        with listening(show):
            yield bars


@contextmanager
def step(bars: Progress, description: str) -> Iterator[None]:
    """While this lasts, ``bars`` has a pulsing bar for work that cannot tell how far it is."""
    task = bars.add_task(description, total=None, remark="")
    try:
        yield
    finally:
        bars.update(task, total=1.0, completed=1.0)
