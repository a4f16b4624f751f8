"""Stored pixel values turned into Hounsfield units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from dosegrad.arrays import Float32Array
from dosegrad.errors import FileFormatError
from dosegrad.io.dicom.attributes import integer, text
from dosegrad.io.dicom.compressed import decode_images
from dosegrad.io.dicom.slices import Slice
from dosegrad.io.dicom.stream import read_data_set, reading

__all__ = ["decode", "is_compressed", "read_hounsfield"]

_RLE: Final = "1.2.840.10008.1.2.5"
#: JPEG, JPEG-LS and JPEG 2000.
_JPEG: Final = "1.2.840.10008.1.2.4."
#: HU of air, for pixels that the scanner marks as outside its field.
_AIR: Final = -1000.0


def read_hounsfield(slices: Sequence[Slice]) -> tuple[Float32Array, int]:
    """HU (slices, rows, columns) and the number of padded pixels that were read as air.

    Raises
    ------
    FileFormatError
        If pixels are missing, cut off, in colour, or encoded in a way that cannot be decoded.
    """
    hu = np.empty((len(slices), *slices[0].shape), dtype=np.float32)
    by_path: dict[Path, list[int]] = {}
    for k, each in enumerate(slices):
        by_path.setdefault(each.path, []).append(k)
    n_padded = 0
    unpacked: dict[Path, np.ndarray] = {}
    for path, members in by_path.items():
        data_set = read_data_set(path)
        if is_compressed(data_set) and not unpacked:  # all at once: a process takes time to start
            unpacked = decode_images(list(by_path))
        with reading(path, "CT image"):
            stored = decode(data_set, path, "CT image", unpacked)
            frames = stored.reshape(-1, *slices[members[0]].shape)
            for k in members:
                values = frames[slices[k].frame]
                padded = _padding(data_set, values, path)
                hu[k] = slices[k].slope * values.astype(np.float64) + slices[k].intercept
                hu[k][padded] = _AIR
                n_padded += int(np.count_nonzero(padded))
    return hu, n_padded


def is_compressed(data_set: Any) -> bool:
    """Whether pixels are in JPEG, JPEG-LS or JPEG 2000."""
    return str(data_set.file_meta.TransferSyntaxUID).startswith(_JPEG)


def decode(
    data_set: Any, path: Path, what: str, unpacked: Mapping[Path, np.ndarray] | None = None
) -> np.ndarray:
    """Stored values; ``what`` the file is, for messages.

    ``unpacked`` are images of compressed files that were decoded before.

    Raises
    ------
    FileFormatError
        If pixels are missing, in colour, mapped by a table, or encoded in a way that cannot be
        decoded.
    """
    from pydicom.pixels import pixel_array

    if text(data_set, "PhotometricInterpretation") != "MONOCHROME2":
        raise FileFormatError(
            f"{path.name}: a {what} must be MONOCHROME2; this one is not. Leave derived and colour "
            "images out of the folder."
        )
    if "PixelData" not in data_set:
        raise FileFormatError(
            f"{path.name}: the {what} has no PixelData; the file is incomplete. Export it again."
        )
    if "ModalityLUTSequence" in data_set:
        raise FileFormatError(
            f"{path.name}: values are mapped by a ModalityLUTSequence, which is not supported; "
            f"export the {what} with plain scaled values."
        )
    syntax = str(data_set.file_meta.TransferSyntaxUID)
    decoded: np.ndarray
    if is_compressed(data_set):
        images = unpacked if unpacked and path in unpacked else decode_images([path])
        return _unscaled(data_set, images[path])
    if syntax == _RLE:  # pydicom's own decoder, because another one's panic is no Exception
        decoded = pixel_array(data_set, raw=True, decoding_plugin="pydicom")
        return decoded
    try:
        decoded = pixel_array(data_set, raw=True)
    except (RuntimeError, NotImplementedError):
        raise FileFormatError(
            f"{path.name}: pixels are compressed in a way that no installed decoder reads "
            f"(transfer syntax {syntax}); export the {what} uncompressed."
        ) from None
    return decoded


def _unscaled(data_set: Any, values: np.ndarray) -> np.ndarray:
    """Stored values of an image that was scaled when it was decoded."""
    if "RescaleSlope" not in data_set:
        return values
    slope, intercept = float(data_set.RescaleSlope), float(data_set.get("RescaleIntercept") or 0.0)
    signed = bool(data_set.get("PixelRepresentation"))
    return np.rint((values - intercept) / slope).astype(np.int64 if signed else np.uint64)


def _padding(data_set: Any, values: np.ndarray, path: Path) -> np.ndarray:
    """Pixels that the file marks as outside the field of view."""
    if "PixelPaddingValue" not in data_set or data_set["PixelPaddingValue"].is_empty:
        return np.zeros(values.shape, dtype=bool)
    first = _stored(data_set, "PixelPaddingValue", values, path)
    last = first
    if "PixelPaddingRangeLimit" in data_set:
        last = _stored(data_set, "PixelPaddingRangeLimit", values, path)
    marked: np.ndarray = (values >= min(first, last)) & (values <= max(first, last))
    return marked


def _stored(data_set: Any, keyword: str, values: np.ndarray, path: Path) -> int:
    """A pixel value as an attribute; one written as unsigned counts as the sign of the pixels."""
    value = data_set[keyword].value
    if not isinstance(value, int):
        raise FileFormatError(
            f"{path.name}: {keyword} is not one whole number; export the file again."
        )
    bits = integer(data_set, "BitsAllocated", path)
    signed = np.issubdtype(values.dtype, np.signedinteger)
    if signed and value >= 1 << (bits - 1):
        return value - (1 << bits)
    if not signed and value < 0:
        return value + (1 << bits)
    return value
