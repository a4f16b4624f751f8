"""Patients from matRad's files (MATLAB v5 ``.mat`` with ``ct`` and ``cst``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.errors import DosegradError, FileFormatError
from dosegrad.geometry.grid import Grid
from dosegrad.io._matlab import load_variables
from dosegrad.patient.calibration import Calibration
from dosegrad.patient.ct import CT
from dosegrad.patient.patient import Patient
from dosegrad.patient.records import ObjectiveRecord
from dosegrad.patient.structures import MaskShape, Role, Structure

__all__ = ["read_matrad_patient"]

#: matRad class -> our kind, and the names of its parameters in order. Volumes are per cent there.
_OBJECTIVES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "matRad_SquaredDeviation": ("squared-deviation", ("dose",)),
    "matRad_SquaredOverdosing": ("squared-overdose", ("dose",)),
    "matRad_SquaredUnderdosing": ("squared-underdose", ("dose",)),
    "matRad_MeanDose": ("mean-dose", ("dose",)),
    "matRad_EUD": ("eud", ("dose", "a")),
    "matRad_MaxDVH": ("max-dvh", ("dose", "volume_percent")),
    "matRad_MinDVH": ("min-dvh", ("dose", "volume_percent")),
}

_EXTERNAL_NAMES: Final = ("body", "external", "skin", "outer contour", "outline")
_N_AXES = 3


def read_matrad_patient(path: str | Path) -> Patient:
    """A patient with structures, priorities and objectives from a matRad file.

    The cube (y, x, z) becomes (z, y, x). Voxel centres are those of ``ct.x``, ``ct.y`` and
    ``ct.z``, which are patient LPS in mm; a file without them gets a grid centred on (0, 0, 0).
    HU are ``ct.cubeHU``; ``ct.hlut`` becomes the calibration to stopping power ratio, Schneider's
    serves where there is none. A structure called body, external or skin is the outline.

    Raises
    ------
    FileFormatError
        If the file is no MATLAB v5 file, is truncated, or lacks a field.
    """
    file = Path(path)
    content = load_variables(file, ("ct", "cst"), what="patient")
    if not isinstance(content.get("ct"), dict) or "cst" not in content:
        raise FileFormatError(
            f"file {file.name!r} holds no matRad patient (expected 'ct' and 'cst'). Give a file "
            "that matRad saved with both."
        )
    try:
        ct = _read_ct(content["ct"])
        rows = np.atleast_2d(content["cst"])
        structures = [_read_structure(row, ct.grid) for row in rows]
        objectives = {str(row[1]): _read_objectives(row) for row in rows}
        calibration = _read_calibration(content["ct"])
    except DosegradError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise FileFormatError(
            f"patient file {file.name!r} lacks or garbles a field of matRad's patient "
            f"({type(error).__name__}: {error}). Save it from matRad again."
        ) from error
    return Patient(
        ct,
        {s.name: s for s in structures},
        calibration,
        {name: records for name, records in objectives.items() if records},
        name=file.stem,
    )


def _read_ct(ct: dict[str, Any]) -> CT:
    cube = ct["cubeHU"]
    if _is_cell(cube) and len(cube) != 1:
        raise FileFormatError(
            f"the file holds {len(cube)} CT scenarios; save a patient with a single one."
        )
    cube = _single(cube)
    hu = np.moveaxis(np.asarray(cube, dtype=np.float32), -1, 0)
    spacing = tuple(float(ct["resolution"][axis]) for axis in "zyx")
    origin = []
    for axis, size, step in zip("zyx", hu.shape, spacing, strict=True):
        at = np.asarray(ct.get(axis, ()), dtype=float).ravel()
        origin.append(float(at[0]) if at.size == size else -(size - 1) / 2 * step)
    z, y, x = origin
    position = str(ct.get("dicomInfo", {}).get("PatientPosition", "HFS"))
    nz, ny, nx = hu.shape
    return CT(Grid((nz, ny, nx), (spacing[0], spacing[1], spacing[2]), (x, y, z)), hu, position)


def _read_calibration(ct: dict[str, Any]) -> Calibration:
    """The file's HLUT; some files hold its columns the other way round."""
    pairs = np.asarray(ct.get("hlut", ()), dtype=float)
    if pairs.ndim != 2 or pairs.shape[0] < 2 or pairs.shape[1] < 2:
        return Calibration.of("schneider")
    if pairs[:, 1].min() < pairs[:, 0].min():
        pairs = pairs[:, ::-1]
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable"), :2]
    return Calibration.table(pairs, name="matRad HLUT")


def _read_structure(row: NDArray[Any], grid: Grid) -> Structure:
    name, kind = str(row[1]), str(row[2]).upper()
    nz, ny, nx = grid.shape
    inside = np.zeros(nx * ny * nz, dtype=bool)
    indices = np.asarray(_single(row[3]), dtype=np.int64).ravel() - 1
    if indices.size and not 0 <= indices.min() <= indices.max() < inside.size:
        raise FileFormatError(
            f"structure {name!r} names voxels outside the CT; save cst and ct together again."
        )
    inside[indices] = True
    mask = inside.reshape((ny, nx, nz), order="F").transpose(2, 0, 1)
    properties = row[4] if isinstance(row[4], dict) else {}
    role: Role = "organ"
    if kind == "TARGET":
        role = "target"
    elif name.strip().lower() in _EXTERNAL_NAMES:
        role = "external"
    colour = np.asarray(properties.get("visibleColor", ()), dtype=float).ravel()
    return Structure(
        name,
        MaskShape(grid, mask),
        role,
        int(properties["Priority"]) if "Priority" in properties else None,
        (float(colour[0]), float(colour[1]), float(colour[2])) if colour.size == _N_AXES else None,
    )


def _is_cell(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.hasobject


def _single(cell: Any) -> Any:
    """What a cell of one scenario holds; a cell of one may come without its cell."""
    if _is_cell(cell):
        return cell[0] if len(cell) else ()
    return cell


def _read_objectives(row: NDArray[Any]) -> tuple[ObjectiveRecord, ...]:
    entries = row[5] if len(row) > 5 else ()
    if isinstance(entries, dict):
        entries = [entries]
    return tuple(_read_objective(entry) for entry in entries)


def _read_objective(entry: dict[str, Any]) -> ObjectiveRecord:
    name = str(entry["className"]).rsplit(".", maxsplit=1)[-1]
    if name not in _OBJECTIVES:
        raise FileFormatError(
            f"objective {name!r} of the file is not known (known: {', '.join(_OBJECTIVES)}); "
            "remove it in matRad and give it here."
        )
    kind, names = _OBJECTIVES[name]
    values = np.atleast_1d(np.asarray(entry.get("parameters", ()), dtype=object)).ravel()
    settings = {n: float(v) for n, v in zip(names, values, strict=False)}
    if "volume_percent" in settings:
        settings["volume"] = settings.pop("volume_percent") / 100.0
    return ObjectiveRecord(kind, float(entry.get("penalty", 1.0)), settings)
