"""RT Dose written: the dose of a plan or of one of its beams."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.dose import Dose
from dosegrad.errors import OutputError
from dosegrad.io.dicom.doses import RT_DOSE
from dosegrad.io.dicom.identifiers import make_uid
from dosegrad.io.dicom.writing.data_sets import (
    Identity,
    decimal,
    decimals,
    new_data_set,
    reference,
    save,
    sequence,
)
from dosegrad.io.dicom.writing.plan_headers import WrittenPlan

__all__ = ["write_dose"]

_TYPES: Final = {"dose": "PHYSICAL", "rbe_dose": "EFFECTIVE"}
_LARGEST: Final = 2**32 - 1
#: Doses below 0 by at most this part of the maximum are noise of single precision, stored as 0.
_NOISE: Final = 1e-6


def write_dose(
    dose: Dose, path: Path, identity: Identity, *, plan: WrittenPlan, beam: int | None = None
) -> str:
    """Write a dose of the whole course with 32 bits; returns its SOPInstanceUID.

    Parameters
    ----------
    dose
        Physical or RBE-weighted.
    path
        The file.
    identity
        Of the study.
    plan
        The written plan that the dose is of.
    beam
        Number of the beam; None for all.

    Raises
    ------
    OutputError
        If it is another quantity, holds NaN, infinity or negative doses, or cannot be written.
    """
    if dose.quantity not in _TYPES:
        raise OutputError(
            f"{dose.quantity!r} cannot be written as a DICOM dose; give a physical ('dose') or an "
            "RBE-weighted one ('rbe_dose')."
        )
    stored, scaling = _stored(dose)
    digest = hashlib.sha256(stored.tobytes() + scaling.encode() + repr(dose.grid).encode())
    digest.update(repr((dose.grid.origin, dose.grid.direction, dose.quantity)).encode())
    instance = make_uid("dose", identity.study, plan.instance, str(beam), digest.hexdigest())
    data = new_data_set(identity, RT_DOSE, instance, "RTDOSE", "dose")
    data.InstanceNumber = 1 if beam is None else beam + 1
    data.FrameOfReferenceUID = identity.frame_of_reference
    data.PositionReferenceIndicator = ""
    axes = np.asarray(dose.grid.direction)
    data.ImagePositionPatient = decimals(dose.grid.origin)
    data.ImageOrientationPatient = decimals((*axes[:, 0], *axes[:, 1]))
    between_planes, between_rows, between_columns = dose.grid.spacing
    data.PixelSpacing = decimals((between_rows, between_columns))
    data.SliceThickness = decimal(between_planes)
    _add_pixels(data, stored)
    data.FrameIncrementPointer = 0x3004000C
    data.GridFrameOffsetVector = decimals(between_planes * np.arange(dose.grid.shape[0]))
    data.DoseUnits = "GY"
    data.DoseType = _TYPES[dose.quantity]
    data.DoseSummationType = "PLAN" if beam is None else "BEAM"
    data.DoseGridScaling = scaling
    data.TissueHeterogeneityCorrection = "IMAGE"
    data.ReferencedRTPlanSequence = sequence([_reference(plan, beam)])
    save(data, path)
    return instance


def _stored(dose: Dose) -> tuple[np.ndarray, str]:
    """Stored values (z, y, x) of 32 bits, and what they are multiplied by, as it is written."""
    array: Array = dose.array
    if not np.isfinite(array).all():
        raise OutputError(
            "the dose holds NaN or infinite voxels, which DICOM cannot store; compute it again."
        )
    highest, lowest = float(array.max()), float(array.min())
    if lowest < -_NOISE * max(highest, 0.0):
        raise OutputError(
            f"the dose goes down to {lowest:.3g} Gy; a DICOM dose cannot be negative. Write the "
            "doses themselves, not their difference."
        )
    scaling = decimal(highest * (1.0 + 1e-9) / _LARGEST or 1.0)
    stored = np.rint(np.maximum(array, 0.0) / float(scaling))
    return np.ascontiguousarray(stored.astype("<u4")), scaling


def _add_pixels(data: Any, stored: np.ndarray) -> None:
    """The pixel module of a dose."""
    data.NumberOfFrames, data.Rows, data.Columns = stored.shape
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 32
    data.HighBit = 31
    data.PixelRepresentation = 0
    data.PixelData = stored.tobytes()
    data["PixelData"].VR = "OW"


def _reference(plan: WrittenPlan, beam: int | None) -> Any:
    """The item that names the plan, and the beam of its fraction group."""
    from pydicom.dataset import Dataset

    item = reference(plan.sop_class, plan.instance)
    if beam is not None:
        number, group = Dataset(), Dataset()
        number.ReferencedBeamNumber = beam
        group.ReferencedBeamSequence = sequence([number])
        group.ReferencedFractionGroupNumber = 1
        item.ReferencedFractionGroupSequence = sequence([group])
    return item
