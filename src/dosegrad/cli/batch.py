"""``dosegrad batch``: many plan files, here or on a cluster, resumable."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from dosegrad.cli.batch_table import Row, as_table, earlier_row, exit_code, row_of, write_table
from dosegrad.cli.batch_tasks import Made, carry_out_job, prepare_job
from dosegrad.cli.console import ExitCode, Json, Quiet, say, say_json, warn, working
from dosegrad.cli.output import output_folder
from dosegrad.cli.tables import print_table
from dosegrad.errors import CapabilityError, DosegradError, SettingsError
from dosegrad.executor import Executor, Serial, resolve_executor
from dosegrad.progress import report

__all__ = ["batch"]

#: Errors that need no traceback: their message says what to do.
_FORESEEN: Final = (DosegradError, OSError, MemoryError)


def batch(
    plan_files: Annotated[
        list[Path], typer.Argument(metavar="PLAN.TOML...", help="What to plan; * and ? are known.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for one folder of results by plan file.")],
    cluster: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, such as tcp://10.0.0.5:8786.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="So many processes of this computer, instead of a cluster.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Plan anew what an earlier run has planned.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Plan what many plan files ask for, and tell which plans meet their goals.

    Results of a plan appear whole, in a folder named after its file, as soon as it is done. Started
    again after an interruption, plans that are there are kept, unless their file has changed.
    """
    files = _named_apart(plan_files)
    out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, Row] = {}
    if not again:
        for name, path in files.items():
            if (row := earlier_row(name, path, out / name)) is not None:
                rows[name] = row
    left = {name: path for name, path in files.items() if name not in rows}
    try:
        with working(silent=quiet or as_json), _executor(cluster, workers) as executor:
            report("plans", len(rows) / len(files), f"{len(rows)} from an earlier run")
            for row in _planned(executor, left, out):
                rows[row.plan] = row
                write_table(list(rows.values()), out)
                report("plans", len(rows) / len(files), f"{row.plan}: {row.state}")
    except KeyboardInterrupt:
        warn(
            "interrupted",
            f"{len(rows)} of {len(files)} plans are in {out.resolve()}; the same command goes on "
            "with the others.",
        )
        return ExitCode.INTERRUPTED
    found = [rows[name] for name in files]
    write_table(found, out)
    if as_json:
        say_json({"plans": [row.content() for row in found], "folder": str(out)})
    elif not quiet:
        print_table(*as_table(found), numbers_from=4)
        for row in found:
            if row.error:
                say(f"{row.plan}: {row.error}")
        say(f"results: {out.resolve()}")
    return exit_code(found)


def _named_apart(patterns: list[Path]) -> dict[str, Path]:
    """Plan files by their names without ending, in the order given."""
    found: dict[str, Path] = {}
    for pattern in patterns:
        is_pattern = any(sign in pattern.name for sign in "*?") and not pattern.exists()
        paths = sorted(pattern.parent.glob(pattern.name)) if is_pattern else [pattern]
        if not paths:
            raise SettingsError(f"no plan file matches '{pattern}'; check folder and ending.")
        for path in paths:
            if found.setdefault(path.stem, path).resolve() != path.resolve():
                raise SettingsError(
                    f"'{found[path.stem]}' and '{path}' would have the same folder of results; "
                    "rename one of them."
                )
    return found


@contextmanager
def _executor(cluster: str | None, workers: int | None) -> Iterator[Executor]:
    """Where plans are computed: on a cluster, on processes of this computer, or in this one."""
    if cluster is not None and workers is not None:
        raise SettingsError("give either --cluster or --workers, not both.")
    if workers is None:
        yield resolve_executor(cluster) if cluster is not None else Serial()
        return
    try:
        from dosegrad.cluster.local import local_workers
    except ImportError as error:
        raise CapabilityError(
            f"several workers need Dask: {error}. Install it with pip install 'dosegrad[dask]', or "
            "leave out --workers."
        ) from error
    with local_workers(workers) as executor:
        yield executor


def _planned(executor: Executor, files: dict[str, Path], out: Path) -> Iterator[Row]:
    """A row for each plan file as it is done; results are in their folder by then."""
    names = list(files)
    jobs = (prepare_job(path) for path in files.values())
    for number, made in executor.each(carry_out_job, jobs):
        yield _row(names[number], made, out / names[number])


def _row(name: str, made: Made | Exception, path: Path) -> Row:
    """The row of a plan whose results go to ``path``; one that failed stops no other."""
    if not isinstance(made, Exception):
        try:
            _write(made, path)
            return row_of(name, json.loads(made.files["report.json"]), "done", made.seconds)
        except OSError as error:
            made = error
    if not isinstance(made, _FORESEEN):
        sys.stderr.write("".join(traceback.format_exception(made)))
    return Row(name, "failed", error=f"{type(made).__name__}: {made}")


def _write(made: Made, path: Path) -> None:
    with output_folder(path) as folder:
        for name, content in made.files.items():
            (folder / name).write_bytes(content)
