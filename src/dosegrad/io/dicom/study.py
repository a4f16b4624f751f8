"""A folder of DICOM files read into a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dosegrad.beams.deliveries import Delivery
from dosegrad.dose import Dose
from dosegrad.errors import ChoiceError, FileFormatError
from dosegrad.geometry.grid import Grid
from dosegrad.io.dicom.choosing import PlanFile, choose_doses, choose_plan, file_called, in_frame
from dosegrad.io.dicom.ct import CTSeries, choose_series, read_slices
from dosegrad.io.dicom.doses import read_dose
from dosegrad.io.dicom.folder import Folder, sort_folder
from dosegrad.io.dicom.ion_delivery import deliver, machine_for
from dosegrad.io.dicom.ion_plans import IonPlan, read_ion_plan
from dosegrad.io.dicom.matching import check_inside, check_references, contradicts, far_isocentres
from dosegrad.io.dicom.photon_delivery import deliver_photons, photon_machine_for
from dosegrad.io.dicom.photon_plans import PhotonPlan, read_photon_plan
from dosegrad.io.dicom.spatial_registrations import FrameTransform, read_spatial_registration
from dosegrad.io.dicom.structures import StructureSet, read_structures
from dosegrad.io.dicom.treatment_records import read_treatment_record
from dosegrad.machine.kinds import Machine
from dosegrad.patient.calibration import Calibration, CalibrationLike
from dosegrad.patient.contours import ContourShape, Direction
from dosegrad.patient.patient import Patient
from dosegrad.patient.structures import MaskShape, Structure
from dosegrad.plan import Plan

__all__ = ["Study", "read_dicom", "read_dicom_patient"]


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """What a folder of DICOM files holds.

    Parameters
    ----------
    patient
        CT and structures, None where there is no CT. Its name stays empty: nothing that
        identifies a person is kept.
    plan
        A plan whose dose can be computed, if it was read with a machine. Without one it is the plan
        in the meterset of its file (an ``IonPlan`` or a ``PhotonPlan``): computing a dose of these
        raises. None where there is no plan.
    dose
        Dose of the whole course, None where there is none.
    warnings
        What was left out, repaired or guessed, one sentence each.
    beam_doses
        Doses of single beams by beam number, whole course.
    deliveries
        Delivered spots of each treatment record, by file name.
    registrations
        How other frames of reference lie in those of spatial registrations.
    """

    patient: Patient | None
    plan: Plan | IonPlan | PhotonPlan | None = None
    dose: Dose | None = None
    warnings: tuple[str, ...] = ()
    beam_doses: Mapping[int, Dose] = field(default_factory=dict)
    deliveries: Mapping[str, Delivery] = field(default_factory=dict)
    registrations: tuple[FrameTransform, ...] = ()

    def __repr__(self) -> str:
        parts = [repr(p) for p in (self.patient, self.plan, self.dose) if p is not None]
        return f"Study({', '.join(parts)}, {len(self.warnings)} warnings)"


def read_dicom(
    folder: str | Path,
    *,
    machine: Machine | str | Path | None = None,
    calibration: CalibrationLike = "schneider",
    series: str | None = None,
    structure_set: str | Path | None = None,
    plan: str | Path | None = None,
    dose: str | Path | None = None,
) -> Study:
    """The study in a folder: CT, structures drawn on it, a plan and its dose.

    Files are told apart by SOP class and by what they refer to, whatever their names: the
    structure set is that of the CT, the plan that of the structure set, the dose that of the plan.

    Parameters
    ----------
    folder
        Where the files are, subfolders included.
    machine
        Turns the meterset of a plan into particles or fluence: a name, a machine, or the file of
        one. A beam model (``.csv``) is computed for the energies of the plan.
    calibration
        From HU to tissue.
    series
        SeriesInstanceUID of the CT, or how it ends, where there are several.
    structure_set, plan, dose
        Names of files, where several belong to the CT.

    Raises
    ------
    FileFormatError
        If the folder holds no DICOM or nothing that can be read, a file is damaged, slices do not
        fit together, CT and structure set contradict each other, a plan has a device that is not
        modelled, or several plans or doses remain.
    MachineError
        If the machine does not fit the plan.

    Examples
    --------
    >>> read_dicom("no/such/folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    dosegrad.errors.FileFormatError: folder is missing, not a folder; give the folder that ...
    """
    sorted_folder = sort_folder(Path(folder))
    notes = list(sorted_folder.notes)
    doses = {path: read_dose(path) for path in sorted_folder.doses}
    plans: dict[Path, PlanFile] = {path: read_ion_plan(path) for path in sorted_folder.ion_plans}
    plans |= {path: read_photon_plan(path) for path in sorted_folder.photon_plans}
    if sorted_folder.series or not (plans or doses):
        drawn = frozenset().union(*(each.structure_sets for each in plans.values()))
        ct, structures, more = _images(sorted_folder, series, structure_set, drawn)
        notes = [*ct.warnings, *notes, *more]
        shapes = {} if structures is None else dict(structures.structures)
        patient = Patient(ct.ct, shapes, Calibration.of(calibration))
        position, frame = ct.ct.position, ct.frame_of_reference
    else:
        patient, structures, position, frame = None, None, None, ""
        notes.append("no CT in the folder: there is no patient, only plans or doses")
    plans, more = in_frame(plans, frame)
    notes += more
    doses, more = in_frame(doses, frame)
    notes += more
    instance = "" if structures is None else structures.instance
    chosen, more = choose_plan(plans, doses, instance, named=None if plan is None else str(plan))
    notes += more
    record = None if chosen is None else plans[chosen]
    found = choose_doses(doses, record, named=None if dose is None else str(dose))
    notes += [*(() if record is None else record.warnings), *found.notes]
    if record is not None and patient is not None:
        notes += far_isocentres(_isocentres(record), patient.ct.grid)
    made, more = _with_machine(record, machine, position, found.total)
    transforms = [t for p in sorted_folder.registrations for t in read_spatial_registration(p)]
    return Study(
        *(patient, made, found.total, (*notes, *more), found.by_beam),
        deliveries={path.name: read_treatment_record(path) for path in sorted_folder.records},
        registrations=tuple(transforms),
    )


def read_dicom_patient(
    folder: str | Path,
    *,
    calibration: CalibrationLike = "schneider",
    series: str | None = None,
    structure_set: str | Path | None = None,
) -> Patient:
    """The patient in a folder: CT and structures; plans and doses there need not be told apart.

    See :func:`read_dicom` for the options.

    Raises
    ------
    ChoiceError
        If several CT series or structure sets fit and none is named.
    FileFormatError
        If the folder holds no CT, or what it holds cannot be read.
    """
    sorted_folder = sort_folder(Path(folder))
    if not sorted_folder.series:
        raise FileFormatError(
            f"folder {Path(folder).name!r} holds no CT; give the folder with the CT series."
        )
    drawn: frozenset[str] = frozenset()
    if len(sorted_folder.structure_sets) > 1 and structure_set is None:
        plans: list[PlanFile] = [read_ion_plan(path) for path in sorted_folder.ion_plans]
        plans += [read_photon_plan(path) for path in sorted_folder.photon_plans]
        drawn = frozenset().union(*(each.structure_sets for each in plans))
    ct, structures, _ = _images(sorted_folder, series, structure_set, drawn)
    shapes = {} if structures is None else dict(structures.structures)
    return Patient(ct.ct, shapes, Calibration.of(calibration))


def _isocentres(record: PlanFile) -> list[tuple[float, float, float]]:
    if isinstance(record, IonPlan):
        return [beam.isocentre for beam in record.fields]
    return [point.isocentre for beam in record.fields for point in beam.control_points]


def _with_machine(
    record: PlanFile | None,
    machine: Machine | str | Path | None,
    position: str | None,
    dose: Dose | None,
) -> tuple[Plan | PlanFile | None, list[str]]:
    """The plan with its dose as a machine delivers it, where there is one; else as it was read."""
    if record is None or machine is None:
        if machine is not None:
            return None, ["machine= has no effect: there is no plan"]
        if record is None:
            return None, []
        kind = "ion" if isinstance(record, IonPlan) else "photon"
        return record, [f"the {kind} plan was read without a machine; it keeps its meterset"]
    stated = {f.position for f in record.fields if f.position}
    where = position or (stated.pop() if len(stated) == 1 else "HFS")
    if isinstance(record, IonPlan):
        made, notes = deliver(record, machine_for(record, machine), position=where)
    else:
        made, notes = deliver_photons(record, photon_machine_for(machine), position=where)
    if dose is not None and dose.quantity == "dose":
        made = replace(made, dose=dose)
    return made, notes


def _images(
    folder: Folder,
    series: str | None,
    structure_set: str | Path | None,
    planned: frozenset[str],
) -> tuple[CTSeries, StructureSet | None, list[str]]:
    """The CT, the structures drawn on it, and notes; ``planned`` are UIDs that plans refer to."""
    files = _named_files(folder, structure_set)
    sets = {path: read_structures(path) for path in files}
    uids = [found.references.series | found.references.images for found in sets.values()]
    ct = read_slices(choose_series(folder, series=series, referenced=frozenset().union(*uids)))
    path, notes = _one_that_fits(sets, ct, folder, planned)
    if path is None:
        return ct, None, notes
    found, more = _with_ct(path, ct)
    return ct, found, [*notes, *more]


def _named_files(folder: Folder, structure_set: str | Path | None) -> tuple[Path, ...]:
    """Structure sets of the folder, or the one that was asked for."""
    if structure_set is None:
        return folder.structure_sets
    found = file_called(structure_set, folder.structure_sets)
    if found is None:
        names = ", ".join(p.name for p in folder.structure_sets) or "none"
        raise FileFormatError(
            f"{folder.path.name or folder.path}: no RT structure set {Path(structure_set).name} "
            f"(have: {names})."
        )
    return (found,)


def _one_that_fits(
    sets: dict[Path, StructureSet], ct: CTSeries, folder: Folder, planned: frozenset[str]
) -> tuple[Path | None, list[str]]:
    """The structure set of the CT, and notes on others or on its absence."""
    if not sets:
        return None, ["no RT structure set in the folder: the patient has no structures"]
    fitting = [p for p, found in sets.items() if not contradicts(found.references, ct)]
    if len(fitting) > 1:
        fitting = [p for p in fitting if sets[p].instance in planned] or fitting
    if len(fitting) > 1:
        names = [p.relative_to(folder.path).as_posix() for p in fitting]
        raise ChoiceError(
            f"{folder.path.name or folder.path}: {len(fitting)} structure sets belong to the CT "
            f"({', '.join(names)}); choose one with structure_set='...'.",
            option="structure_set",
            choices=[(name, name) for name in names],
        )
    others = [p.name for p in sets if p not in fitting]
    if fitting and others:
        return fitting[0], [f"{name}: belongs to another CT or plan, left out" for name in others]
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
    structures = {
        name: _as_voxels(structure, grid) if name in found.outlined else structure
        for name, structure in found.structures.items()
    }
    return replace(found, structures=structures), notes


def _as_voxels(structure: Structure, grid: Grid) -> Structure:
    """The voxels that the contours were drawn around, if these lie on slices of the CT.

    Contours say nothing of slices without any, and elsewhere short gaps are bridged; here such
    slices are empty.
    """
    shape = structure.shape
    if not isinstance(shape, ContourShape):
        return structure
    points = np.zeros((len(shape.planes), 3))
    points[:, 2] = shape.heights
    middles = points @ np.asarray(shape.direction).T
    slices = grid.to_index(middles)[:, 0]
    within = slices.min() > -0.5 and slices.max() < grid.shape[0] - 0.5
    on_slices = np.abs(slices - np.rint(slices)).max() < 0.01
    if not (within and on_slices) or shape.direction != grid.direction:
        return structure
    drawn = np.zeros(grid.shape[0], dtype=bool)
    drawn[np.rint(slices).astype(np.int64)] = True
    mask = structure.mask(grid) & drawn[:, None, None]
    return replace(structure, shape=MaskShape(grid, mask))
