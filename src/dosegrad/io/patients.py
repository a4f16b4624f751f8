"""Patients from whatever holds them."""

from __future__ import annotations

from pathlib import Path

from dosegrad.errors import FileFormatError
from dosegrad.patient.patient import Patient

__all__ = ["read_patient"]


def read_patient(path: str | Path) -> Patient:
    """A patient from a matRad ``.mat`` file or a folder of DICOM files.

    Raises
    ------
    FileFormatError
        If there is nothing at ``path``, or it is neither.
    """
    place = Path(path)
    if place.is_dir():
        from dosegrad.io.dicom.study import read_dicom

        patient = read_dicom(place).patient
        if patient is None:
            raise FileFormatError(
                f"folder {place.name!r} holds no CT; give the folder with the CT series."
            )
        return patient
    if not place.exists():
        raise FileFormatError(
            f"no patient at {str(place)!r}; give a .mat file or a folder of DICOM files."
        )
    if place.suffix.lower() == ".mat":
        from dosegrad.io.matrad_patient import read_matrad_patient

        return read_matrad_patient(place)
    raise FileFormatError(
        f"{place.name!r} is no patient that can be read; give a matRad .mat file or a folder "
        "of DICOM files."
    )
