"""Records of delivered fractions, whatever their kind."""

from __future__ import annotations

from pathlib import Path

from dosegrad.beams.deliveries import Delivery
from dosegrad.errors import FileFormatError
from dosegrad.io.delivery_table import read_delivery_table
from dosegrad.io.dicom.stream import is_dicom
from dosegrad.io.dicom.treatment_records import read_treatment_record

__all__ = ["read_delivery"]


def read_delivery(path: str | Path) -> Delivery:
    """Delivered spots of an RT Ion Beams Treatment Record, or of a table (``.csv``).

    Raises
    ------
    FileFormatError
        If the file is missing, or neither.
    """
    file = Path(path)
    if not file.is_file():
        raise FileFormatError(
            f"there is no record at '{file}'; give an RT Ion Beams Treatment Record or a table of "
            "delivered spots (.csv)."
        )
    return read_treatment_record(file) if is_dicom(file) else read_delivery_table(file)
