"""Headers of CT slices: where each lies, without its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dosegrad.errors import FileFormatError
from dosegrad.io.dicom.attributes import integer, items, numbers, optional_numbers, text
from dosegrad.io.dicom.limits import MAX_VOXELS

__all__ = ["CT_IMAGE", "ENHANCED_CT_IMAGE", "Slice", "is_localiser", "slices_of"]

CT_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.2.1"


@dataclass(frozen=True, slots=True, repr=False)
class Slice:
    """One plane of a CT: a file, or a frame of a file with several.

    ``orientation`` holds the directions of a row and of a column in patient space; ``spacing``
    is (between rows, between columns), mm; ``shape`` is (rows, columns); ``thickness`` in mm,
    None where the file does not say.
    """

    path: Path
    frame: int
    place: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    shape: tuple[int, int]
    slope: float
    intercept: float
    thickness: float | None
    patient_position: str
    value_type: str
    instance: str
    series: str
    frame_of_reference: str

    def __repr__(self) -> str:
        return f"Slice({self.shape[0]}×{self.shape[1]} pixels of {self.path.name})"


def is_localiser(data_set: Any) -> bool:
    """Whether an image is a planning scout and not a slice."""
    kinds = data_set.get("ImageType") or ()
    return "LOCALIZER" in [str(k).upper() for k in kinds] if not isinstance(kinds, str) else False


def slices_of(data_set: Any, path: Path) -> tuple[Slice, ...]:
    """Slices of a CT image: one, or one for each frame of an enhanced image.

    Raises
    ------
    FileFormatError
        If an attribute that places the slice or scales its values is missing or no finite number,
        or the image is larger than the limit.
    """
    n_frames = integer(data_set, "NumberOfFrames", path, default=1)
    shape = integer(data_set, "Rows", path), integer(data_set, "Columns", path)
    if not 0 < shape[0] * shape[1] * n_frames <= MAX_VOXELS:
        raise FileFormatError(
            f"{path.name}: {shape[0]}×{shape[1]} pixels in {n_frames} frames is not possible; an "
            f"image has 1 to {MAX_VOXELS:.0e} in all. Export it again."
        )
    if text(data_set, "SOPClassUID") != ENHANCED_CT_IMAGE:
        if n_frames != 1:
            raise FileFormatError(
                f"{path.name}: a CT image with {n_frames} frames is not standard; export it as "
                "single slices or as an enhanced CT image."
            )
        return (_slice(data_set, [data_set], path, 0, shape),)
    shared = items(data_set, "SharedFunctionalGroupsSequence", path)
    per_frame = items(data_set, "PerFrameFunctionalGroupsSequence", path)
    if len(per_frame) != n_frames:
        raise FileFormatError(
            f"{path.name}: {n_frames} frames but positions for {len(per_frame)}; the file is "
            "damaged. Export it again."
        )
    return tuple(
        _slice(data_set, [data_set, *_groups([*shared, frame], path)], path, k, shape)
        for k, frame in enumerate(per_frame)
    )


def _groups(parts: list[Any], path: Path) -> list[Any]:
    """Items that hold the geometry and scale of a frame in an enhanced image."""
    names = (
        "PlanePositionSequence",
        "PlaneOrientationSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
    )
    return [item for part in parts for name in names for item in items(part, name, path)]


def _slice(
    data_set: Any, sources: list[Any], path: Path, frame: int, shape: tuple[int, int]
) -> Slice:
    """The slice whose attributes the last of ``sources`` that has them gives."""

    def holder(keyword: str) -> Any:
        return next((s for s in reversed(sources) if keyword in s), data_set)

    def required(keyword: str, count: int) -> tuple[float, ...]:
        return numbers(holder(keyword), keyword, count, path)

    thickness = optional_numbers(holder("SliceThickness"), "SliceThickness", 1, path)
    slope, intercept = _scale(holder("RescaleSlope"), path)
    spacing = required("PixelSpacing", 2)
    if min(spacing) <= 0:
        raise FileFormatError(
            f"{path.name}: PixelSpacing must be positive; the file was written wrongly. Export it "
            "again."
        )
    return Slice(
        path=path,
        frame=frame,
        place=required("ImagePositionPatient", 3),
        orientation=required("ImageOrientationPatient", 6),
        spacing=spacing,
        shape=shape,
        slope=slope,
        intercept=intercept,
        thickness=thickness[0] if thickness and thickness[0] > 0 else None,
        patient_position=text(data_set, "PatientPosition").upper(),
        value_type=text(holder("RescaleType"), "RescaleType").upper(),
        instance=text(data_set, "SOPInstanceUID"),
        series=text(data_set, "SeriesInstanceUID"),
        frame_of_reference=text(data_set, "FrameOfReferenceUID"),
    )


def _scale(source: Any, path: Path) -> tuple[float, float]:
    """Slope and intercept that turn stored values into HU."""
    slope = optional_numbers(source, "RescaleSlope", 1, path)
    intercept = optional_numbers(source, "RescaleIntercept", 1, path)
    if slope is None or intercept is None or slope[0] == 0:
        raise FileFormatError(
            f"{path.name}: RescaleSlope and RescaleIntercept are missing or zero, so its values "
            "cannot be turned into HU; export the CT again with both."
        )
    return slope[0], intercept[0]
