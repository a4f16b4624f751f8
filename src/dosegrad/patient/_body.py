"""The outline of the body where no structure says it."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.ndimage import binary_fill_holes, find_objects, label

from dosegrad.arrays import Mask
from dosegrad.errors import PatientError
from dosegrad.patient.ct import CT

__all__ = ["BODY_THRESHOLD_HU", "find_body"]

#: HU above which a voxel can be body: between lung and skin.
BODY_THRESHOLD_HU: Final = -350.0


def find_body(ct: CT, *, threshold: float = BODY_THRESHOLD_HU) -> Mask:
    """The largest connected region above a threshold, its holes filled slice by slice, (z, y, x).

    Raises
    ------
    PatientError
        If no voxel is above the threshold.
    """
    above = ct.hu > threshold
    labels, n_regions = label(above)
    if n_regions == 0:
        raise PatientError(
            f"no voxel of the CT is above {threshold:g} HU, so there is no body in it; "
            "check the HU values, or add a structure of role 'external'."
        )
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest = int(np.argmax(sizes))
    body: Mask = labels == largest
    for k in range(*find_objects(labels)[largest - 1][0].indices(body.shape[0])):
        body[k] = binary_fill_holes(body[k])
    return body
