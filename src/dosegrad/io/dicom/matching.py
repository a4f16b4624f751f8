"""Whether a structure set belongs to a CT: by its references, then by where its contours lie."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from dosegrad.errors import FileFormatError
from dosegrad.geometry.grid import Grid
from dosegrad.io.dicom.ct import CTSeries
from dosegrad.io.dicom.structures import References, StructureSet
from dosegrad.patient.contours import ContourShape

__all__ = ["check_inside", "check_references", "contradicts", "far_isocentres"]

#: Distance of an isocentre from the CT that is no plan's, mm.
_FAR: Final = 300.0


def contradicts(references: References, ct: CTSeries) -> bool:
    """Whether a structure set names other images and another frame of reference than the CT's."""
    if references.images & ct.instances or ct.series in references.series:
        return False
    frame = ct.frame_of_reference
    return bool(frame and references.frames and frame not in references.frames)


def check_references(references: References, ct: CTSeries, name: str) -> list[str]:
    """Notes on references that lead nowhere; ``name`` is that of the file.

    References to the CT's own images or series tie a structure set to it, since coordinates of
    a contour are those of its image; next comes the frame of reference.

    Raises
    ------
    FileFormatError
        If the set refers to other images in another frame of reference.
    """
    if contradicts(references, ct):
        raise FileFormatError(
            f"{name}: was drawn on other images, in another frame of reference, than the CT in "
            "this folder; its contours would lie in the wrong place. Put the CT that it refers to "
            "into the folder, or the structure set of this CT."
        )
    frame = ct.frame_of_reference
    shares_frame = bool(frame) and frame in references.frames
    n_missing = len(references.images - ct.instances)
    notes = []
    if n_missing and shares_frame:
        notes.append(
            f"{name}: {n_missing} of {len(references.images)} images that it refers to are not in "
            "the CT; matched by frame of reference"
        )
    if not shares_frame and frame and references.frames:
        notes.append(
            f"{name}: its frame of reference is not that of the CT, but it refers to the CT's own "
            "images; matched by these"
        )
    elif not shares_frame and not references.images & ct.instances:
        notes.append(f"{name}: CT and structures share no reference; matched by position alone")
    return notes


def check_inside(found: StructureSet, grid: Grid, name: str) -> list[str]:
    """Notes on structures that reach beyond the CT.

    Raises
    ------
    FileFormatError
        If all of them lie wholly outside.
    """
    outside: list[str] = []
    beyond: list[str] = []
    for structure in found.structures.values():
        shape = structure.shape
        if isinstance(shape, ContourShape):
            low, high = _index_bounds(shape, grid)
            last = np.asarray(grid.shape) - 0.5
            if (high < -0.5).any() or (low > last).any():
                outside.append(repr(structure.name))
            elif (low < -1.5).any() or (high > last + 1.0).any():
                beyond.append(repr(structure.name))
    if len(outside) == len(found.structures):
        raise FileFormatError(
            f"{name}: every structure lies outside the CT, so the two do not belong together; put "
            "the CT that was contoured into the folder."
        )
    notes = []
    if outside:
        notes.append(f"wholly outside the CT, without any voxel: {', '.join(outside)}")
    if beyond:
        notes.append(f"partly outside the CT: {', '.join(beyond)}")
    return notes


def far_isocentres(points: Iterable[tuple[float, float, float]], grid: Grid) -> list[str]:
    """A note on isocentres further than 300 mm from the CT, where no patient lies.

    Parameters
    ----------
    points
        Isocentres, (x, y, z) mm.
    grid
        Of the CT.
    """
    notes = []
    for point in dict.fromkeys(points):
        index = grid.to_index(point)
        inside = np.clip(index, -0.5, np.asarray(grid.shape) - 0.5)
        distance = float(np.linalg.norm((index - inside) * np.asarray(grid.spacing)))
        if distance > _FAR:
            notes.append(
                f"an isocentre lies {distance:.0f} mm outside the CT; check that the plan is meant "
                "for this patient and its unit is mm"
            )
    return notes


def _index_bounds(shape: ContourShape, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest fractional index (z, y, x) of the box around a shape."""
    box = shape.bounds
    choices = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, -1).T
    indices = grid.to_index(box[choices, [0, 1, 2]])
    return indices.min(axis=0), indices.max(axis=0)
