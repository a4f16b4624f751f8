"""A folder that appears complete or not at all, and that replaces only what was written so."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dosegrad._version import __version__
from dosegrad.errors import OutputError
from dosegrad.io.dicom.identifiers import MARKER

__all__ = ["STUDY", "replacing_folder"]

#: What a folder holds by default, as its marker says.
STUDY: Final = "dosegrad DICOM study"
_MAX_MARKER_BYTES: Final = 50_000_000


@contextmanager
def replacing_folder(folder: Path, kind: str = STUDY) -> Iterator[Path]:
    """A new folder beside ``folder`` to write into; takes its place when all went well.

    Until then, and whenever something goes wrong, what was at ``folder`` stays. Only a folder
    that was written as the same ``kind`` is replaced.

    Raises
    ------
    OutputError
        If ``folder`` is a file, holds what was not written by this, or cannot be written.
    """
    target = folder.resolve()
    _check_replaceable(target, kind)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{target.name}-", suffix=".part", dir=target.parent))
    except OSError as error:
        raise _cannot(target, error) from error
    try:
        place.chmod(0o755)
        yield place
        _mark(place, kind)
        _synchronise(place)
        _check_replaceable(target, kind)
        _swap(place, target)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise _cannot(target, error) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _check_replaceable(target: Path, kind: str) -> None:
    """Refuses a folder with anything in it that was not written by this."""
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputError(f"{target.name} is a file; give a folder for the study.")
    present = {entry.name for entry in target.iterdir()}
    if not present:
        return
    own = _own_files(target / MARKER, kind)
    foreign = sorted(present - own - {MARKER})
    if MARKER not in present or foreign:
        raise OutputError(
            f"folder {target.name} holds {len(foreign)} entries that this did not write; they "
            "would be lost. Give an empty or a new folder."
        )


def _own_files(marker: Path, kind: str) -> set[str]:
    """Names of the files that the marker lists; only ever compared with those that are there."""
    try:
        if marker.stat().st_size > _MAX_MARKER_BYTES:
            return set()
        content = json.loads(marker.read_text(encoding="utf-8"))
        if content["format"] != kind:
            return set()
        return {str(name) for name in content["files"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return set()


def _mark(place: Path, kind: str) -> None:
    """Put the marker beside the files."""
    names = sorted(entry.name for entry in place.iterdir())
    content = {"format": kind, "version": __version__, "files": names}
    (place / MARKER).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _synchronise(place: Path) -> None:
    """Make sure that the files are on the disk before the folder gets its name."""
    for entry in place.iterdir():
        with entry.open("rb+") as file:
            os.fsync(file.fileno())


def _swap(place: Path, target: Path) -> None:
    """``place`` becomes ``target``; what was there is moved aside first and removed last."""
    if not target.exists():
        place.rename(target)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", suffix=".old", dir=target.parent))
    target.rename(aside / "study")
    try:
        place.rename(target)
    except OSError:
        (aside / "study").rename(target)
        aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _cannot(target: Path, error: OSError) -> OutputError:
    return OutputError(
        f"study {target.name} cannot be written ({error.strerror or type(error).__name__}); check "
        "the place, its permissions and the space on the disk."
    )
