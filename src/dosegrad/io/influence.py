"""Influence matrices in files that other programs read: scipy's ``.npz``, and Zarr.

An ``.npz`` file is what :func:`scipy.sparse.load_npz` expects, with more in it: the voxels of the
rows, other quantities of the same sparsity, the grid, the beams and their machine. A ``.zarr``
folder holds the same arrays under the same names. Structures and CT stay with the patient.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zlib
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from dosegrad.beams.beam import Beams
from dosegrad.errors import (
    CapabilityError,
    FileFormatError,
    OutputError,
    PatientError,
    PlanError,
    unknown_name,
)
from dosegrad.files import contents_of, read_archive
from dosegrad.geometry.grid import Grid
from dosegrad.influence.biology import map_tissues
from dosegrad.influence.matrix import Influence
from dosegrad.io.archive import (
    as_text,
    check_kind,
    get_beams,
    get_grid,
    put_beams,
    write_archive,
)
from dosegrad.patient.patient import Patient
from dosegrad.rbe.protocols import RBEModel
from dosegrad.rbe.tissue import Tissue

__all__ = ["VoxelOrder", "load_influence", "save_influence"]

#: How a program without our manifest numbers the voxels of a grid: with x fastest and z slowest
#: (pyRadPlan, and we), or as matRad's cubes (y, x, z) with y fastest.
VoxelOrder: TypeAlias = Literal["zyx", "matrad"]

_WORDS: Final = ("influence file", "save the influence again")
_ORDERS: Final = ("zyx", "matrad")
_ROWS: Final = ("voxels", "grid")
#: Elements of one chunk of a Zarr array.
_CHUNK: Final = 1 << 22

_Arrays = dict[str, NDArray[Any]]
_Manifest = dict[str, Any]


def save_influence(
    influence: Influence, path: str | Path, *, rows: Literal["voxels", "grid"] = "voxels"
) -> None:
    """Write an influence to a ``.npz`` file or a ``.zarr`` folder; an old one is replaced.

    Parameters
    ----------
    influence
        Without scenarios.
    path
        Its ending says which of them.
    rows
        ``"voxels"``: the matrix in the file has the rows of the influence, and ``voxels`` says
        which voxels these are. ``"grid"``: it has a row for every voxel of the dose grid, x fastest
        and z slowest, as pyRadPlan expects.

    Raises
    ------
    CapabilityError
        If the influence holds scenarios, or Zarr is not installed.
    OutputError
        If the file cannot be written.
    """
    if rows not in _ROWS:
        raise unknown_name("choice of rows", rows, _ROWS)
    if influence.scenarios is not None:
        raise CapabilityError(
            "matrices of scenarios are not written to files; save the nominal part, "
            "dataclasses.replace(influence, scenarios=None), and compute scenarios again."
        )
    place, arrays = Path(path), _arrays_of(influence, rows)
    content: _Manifest = {
        "kind": "influence",
        "grid": asdict(influence.grid),
        "rows": rows,
        "covers_body": influence.covers_body,
        "quantities": list(influence.extra),
        "provenance": dict(influence.provenance),
        "patient": _fingerprint(influence.patient),
        "rbe": _put_model(influence.rbe),
        **put_beams(influence.beams, arrays),
    }
    if _suffix(place) == ".npz":
        write_archive(place, content, arrays, compressed=False)
    else:
        _write_zarr(place, content, arrays)


def load_influence(
    path: str | Path,
    patient: Patient,
    *,
    beams: Beams | None = None,
    grid: Grid | None = None,
    order: VoxelOrder = "zyx",
) -> Influence:
    """The influence that :func:`save_influence` wrote, or one of another program.

    Parameters
    ----------
    path
        A ``.npz`` file or a ``.zarr`` folder.
    patient
        The patient that it was computed for.
    beams, grid
        Of a plain scipy file of another program, whose matrix has a row for every voxel of the
        grid, Gy per unit weight. Rows outside the body are dropped.
    order
        How such a program numbers voxels: ``"zyx"``, x fastest, or ``"matrad"``.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged or something else.
    PatientError
        If it was computed for another CT.
    PlanError
        If a plain matrix does not fit grid and beams, or these were not given.
    CapabilityError
        If Zarr is not installed.
    """
    place = Path(path)
    text, arrays = _read_npz(place) if _suffix(place) == ".npz" else _read_zarr(place)
    if text is None:
        return _plain(place, arrays, patient, beams, grid, order)
    if beams is not None or grid is not None:
        raise PlanError(
            f"'{place}' holds beams and grid of its own; leave out beams= and grid=, which are for "
            "files of other programs."
        )
    with contents_of(place, *_WORDS):
        content: _Manifest = dict(json.loads(text))
    check_kind(place, "influence", content)
    _check_patient(place, content, patient)
    with contents_of(place, *_WORDS):
        return _influence(content, arrays, patient)


def _arrays_of(influence: Influence, rows: str) -> _Arrays:
    """The matrix as scipy names its parts, and what belongs to it."""
    matrix, voxels = influence.matrix, influence.voxels
    n_rows, indices = matrix.shape[0], matrix.indices
    if rows == "grid":
        n_rows = influence.grid.n_voxels
        indices = voxels.astype(np.int32 if n_rows < np.iinfo(np.int32).max else np.int64)[indices]
    return {
        "format": np.array(b"csc"),
        "_is_array": np.array(True),
        "shape": np.array([n_rows, matrix.shape[1]]),
        "indptr": matrix.indptr,
        "indices": indices,
        "data": matrix.data,
        "voxels": voxels,
        **{f"quantities/{name}": values for name, values in influence.extra.items()},
    }


def _influence(content: _Manifest, arrays: _Arrays, patient: Patient) -> Influence:
    beams, grid = get_beams(content, arrays), get_grid(content["grid"])
    voxels, indices = arrays["voxels"], arrays["indices"]
    if content["rows"] == "grid":
        indices = np.searchsorted(voxels, indices).astype(indices.dtype)
    parts = (arrays["data"], indices, arrays["indptr"])
    shape = (voxels.size, beams.n_columns)
    if not (_within(indices, voxels.size) and _within(voxels, grid.n_voxels)):
        raise ValueError("a row of the matrix has no voxel")
    matrix = csc_array(parts, shape=shape)
    matrix.has_sorted_indices = True
    model = _get_model(content["rbe"])
    return Influence(
        *(patient, beams, grid, voxels, matrix),
        extra={name: arrays[f"quantities/{name}"] for name in content["quantities"]},
        provenance=content["provenance"],
        covers_body=content["covers_body"],
        rbe=model,
        tissue=None if model is None else map_tissues(patient, grid, voxels, model),
    )


def _within(numbers: NDArray[Any], n: int) -> bool:
    """Whether all of some whole numbers are from 0 to below ``n``."""
    return not numbers.size or bool(numbers.min() >= 0 and numbers.max() < n)


def _plain(
    path: Path,
    arrays: _Arrays,
    patient: Patient,
    beams: Beams | None,
    grid: Grid | None,
    order: VoxelOrder,
) -> Influence:
    """Influence from a sparse matrix of another program."""
    if order not in _ORDERS:
        raise unknown_name("order of voxels", order, _ORDERS)
    if beams is None or grid is None:
        raise PlanError(
            f"'{path}' is a matrix of another program, which does not say what its rows and "
            "columns are; give grid= and beams=."
        )
    with contents_of(path, "matrix of scipy.sparse", "save it with scipy.sparse.save_npz"):
        matrix = _scipy_matrix(arrays)
    if matrix.shape != (grid.n_voxels, beams.n_columns):
        raise PlanError(
            f"the matrix in '{path}' is {matrix.shape[0]} x {matrix.shape[1]}, but the grid has "
            f"{grid.n_voxels} voxels and the beams {beams.n_columns} columns; give those that it "
            "was computed for."
        )
    if order == "matrad":
        ours = np.arange(grid.n_voxels).reshape(grid.shape).transpose(1, 2, 0).ravel(order="F")
        matrix = csc_array((matrix.data, ours[matrix.indices], matrix.indptr), shape=matrix.shape)
    body = np.flatnonzero(patient.body_mask(grid))
    kept = csc_array(matrix.tocsr()[body]).astype(np.float32)
    kept.sort_indices()
    kept.indices = kept.indices.astype(np.int32)
    return Influence(patient, beams, grid, body, kept, provenance={"file": path.name})


def _scipy_matrix(arrays: _Arrays) -> csc_array:
    """The matrix that the arrays of ``scipy.sparse.save_npz`` make, whatever its format."""
    from scipy.sparse import coo_array, csr_array

    kind = np.asarray(arrays["format"]).reshape(-1)[0]
    name = kind.decode() if isinstance(kind, bytes) else str(kind)
    shape = tuple(int(n) for n in arrays["shape"])
    if name == "coo":
        made = coo_array((arrays["data"], (arrays["row"], arrays["col"])), shape=shape)
    elif name in ("csc", "csr"):
        maker = csc_array if name == "csc" else csr_array
        made = maker((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        made.check_format()
    else:
        raise FileFormatError(f"a sparse matrix of format {name!r} is not known")
    result = csc_array(made)
    result.sum_duplicates()
    return result


def _read_npz(path: Path) -> tuple[str | None, _Arrays]:
    plain, arrays = read_archive(path, *_WORDS)
    if "manifest.json" not in plain:
        return None, arrays
    with contents_of(path, *_WORDS):
        return plain["manifest.json"].decode(), arrays


def _read_zarr(path: Path) -> tuple[str | None, _Arrays]:
    zarr = _zarr()
    if not path.is_dir():
        raise FileFormatError(f"influence folder '{path}' does not exist; check the path.")
    with contents_of(path, *_WORDS):
        group = zarr.open_group(str(path), mode="r")
        arrays = {str(name): np.asarray(item[...]) for name, item in _members(group)}
        text = group.attrs.get("manifest")
    return None if text is None else str(text), arrays


def _members(group: Any) -> list[tuple[str, Any]]:
    """All arrays of a group and its groups, by path."""
    found = [(name, item) for name, item in group.arrays()]
    for name, inner in group.groups():
        found += [(f"{name}/{below}", item) for below, item in _members(inner)]
    return found


def _write_zarr(path: Path, content: _Manifest, arrays: _Arrays) -> None:
    """Write a folder beside its place, then move it there."""
    zarr = _zarr()
    if path.exists() and not (path / "zarr.json").is_file():
        raise OutputError(
            f"'{path}' exists and is no Zarr folder; remove it, or choose another name."
        )
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            group = zarr.create_group(str(temporary), overwrite=True)
            group.attrs["manifest"] = as_text(content)
            for name, values in arrays.items():
                _put_array(group, name, np.asarray(values))
            if path.exists():
                shutil.rmtree(path)
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"'{path}' cannot be written ({error.strerror or error}). Choose a folder that exists "
            "and that you may write to, with enough space."
        ) from error


def _put_array(group: Any, name: str, values: NDArray[Any]) -> None:
    if values.dtype.kind == "S":  # no fixed bytes in the standard
        group.attrs[name] = values.item().decode()
        return
    if values.ndim == 1 and values.size > _CHUNK:
        made = group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=(_CHUNK,))
        made[...] = values
        return
    group.create_array(name, data=np.atleast_1d(values))


def _zarr() -> ModuleType:
    try:
        import zarr
    except ImportError as error:
        raise CapabilityError(
            "Zarr is not installed; install it with pip install 'dosegrad[zarr]', or use a .npz "
            "file."
        ) from error
    module: ModuleType = zarr
    return module


def _suffix(path: Path) -> str:
    """``".npz"`` or ``".zarr"``."""
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".zarr"):
        raise FileFormatError(
            f"influence '{path}' ends in {suffix or 'nothing'!r}; use .npz for a file that scipy "
            "reads, or .zarr for a folder."
        )
    return suffix


def _fingerprint(patient: Patient) -> _Manifest:
    """What tells one CT from another, without anything about the person."""
    return {"grid": asdict(patient.ct.grid), "hu": zlib.crc32(patient.ct.hu.tobytes())}


def _check_patient(path: Path, content: _Manifest, patient: Patient) -> None:
    with contents_of(path, *_WORDS):
        same = get_grid(content["patient"]["grid"]) == patient.ct.grid
        same = same and content["patient"]["hu"] == _fingerprint(patient)["hu"]
    if not same:
        raise PatientError(
            f"'{path}' was computed for another CT than {patient!r}; load the patient that it "
            "belongs to, or compute the influence again."
        )


def _put_model(model: RBEModel | None) -> _Manifest | None:
    if model is None:
        return None
    other = None if model.other is None else [model.other.alpha, model.other.beta]
    return {
        "name": type(model).__name__,
        "factor": getattr(model, "factor", None),
        "tissues": {name: [t.alpha, t.beta] for name, t in model.tissues.items()},
        "other": other,
    }


def _get_model(content: _Manifest | None) -> RBEModel | None:
    if content is None:
        return None
    from dosegrad import rbe

    if content["name"] not in rbe.__all__:
        raise unknown_name("RBE model", content["name"], rbe.__all__)
    cls: Any = getattr(rbe, content["name"])
    tissues = {name: Tissue(*pair) for name, pair in content["tissues"].items()}
    other = None if content["other"] is None else Tissue(*content["other"])
    first = () if content["factor"] is None else (content["factor"],)
    made: RBEModel = cls(*first, tissues, other=other)
    return made
