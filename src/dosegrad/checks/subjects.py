"""What a check asks of a study before it computes anything, and the grid on which it computes."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from dosegrad.dose import Dose
from dosegrad.errors import (
    CapabilityError,
    FileFormatError,
    MachineError,
    PatientError,
    PlanError,
    unknown_name,
)
from dosegrad.geometry.grid import Grid
from dosegrad.io.dicom.ion_plans import IonPlan
from dosegrad.io.dicom.photon_plans import PhotonPlan
from dosegrad.io.dicom.study import Study
from dosegrad.patient.ct import CT
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan

__all__ = [
    "PROTON_RBE",
    "Metal",
    "calibrated",
    "check_metal",
    "covering",
    "part_of",
    "physical_dose",
    "subject",
]

#: What becomes of voxels above the HU calibration: an error, or they count as its upper end.
Metal: TypeAlias = Literal["refuse", "clip"]

#: Constant RBE of protons by which planning systems weight doses (ICRU 78).
PROTON_RBE: Final = 1.1
#: Voxels above the calibration that pass as noise.
_FEW: Final = 3


def subject(study: Study) -> tuple[Patient, Plan]:
    """Patient and plan of a study of protons.

    Raises
    ------
    FileFormatError
        If it holds no CT or no plan.
    CapabilityError
        If the plan is not for protons.
    MachineError
        If the study was read without a machine.
    """
    if study.patient is None:
        raise FileFormatError(
            "the study holds no CT, so no dose can be computed; add the CT series of the plan."
        )
    if study.plan is None:
        raise FileFormatError(
            "the study holds no plan; add the RT Ion Plan that belongs to its CT and structures."
        )
    if isinstance(study.plan, PhotonPlan):
        raise CapabilityError(
            "the plan of the study is for photons or electrons; this check recomputes scanned "
            "protons. Give a study with an RT Ion Plan."
        )
    if isinstance(study.plan, IonPlan):
        raise MachineError(
            "the plan was read without a machine, so nobody knows how many protons a monitor unit "
            "is; read it with one, as read_dicom(folder, machine='beam_model.csv')."
        )
    modality = study.plan.beams.machine.modality
    if modality != "protons":
        raise CapabilityError(
            f"the plan of the study is for {modality}; this check recomputes scanned protons."
        )
    return study.patient, study.plan


def check_metal(ct: CT, highest: float, metal: Metal) -> list[str]:
    """A note on voxels of ``ct`` above ``highest`` HU, where its calibration ends.

    Raises
    ------
    PatientError
        If there are some and ``metal`` is ``"refuse"``.
    UnknownNameError
        If ``metal`` is no choice.
    """
    if metal not in get_args(Metal):
        raise unknown_name("treatment of metal", metal, get_args(Metal))
    n = int(np.count_nonzero(ct.hu > highest))
    if n <= _FEW:
        return []
    words = f"{n} voxels of the CT are above {highest:g} HU, where the calibration ends (metal?)"
    if metal == "refuse":
        raise PatientError(
            f"{words}; doses behind them cannot be trusted. Override them with their true HU, or "
            "compute with the upper end of the calibration by metal='clip'."
        )
    return [f"{words}; they count as its upper end"]


def calibrated(ct: CT, highest: float) -> CT:
    """``ct`` with voxels above ``highest`` HU, where its calibration ends, at that."""
    return replace(ct, hu=np.minimum(ct.hu, highest)) if (ct.hu > highest).any() else ct


def physical_dose(dose: Dose) -> tuple[Dose, list[str]]:
    """The dose without RBE, and a note if it was divided by 1.1.

    Raises
    ------
    PlanError
        If it is no dose at all.
    """
    if dose.quantity == "dose":
        return dose, []
    if dose.quantity != "rbe_dose":
        raise PlanError(
            f"the dose of the study is {dose.label!r}, which cannot be compared with a computed "
            "dose; export it in Gy."
        )
    made = replace(dose, array=dose.array / PROTON_RBE, quantity="dose")
    return made, [f"the plan's dose is RBE-weighted; it was divided by {PROTON_RBE}"]


def covering(grid: Grid, patient: Patient) -> Grid:
    """``grid``, enlarged by whole voxels until it holds the body.

    What a beam crosses before the grid would count as air.
    """
    ct = patient.ct.grid
    found = np.argwhere(patient.body_mask())
    bounds = zip(found.min(axis=0) - 0.5, found.max(axis=0) + 0.5, strict=True)
    corners = grid.to_index(ct.to_point(list(product(*bounds))))
    first = np.minimum(np.floor(corners.min(axis=0) + 0.5 + 1e-6), 0).astype(int)
    last = np.maximum(np.ceil(corners.max(axis=0) + 0.5 - 1e-6), grid.shape).astype(int)
    return grid.part(first, last)


def part_of(dose: Dose, grid: Grid) -> Dose:
    """The part of ``dose`` on ``grid``, whose voxels are among its own."""
    first = np.rint(dose.grid.to_index(grid.origin)).astype(int)
    box = tuple(slice(a, a + n) for a, n in zip(first, grid.shape, strict=True))
    return replace(dose, grid=grid, array=dose.array[box])
