"""Patients from whatever holds them."""

from __future__ import annotations

from pathlib import Path

from dosegrad.errors import FileFormatError
from dosegrad.patient.patient import Patient

__all__ = ["read_patient"]


def read_patient(
    path: str | Path, *, series: str | None = None, structure_set: str | None = None
) -> Patient:
    """A patient from a matRad ``.mat`` file or a folder of DICOM files.

    ``series`` and ``structure_set`` choose among several in a folder.

    Raises
    ------
    ChoiceError
        If several CT series or structure sets of a folder fit and none is named.
    FileFormatError
        If there is nothing at ``path``, or it is neither.
    """
    place = Path(path)
    if place.is_dir():
        from dosegrad.io.dicom.study import read_dicom_patient

        return read_dicom_patient(place, series=series, structure_set=structure_set)
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
