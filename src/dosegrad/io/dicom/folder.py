"""What a folder holds, sorted by SOP class and series; file names mean nothing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dosegrad.errors import FileFormatError
from dosegrad.io.dicom.attributes import text
from dosegrad.io.dicom.doses import RT_DOSE
from dosegrad.io.dicom.identifiers import MARKER
from dosegrad.io.dicom.ion_plans import RT_ION_PLAN
from dosegrad.io.dicom.limits import MAX_FILES
from dosegrad.io.dicom.photon_plans import RT_PLAN
from dosegrad.io.dicom.slices import (
    CT_IMAGE,
    ENHANCED_CT_IMAGE,
    Slice,
    is_localiser,
    slices_of,
)
from dosegrad.io.dicom.spatial_registrations import SPATIAL_REGISTRATION
from dosegrad.io.dicom.stream import is_dicom, read_data_set, reading
from dosegrad.io.dicom.treatment_records import RT_ION_RECORD

__all__ = ["STRUCTURE_SET", "Folder", "sort_folder"]

STRUCTURE_SET: Final = "1.2.840.10008.5.1.4.1.1.481.3"

_READ: Final = (
    *(STRUCTURE_SET, RT_ION_PLAN, RT_PLAN, RT_DOSE),
    *(RT_ION_RECORD, SPATIAL_REGISTRATION),
)


@dataclass(frozen=True, slots=True, repr=False)
class Folder:
    """CT slices by series, files of other kinds, and notes on what is not read."""

    path: Path
    series: dict[str, list[Slice]]
    structure_sets: tuple[Path, ...]
    ion_plans: tuple[Path, ...]
    photon_plans: tuple[Path, ...]
    doses: tuple[Path, ...]
    records: tuple[Path, ...]
    registrations: tuple[Path, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        n_plans = len(self.ion_plans) + len(self.photon_plans)
        return (
            f"Folder({len(self.series)} CT series, {len(self.structure_sets)} structure sets, "
            f"{n_plans} plans, {len(self.doses)} doses)"
        )


def sort_folder(path: Path) -> Folder:
    """Everything in a folder and its subfolders, by SOP class.

    Raises
    ------
    FileFormatError
        If the folder is none, holds no DICOM, or a file in it is damaged.
    """
    series: dict[str, list[Slice]] = {}
    by_class: dict[str, list[Path]] = {name: [] for name in _READ}
    others: Counter[str] = Counter()
    patients: dict[tuple[str, str], list[Path]] = {}
    n_foreign = n_localisers = n_dicom = 0
    for file in _files(path):
        if not is_dicom(file):
            n_foreign += 1
            continue
        n_dicom += 1
        data_set = read_data_set(file)
        with reading(file):
            sop_class = text(data_set, "SOPClassUID")
            patients.setdefault(_whose(data_set), []).append(file)
            if sop_class in {CT_IMAGE, ENHANCED_CT_IMAGE}:
                if is_localiser(data_set):
                    n_localisers += 1
                    continue
                for each in slices_of(data_set, file):
                    series.setdefault(each.series, []).append(each)
            elif sop_class in by_class:
                by_class[sop_class].append(file)
            elif "DirectoryRecordSequence" not in data_set:
                others[_class_name(data_set, sop_class)] += 1
    if not n_dicom:
        raise FileFormatError(
            f"{path.name or path}: no DICOM file among {n_foreign} files; give the folder with the "
            "exported CT slices and structure set."
        )
    notes = [f"{name}: {n} not read yet" for name, n in sorted(others.items())]
    if n_localisers:
        notes.append(f"{n_localisers} localiser images left out")
    if n_foreign:
        notes.append(f"{n_foreign} files that are not DICOM left out")
    notes += _strangers(patients)
    files = {name: tuple(found) for name, found in by_class.items()}
    return Folder(
        path,
        series,
        files[STRUCTURE_SET],
        files[RT_ION_PLAN],
        files[RT_PLAN],
        files[RT_DOSE],
        files[RT_ION_RECORD],
        files[SPATIAL_REGISTRATION],
        tuple(notes),
    )


def _whose(data_set: Any) -> tuple[str, str]:
    """Number and name of the patient, as far as spelling does not matter."""
    name = text(data_set, "PatientName").replace("^", " ")
    return text(data_set, "PatientID").strip(), " ".join(name.split()).casefold()


def _strangers(patients: dict[tuple[str, str], list[Path]]) -> list[str]:
    """A note if files name different patients; it names the files of the fewest, not the people.

    A number or name that is left empty contradicts nothing.
    """
    by_size = sorted(patients, key=lambda who: -len(patients[who]))
    most = by_size[0]
    strange = [
        file
        for who in by_size[1:]
        if any(a and b and a != b for a, b in zip(who, most, strict=True))
        for file in patients[who]
    ]
    if not strange:
        return []
    names = ", ".join(file.name for file in strange[:3]) + (", ..." if len(strange) > 3 else "")
    return [
        f"{names}: another patient's number or name than in the other files; check that they "
        "belong together"
    ]


def _class_name(data_set: Any, sop_class: str) -> str:
    """What a file of another class is, in words."""
    from pydicom.uid import UID

    if not sop_class:
        return "file without SOPClassUID"
    known = UID(sop_class).name
    return "unknown SOP class" if known == sop_class else str(known)


def _files(path: Path) -> Iterator[Path]:
    """Plain files under ``path``, in order of names; links are not followed."""
    if not path.is_dir():
        there = "a file" if path.exists() else "missing"
        raise FileFormatError(
            f"{path.name or path} is {there}, not a folder; give the folder that holds the CT "
            "slices and the structure set."
        )
    n_files = 0
    for place, folders, names in os.walk(path, followlinks=False):
        folders.sort()
        for name in sorted(names):
            file = Path(place) / name
            if file.is_file() and name != MARKER:
                n_files += 1
                if n_files > MAX_FILES:
                    raise FileFormatError(
                        f"{path.name or path}: more than {MAX_FILES} files; give the folder of one "
                        "study."
                    )
                yield file
