"""CT slices written, cut the way that is usual for how the patient lies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.errors import OutputError
from dosegrad.geometry.frames import PATIENT_POSITIONS
from dosegrad.geometry.grid import Grid
from dosegrad.io.dicom.identifiers import make_uid
from dosegrad.io.dicom.slices import CT_IMAGE
from dosegrad.io.dicom.writing.data_sets import Identity, decimal, decimals, new_data_set, save
from dosegrad.patient.ct import CT

__all__ = ["Images", "ct_digest", "write_ct"]

#: Stored values of 16 bits: without scaling where HU are whole numbers within these.
_LOWEST, _HIGHEST = -32768, 32767
#: More rows or columns than the standard can count.
_MAX_SIDE: Final = 65535


@dataclass(frozen=True, slots=True)
class Images:
    """A written series: its UID and, slice by slice, instance and position along the normal.

    ``normal`` is that of the slices; ``heights`` mm along it, ascending with ``instances``.
    """

    series: str
    instances: tuple[str, ...]
    normal: tuple[float, float, float]
    heights: tuple[float, ...]

    def __repr__(self) -> str:
        return f"Images({len(self.instances)} slices)"

    def nearest(self, point: Array) -> str:
        """Instance of the slice nearest to ``point`` (3,), mm."""
        height = float(np.dot(self.normal, point))
        return self.instances[int(np.argmin(np.abs(np.array(self.heights) - height)))]


def ct_digest(ct: CT) -> str:
    """Text that changes with any change of a CT."""
    digest = hashlib.sha256(np.ascontiguousarray(ct.hu).tobytes())
    digest.update(repr((ct.grid.shape, ct.grid.spacing, ct.grid.origin, ct.position)).encode())
    digest.update(repr(ct.grid.direction).encode())
    return digest.hexdigest()


def write_ct(ct: CT, folder: Path, identity: Identity) -> Images:
    """Write one file for each slice.

    HU that are whole numbers are stored as they are, others with a slope, to half of 1/65535 of
    their range.

    Raises
    ------
    OutputError
        If a side is too long for the format, or a file cannot be written.
    """
    axes = _image_axes(ct)
    slope, intercept = _scale(ct)
    digest = ct_digest(ct)
    instances, heights = [], []
    for k, (corner, spacing, thickness, values) in enumerate(_slices(ct, axes)):
        if max(values.shape) > _MAX_SIDE:
            raise OutputError(f"a CT of {values.shape} pixels cannot be written; crop it.")
        stored = np.rint((values.astype(np.float64) - intercept) / slope)
        instance = make_uid("ct", identity.study, digest, str(k))
        data = new_data_set(identity, CT_IMAGE, instance, "CT", "ct")
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.FrameOfReferenceUID = identity.frame_of_reference
        data.PositionReferenceIndicator = ""
        data.PatientPosition = ct.position
        data.Laterality = ""
        data.InstanceNumber = k + 1
        data.AcquisitionNumber = 1
        data.KVP = ""
        data.ImagePositionPatient = decimals(corner)
        data.ImageOrientationPatient = decimals((*axes[:, 0], *axes[:, 1]))
        data.PixelSpacing = decimals(spacing)
        data.SliceThickness = decimal(thickness)
        data.RescaleSlope, data.RescaleIntercept = decimal(slope), decimal(intercept)
        data.RescaleType = "HU"
        _add_pixels(data, stored.astype("<i2"))
        save(data, folder / f"CT_{k + 1:04d}.dcm")
        instances.append(instance)
        heights.append(float(corner @ axes[:, 2]))
    x, y, z = (float(v) for v in axes[:, 2])
    series = make_uid("series", identity.study, "ct")
    return Images(series, tuple(instances), (x, y, z), tuple(heights))


def _add_pixels(data: Any, stored: np.ndarray) -> None:
    """The pixel module of a slice of signed 16 bit values."""
    data.Rows, data.Columns = stored.shape
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.PixelRepresentation = 1
    data.PixelData = np.ascontiguousarray(stored).tobytes()
    data["PixelData"].VR = "OW"


def _scale(ct: CT) -> tuple[float, float]:
    """Slope and intercept, exactly as the decimal strings that are written state them."""
    low, high = float(ct.hu.min()), float(ct.hu.max())
    whole = bool((ct.hu == np.rint(ct.hu)).all())
    if whole and low >= _LOWEST and high <= _HIGHEST:
        return 1.0, 0.0
    slope = float(decimal((high - low) / 65530 or 1.0))
    intercept = float(decimal(0.5 * (low + high)))
    return slope, intercept


def _image_axes(ct: CT) -> Array:
    """Directions of rows, columns and slices as columns (3, 3)."""
    if not ct.grid.is_axial:
        return np.asarray(ct.grid.direction)
    matrix = PATIENT_POSITIONS[ct.position]
    row, column = matrix[:, 0], -matrix[:, 2]
    axes: Array = np.column_stack([row, column, np.cross(row, column)]) + 0.0
    return axes


def _slices(ct: CT, axes: Array) -> Iterator[tuple[Array, tuple[float, float], float, np.ndarray]]:
    """First voxel (x, y, z), spacing (rows, columns), distance and HU of each slice."""
    grid, hu = _turned(ct.grid, ct.hu, axes)
    _, rows, columns = grid.spacing
    for k, values in enumerate(hu):
        corner = np.asarray(grid.origin) + axes[:, 2] * grid.spacing[0] * k
        yield corner, (rows, columns), grid.spacing[0], values


def _turned(grid: Grid, values: np.ndarray, axes: Array) -> tuple[Grid, np.ndarray]:
    """The same volume with array axes (z, y, x) along the columns of ``axes``, z the last."""
    relative = np.asarray(grid.direction).T @ axes  # each column has one entry of 1 or -1
    along = [int(np.argmax(np.abs(relative[:, j]))) for j in range(3)]  # grid axis of x, y, z
    signs = [float(relative[along[j], j]) for j in range(3)]
    places = [2 - along[j] for j in (2, 1, 0)]
    flips = tuple(slice(None, None, -1 if signs[j] < 0 else 1) for j in (2, 1, 0))
    far = np.zeros(3)
    for place, j in zip(places, (2, 1, 0), strict=True):
        far[place] = grid.shape[place] - 1 if signs[j] < 0 else 0
    x, y, z = (float(v) for v in grid.to_point(far))
    turned = values.transpose(places)[flips]
    nz, ny, nx = turned.shape
    steps = [grid.spacing[place] for place in places]
    rows = axes.tolist()
    direction = (tuple(rows[0]), tuple(rows[1]), tuple(rows[2]))
    return Grid((nz, ny, nx), (steps[0], steps[1], steps[2]), (x, y, z), direction), turned
