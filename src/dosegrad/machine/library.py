"""Machines by name or by file."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

from dosegrad.errors import FileFormatError, unknown_name
from dosegrad.machine.archive import read_machine_archive
from dosegrad.machine.kinds import Machine
from dosegrad.machine.particle import ParticleMachine
from dosegrad.machine.photon import PhotonMachine
from dosegrad.machine.research import research_protons
from dosegrad.registry import MACHINE_READERS, load_object

__all__ = ["MACHINES", "load_machine"]

#: Machines that come with the package, and what they are.
MACHINES: Final[dict[str, str]] = {
    "generic-10mv": "photons, 10 MV flattened, from published pencil kernels",
    "generic-6mv": "photons, 6 MV flattened, from published pencil kernels",
    "generic-carbon": "carbon ions, 77 to 424 MeV/u, from own transport, fragments included",
    "generic-helium": "helium ions, 54 to 219 MeV/u, from own transport, fragments included",
    "generic-protons": "protons, 70 to 230 MeV, from this project's own transport solver",
    "research-protons": "an ideal proton beam of any energy, for study",
}


def load_machine(name_or_path: str | Path, **options: Any) -> Machine:
    """The machine of this name, or that of a file.

    Parameters
    ----------
    name_or_path
        A key of :data:`MACHINES`, or a path to a ``.npz`` file of dosegrad or a matRad ``.mat``
        file. Read once; later calls share the value.
    options
        Handed to the reader of the file, or settings of
        :func:`~dosegrad.machine.research.research_protons`.

    Raises
    ------
    UnknownNameError
        If there is no such machine; the message lists the known ones.
    FileFormatError
        If the file is missing, of an unknown kind, or damaged.

    Examples
    --------
    >>> load_machine("generic-protons").modality
    'protons'
    """
    text = str(name_or_path)
    if text == "research-protons":
        return research_protons(**options)
    if text in MACHINES:
        return _packaged(text)
    path = Path(name_or_path)
    looks_like_file = isinstance(name_or_path, Path) or path.suffix or len(path.parts) > 1
    if not looks_like_file and not path.exists():
        raise unknown_name("machine", text, MACHINES)
    if not path.is_file():
        raise FileFormatError(
            f"no machine file {text!r}; expected a file that exists, or one of the names "
            f"{', '.join(sorted(MACHINES))}. Correct the path."
        )
    suffix = path.suffix.lower()
    if suffix not in MACHINE_READERS:
        raise FileFormatError(
            f"machine file {text!r} ends in {suffix!r}; expected one of "
            f"{', '.join(sorted(MACHINE_READERS))}. Convert it first."
        )
    stamp = path.stat().st_mtime_ns
    return _from_file(str(path.resolve()), suffix, stamp, tuple(sorted(options.items())))


@lru_cache(maxsize=8)
def _packaged(name: str) -> Machine:
    with as_file(files("dosegrad.machine") / "data" / f"{name}.npz") as path:
        return read_machine_archive(path)


@lru_cache(maxsize=8)
def _from_file(path: str, suffix: str, stamp: int, options: tuple[tuple[str, Any], ...]) -> Machine:
    """The machine of a file; ``stamp``, its time of change, keeps the cache true."""
    del stamp
    machine = load_object("machine reader", MACHINE_READERS, suffix)(path, **dict(options))
    assert isinstance(machine, (ParticleMachine, PhotonMachine))
    return machine
