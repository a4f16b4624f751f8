"""A DICOM file as bytes: header, size limits, completeness, and the data set that pydicom makes.

pydicom reads a file that was cut off without complaint, inflates without a limit, and follows
nesting until the stack ends; so the bytes are walked once before they are handed over.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple

from dosegrad.errors import DosegradError, FileFormatError
from dosegrad.io.dicom.limits import MAX_FILE_BYTES, MAX_INFLATED_BYTES, MAX_NESTING

__all__ = ["is_dicom", "read_data_set", "reading"]

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"

_LONG_FORMS: Final = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
_UNDEFINED: Final = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


class _Encoding(NamedTuple):
    implicit: bool
    little: bool


@contextmanager
def reading(path: Path, what: str = "DICOM file") -> Iterator[None]:
    """Turns whatever goes wrong inside into one FileFormatError that names the file.

    Also what is no `Exception`: decoders written in other languages may raise a panic that is
    derived from BaseException. The message of the cause is left out, since it may quote values
    that identify a person; so are warnings of the decoder.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (DosegradError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except OSError as error:
        raise FileFormatError(
            f"{path.name}: cannot be opened ({error.strerror or type(error).__name__}); check the "
            "path and its permissions."
        ) from None
    except BaseException as error:
        raise FileFormatError(
            f"{path.name}: cannot be read as a {what} ({type(error).__name__}): it is damaged or "
            "does not follow the standard. Export it again."
        ) from None


def is_dicom(path: Path) -> bool:
    """Whether a file looks like DICOM: by its prefix, or by a first element of group 2 or 8."""
    with reading(path), path.open("rb") as file:
        start = file.read(132)
    if start[128:] == b"DICM":
        return True
    if len(start) < 12:
        return False
    group, element, length = struct.unpack("<HHL", start[:8])
    known_vr = start[4:6].isalpha() and start[4:6].isupper()
    return group in {2, 8} and element <= 0x100 and (known_vr or length < 0x1000)


def read_data_set(path: Path) -> Any:
    """The pydicom data set of a file that is complete and within the limits.

    Raises
    ------
    FileFormatError
        If the file is too large, cut off, nested too deeply, or not DICOM.
    """
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset
    from pydicom.uid import UID

    with reading(path):
        n_bytes = path.stat().st_size
        if n_bytes > MAX_FILE_BYTES:
            raise FileFormatError(
                f"{path.name}: {n_bytes / 1e9:.2f} GB is more than a file may have "
                f"({MAX_FILE_BYTES / 1e9:g} GB); split the series into single slices."
            )
        content = path.read_bytes()
        syntax, start = _read_header(path, content)
        if syntax == DEFLATED:
            content, start = _inflate(path, content[start:]), 0
        encoding = _encoding(content, start, syntax)
        _walk(path, content, start, encoding)
        data_set = read_dataset(BytesIO(content[start:]), encoding.implicit, encoding.little)
        data_set.file_meta = FileMetaDataset()
        data_set.file_meta.TransferSyntaxUID = UID(_plain_syntax(syntax, encoding))
        return data_set


def _plain_syntax(syntax: str, encoding: _Encoding) -> str:
    """Transfer syntax of the bytes as they are after inflation."""
    if syntax and syntax != DEFLATED:
        return syntax
    if encoding.implicit:
        return IMPLICIT_LITTLE
    return EXPLICIT_LITTLE if encoding.little else EXPLICIT_BIG


def _read_header(path: Path, content: bytes) -> tuple[str, int]:
    """Transfer syntax ("" if the file does not say) and where the data set begins."""
    at = 132 if content[128:132] == b"DICM" else 0
    syntax = ""
    while content[at : at + 2] == b"\x02\x00":
        tag, length, value_at, _ = _element(path, content, at, _Encoding(False, True))
        if length == _UNDEFINED:
            raise _broken(path, "its header holds an element without length")
        if tag == 0x00020010:
            syntax = content[value_at : value_at + length].rstrip(b"\0 ").decode("ascii", "replace")
        at = value_at + length
    if at >= len(content):
        raise _broken(path, "it ends with its header")
    return syntax, at


def _inflate(path: Path, packed: bytes) -> bytes:
    """The inflated data set, if it stays within the limit."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    content = inflater.decompress(packed, MAX_INFLATED_BYTES + 1)
    if len(content) > MAX_INFLATED_BYTES:
        raise FileFormatError(
            f"{path.name}: inflates to more than {MAX_INFLATED_BYTES / 1e6:g} MB, which no image "
            "or structure set needs; export it without the deflated transfer syntax."
        )
    if not inflater.eof:
        raise _broken(path, "its deflated data end too soon")
    return content


def _encoding(content: bytes, start: int, syntax: str) -> _Encoding:
    """How elements are written; seen from the first one where the file does not say or errs."""
    if syntax == EXPLICIT_BIG:
        return _Encoding(implicit=False, little=False)
    letters = content[start + 4 : start + 6]
    implicit = not (letters.isalpha() and letters.isupper())
    big = not syntax and not implicit and content[start] == 0 and content[start + 1] != 0
    return _Encoding(implicit, not big)


def _walk(path: Path, content: bytes, at: int, encoding: _Encoding) -> None:
    """Checks that every element ends within the file and that nesting stays within the limit.

    Values of defined length are stepped over: what a sequence of defined length holds is checked
    when it is read.
    """
    n = len(content)
    order = "<" if encoding.little else ">"
    # what encloses the current element, innermost last: "sequence" or "item" without length, and
    # the encoding inside
    open_parts: list[tuple[str, _Encoding]] = []
    while at < n:
        if n - at < 8:
            break
        if open_parts and open_parts[-1][0] == "sequence":
            at = _step_in_sequence(path, content, at, order, open_parts)
            continue
        inner = open_parts[-1][1] if open_parts else encoding
        tag, length, value_at, vr = _element(path, content, at, inner)
        if tag == _ITEM_END and open_parts:
            open_parts.pop()
            at = value_at
        elif length == _UNDEFINED:
            unknown = _Encoding(implicit=True, little=True) if vr == b"UN" else inner
            open_parts.append(("sequence", unknown))
            at = value_at
        else:
            at = value_at + length
        if len(open_parts) > 2 * MAX_NESTING:
            raise FileFormatError(
                f"{path.name}: sequences are nested more than {MAX_NESTING} deep; no CT or "
                "structure set needs that. Export it again."
            )
    if at > n or open_parts or content[at:].strip(b"\0"):
        raise _broken(path, "it was cut off")


def _step_in_sequence(
    path: Path,
    content: bytes,
    at: int,
    order: str,
    open_parts: list[tuple[str, _Encoding]],
) -> int:
    """Position after an item of known length, or after the tag that opens or closes something."""
    group, element, length = struct.unpack_from(order + "HHL", content, at)
    tag = group << 16 | element
    if tag == _SEQUENCE_END:
        open_parts.pop()
        return at + 8
    if tag != _ITEM:
        raise _broken(path, "a sequence holds something that is no item")
    if length == _UNDEFINED:
        open_parts.append(("item", open_parts[-1][1]))
        return at + 8
    return at + 8 + int(length)


def _element(
    path: Path, content: bytes, at: int, encoding: _Encoding
) -> tuple[int, int, int, bytes]:
    """Tag, length, position of the value, and VR of the element at ``at``."""
    order = "<" if encoding.little else ">"
    if len(content) - at < 8:
        raise _broken(path, "it was cut off")
    group, element, length = struct.unpack_from(order + "HHL", content, at)
    tag = group << 16 | element
    vr = content[at + 4 : at + 6]
    if encoding.implicit or group == 0xFFFE or not (b"AA" <= vr <= b"ZZ"):
        return tag, int(length), at + 8, b""
    if vr not in _LONG_FORMS:
        return tag, int(struct.unpack_from(order + "H", content, at + 6)[0]), at + 8, vr
    if len(content) - at < 12:
        raise _broken(path, "it was cut off")
    return tag, int(struct.unpack_from(order + "L", content, at + 8)[0]), at + 12, vr


def _broken(path: Path, how: str) -> FileFormatError:
    return FileFormatError(
        f"{path.name}: is damaged: {how}. A complete DICOM file is needed; export or copy it again."
    )
