"""Machine files of our own: compressed NumPy archives of plain arrays, without pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.errors import FileFormatError, OutputError
from dosegrad.files import contents_of, read_archive
from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.machine.kinds import Machine
from dosegrad.machine.particle import ParticleMachine
from dosegrad.machine.photon_archive import PHOTON_FORMAT, photon_machine_from

__all__ = ["FORMAT", "VERSION", "read_machine_archive", "write_machine_archive"]

#: What the archive calls itself.
FORMAT: Final = "dosegrad particle machine"
#: Version of the layout; a reader refuses a newer one.
VERSION: Final = 1

_TABLES: Final = ("depths", "dose", "sigmas", "weights", "let", "focus_distance", "focus_sigma")
_BIOLOGY: Final = ("alpha", "beta")
_NUMBERS: Final = ("energy", "range", "peak", "offset", "energy_spread")


def write_machine_archive(machine: ParticleMachine, path: str | Path) -> None:
    """Write ``machine``; tables as float32, numbers as float64.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    header = {
        "format": FORMAT,
        "version": VERSION,
        "name": machine.name,
        "modality": machine.modality,
        "sad": machine.sad,
        "nozzle_distance": machine.nozzle_distance,
        "air_offset": machine.air_offset,
        "description": dict(machine.description),
    }
    content: dict[str, Any] = {
        "header": np.array(json.dumps(header, sort_keys=True)),
        "tissues": machine.tissues,
        "numbers": np.array([[getattr(d, n) for n in _NUMBERS] for d in machine.data]),
        "shapes": np.array(
            [
                [d.depths.size, len(d.sigmas), d.focus_distance.size, len(d.alpha), d.let.size]
                for d in machine.data
            ]
        ),
    }
    for name in (*_TABLES, *_BIOLOGY):
        parts = [getattr(d, name).ravel() for d in machine.data]
        content[name] = np.concatenate(parts).astype(np.float32)
    try:
        with Path(path).open("wb") as file:
            np.savez_compressed(file, **content)
    except OSError as error:
        raise OutputError(
            f"cannot write machine file {str(path)!r}: {error.strerror}; choose a folder that "
            "exists and may be written to."
        ) from error


def read_machine_archive(path: str | Path) -> Machine:
    """The machine that :func:`write_machine_archive` or ``write_photon_archive`` wrote.

    Raises
    ------
    FileFormatError
        If the file is something else, damaged, or of a newer version.
    """
    words = f"{FORMAT} file", "write it again with dosegrad, or give a matRad '.mat' file"
    _, content = read_archive(path, *words)
    with contents_of(path, *words):
        header = dict(json.loads(str(content["header"])))
        if header["format"] not in (FORMAT, PHOTON_FORMAT):
            raise ValueError(f"it calls itself {header['format']!r}")
        return _machine_of(header, content, path)


def _machine_of(
    header: dict[str, Any], content: dict[str, NDArray[Any]], path: str | Path
) -> Machine:
    if header["format"] == PHOTON_FORMAT:
        return photon_machine_from(header, content, str(path))
    if (version := int(header["version"])) > VERSION:
        raise FileFormatError(
            f"machine file {str(path)!r} has layout version {version}; this dosegrad reads up to "
            f"{VERSION}. Update dosegrad."
        )
    missing = {"tissues", "numbers", "shapes", *_TABLES, *_BIOLOGY} - content.keys()
    if missing:
        raise FileFormatError(
            f"machine file {str(path)!r} lacks {', '.join(sorted(missing))}; expected every table "
            "of its version. Write it again."
        )
    return ParticleMachine(
        name=header["name"],
        modality=header["modality"],
        sad=header["sad"],
        nozzle_distance=header["nozzle_distance"],
        data=_unpack(content),
        air_offset=header["air_offset"],
        tissues=content["tissues"],
        description=header["description"],
    )


def _unpack(content: dict[str, NDArray[Any]]) -> tuple[PencilBeamData, ...]:
    """One :class:`PencilBeamData` per row of the numbers."""
    start = dict.fromkeys((*_TABLES, *_BIOLOGY), 0)
    data = []
    for numbers, (n, k, m, tissues, let) in zip(content["numbers"], content["shapes"], strict=True):
        shapes = {
            "depths": (n,), "dose": (n,), "let": (let,),
            "sigmas": (k, n), "weights": (k, n),
            "focus_distance": (m,), "focus_sigma": (m,),
            "alpha": (tissues, n if tissues else 0), "beta": (tissues, n if tissues else 0),
        }  # fmt: skip
        parts: dict[str, Any] = dict(zip(_NUMBERS, map(float, numbers), strict=True))
        for name, shape in shapes.items():
            stop = start[name] + int(np.prod(shape))
            parts[name] = content[name][start[name] : stop].reshape(shape).astype(np.float64)
            start[name] = stop
        data.append(PencilBeamData(**parts))
    return tuple(data)
