"""Records of delivered fractions, whatever their kind."""

from __future__ import annotations

from pathlib import Path

from dosegrad.beams.deliveries import Delivery
from dosegrad.beams.photon_deliveries import PhotonRecord
from dosegrad.errors import FileFormatError
from dosegrad.io.delivery_table import read_delivery_table
from dosegrad.io.dicom.stream import is_dicom
from dosegrad.io.dicom.treatment_records import read_treatment_record
from dosegrad.io.trajectory_logs import is_trajectory_log, read_trajectory_log

__all__ = ["is_photon_delivery", "read_delivery", "read_photon_delivery"]


def read_delivery(path: str | Path) -> Delivery:
    """Delivered spots of an RT Ion Beams Treatment Record, or of a table (``.csv``).

    Raises
    ------
    FileFormatError
        If the file is missing, or neither.
    """
    file = Path(path)
    if file.is_dir():
        raise FileFormatError(
            f"'{file}' is a folder without trajectory logs; give the file of one fraction: an RT "
            "Ion Beams Treatment Record or a table of delivered spots (.csv)."
        )
    if not file.is_file():
        raise FileFormatError(
            f"there is no record at '{file}'; give an RT Ion Beams Treatment Record or a table of "
            "delivered spots (.csv)."
        )
    if is_trajectory_log(file):
        raise FileFormatError(
            f"{file.name}: is a trajectory log of photons; give it with a photon plan."
        )
    return read_treatment_record(file) if is_dicom(file) else read_delivery_table(file)


def is_photon_delivery(path: str | Path) -> bool:
    """Whether a file is a trajectory log, or a folder holds one."""
    return bool(_logs(Path(path)))


def read_photon_delivery(path: str | Path) -> tuple[PhotonRecord, ...]:
    """The beams in a trajectory log, or in all of a folder; other files there are left alone.

    Raises
    ------
    FileFormatError
        If there is no log, or one is damaged.
    """
    logs = _logs(Path(path))
    if not logs:
        raise FileFormatError(
            f"there is no trajectory log at '{path}'; give the .bin file of a beam, or the folder "
            "with those of one fraction."
        )
    return tuple(record for log in logs for record in read_trajectory_log(log))


def _logs(place: Path) -> list[Path]:
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    return [file for file in files if file.is_file() and is_trajectory_log(file)]
