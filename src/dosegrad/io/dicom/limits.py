"""Limits on what a DICOM file may ask for: above them it is an attack or a mistake, no patient."""

from __future__ import annotations

from typing import Final

__all__ = [
    "MAX_CONTOUR_POINTS",
    "MAX_CONTROL_POINTS",
    "MAX_FILES",
    "MAX_FILE_BYTES",
    "MAX_INFLATED_BYTES",
    "MAX_NESTING",
    "MAX_ROIS",
    "MAX_SPOTS",
    "MAX_VOXELS",
]

#: Size of one file, byte.
MAX_FILE_BYTES: Final = 2_000_000_000
#: What a file of the deflated transfer syntax may grow to, byte: a few kB can claim many GB.
MAX_INFLATED_BYTES: Final = 500_000_000
#: Sequences within sequences.
MAX_NESTING: Final = 32
#: Rows times columns times frames of a file, and voxels of a whole CT.
MAX_VOXELS: Final = 1_000_000_000
#: Corners of all contours of a structure set.
MAX_CONTOUR_POINTS: Final = 10_000_000
#: Structures of a structure set.
MAX_ROIS: Final = 10_000
#: Files of a folder.
MAX_FILES: Final = 100_000
#: Control points of one beam.
MAX_CONTROL_POINTS: Final = 100_000
#: Spots of one beam, those without weight included.
MAX_SPOTS: Final = 10_000_000
