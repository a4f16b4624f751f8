"""Studies that a command line names, read so that nothing of a person is told."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dosegrad.errors import FileFormatError

if TYPE_CHECKING:
    from dosegrad.io.dicom.study import Study
    from dosegrad.patient.ct import CT

__all__ = ["read_ct", "read_study"]


def read_study(folder: Path, machine: str) -> Study:
    """The study in a folder; warnings name no file, because names of files may name people.

    Raises
    ------
    FileFormatError
        If the folder is none, or holds no study.
    """
    from dosegrad.io.dicom.study import read_dicom

    _check_folder(folder, "study")
    beside = Path(machine)
    study = read_dicom(folder, machine=beside if beside.is_file() else machine)
    return replace(study, warnings=tuple(_without_names(note, folder) for note in study.warnings))


def read_ct(folder: Path) -> CT:
    """Today's CT in a folder.

    Raises
    ------
    FileFormatError
        If the folder is none, or holds no CT.
    """
    from dosegrad.io.dicom.study import read_dicom

    _check_folder(folder, "CT")
    patient = read_dicom(folder).patient
    if patient is None:
        raise FileFormatError(
            f"'{folder}' holds no CT; give the folder with the CT series of today."
        )
    return patient.ct


def _check_folder(folder: Path, what: str) -> None:
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise FileFormatError(
            f"'{folder}' {found}; give the folder that holds the DICOM files of the {what}."
        )


def _without_names(note: str, folder: Path) -> str:
    """A note in which no file of the folder is named."""
    names = {p.name for p in folder.rglob("*") if p.is_file()}
    for name in sorted(names, key=len, reverse=True):
        note = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w])", "a file", note)
    return note
