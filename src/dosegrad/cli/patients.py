"""The patient that a command line or plan file names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dosegrad.errors import FileFormatError, SettingsError, unknown_name

if TYPE_CHECKING:
    from dosegrad.patient.patient import Patient

__all__ = ["built_in", "find_patient", "parse_options"]


def find_patient(name: str) -> Patient:
    """The patient in the file or folder ``name``, or the built-in phantom of that name.

    Raises
    ------
    FileFormatError
        If it is neither.
    """
    from dosegrad.patient.phantoms import PHANTOMS

    if Path(name).exists():
        from dosegrad.io.patients import read_patient

        return read_patient(Path(name))
    if name in PHANTOMS:
        return built_in(name, {})
    raise FileFormatError(
        f"patient {name!r} is neither a file, a folder, nor a phantom "
        f"(have: {', '.join(sorted(PHANTOMS))}). Check the path, or name a phantom."
    )


def built_in(name: str, options: Mapping[str, float]) -> Patient:
    """The built-in phantom ``name`` with its options.

    Raises
    ------
    UnknownNameError
        If there is no phantom of that name, or it has no such option.
    """
    from dosegrad.patient.phantoms import PHANTOMS, phantom

    if name not in PHANTOMS:
        raise unknown_name("phantom", name, PHANTOMS)
    return phantom(name, **dict(options))


def parse_options(pairs: list[str]) -> dict[str, float]:
    """Phantom options from texts such as ``"swelling=5"``; values are numbers.

    Raises
    ------
    SettingsError
        If one has no ``=`` or its value is no number.

    Examples
    --------
    >>> parse_options(["swelling=5", "hu=-700"])
    {'swelling': 5.0, 'hu': -700.0}
    """
    options: dict[str, float] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            options[key.strip()] = float(value)
        except ValueError:
            raise SettingsError(
                f"phantom option {pair!r} is not understood; write name=number, "
                "such as --option swelling=5."
            ) from None
    return options
