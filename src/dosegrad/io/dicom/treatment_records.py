"""RT Ion Beams Treatment Record files read into delivered spots."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.beams.deliveries import DELIVERED_DTYPE, Delivery
from dosegrad.errors import DosegradError, FileFormatError
from dosegrad.io.dicom.attributes import integer, items, number_array, optional_numbers, text
from dosegrad.io.dicom.limits import MAX_CONTROL_POINTS, MAX_SPOTS
from dosegrad.io.dicom.stream import read_data_set, reading

__all__ = ["RT_ION_RECORD", "read_treatment_record"]

RT_ION_RECORD: Final = "1.2.840.10008.5.1.4.1.1.481.9"
_MICROSECONDS: Final = 1e-6


def read_treatment_record(path: str | Path) -> Delivery:
    """The spots of one fraction of scanned ions, as the machine recorded them.

    Positions are those delivered, in the isocentre plane of the IEC gantry frame; metersets those
    of this fraction, in the unit that the record counts in. Control points without a delivered
    spot are left out.

    Raises
    ------
    FileFormatError
        If the file is no such record, damaged, or holds no scanned spot.
    """
    file = Path(path)
    data_set = read_data_set(file)
    with reading(file, "RT ion beams treatment record"):
        found = text(data_set, "SOPClassUID")
        if found != RT_ION_RECORD:
            raise FileFormatError(
                f"{file.name}: is no RT Ion Beams Treatment Record; give the record of a fraction "
                "of scanned ions."
            )
        notes: list[str] = []
        parts = [
            _beam_spots(beam, file, notes)
            for beam in items(data_set, "TreatmentSessionIonBeamSequence", file)
        ]
        spots = np.concatenate([np.empty(0, dtype=DELIVERED_DTYPE), *parts])
        if np.isfinite(spots["time"]).any():
            spots["time"] -= np.nanmin(spots["time"])
        try:
            return Delivery(spots, "RT Ion Beams Treatment Record", tuple(notes))
        except DosegradError as error:
            raise FileFormatError(f"{file.name}: {error}") from error


def _beam_spots(beam: Any, file: Path, notes: list[str]) -> NDArray[Any]:
    """Spots of one beam of the session."""
    number = integer(beam, "ReferencedBeamNumber", file)
    if text(beam, "ScanMode") not in {"MODULATED", ""}:
        raise FileFormatError(
            f"{file.name}: beam {number} was not delivered by modulated scanning, which is not "
            "modelled; give records of scanned beams."
        )
    if text(beam, "TreatmentTerminationStatus") not in {"NORMAL", ""}:
        notes.append(f"beam {number} did not end normally")
    points = items(beam, "IonControlPointDeliverySequence", file)
    if len(points) > MAX_CONTROL_POINTS:
        raise FileFormatError(
            f"{file.name}: beam {number} has {len(points)} control points; at most "
            f"{MAX_CONTROL_POINTS} are read."
        )
    parts, energy, layer = [], None, 0
    for point in points:
        stated = optional_numbers(point, "NominalBeamEnergy", 1, file)
        energy = energy if stated is None else stated[0]
        metersets = number_array(point, "ScanSpotMetersetsDelivered", file)
        if not metersets.any():
            continue
        if energy is None:
            raise FileFormatError(
                f"{file.name}: beam {number} does not say the energy of its first layer; the "
                "record is incomplete. Export it again."
            )
        parts.append(_layer_spots(point, number, layer, energy, metersets, file))
        layer += 1
    return np.concatenate([np.empty(0, dtype=DELIVERED_DTYPE), *parts])


def _layer_spots(
    point: Any, beam: int, layer: int, energy: float, metersets: Array, file: Path
) -> NDArray[Any]:
    places = number_array(point, "ScanSpotPositionMap", file)
    if places.size != 2 * metersets.size or metersets.size > MAX_SPOTS:
        raise FileFormatError(
            f"{file.name}: {metersets.size} delivered metersets but {places.size / 2:g} positions "
            f"in a layer of beam {beam}; the record is damaged. Export it again."
        )
    spots = np.zeros(metersets.size, dtype=DELIVERED_DTYPE)
    spots["beam"], spots["layer"], spots["energy"] = beam, layer, energy
    spots["x"], spots["y"] = places[::2], places[1::2]
    spots["mu"] = metersets
    spots["time"] = _clock(point) + _offsets(point, metersets.size, file)
    return spots[metersets > 0]


def _offsets(point: Any, n: int, file: Path) -> Array:
    """Time of each spot (n,) after the start of its layer, s; 0 where it is not recorded."""
    found = number_array(point, "ScanSpotTimeOffset", file)
    return found * _MICROSECONDS if found.size == n else np.zeros(n)


def _clock(point: Any) -> float:
    """Time of day, s, at which a control point was delivered; NaN where it is not recorded."""
    given = text(point, "TreatmentControlPointTime")
    try:
        return int(given[:2]) * 3600.0 + int(given[2:4]) * 60.0 + float(given[4:])
    except ValueError:
        return float("nan")
