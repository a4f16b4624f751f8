"""Beam tables as text: read, and written so that people can print them.

The format is that of the public SolutioCpp library: titles, lengths in cm, full sides, dose per MU
in cGy. A row of a table begins with its depth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.engines.tg71.tables import BeamTables, Curve, Sheet
from dosegrad.errors import FileFormatError, MachineError
from dosegrad.units import CM_PER_MM, MM_PER_CM

__all__ = ["format_tables", "read_tables"]

_MAX_BYTES: Final = 2_000_000
_SAD: Final = 1000.0  # mm; the format does not hold it
_GY_PER_CGY: Final = 0.01
_CONSTANTS: Final = {"k": "dose per MU", "d_0": "depth", "SSD_0": "SSD", "SSD_PDD": "SSD of PDD"}
_TITLE: Final = "Linac Corrections-Based Beam Data for "


def read_tables(path: str | Path) -> BeamTables:
    """The beam tables of a text file.

    Raises
    ------
    FileFormatError
        If there is no such file, or it holds no such tables.
    """
    file = Path(path)
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise FileFormatError(f"{file.name}: too large for beam tables; give a text file.")
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise FileFormatError(
            f"beam tables {file.name!r} cannot be opened ({error.strerror}); check the path."
        ) from None
    try:
        return _tables(lines, file)
    except MachineError as error:
        raise FileFormatError(f"beam tables {file.name!r}: {error}") from None


def format_tables(tables: BeamTables) -> str:
    """Beam tables as text that :func:`read_tables` understands."""
    return "\n".join(_text(tables)) + "\n"


def _tables(lines: list[str], file: Path) -> BeamTables:
    constants = {name: _constant(lines, name, file) for name in _CONSTANTS}
    scatter = _numbers(lines, r"r\s+S_c\s+S_p", "end scatter factors", file)
    if any(len(row) != 3 for row in scatter):
        raise _broken(file, "a row of scatter factors must hold side, S_c and S_p")
    sides, collimator, phantom = np.array(scatter).T
    title = lines[0] if lines else ""
    name = title.removeprefix(_TITLE).strip() if title.startswith(_TITLE) else file.stem
    return BeamTables(
        name=name or file.stem,
        dose_per_mu=constants["k"] * _GY_PER_CGY,
        depth=constants["d_0"] * MM_PER_CM,
        ssd=constants["SSD_0"] * MM_PER_CM,
        pdd_ssd=constants["SSD_PDD"] * MM_PER_CM,
        sad=_SAD,
        collimator_scatter=Curve("S_c", sides * MM_PER_CM, collimator),
        phantom_scatter=Curve("S_p", sides * MM_PER_CM, phantom),
        pdd=_sheet(lines, "PDD", file),
        tpr=_sheet(lines, "TPR", file),
        oar=_sheet(lines, "OAR", file),
    )


def _constant(lines: list[str], name: str, file: Path) -> float:
    pattern = re.compile(rf"{name}\s*:\s*([0-9.eE+-]+)\s*(?:cGy/MU|cm)\b")
    for line in lines:
        found = pattern.match(line.strip())
        if found:
            try:
                return float(found.group(1))
            except ValueError:
                break
    unit = "0.8 cGy/MU" if name == "k" else "10 cm"
    raise _broken(file, f"no line states the {_CONSTANTS[name]}, as '{name}: {unit}'")


def _sheet(lines: list[str], name: str, file: Path) -> Sheet:
    """A table of depths (rows) and lengths (its first line)."""
    first, *rows = _numbers(lines, rf"{name} Table", f"end {name.lower()} table", file)
    if not rows or any(len(row) != len(first) + 1 for row in rows):
        raise _broken(
            file, f"each row of the {name} table must hold a depth and {len(first)} values"
        )
    values = np.array(rows)
    return Sheet(name, values[:, 0] * MM_PER_CM, np.array(first) * MM_PER_CM, values[:, 1:])


def _numbers(lines: list[str], start: str, end: str, file: Path) -> list[list[float]]:
    """Rows of numbers between a line like ``start`` and the line ``end``, rules left out."""
    begin = next((k for k, line in enumerate(lines) if re.fullmatch(start, line.strip())), None)
    rows: list[list[float]] = []
    for line in lines[begin + 1 :] if begin is not None else ():
        if line.strip().lower() == end:
            if rows:
                return rows
            break
        if line.strip("- \t"):
            try:
                rows.append([float(word) for word in line.split()])
            except ValueError:
                raise _broken(file, f"{line.strip()[:40]!r} is no row of numbers") from None
    raise _broken(file, f"no table that ends with '{end}'")


def _text(tables: BeamTables) -> Iterator[str]:
    yield f"{_TITLE}{tables.name}"
    yield from ("", "Calibration Data", "-" * 16)
    yield f"k: {tables.dose_per_mu / _GY_PER_CGY:.10g} cGy/MU"
    yield f"d_0: {tables.depth * CM_PER_MM:.10g} cm"
    yield f"SSD_0: {tables.ssd * CM_PER_MM:.10g} cm"
    yield f"SSD_PDD: {tables.pdd_ssd * CM_PER_MM:.10g} cm"
    yield from ("", "Scatter Factors", "-" * 15, "r   S_c   S_p")
    sides = tables.collimator_scatter.places
    phantom = tables.phantom_scatter.at(sides)
    for side, c, p in zip(sides, tables.collimator_scatter.values, phantom, strict=True):
        yield f"{side * CM_PER_MM:.1f} {c:.4f} {p:.4f}"
    yield "end scatter factors"
    for sheet, digits in ((tables.pdd, 2), (tables.tpr, 4), (tables.oar, 4)):
        yield from ("", f"{sheet.what} Table", "-" * 9)
        yield " ".join(f"{side * CM_PER_MM:.4g}" for side in sheet.across)
        for depth, row in zip(sheet.depths, sheet.values, strict=True):
            yield " ".join([f"{depth * CM_PER_MM:.4g}", *_formatted(row, digits)])
        yield f"end {sheet.what.lower()} table"


def _formatted(row: Array, digits: int) -> list[str]:
    return [f"{value:.{digits}f}" for value in row]


def _broken(file: Path, what: str) -> FileFormatError:
    return FileFormatError(
        f"beam tables {file.name!r}: {what}. Give a file like those that "
        "'dosegrad mu --show-tables' prints."
    )
