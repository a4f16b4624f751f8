"""Delivered spots as a table in plain text (``.csv``), whole or while it grows.

The first line names the columns: ``beam,layer,energy,x,y,mu,time``; ``time`` may be absent. ``x``
and ``y`` are mm in the isocentre plane of the IEC gantry frame, ``mu`` is the meterset of the spot
in this fraction, ``time`` is in s from its begin or ``nan``. ``beam`` and ``layer`` are whole
numbers; layers and times are not negative. Lines that begin with ``#`` are remarks.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.beams.deliveries import DELIVERED_DTYPE, Delivery, check_spots
from dosegrad.errors import DosegradError, FileFormatError, OutputError
from dosegrad.files import replacing

__all__ = ["DeliveryTail", "read_delivery_table", "write_delivery_table"]

_COLUMNS: Final = ("beam", "layer", "energy", "x", "y", "mu", "time")
_REQUIRED: Final = _COLUMNS[:-1]
#: A record of one fraction is smaller, bytes and rows.
_MAX_BYTES: Final = 500_000_000
_MAX_ROWS: Final = 5_000_000


def read_delivery_table(path: str | Path) -> Delivery:
    """The delivered spots of one fraction.

    Raises
    ------
    FileFormatError
        If the file is missing, too large, or a line is not as the first one says.
    """
    place = Path(path)
    text = _text_of(place)
    rows = list(_rows(place, text.splitlines(), start=1, header=None))
    try:
        return Delivery(np.array(rows, dtype=DELIVERED_DTYPE), "table of delivered spots")
    except (DosegradError, OverflowError) as error:
        raise FileFormatError(f"{place.name}: {error}") from error


def write_delivery_table(delivery: Delivery, path: str | Path) -> None:
    """Write the table that :func:`read_delivery_table` reads; an old file is replaced as a whole.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for spot in delivery.spots:
        writer.writerow([_as_text(spot[name]) for name in _COLUMNS])
    try:
        with replacing(Path(path)) as file:
            file.write(text.getvalue().encode())
    except OSError as error:
        raise OutputError(
            f"'{path}' cannot be written ({error.strerror}); choose a folder that exists."
        ) from error


class DeliveryTail:
    """Reads a table of delivered spots while somebody writes it; lines count once complete.

    Parameters
    ----------
    path
        The growing file; it may not be there yet.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._header: tuple[str, ...] | None = None
        self._read = 0
        self._n_lines = 0
        self._rest = b""

    def new_spots(self) -> NDArray[Any]:
        """Spots (n,) of :data:`DELIVERED_DTYPE` that were added since the last call.

        Raises
        ------
        FileFormatError
            If a line is not as the first one says, holds what no machine delivers, or the file
            got shorter.
        """
        if not self._path.exists():
            return np.empty(0, dtype=DELIVERED_DTYPE)
        size = self._path.stat().st_size
        if size < self._read:
            raise FileFormatError(f"{self._path.name}: got shorter while it was read; start again.")
        with self._path.open("rb") as file:
            file.seek(self._read)
            added = file.read(size - self._read)
        self._read = size
        whole, _, self._rest = (self._rest + added).rpartition(b"\n")
        if not whole:
            return np.empty(0, dtype=DELIVERED_DTYPE)
        lines = _decoded(self._path, whole).splitlines()
        start = self._n_lines + 1
        self._n_lines += len(lines)
        return self._spots_of(lines, start)

    def last_spot(self) -> NDArray[Any]:
        """The spot of a last line that no line break ends, once nobody writes any more.

        Returns
        -------
            One spot or none (n,) of :data:`DELIVERED_DTYPE`.

        Raises
        ------
        FileFormatError
            If that line is incomplete or holds what no machine delivers.
        """
        text, self._rest = _decoded(self._path, self._rest), b""
        return self._spots_of(text.splitlines(), self._n_lines + 1)

    def _spots_of(self, lines: list[str], start: int) -> NDArray[Any]:
        """Spots of complete lines, the first of which has the number ``start``."""
        if self._header is None:
            start += 1 + next((k for k, line in enumerate(lines) if _counts(line)), len(lines))
            lines = [line for line in lines if _counts(line)]
            if not lines:
                return np.empty(0, dtype=DELIVERED_DTYPE)
            self._header, lines = _header(self._path, lines[0]), lines[1:]
        rows = list(_rows(self._path, lines, start=start, header=self._header))
        try:
            spots = np.array(rows, dtype=DELIVERED_DTYPE)
            check_spots(spots)
        except (DosegradError, OverflowError) as error:
            raise FileFormatError(f"{self._path.name}: {error}") from error
        return spots


def _text_of(path: Path) -> str:
    if not path.is_file():
        raise FileFormatError(f"there is no table of delivered spots at '{path}'; check the path.")
    if path.stat().st_size > _MAX_BYTES:
        raise FileFormatError(
            f"{path.name}: larger than {_MAX_BYTES / 1e6:g} MB, which no fraction needs."
        )
    try:
        return _decoded(path, path.read_bytes())
    except OSError as error:
        raise FileFormatError(f"{path.name}: cannot be opened ({error.strerror}).") from error


def _decoded(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileFormatError(
            f"{path.name}: is no plain text; give the table as UTF-8 (.csv)."
        ) from None


def _counts(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _header(path: Path, line: str) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in line.split(","))
    missing = [name for name in _REQUIRED if name not in names]
    if missing or len(set(names)) < len(names):
        raise FileFormatError(
            f"{path.name}: the first line must name the columns {', '.join(_REQUIRED)} (and time), "
            f"separated by commas; it lacks {', '.join(missing) or 'none, but repeats one'}."
        )
    return names


def _rows(
    path: Path, lines: Iterable[str], *, start: int, header: tuple[str, ...] | None
) -> Iterator[tuple[float, ...]]:
    """Values of each line, in the order of the columns; the first line names them if need be."""
    names = header
    n_rows = 0
    for number, line in enumerate(lines, start=start):
        if not _counts(line):
            continue
        if names is None:
            names = _header(path, line)
            continue
        n_rows += 1
        if n_rows > _MAX_ROWS:
            raise FileFormatError(
                f"{path.name}: more than {_MAX_ROWS} spots; no fraction has them."
            )
        parts = line.split(",")
        try:
            if len(parts) != len(names):
                raise ValueError
            values = dict(zip(names, map(float, parts), strict=True))
        except ValueError:
            raise FileFormatError(
                f"{path.name}, line {number}: expected {len(names)} numbers "
                f"({', '.join(names)}); write the table again."
            ) from None
        try:
            _check_counts(values)
        except ValueError as error:
            raise FileFormatError(f"{path.name}, line {number}: {error}") from None
        yield tuple(
            int(values[name]) if name in {"beam", "layer"} else values.get(name, np.nan)
            for name in _COLUMNS
        )


def _check_counts(values: dict[str, float]) -> None:
    """Refuse numbers of beams and layers that are none, and times before the begin."""
    for name in ("beam", "layer"):
        if not float(values[name]).is_integer():
            raise ValueError(
                f"{name} {values[name]:g} is no whole number; check the order of the columns."
            )
    if values["layer"] < 0:
        raise ValueError(
            f"layer {values['layer']:g} is negative; layers count from 0 or 1, from the highest "
            "energy down."
        )
    if values.get("time", 0.0) < 0:
        raise ValueError(f"time {values['time']:g} s is negative; times count from the first spot.")


def _as_text(value: Any) -> str:
    return f"{value:.9g}"
