"""A folder of DICOM files read into a study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dosegrad.errors import FileFormatError
from dosegrad.io.dicom.ct import CTSeries, choose_series, read_slices
from dosegrad.io.dicom.folder import Folder, sort_folder
from dosegrad.io.dicom.matching import check_inside, check_references, contradicts
from dosegrad.io.dicom.structures import StructureSet, read_structures
from dosegrad.patient.calibration import Calibration, CalibrationLike
from dosegrad.patient.contours import Direction
from dosegrad.patient.patient import Patient

if TYPE_CHECKING:
    from dosegrad.machine.particle import ParticleMachine

__all__ = ["Study", "read_dicom"]


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """What a folder of DICOM files holds.

    Parameters
    ----------
    patient
        CT and structures. Its name stays empty: nothing that identifies a person is kept.
    plan, dose
        Not read yet, always None; plans and doses in the folder are listed in ``warnings``.
    warnings
        What was left out, repaired or guessed, one sentence each.
    """

    patient: Patient
    plan: None = None
    dose: None = None
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Study({self.patient!r}, {len(self.warnings)} warnings)"


def read_dicom(
    folder: str | Path,
    *,
    machine: ParticleMachine | str | None = None,
    calibration: CalibrationLike = "schneider",
    series: str | None = None,
    structure_set: str | Path | None = None,
) -> Study:
    """The study in a folder: its CT and the structures drawn on it.

    Files are told apart by SOP class and by what they refer to, whatever their names.

    Parameters
    ----------
    folder
        Where the files are, subfolders included.
    machine
        The machine for a plan in the folder. Plans are not read yet, so it has no effect, and a
        warning of the study says so.
    calibration
        From HU to tissue.
    series
        SeriesInstanceUID of the CT, or how it ends, where there are several.
    structure_set
        Name of the RTSTRUCT file, where several belong to the CT.

    Raises
    ------
    FileFormatError
        If the folder holds no DICOM or no CT, a file is damaged, slices do not fit together, or
        CT and structure set contradict each other.

    Examples
    --------
    >>> read_dicom("no/such/folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    dosegrad.errors.FileFormatError: folder is missing, not a folder; give the folder that ...
    """
    sorted_folder = sort_folder(Path(folder))
    files = _named_files(sorted_folder, structure_set)
    sets = {path: read_structures(path) for path in files}
    uids = [found.references.series | found.references.images for found in sets.values()]
    ct = read_slices(
        choose_series(sorted_folder, series=series, referenced=frozenset().union(*uids))
    )
    notes = [*ct.warnings, *sorted_folder.notes]
    if machine is not None:
        notes.append("machine= has no effect: plans are not read yet")
    path, more = _one_that_fits(sets, ct, sorted_folder)
    notes += more
    structures = {}
    if path is not None:
        found, more = _with_ct(path, ct)
        notes += more
        structures = dict(found.structures)
    patient = Patient(ct.ct, structures, Calibration.of(calibration))
    return Study(patient, warnings=tuple(notes))


def _named_files(folder: Folder, structure_set: str | Path | None) -> tuple[Path, ...]:
    """Structure sets of the folder, or the one that was asked for."""
    if structure_set is None:
        return folder.structure_sets
    wanted = Path(structure_set)
    found = tuple(p for p in folder.structure_sets if p.name == wanted.name)
    if not found:
        names = ", ".join(p.name for p in folder.structure_sets) or "none"
        raise FileFormatError(
            f"{folder.path.name or folder.path}: no RT structure set {wanted.name} (have: {names})."
        )
    return found[:1]


def _one_that_fits(
    sets: dict[Path, StructureSet], ct: CTSeries, folder: Folder
) -> tuple[Path | None, list[str]]:
    """The structure set of the CT, and notes on others or on its absence."""
    if not sets:
        return None, ["no RT structure set in the folder: the patient has no structures"]
    fitting = [p for p, found in sets.items() if not contradicts(found.references, ct)]
    if len(fitting) > 1:
        names = ", ".join(p.name for p in fitting)
        raise FileFormatError(
            f"{folder.path.name or folder.path}: {len(fitting)} structure sets belong to the CT "
            f"({names}); choose one with structure_set='...'."
        )
    others = [p.name for p in sets if p not in fitting]
    if fitting and others:
        return fitting[0], [f"{name}: belongs to another CT, left out" for name in others]
    return (fitting or list(sets))[0], []


def _with_ct(path: Path, ct: CTSeries) -> tuple[StructureSet, list[str]]:
    """The structures of ``path`` with slice spacing and axes of the CT, and all notes on them."""
    grid = ct.ct.grid
    direction: Direction = grid.direction
    found = read_structures(path, spacing=grid.spacing[0], direction=direction)
    notes = [
        *check_references(found.references, ct, path.name),
        *found.warnings,
        *check_inside(found, grid, path.name),
    ]
    return found, notes
