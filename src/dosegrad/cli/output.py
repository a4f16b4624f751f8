"""Results on disk, whole or not at all: written beside their place, then moved into it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dosegrad import __version__
from dosegrad.errors import OutputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MARKER", "check_picture", "output_folder", "save_picture"]

#: File by which a folder is known as written by ``dosegrad plan``; lists what it holds.
MARKER: Final = "made-by-dosegrad.json"

#: File endings of pictures.
PICTURES: Final = (".png", ".pdf", ".svg")


def check_picture(path: Path) -> Path:
    """``path``, if a picture can be written there.

    Raises
    ------
    OutputError
        If its ending names no picture format, or its folder is missing or cannot be written.
    """
    if path.suffix.lower() not in PICTURES:
        raise OutputError(
            f"cannot tell the picture format of '{path}'; end its name in {', '.join(PICTURES)}."
        )
    if path.is_dir():
        raise OutputError(f"'{path}' is a folder; give the name of a picture file.")
    with _beside(path):
        return path


def save_picture(figure: Figure, path: Path) -> None:
    """Write ``figure`` to ``path``, replacing a file there only when the new one is complete."""
    with _beside(path) as folder:
        fresh = folder / path.name
        figure.savefig(fresh)
        fresh.replace(path)


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """A fresh folder to write into, which becomes ``path`` when the context ends well.

    If it ends with an error or is interrupted, nothing remains and what was at ``path`` stays.

    Raises
    ------
    OutputError
        Before anything is done, if ``path`` cannot be written, or holds files that no earlier
        ``dosegrad plan`` put there.
    """
    path = path.resolve()
    _refuse_foreign_files(path)
    with _beside(path) as folder:
        fresh = folder / path.name
        fresh.mkdir()
        yield fresh
        names = sorted(p.name for p in fresh.iterdir())
        marker = {"program": "dosegrad plan", "version": __version__, "files": names}
        (fresh / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
        _swap(fresh, path, folder / "previous")


def _swap(fresh: Path, path: Path, previous: Path) -> None:
    """Move ``fresh`` to ``path``; what is there goes to ``previous`` first."""
    replaced = path.exists()
    if replaced:
        path.replace(previous)
    try:
        fresh.replace(path)
    except BaseException:
        if replaced:
            previous.replace(path)
        raise


def _refuse_foreign_files(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise OutputError(f"output folder '{path}' is a file; choose another name with --out.")
    present = {p.name for p in path.iterdir()}
    foreign = sorted(present - _files_of_ours(path))
    if foreign:
        raise OutputError(
            f"output folder '{path}' holds {_some(foreign)}, not written by 'dosegrad plan'; "
            "nothing was touched. Choose an empty or new folder with --out."
        )


def _files_of_ours(path: Path) -> set[str]:
    """Names that an earlier run wrote into the folder, its marker included; empty if none did."""
    try:
        marker = json.loads((path / MARKER).read_text(encoding="utf-8"))
        return {MARKER, *map(str, marker["files"])}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(f"'{name}'" for name in names[:3]) + more


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A temporary folder on the same disk as ``path``, gone afterwards."""
    parent = path.resolve().parent
    try:
        folder = Path(tempfile.mkdtemp(prefix=".dosegrad-", dir=parent))
    except OSError as error:
        what = "does not exist" if not parent.is_dir() else f"cannot be written ({error.strerror})"
        raise OutputError(
            f"cannot write '{path}': folder '{parent}' {what}. "
            "Make it first, or choose another place with --out."
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
