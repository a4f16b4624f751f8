"""Data sets that every object of a study shares, decimal strings, and saving."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from dosegrad._version import __version__
from dosegrad.errors import OutputError
from dosegrad.io.dicom.identifiers import make_uid

__all__ = ["Identity", "decimal", "decimals", "new_data_set", "reference", "save", "sequence"]

#: Names the program that wrote a file, as a UID (PS3.10 7.1).
_IMPLEMENTATION: Final = make_uid("dosegrad", "implementation")
#: Characters that a decimal string may have.
_DS_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class Identity:
    """What ties the objects of a study together: pseudonym, study and frame of reference."""

    pseudonym: str
    study: str
    frame_of_reference: str

    def __repr__(self) -> str:
        return "Identity(...)"


def new_data_set(
    identity: Identity, sop_class: str, instance: str, modality: str, series_part: str
) -> Any:
    """A data set with the patient, study, series and equipment modules filled in.

    Dates stay empty: the same study gives the same bytes whenever it is written.
    """
    from pydicom.dataset import Dataset

    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID, data.SOPInstanceUID = sop_class, instance
    data.PatientName = f"{identity.pseudonym}^"
    data.PatientID = identity.pseudonym
    data.PatientBirthDate = data.PatientSex = ""
    data.PatientIdentityRemoved = "YES"
    data.DeidentificationMethod = "written by dosegrad under a pseudonym"
    data.StudyInstanceUID = identity.study
    data.StudyDate = data.StudyTime = data.AccessionNumber = data.ReferringPhysicianName = ""
    data.StudyID = "dosegrad"
    data.Modality = modality
    data.SeriesInstanceUID = make_uid("series", identity.study, series_part)
    data.SeriesNumber = {"CT": 1, "RTSTRUCT": 2, "RTPLAN": 3, "RTDOSE": 4}[modality]
    data.OperatorsName = ""
    data.Manufacturer = data.ManufacturerModelName = "dosegrad"
    data.DeviceSerialNumber = "0"
    data.SoftwareVersions = __version__
    return data


def save(data: Any, path: Path) -> Path:
    """Write a data set as implicit little endian, which has no limit on the length of a list.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from pydicom import dcmwrite
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, ImplicitVRLittleEndian

    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data.file_meta.ImplementationClassUID = UID(_IMPLEMENTATION)
    data.file_meta.ImplementationVersionName = f"DOSEGRAD_{__version__}"[:16]
    try:
        dcmwrite(path, data, enforce_file_format=True)
    except OSError as error:
        raise OutputError(
            f"{path.name} cannot be written ({error.strerror}); check space and permissions."
        ) from error
    return path


def reference(sop_class: str, instance: str) -> Any:
    """An item that refers to another object."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
    return item


def sequence(items: Iterable[Any]) -> Any:
    """A sequence of ``items``."""
    from pydicom.sequence import Sequence

    return Sequence(list(items))


def decimal(value: float) -> str:
    """A number as a decimal string of at most 16 characters, as exact as these allow.

    pydicom writes longer ones without complaint.

    Examples
    --------
    >>> decimal(-0.1 - 0.2), decimal(1 / 3e-7), decimal(2.0)
    ('-0.3000000000000', '3333333.33333333', '2')
    """
    number = float(value)
    if not np.isfinite(number):
        raise OutputError("a number that is not finite cannot be written; check the plan or dose.")
    if number == int(number) and abs(number) < 1e15:
        return str(int(number))
    best = ""
    for style in ("f", "e"):
        for digits in range(_DS_LENGTH, -1, -1):
            text = f"{number:.{digits}{style}}"
            if len(text) <= _DS_LENGTH:
                if not best or abs(float(text) - number) < abs(float(best) - number):
                    best = text
                break
    return best


def decimals(values: Iterable[float]) -> list[str]:
    """Each of ``values`` as a decimal string."""
    return [decimal(value) for value in values]
