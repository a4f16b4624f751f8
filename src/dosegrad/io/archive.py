"""Plans and doses in one file of their own: arrays, and a manifest that people can read.

The file is a zip archive of NumPy arrays (``.npz``, never pickled) with ``manifest.json`` in it.
It holds the machine's base data as well, so that a plan computes to the same numbers wherever it
is read.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dosegrad._version import __version__
from dosegrad.beams.apertures import Apertures
from dosegrad.beams.beam import COLUMN_DTYPE, Beam, Beams, RangeShifter
from dosegrad.dose import Dose
from dosegrad.errors import FileFormatError, OutputError
from dosegrad.files import contents_of, read_archive, replacing
from dosegrad.geometry.grid import Grid
from dosegrad.machine.beam_data import IdealBeam, PencilBeamData
from dosegrad.machine.collimator import ArcLimits, MultileafCollimator
from dosegrad.machine.kinds import Machine
from dosegrad.machine.monitor import Monitor
from dosegrad.machine.particle import ParticleMachine
from dosegrad.machine.photon import HeadScatter, PhotonMachine
from dosegrad.machine.photon_archive import collimator_from, collimator_record
from dosegrad.plan import Plan

__all__ = [
    "as_text",
    "check_kind",
    "get_beams",
    "get_grid",
    "load_dose",
    "load_plan",
    "put_beams",
    "save_dose",
    "save_plan",
    "write_archive",
]

#: Raised when a reader of the old format would misread the new one.
_FORMAT: Final = 1
#: What a file should be, and what to do if it is not.
_WORDS: Final = ("plan or dose of dosegrad", "save the plan or dose again")

_Arrays = dict[str, NDArray[Any]]
_Manifest = dict[str, Any]


def save_plan(plan: Plan, path: str | Path) -> None:
    """Write a plan with its beams, machine, weights and dose; an old file is replaced as a whole.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    arrays: _Arrays = {"weights": plan.weights, "history": np.asarray(plan.history, dtype=float)}
    content: _Manifest = {
        "kind": "plan",
        "objective": plan.objective,
        "fractions": plan.fractions,
        "message": plan.message,
        "provenance": dict(plan.provenance),
        **put_beams(plan.beams, arrays),
    }
    if plan.dose is not None:
        content["dose"] = _put_dose(plan.dose, arrays)
    if plan.apertures is not None:
        for f in fields(Apertures):
            arrays[f"apertures/{f.name}"] = getattr(plan.apertures, f.name)
    content["scenario_doses"] = [
        _put_dose(dose, arrays, f"scenario_doses/{k}") for k, dose in enumerate(plan.scenario_doses)
    ]
    content["quantities"] = {
        name: _put_dose(dose, arrays, f"quantities/{name}")
        for name, dose in plan.quantities.items()
    }
    write_archive(Path(path), content, arrays)


def load_plan(path: str | Path) -> Plan:
    """The plan that :meth:`Plan.save` wrote, with the same numbers.

    Raises
    ------
    FileFormatError
        If the file does not exist, is not a plan, or is damaged.
    """
    content, arrays = _read(Path(path), "plan")
    with contents_of(path, *_WORDS):
        return Plan(
            get_beams(content, arrays),
            arrays["weights"],
            dose=_get_dose(content["dose"], arrays) if "dose" in content else None,
            objective=content["objective"],
            history=tuple(arrays["history"].tolist()),
            fractions=content["fractions"],
            message=content["message"],
            provenance=content["provenance"],
            scenario_doses=tuple(
                _get_dose(dose, arrays, f"scenario_doses/{k}")
                for k, dose in enumerate(content.get("scenario_doses", ()))
            ),
            quantities={
                name: _get_dose(dose, arrays, f"quantities/{name}")
                for name, dose in content.get("quantities", {}).items()
            },
            apertures=_get_apertures(arrays),
        )


def save_dose(dose: Dose, path: str | Path) -> None:
    """Write a dose; an old file is replaced as a whole.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    arrays: _Arrays = {}
    write_archive(Path(path), {"kind": "dose", "dose": _put_dose(dose, arrays)}, arrays)


def load_dose(path: str | Path) -> Dose:
    """The dose that :func:`save_dose` wrote, with the same numbers.

    Raises
    ------
    FileFormatError
        If the file does not exist, is not a dose, or is damaged.
    """
    content, arrays = _read(Path(path), "dose")
    with contents_of(path, *_WORDS):
        return _get_dose(content["dose"], arrays)


def put_beams(beams: Beams, arrays: _Arrays) -> _Manifest:
    """Manifest of beams and their machine; tables go to ``arrays``."""
    for name in COLUMN_DTYPE.names or ():
        arrays[f"columns/{name}"] = beams.columns[name]
    return {
        "beams": [asdict(beam) for beam in beams],
        "machine": _put_machine(beams.machine, arrays),
    }


def get_beams(content: _Manifest, arrays: Mapping[str, NDArray[Any]]) -> Beams:
    """Beams that :func:`put_beams` put into manifest and arrays."""
    columns = np.zeros(arrays["columns/beam"].size, dtype=COLUMN_DTYPE)
    for name in COLUMN_DTYPE.names or ():
        columns[name] = arrays[f"columns/{name}"]
    fields_ = tuple(_get_beam(beam) for beam in content["beams"])
    return Beams(_get_machine(content["machine"], arrays), fields_, columns)


def get_grid(content: _Manifest) -> Grid:
    """A grid from its manifest."""
    direction: Any = tuple(tuple(row) for row in content["direction"])
    shape, spacing, origin = (tuple(content[key]) for key in ("shape", "spacing", "origin"))
    return Grid(shape, spacing, origin, direction)


def _put_dose(dose: Dose, arrays: _Arrays, name: str = "dose") -> _Manifest:
    arrays[name] = dose.array
    return {
        "grid": asdict(dose.grid),
        "quantity": dose.quantity,
        "provenance": dict(dose.provenance),
    }


def _get_dose(content: _Manifest, arrays: Mapping[str, NDArray[Any]], name: str = "dose") -> Dose:
    values = arrays[name]
    return Dose(get_grid(content["grid"]), values, content["quantity"], content["provenance"])


def _get_apertures(arrays: Mapping[str, NDArray[Any]]) -> Apertures | None:
    if "apertures/beam" not in arrays:
        return None
    return Apertures(**{f.name: arrays[f"apertures/{f.name}"] for f in fields(Apertures)})


def _get_beam(content: _Manifest) -> Beam:
    shifter = content.pop("range_shifter")
    isocentre = tuple(content.pop("isocentre"))
    made = None if shifter is None else RangeShifter(**shifter)
    return Beam(**content, isocentre=isocentre, range_shifter=made)


def _put_photon_machine(machine: PhotonMachine, arrays: _Arrays) -> _Manifest:
    """Scalars of a photon machine; its tables go to ``arrays``."""
    content: _Manifest = {"modality": machine.modality}
    for f in fields(machine):
        value = getattr(machine, f.name)
        if isinstance(value, np.ndarray):
            arrays[f"machine/{f.name}"] = value
        elif isinstance(value, (HeadScatter, ArcLimits)):
            content[f.name] = asdict(value)
        elif isinstance(value, MultileafCollimator):
            content[f.name] = collimator_record(value)
        else:
            content[f.name] = dict(value) if isinstance(value, Mapping) else value
    return content


def _get_photon_machine(content: _Manifest, arrays: Mapping[str, NDArray[Any]]) -> PhotonMachine:
    tables: _Manifest = {
        k.partition("/")[2]: v for k, v in arrays.items() if k.startswith("machine/")
    }
    head = HeadScatter(**content.pop("head_scatter"))
    content.pop("modality")
    arc = ArcLimits(**content.pop("arc", {}))
    collimator = collimator_from(content.pop("collimator", None))
    return PhotonMachine(**content, **tables, head_scatter=head, arc=arc, collimator=collimator)


def _put_machine(machine: Machine, arrays: _Arrays) -> _Manifest:
    """Scalars of a machine; its tables go to ``arrays``, those of all energies end to end."""
    if isinstance(machine, PhotonMachine):
        return _put_photon_machine(machine, arrays)
    content: _Manifest = {"energies": [{} for _ in machine.data]}
    for f in fields(machine):
        value = getattr(machine, f.name)
        if isinstance(value, np.ndarray):
            arrays[f"machine/{f.name}"] = value
        elif isinstance(value, Monitor):
            for part in fields(value):
                arrays[f"monitor/{part.name}"] = getattr(value, part.name)
        elif f.name != "data":
            content[f.name] = dict(value) if isinstance(value, Mapping) else value
    for f in fields(PencilBeamData):
        values = [getattr(one, f.name) for one in machine.data]
        if isinstance(values[0], np.ndarray):
            arrays[f"energies/{f.name}"] = np.concatenate([v.ravel() for v in values])
            arrays[f"energies/{f.name}.shape"] = np.array([v.shape for v in values])
        else:
            for entry, value in zip(content["energies"], values, strict=True):
                entry[f.name] = value
    return content


def _get_machine(content: _Manifest, arrays: Mapping[str, NDArray[Any]]) -> Machine:
    if content["modality"] == "photons":
        return _get_photon_machine(content, arrays)
    entries = content.pop("energies")
    for key in arrays:
        if key.startswith("energies/") and not key.endswith(".shape"):
            shapes = arrays[f"{key}.shape"]
            ends = np.cumsum(shapes.prod(axis=1))[:-1]
            pieces = np.split(arrays[key], ends)
            for entry, piece, shape in zip(entries, pieces, shapes, strict=True):
                entry[key.partition("/")[2]] = piece.reshape(shape)
        elif key.startswith("machine/"):
            content[key.partition("/")[2]] = arrays[key]
    tables = {f.name: arrays[f"monitor/{f.name}"] for f in fields(Monitor)}
    content["monitor"] = Monitor(**tables)
    if content["ideal"] is not None:
        content["ideal"] = IdealBeam(**content["ideal"])
    return ParticleMachine(**content, data=tuple(PencilBeamData(**entry) for entry in entries))


def as_text(content: _Manifest) -> str:
    """A manifest as JSON, with format and version."""
    manifest = {"format": _FORMAT, "dosegrad": __version__, **content}
    return json.dumps(manifest, indent=1, ensure_ascii=False, default=_as_json)


def write_archive(
    path: Path, content: _Manifest, arrays: _Arrays, *, compressed: bool = True
) -> None:
    """Write the file beside its place, then move it there."""
    way = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    try:
        with (
            replacing(path) as file,
            zipfile.ZipFile(file, "w", way, compresslevel=1 if compressed else None) as archive,
        ):
            archive.writestr("manifest.json", as_text(content))
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    npy.write_array(entry, np.ascontiguousarray(array), allow_pickle=False)
    except OSError as error:
        raise OutputError(
            f"'{path}' cannot be written ({error.strerror or error}). Choose a folder that exists "
            "and that you may write to, with enough space."
        ) from error


def _read(path: Path, kind: str) -> tuple[_Manifest, _Arrays]:
    """Manifest and arrays of a file of that kind."""
    words = f"{kind} file of dosegrad", f"save the {kind} again"
    plain, arrays = read_archive(path, *words)
    with contents_of(path, *words):
        content: _Manifest = dict(json.loads(plain["manifest.json"]))
    check_kind(path, kind, content)
    return content, arrays


def check_kind(path: Path, kind: str, content: _Manifest) -> None:
    """Raise unless a manifest is of that kind and of a format that can be read."""
    if content.get("kind") != kind:
        raise FileFormatError(
            f"'{path}' holds a {content.get('kind')}, not a {kind}; read it with "
            f"load_{content.get('kind')}."
        )
    if content.get("format") != _FORMAT:
        raise FileFormatError(
            f"'{path}' has format {content.get('format')} (dosegrad {content.get('dosegrad')}); "
            f"this version reads format {_FORMAT}. Read it with the version that wrote it."
        )


def _as_json(value: object) -> object:
    """What JSON does not know, as what it knows; arrays as lists, others by their text."""
    if isinstance(value, (np.integer, np.floating, np.bool_)):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)
