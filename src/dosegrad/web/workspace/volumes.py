"""Volumes as bytes for the page: packed integers on grids whose axes are the patient's."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Volume
from dosegrad.geometry.grid import Grid
from dosegrad.geometry.resample import interpolate
from dosegrad.patient.structures import Structure

__all__ = ["Packed", "along_patient", "grid_content", "pack_ct", "pack_floats", "pack_masks",
           "pack_scaled"]  # fmt: skip

#: Value of a packed volume that stands for "nothing is known here".
_NOTHING: Final = 65535
#: Regions of more voxels than this are sent at every second voxel of a slice.
_LARGE: Final = 8_000_000
_GZIP: Final = 31


@dataclass(frozen=True, slots=True)
class Packed:
    """Bytes, compressed by gzip, and how to read them."""

    header: Mapping[str, Any]
    data: bytes


def pack_ct(hu: NDArray[Any], grid: Grid) -> Packed:
    """Hounsfield units as int16 (z, y, x)."""
    values, place = along_patient(hu, grid, outside=-1024.0)
    whole = np.clip(np.rint(values), -32768, 32767).astype("<i2")
    return Packed({"type": "int16", **grid_content(place)}, _gzip(whole))


def pack_scaled(values: Volume, grid: Grid, *, lowest: float = 0.0) -> Packed:
    """Values from ``lowest`` to their maximum in 65,534 steps; what is not finite is nothing."""
    volume, place = along_patient(values, grid, outside=np.nan)
    known = np.isfinite(volume)
    low = min(lowest, float(volume[known].min(initial=lowest)))
    high = float(volume[known].max(initial=low))
    scale = (high - low) / (_NOTHING - 1) or 1.0
    steps = np.where(known, np.rint((np.where(known, volume, low) - low) / scale), _NOTHING)
    header = {
        "type": "uint16", "scale": scale, "lowest": low, "highest": high, **grid_content(place)
    }  # fmt: skip
    return Packed(header, _gzip(steps.astype("<u2")))


def pack_floats(table: NDArray[Any]) -> Packed:
    """A table (n, k) as float32."""
    rows, columns = table.shape
    return Packed({"type": "float32", "rows": rows, "columns": columns}, _gzip(table.astype("<f4")))


def pack_masks(structures: Iterable[Structure], grid: Grid) -> Packed:
    """Voxels of structures as bits, each within its box on the grid of the CT.

    The header lists for each its ``name``, where its ``bytes`` begin, the first voxel ``first``,
    ``shape`` (z, y, x) and the ``step`` in voxels (z, y, x).
    """
    place = grid if grid.is_axial else _around(grid)
    parts, found, offset = [], [], 0
    for structure in structures:
        mask = structure.mask(place)
        if not mask.any():
            continue
        box = _box(mask)
        inside = mask[box]
        step = 2 if inside.size > _LARGE else 1
        inside = inside[:, ::step, ::step]
        bits = np.packbits(inside, bitorder="little")
        found.append(
            {
                "name": structure.name,
                "offset": offset,
                "first": [s.start for s in box],
                "shape": list(inside.shape),
                "step": [1, step, step],
            }
        )
        parts.append(bits)
        offset += bits.size
    data = np.concatenate(parts) if parts else np.empty(0, dtype=np.uint8)
    return Packed({"type": "bits", "structures": found, **grid_content(place)}, _gzip(data))


def grid_content(grid: Grid) -> dict[str, Any]:
    """A grid along the patient's axes as JSON: shape and spacing (z, y, x), origin (x, y, z)."""
    return {"shape": list(grid.shape), "spacing": list(grid.spacing), "origin": list(grid.origin)}


def along_patient(values: NDArray[Any], grid: Grid, *, outside: float) -> tuple[NDArray[Any], Grid]:
    """The same volume on a grid along the patient's axes: itself, unless it is turned."""
    if grid.is_axial:
        return values, grid
    place = _around(grid)
    indices = np.moveaxis(np.indices(place.shape), 0, -1)
    return interpolate(grid, values, place.to_point(indices), outside=outside), place


def _around(grid: Grid) -> Grid:
    """A grid along the patient's axes around a turned one, as fine as its finest axis."""
    ends = [(0, n - 1) for n in grid.shape]
    corners = grid.to_point(list(product(*ends)))
    low, high = corners.min(axis=0), corners.max(axis=0)
    step = min(grid.spacing)
    nx, ny, nz = (int(n) for n in np.ceil((high - low) / step) + 1)
    identity = Grid((1, 1, 1), (step,) * 3, (0.0, 0.0, 0.0)).direction
    x, y, z = (float(v) for v in low)
    return replace(
        grid, shape=(nz, ny, nx), spacing=(step,) * 3, origin=(x, y, z), direction=identity
    )


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    found = []
    for axis in range(3):
        other = tuple(k for k in range(3) if k != axis)
        inside = np.flatnonzero(mask.any(axis=other))
        found.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return found[0], found[1], found[2]


def _gzip(values: NDArray[Any]) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    return packer.compress(np.ascontiguousarray(values).data) + packer.flush()
