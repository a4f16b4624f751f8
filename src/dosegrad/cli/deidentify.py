"""``dosegrad deidentify``: copies of DICOM files that name nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dosegrad.cli.console import ExitCode, Quiet, say, working

__all__ = ["deidentify"]


def deidentify(
    source: Annotated[Path, typer.Argument(help="A DICOM folder.")],
    target: Annotated[Path, typer.Argument(help="A new folder for the copies.")],
    pseudonym: Annotated[str, typer.Option(help="Name and number in the copies.")] = "anonymous",
    keep_structure_names: Annotated[
        bool, typer.Option("--keep-structure-names", help="Leave names of structures as they are.")
    ] = False,
    quiet: Quiet = False,
) -> int:
    """Copy DICOM files without what identifies a person (basic profile of PS3.15)."""
    from dosegrad.io.dicom.deidentify import deidentify as copy

    with working(silent=quiet):
        n = copy(source, target, pseudonym=pseudonym, keep_structure_names=keep_structure_names)
    if not quiet:
        say(f"{n} files in {target}; look at the images for burned-in text before giving them away")
    return ExitCode.DONE
