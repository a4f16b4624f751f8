"""Bixels of one width on a lattice: their matrix is filled voxel by voxel, many bixels at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, Float32Array
from dosegrad.engines.photon_kernel._arrays import Bixels, Lattice, Profiles, Scene
from dosegrad.progress import report

__all__ = ["LatticeColumns", "find_lattice"]

#: Voxels that one thread walks at a time.
RUN: Final = 1024
#: Bixels off the lattice by more than this, mm, are not on it.
_NEAR: Final = 1e-6
#: A lattice may have this many times the places that bixels take.
_SPARSEST: Final = 8
#: Most values of a table; beyond, phases are too many to gain anything.
_LARGEST_TABLE: Final = 4_000_000
#: Room behind each row of a table, so that bixels are computed in full lanes.
_ROOM: Final = 8
#: Between two looks for an interruption so many voxels times places are walked.
_CHUNK_WORK: Final = 200_000_000


@dataclass(frozen=True, slots=True, eq=False)
class LatticeColumns:
    """Columns of one beam on a lattice; see :class:`dosegrad.engines.protocols.BeamColumns`."""

    scene: Scene
    lattice: Lattice
    places: NDArray[np.int64]
    _runs: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    def count(self) -> NDArray[np.int64]:
        """Number of entries of each column, (n_columns of the beam,)."""
        total: NDArray[np.int64] = self._counts().sum(axis=0)
        return total

    def fill(
        self,
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        values: Mapping[str, Float32Array],
    ) -> None:
        """Write rows and values into the arrays of a whole matrix, from ``indptr`` on."""
        n = self.places.size
        counts = self._counts()
        heads = np.full((len(counts), self.lattice.scales.size), -1, dtype=np.int64)
        heads[:, self.places] = np.asarray(indptr[:n]) + np.cumsum(counts, axis=0) - counts
        before, share = (float(v) / max(indices.size, 1) for v in (indptr[0], counts.sum()))
        for first, last in self._chunks():
            inputs = (self.scene, self.lattice, RUN, first, last)
            _kernels().fill_runs(*inputs, heads, indices, values["dose"])
            report("influence", before + share * last / len(counts), f"{indices.size} values")

    def _counts(self) -> NDArray[np.int64]:
        """Entries (n_runs, n_columns) of each column in each run of voxels; counted once."""
        if "counts" not in self._runs:
            n_runs = -(-self.scene.rows.size // RUN)
            counts = np.zeros((n_runs, self.lattice.scales.size), dtype=np.int64)
            for first, last in self._chunks():
                _kernels().count_runs(self.scene, self.lattice, RUN, first, last, counts)
            self._runs["counts"] = counts[:, self.places]
        return self._runs["counts"]

    def _chunks(self) -> list[tuple[int, int]]:
        """Ranges of runs between which an interruption is heard."""
        n_runs = -(-self.scene.rows.size // RUN)
        size = max(2, _CHUNK_WORK // (RUN * max(self.lattice.scales.size, 1)))
        return [(first, min(first + size, n_runs)) for first in range(0, n_runs, size)]


def find_lattice(
    bixels: Bixels, profiles: Profiles, width: float, sad: float
) -> tuple[Lattice, NDArray[np.int64]] | None:
    """The lattice on which a beam's bixels of one width lie, and each one's place on it.

    None if there is none whose spacing, the bixels' ``width``, is a whole number of rasters, or if
    they fill too little of it.
    """
    steps = round(width / profiles.raster)
    if steps < 1 or abs(steps * profiles.raster - width) > _NEAR or not profiles.mirrored:
        return None
    low = bixels.centres.min(axis=0)
    steps_away = (bixels.centres - low) / width
    nearest = np.rint(steps_away).astype(np.int64)
    if np.abs(steps_away - nearest).max() * width > _NEAR:
        return None
    nx, ny = (int(n) for n in nearest.max(axis=0) + 1)
    places = nearest[:, 1] * nx + nearest[:, 0]
    if nx * ny > _SPARSEST * places.size or np.unique(places).size < places.size:
        return None
    quadrant = profiles.values.reshape(profiles.sides[0], profiles.sides[0], 3)
    whole = _whole(quadrant, float(profiles.first[0]))
    count = -(-len(whole) // steps) + 1
    if (steps + 1) ** 2 * count * (count + _ROOM) * 3 > _LARGEST_TABLE:
        return None
    scales = np.zeros(ny * nx, dtype=np.float32)
    scales[places] = bixels.scales
    lattice = Lattice(
        table=_table(whole, steps, count),
        cells=count,
        width=count + _ROOM,
        middle=0.5 * (len(whole) - 1),
        low=low,
        rows=ny,
        columns=nx,
        spacing=float(width),
        steps=steps,
        scales=scales,
        reach=float(bixels.reaches[0]),
        raster=float(profiles.raster),
        shift=float(profiles.shift),
        sad=float(sad),
    )
    return lattice, places


def _whole(quadrant: Array, first: float) -> Array:
    """All four quadrants (n, n, 3) of a bixel from one; the node at 0 is not repeated."""
    skipped = 1 if first == 0.0 else 0
    half = np.concatenate([quadrant[:, : skipped - 1 if skipped else None : -1], quadrant], axis=1)
    return np.concatenate([half[: skipped - 1 if skipped else None : -1], half])


def _table(whole: Array, steps: int, count: int) -> Float32Array:
    """Nodes sorted by phase, as of :class:`Lattice`, flattened."""
    padded = np.zeros(((count + 1) * steps,) * 2 + (3,), dtype=np.float32)
    padded[: len(whole), : len(whole)] = whole
    table = np.zeros((steps + 1, steps + 1, count, 3, count + _ROOM), dtype=np.float32)
    for j in range(steps + 1):
        rows = padded[j : j + count * steps : steps]
        for i in range(steps + 1):
            part = rows[:, i : i + count * steps : steps]
            table[j, i, :, :, :count] = part[:, ::-1].transpose(0, 2, 1)
    return table.ravel()


def _kernels() -> Any:
    from dosegrad.engines.photon_kernel import _lattice_kernels

    return _lattice_kernels
