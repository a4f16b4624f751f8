"""What lies in the folder that the server was started in, as far as a workspace can open it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from dosegrad.errors import SettingsError
from dosegrad.web.security import confined

__all__ = ["holds_dicom", "list_folder"]

#: Entries of a folder that are shown, and files of a folder that are looked at, at most.
_MOST: Final = 500
_LOOKED_AT: Final = 40
_MAGIC_AT: Final = 128


def list_folder(root: Path, name: str) -> dict[str, Any]:
    """Folders, and files that can be opened, in the folder ``name`` below ``root``.

    Each entry has a ``kind``: ``"folder"``, ``"patient"`` (a matRad file), ``"plan"``, ``"dicom"``
    (a folder of DICOM files) or ``"results"`` (a folder of ``dosegrad plan``).

    Raises
    ------
    SettingsError
        If there is no such folder below ``root``.
    """
    place = confined(root, name)
    if not place.is_dir():
        raise SettingsError(f"there is no folder {name!r}; choose one that is listed.")
    base = root.resolve()
    entries = []
    with os.scandir(place) as found:
        for entry in sorted(found, key=lambda e: e.name.lower())[:_MOST]:
            kind = _kind(Path(entry.path))
            if entry.name.startswith(".") or kind is None:
                continue
            inside = Path(entry.path).resolve()
            if not inside.is_relative_to(base):
                continue  # a link that leads out
            path = str(Path(entry.path).relative_to(base))
            entries.append({"name": entry.name, "path": path, "kind": kind})
    here = str(place.relative_to(base))
    kind = "dicom" if holds_dicom(place) else "folder"
    return {"path": "" if here == "." else here, "kind": kind, "entries": entries}


def _kind(place: Path) -> str | None:
    """What a place holds; ``None`` if a workspace cannot open it."""
    try:
        if place.is_dir():
            if (place / "plan.npz").is_file():
                return "results"
            return "dicom" if holds_dicom(place) else "folder"
        ending = place.suffix.lower()
        return {".mat": "patient", ".npz": "plan"}.get(ending)
    except OSError:
        return None


def holds_dicom(folder: Path) -> bool:
    """Whether one of the first files is DICOM."""
    try:
        with os.scandir(folder) as found:
            for number, entry in enumerate(found):
                if number >= _LOOKED_AT:
                    return False
                if entry.is_file():
                    with Path(entry.path).open("rb") as file:
                        if file.read(_MAGIC_AT + 4)[_MAGIC_AT:] == b"DICM":
                            return True
    except OSError:
        return False
    return False
