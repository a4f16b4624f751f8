"""IEC 61217 frames (fixed, gantry, couch) and how they lie in the patient (DICOM LPS).

Fixed frame: x to the right of somebody who faces the gantry, y towards the gantry, z up. Gantry
frame: turned by the gantry angle about y; its z axis points to the source. A couch angle turns
the patient about the fixed z axis, counter-clockwise seen from above.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from dosegrad.arrays import Array, readonly
from dosegrad.errors import GeometryError, unknown_name

__all__ = ["PATIENT_POSITIONS", "couch_rotation", "gantry_rotation", "gantry_to_patient"]


def _position(towards_gantry: tuple[int, int, int], up: tuple[int, int, int]) -> Array:
    y, z = np.array(towards_gantry, dtype=float), np.array(up, dtype=float)
    array: Array = readonly(np.column_stack([np.cross(y, z), y, z]))
    return array


_HEAD, _FEET = (0, 0, 1), (0, 0, -1)
_FRONT, _BACK, _LEFT, _RIGHT = (0, -1, 0), (0, 1, 0), (1, 0, 0), (-1, 0, 0)

#: For each DICOM Patient Position the matrix (3, 3) that turns vectors of the couch frame (fixed
#: frame at couch angle 0) into patient LPS; built from which end of the patient is towards the
#: gantry and which side is up.
PATIENT_POSITIONS: Final[Mapping[str, Array]] = MappingProxyType(
    {
        "HFS": _position(_HEAD, _FRONT),
        "HFP": _position(_HEAD, _BACK),
        "FFS": _position(_FEET, _FRONT),
        "FFP": _position(_FEET, _BACK),
        "HFDR": _position(_HEAD, _LEFT),
        "HFDL": _position(_HEAD, _RIGHT),
        "FFDR": _position(_FEET, _LEFT),
        "FFDL": _position(_FEET, _RIGHT),
    }
)


def gantry_rotation(gantry: float) -> Array:
    """Matrix (3, 3) that turns IEC gantry vectors into fixed ones; ``gantry`` in degree."""
    c, s = _cos_sin(gantry)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def couch_rotation(couch: float) -> Array:
    """Matrix (3, 3) that turns couch vectors into fixed ones; ``couch`` in degree."""
    c, s = _cos_sin(couch)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def gantry_to_patient(gantry: float, couch: float = 0.0, position: str = "HFS") -> Array:
    """Matrix (3, 3) that turns IEC gantry vectors into patient LPS vectors.

    Parameters
    ----------
    gantry, couch
        Angles, degree.
    position
        DICOM Patient Position.

    Raises
    ------
    UnknownNameError
        If the position is none of DICOM's eight.
    GeometryError
        If an angle is not finite.

    References
    ----------
    IEC 61217:2011; DICOM PS3.3 C.8.8.25.6 [IEC61217]_.

    Examples
    --------
    At gantry 90 the source is on the left of a patient who lies head first and supine:

    >>> gantry_to_patient(90.0)[:, 2].round(12).tolist()
    [1.0, 0.0, 0.0]
    """
    if position not in PATIENT_POSITIONS:
        raise unknown_name("patient position", position, PATIENT_POSITIONS)
    to_couch = couch_rotation(couch).T @ gantry_rotation(gantry)
    matrix: Array = PATIENT_POSITIONS[position] @ to_couch
    return matrix


def _cos_sin(angle: float) -> tuple[float, float]:
    """Cosine and sine of an angle in degree, exact at multiples of 90."""
    if not np.isfinite(angle):
        raise GeometryError(
            f"gantry or couch angle {angle} is not possible; give a finite number of degrees."
        )
    quarter, rest = divmod(angle, 90.0)
    if rest == 0.0:
        c, s = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(quarter) % 4]
        return c, s
    angle_rad = np.deg2rad(angle)
    return float(np.cos(angle_rad)), float(np.sin(angle_rad))
