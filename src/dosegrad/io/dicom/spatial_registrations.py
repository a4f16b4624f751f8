"""Spatial Registration files: how one frame of reference lies in another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array, Points, readonly
from dosegrad.errors import FileFormatError
from dosegrad.io.dicom.attributes import items, numbers, text
from dosegrad.io.dicom.stream import read_data_set, reading

__all__ = ["SPATIAL_REGISTRATION", "FrameTransform", "read_spatial_registration"]

SPATIAL_REGISTRATION: Final = "1.2.840.10008.5.1.4.1.1.66.1"
_RIGID: Final = frozenset({"RIGID", "RIGID_SCALE", "AFFINE"})


@dataclass(frozen=True, slots=True, eq=False)
class FrameTransform:
    """Where points of one frame of reference lie in another.

    Parameters
    ----------
    source, target
        UIDs of both frames.
    matrix
        Homogeneous (4, 4): turns points of the source, mm, patient LPS, into points of the target.
    kind
        ``"rigid"``, ``"rigid_scale"`` or ``"affine"``.
    """

    source: str
    target: str
    matrix: Array
    kind: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", readonly(self.matrix))

    def __repr__(self) -> str:
        shift = np.round(self.matrix[:3, 3], 1).tolist()
        return f"FrameTransform({self.kind}, shift {shift} mm)"

    def __call__(self, points: ArrayLike) -> Points:
        """``points`` (..., 3) of the source frame, mm, in the target frame."""
        given = np.asarray(points, dtype=float)
        moved: Points = given @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        return moved


def read_spatial_registration(path: str | Path) -> tuple[FrameTransform, ...]:
    """Transforms into the frame of reference of the registration, one for each other frame.

    Raises
    ------
    FileFormatError
        If the file is something else or damaged, deforms, or a matrix is no transform of its kind.
    """
    file = Path(path)
    data_set = read_data_set(file)
    with reading(file, "spatial registration"):
        if text(data_set, "SOPClassUID") != SPATIAL_REGISTRATION:
            raise FileFormatError(
                f"{file.name}: is no Spatial Registration (deformable ones are not read); give a "
                "rigid or affine one."
            )
        target = text(data_set, "FrameOfReferenceUID")
        found = [
            _transform(item, target, file) for item in items(data_set, "RegistrationSequence", file)
        ]
        if not found:
            raise FileFormatError(f"{file.name}: holds no registration; export it again.")
        return tuple(found)


def _transform(item: Any, target: str, file: Path) -> FrameTransform:
    """The product of an item's matrices, the first applied first."""
    product, kinds = np.eye(4), []
    for outer in items(item, "MatrixRegistrationSequence", file):
        for inner in items(outer, "MatrixSequence", file):
            kind = text(inner, "FrameOfReferenceTransformationMatrixType").upper()
            values = numbers(inner, "FrameOfReferenceTransformationMatrix", 16, file)
            product = _checked(np.array(values).reshape(4, 4), kind, file) @ product
            kinds.append(kind)
    if not kinds:
        raise FileFormatError(f"{file.name}: a registration has no matrix; export it again.")
    kind = next(k for k in ("AFFINE", "RIGID_SCALE", "RIGID") if k in kinds)
    return FrameTransform(text(item, "FrameOfReferenceUID"), target, product, kind.lower())


def _checked(matrix: Array, kind: str, file: Path) -> Array:
    """A matrix that is what its kind says."""
    turn = matrix[:3, :3]
    is_homogeneous = np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6)
    is_rotation = np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) and np.linalg.det(turn) > 0
    if kind not in _RIGID or not is_homogeneous or (kind == "RIGID" and not is_rotation):
        raise FileFormatError(
            f"{file.name}: a matrix is no {kind.lower() or 'known'} transform; the file was "
            "written wrongly. Export it again."
        )
    return matrix
