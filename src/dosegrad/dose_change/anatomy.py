"""Media of repeat CTs: where the body ends when nobody has contoured it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion

from dosegrad.arrays import Mask
from dosegrad.engines.yoda.paths import check_calibrated
from dosegrad.errors import GeometryError, PatientError
from dosegrad.geometry.grid import Grid
from dosegrad.patient._body import find_body
from dosegrad.patient.ct import CT
from dosegrad.patient.medium import Medium
from dosegrad.patient.patient import OutsideBody, Patient
from dosegrad.patient.structures import MaskShape, Structure

__all__ = ["body_today", "check_frame", "medium_today"]

#: HU half way between air and soft tissue, where contours of the skin run.
_SKIN_HU: Final = -500.0
#: HU above which it is lung, or the half-filled rim of a body, rather than air.
_LUNG_HU: Final = -900.0
#: mm, half the thickness of the thinnest lung that is told from such a rim; a voxel at least.
_LUNG_RADIUS: Final = 3.0


def check_frame(planned: CT, today: CT) -> None:
    """Raise unless ``today`` lies on the voxels of the planning CT.

    Raises
    ------
    PatientError
        If it is no CT, or the patient lies another way.
    GeometryError
        If its grid is another one.
    """
    if not isinstance(today, CT):
        raise PatientError(
            f"a dose change is predicted for a CT or a patient, not for {type(today).__name__}; "
            "pass the CT of the day, such as `patient.ct`."
        )
    if today.position != planned.position:
        raise PatientError(
            f"the CT of the day shows a patient in position {today.position}, the planning CT one "
            f"in {planned.position}; register it to the planning CT first."
        )
    if today.grid != planned.grid:
        raise GeometryError(
            f"the CT of the day lies on {today.grid} from {today.grid.origin}, the planning CT on "
            f"{planned.grid} from {planned.grid.origin}; bring it to the frame and the voxels of "
            "the planning CT, as by rigid registration."
        )


def body_today(patient: Patient, today: CT) -> Mask | None:
    """Voxels (z, y, x) of the body in the CT of the day; None where none was contoured.

    The planned contour, with what has become body since and without what has become air, as
    thresholds tell; so an unchanged CT has the planned body, however it was contoured. What has
    become lung stays body, even where it opens to the outside.
    """
    if patient.external is None:
        return None
    before = find_body(patient.ct, threshold=_SKIN_HU)
    now = find_body(today, threshold=_SKIN_HU)
    lost = before & ~now
    return (patient.body_mask() | (now & ~before)) & ~(lost & ~_lung_in(today, lost))


def _lung_in(ct: CT, lost: Mask) -> Mask:
    """Which of the ``lost`` voxels (z, y, x) are lung.

    Their HU are those of the partly filled voxels at a skin that has moved inwards as well, but
    those are a layer of one voxel, or two: what is left when every ball that is thicker has been
    taken out.
    """
    like = lost & (ct.hu > _LUNG_HU)
    if not like.any():
        return like
    reach = np.maximum(_LUNG_RADIUS // np.asarray(ct.grid.spacing), 1.0).astype(int)
    # What touches the border of the CT goes on beyond it.
    padded = np.pad(like, [(n, n) for n in reach], mode="edge")
    inside = binary_erosion(padded, _ellipsoid(reach))
    # Grown by a box, so that corners come back.
    found = binary_dilation(inside, np.ones(2 * reach + 1))
    inner = tuple(slice(n, -n) for n in reach)
    return np.asarray(like & found[inner])


def _ellipsoid(reach: NDArray[np.int_]) -> Mask:
    """Voxels (z, y, x) of an ellipsoid with semi-axes of ``reach`` (3,) voxels."""
    offsets = np.meshgrid(*(np.arange(-n, n + 1) / n for n in reach), indexing="ij")
    return np.asarray(sum(o**2 for o in offsets) <= 1.0)


def medium_today(
    patient: Patient, today: CT | Patient, grid: Grid, *, outside_body: OutsideBody
) -> Medium:
    """What beams travel through today, on ``grid``.

    Today's CT is read by the calibration of the planning CT; a patient of today brings its own
    contour of the body.

    Raises
    ------
    GeometryError, PatientError
        If the CT lies on another grid, shows the patient in another position, or holds metal.
    """
    if isinstance(today, Patient):
        check_frame(patient.ct, today.ct)
        check_calibrated(today, outside_body)
        return today.medium(grid, outside_body=outside_body)
    check_frame(patient.ct, today)
    structures = {}
    body = body_today(patient, today)
    if body is not None:
        name = "body"
        structures[name] = Structure(name, MaskShape(today.grid, body), "external")
    seen = Patient(today, structures, patient.calibration)
    check_calibrated(seen, outside_body)
    return seen.medium(grid, outside_body=outside_body)
