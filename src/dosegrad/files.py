"""Files of our own: written as a whole or not at all, and read within limits."""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dosegrad.errors import DosegradError, FileFormatError

__all__ = ["MAX_ENTRIES", "MAX_UNPACKED_BYTES", "contents_of", "read_archive", "replacing"]

#: What all entries of one archive may unpack to, bytes: a few kB can claim many GB.
MAX_UNPACKED_BYTES: Final = 16_000_000_000
#: Entries of one archive.
MAX_ENTRIES: Final = 100_000
#: Entries that are no arrays, such as the manifest, bytes.
_MAX_TEXT: Final = 100_000_000
#: How much an entry may grow by unpacking; zeros shrink a thousandfold.
_MAX_GROWTH: Final = 1100
#: Smaller entries may grow as they like, bytes.
_SMALL: Final = 10_000_000

#: What reading a damaged archive, or building objects from its contents, can raise.
_DAMAGE: Final = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError),
    *(OSError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile, zlib.error),
)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of ``path`` once it is complete, and is dropped otherwise.

    Whoever reads ``path`` finds the old file or the new one, never a part.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def contents_of(path: str | Path, what: str, remedy: str) -> Iterator[None]:
    """Context in which contents that contradict each other become one FileFormatError.

    ``what`` the file should be and ``remedy``, what to do otherwise, are parts of its sentence.
    """
    try:
        yield
    except FileFormatError:
        raise
    except DosegradError as error:
        raise FileFormatError(f"{str(path)!r} is damaged: {error}") from error
    except _DAMAGE as error:
        words = f"{type(error).__name__}: {error}"
        raise FileFormatError(
            f"{str(path)!r} is no {what}, or is damaged ({words}); {remedy}."
        ) from error


def read_archive(
    path: str | Path, what: str, remedy: str
) -> tuple[dict[str, bytes], dict[str, NDArray[Any]]]:
    """Plain entries, and arrays by name without ``.npy``, of a zip archive; nothing is unpickled.

    ``what`` and ``remedy`` as of :func:`contents_of`.

    Raises
    ------
    FileFormatError
        If the file is missing, no archive, damaged, or larger than the limits.
    """
    place = Path(path)
    if not place.is_file():
        raise FileFormatError(f"{what} {str(path)!r} does not exist; check the path.")
    plain: dict[str, bytes] = {}
    arrays: dict[str, NDArray[Any]] = {}
    with contents_of(path, what, remedy), zipfile.ZipFile(place) as archive:
        entries = archive.infolist()
        _check_sizes(place, entries)
        for entry in entries:
            with archive.open(entry) as file:
                if entry.filename.endswith(".npy"):
                    arrays[entry.filename.removesuffix(".npy")] = _read_array(file, entry.file_size)
                else:
                    plain[entry.filename] = file.read()
    return plain, arrays


def _check_sizes(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    total = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_ENTRIES or total > MAX_UNPACKED_BYTES:
        raise FileFormatError(
            f"{str(path)!r} would unpack to {total / 1e9:.1f} GB in {len(entries)} entries; at "
            f"most {MAX_UNPACKED_BYTES / 1e9:g} GB in {MAX_ENTRIES} are read."
        )
    for entry in entries:
        grows = entry.file_size > _MAX_GROWTH * max(entry.compress_size, 1)
        is_text = not entry.filename.endswith(".npy")
        if (grows and entry.file_size > _SMALL) or (is_text and entry.file_size > _MAX_TEXT):
            raise FileFormatError(
                f"{str(path)!r} holds an entry that would unpack from {entry.compress_size} to "
                f"{entry.file_size} bytes; no plan or machine does that."
            )


def _read_array(file: IO[bytes], n_bytes: int) -> NDArray[Any]:
    """An array whose header asks for no more than the ``n_bytes`` of its entry."""
    version = npy.read_magic(file)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"array format {version} is not known")
    shape, is_fortran, dtype = readers[version](file)
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if dtype.hasobject or count < 0 or count * dtype.itemsize > n_bytes:
        raise ValueError(f"an array {shape} of {dtype} is not what the entry holds")
    values = np.frombuffer(file.read(count * dtype.itemsize), dtype=dtype, count=count)
    if is_fortran:
        return values.reshape(shape[::-1]).T.copy()
    return values.reshape(shape).copy()
