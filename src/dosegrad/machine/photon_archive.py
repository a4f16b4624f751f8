"""Files of photon machines: compressed NumPy archives of plain arrays, without pickle."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.errors import FileFormatError, OutputError
from dosegrad.machine.collimator import ArcLimits, MultileafCollimator
from dosegrad.machine.photon import HeadScatter, PhotonMachine

__all__ = [
    "PHOTON_FORMAT",
    "collimator_from",
    "collimator_record",
    "photon_machine_from",
    "write_photon_archive",
]

#: What the archive calls itself.
PHOTON_FORMAT: Final = "dosegrad photon machine"
#: Version of the layout; a reader refuses a newer one.
VERSION: Final = 1

_TABLES: Final = ("betas", "ssds", "radii", "primary_fluence")
_NUMBERS: Final = (
    *("name", "energy", "sad", "attenuation", "raster", "penumbra_fwhm"),
    *("surface_offset", "mu_per_weight"),
)


def write_photon_archive(machine: PhotonMachine, path: str | Path) -> None:
    """Write ``machine``; kernels as float32, all else as float64.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    head = machine.head_scatter
    header = {
        "format": PHOTON_FORMAT,
        "version": VERSION,
        "description": dict(machine.description),
        "head_scatter": {"share": head.share, "sigma": head.sigma},
        "collimator": collimator_record(machine.collimator),
        "arc": asdict(machine.arc),
        **{name: getattr(machine, name) for name in _NUMBERS},
    }
    content: dict[str, Any] = {"header": np.array(json.dumps(header, sort_keys=True))}
    content |= {name: getattr(machine, name) for name in _TABLES}
    content["kernels"] = machine.kernels.astype(np.float32)
    try:
        with Path(path).open("wb") as file:
            np.savez_compressed(file, **content)
    except OSError as error:
        raise OutputError(
            f"cannot write machine file {str(path)!r}: {error.strerror}; choose a folder that "
            "exists and may be written to."
        ) from error


def photon_machine_from(
    header: dict[str, Any], content: dict[str, NDArray[Any]], path: str
) -> PhotonMachine:
    """The machine that :func:`write_photon_archive` put into an archive.

    Raises
    ------
    FileFormatError
        If something is missing, or the file is of a newer version.
    """
    if header["version"] > VERSION:
        raise FileFormatError(
            f"machine file {path!r} has layout version {header['version']}; this dosegrad reads up "
            f"to {VERSION}. Update dosegrad."
        )
    missing = {*_TABLES, "kernels"} - content.keys()
    missing |= {*_NUMBERS, "head_scatter", "description"} - header.keys()
    if missing:
        raise FileFormatError(
            f"machine file {path!r} lacks {', '.join(sorted(missing))}; expected every table of "
            "its version. Write it again."
        )
    values: dict[str, Any] = {name: header[name] for name in _NUMBERS}
    values |= {name: content[name] for name in (*_TABLES, "kernels")}
    return PhotonMachine(
        **values,
        head_scatter=HeadScatter(**header["head_scatter"]),
        collimator=collimator_from(header.get("collimator")),
        arc=ArcLimits(**header.get("arc", {})),
        description=header["description"],
    )


def collimator_record(collimator: MultileafCollimator | None) -> dict[str, Any] | None:
    """Plain values of a collimator, as JSON can hold them."""
    if collimator is None:
        return None
    return {**asdict(collimator), "boundaries": collimator.boundaries.tolist()}


def collimator_from(record: dict[str, Any] | None) -> MultileafCollimator | None:
    """The collimator of a :func:`collimator_record`."""
    return None if record is None else MultileafCollimator(**record)
