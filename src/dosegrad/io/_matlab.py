"""MATLAB v5 files, with their size limited and every failure told as one of ours."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from dosegrad.errors import FileFormatError

__all__ = ["load_variables"]

#: A larger file is no patient or machine, bytes.
LARGEST_FILE: Final = 2_000_000_000


def load_variables(file: Path, names: tuple[str, ...], *, what: str) -> dict[str, Any]:
    """The variables ``names`` of a MATLAB v5 file, with structs as dictionaries.

    Parameters
    ----------
    file
        The ``.mat`` file.
    names
        Variables wanted; those that the file lacks are left out.
    what
        What the file should be, for messages: ``"patient"``, ``"machine"``.

    Raises
    ------
    FileFormatError
        If the file is absent, too large, truncated, or of another format.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if not file.is_file():
        raise FileFormatError(f"no {what} file at {str(file)!r}; check the path.")
    if file.stat().st_size > LARGEST_FILE:
        raise FileFormatError(
            f"{what} file {file.name!r} has {file.stat().st_size / 1e9:.1f} GB; at most "
            f"{LARGEST_FILE / 1e9:.0f} GB are read. Save only the {what} in it."
        )
    try:
        content = loadmat(file, squeeze_me=True, struct_as_record=False, variable_names=list(names))
    except (
        *(MatReadError, ValueError, TypeError, OSError, EOFError, MemoryError),
        *(zlib.error, NotImplementedError, KeyError, IndexError),
    ) as error:
        raise FileFormatError(
            f"{what} file {file.name!r} cannot be read as a MATLAB v5 file ({error}); it may be "
            "truncated or saved as v7.3. Copy it again, or save it with '-v7'."
        ) from error
    return {name: _plain(content[name]) for name in names if name in content}


def _plain(value: Any) -> Any:
    """``value`` with MATLAB structs as dictionaries, also inside cells."""
    fields = getattr(value, "_fieldnames", None)
    if fields is not None:
        return {name: _plain(getattr(value, name)) for name in fields}
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        plain = np.empty(value.shape, dtype=object)
        for index, part in np.ndenumerate(value):
            plain[index] = _plain(part)
        return plain
    return value
