"""Errors of dosegrad: each says what was wrong, what was expected, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "BeamError",
    "CalibrationError",
    "CapabilityError",
    "ChoiceError",
    "DosegradError",
    "EnergyError",
    "FileFormatError",
    "GeometryError",
    "MachineError",
    "OutputError",
    "PatientError",
    "PlanError",
    "SettingsError",
    "TargetError",
    "UnknownNameError",
    "unknown_name",
]


class DosegradError(Exception):
    """Base of every error that dosegrad raises on purpose."""


class GeometryError(DosegradError, ValueError):
    """A grid, frame or ray that cannot be."""


class PatientError(DosegradError, ValueError):
    """A CT or a structure that cannot be planned on."""


class CalibrationError(DosegradError, ValueError):
    """A HU calibration that cannot be used."""


class MachineError(DosegradError, ValueError):
    """Base data that contradict themselves or lack what is asked for."""


class EnergyError(MachineError):
    """An energy outside what a machine or a table offers."""


class BeamError(DosegradError, ValueError):
    """Beams that cannot be delivered or steered."""


class TargetError(DosegradError, ValueError):
    """A target that is empty, outside the CT, or out of reach."""


class PlanError(DosegradError, ValueError):
    """Objectives, weights or goals that do not fit together."""


class SettingsError(DosegradError, ValueError):
    """An option outside its range."""


class CapabilityError(DosegradError, TypeError):
    """An engine or solver was asked for what it does not offer."""


class FileFormatError(DosegradError, ValueError):
    """A file that cannot be read as what it should be."""


class ChoiceError(FileFormatError):
    """Several things of a folder fit, and which one is meant must be said.

    Parameters
    ----------
    message
        What to tell the user.
    option
        The option by which to say it, such as ``"structure_set"``.
    choices
        What may be given for it, each with what to call it.
    """

    def __init__(self, message: str, *, option: str, choices: Iterable[tuple[str, str]]) -> None:
        super().__init__(message)
        self.option = option
        self.choices = tuple(choices)


class OutputError(DosegradError, OSError):
    """A result that cannot be written."""


class UnknownNameError(DosegradError, LookupError):
    """A name that is not among those known."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """Error for an unknown name that lists the known ones and guesses what was meant.

    Examples
    --------
    >>> print(unknown_name("structure", "Retcum", ["Bladder", "PTV", "Rectum"]))
    no structure 'Retcum' (have: Bladder, PTV, Rectum). Did you mean 'Rectum'?
    """
    names = sorted(map(str, known))
    text = f"no {kind} {str(name)!r} (have: {', '.join(names) or 'none'})."
    by_lower = {n.lower(): n for n in names}
    close = get_close_matches(str(name).lower(), by_lower, n=1)
    if close:
        text += f" Did you mean {by_lower[close[0]]!r}?"
    return UnknownNameError(text)
