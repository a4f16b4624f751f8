"""Fine sampling: each spot as a sum of narrow sub-beams, every one with a path of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from dosegrad.arrays import Array, Float32Array, IntArray
from dosegrad.beams.beam import COLUMN_DTYPE, Beams
from dosegrad.engines.pencil_beam._arrays import Rays
from dosegrad.engines.pencil_beam._setup import (
    Skin,
    meet_skin,
    prepare_biology,
    prepare_rays,
    prepare_scene,
    ray_directions,
    ray_profiles,
    rays_of,
)
from dosegrad.engines.pencil_beam.columns import PencilBeamColumns
from dosegrad.engines.protocols import Stopping
from dosegrad.engines.yoda.splitting import Splitting
from dosegrad.progress import report

__all__ = ["FineColumns"]

#: Sub-beams times stations of their paths that are worked on at a time.
_AT_A_TIME: Final = 1_500_000
#: By which rays that do not come from the source may miss their projection, over their distance
#: from the axis: depth in the patient over that of the source, at most.
_ASIDE: Final = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class FineColumns:
    """Columns of one beam; see :class:`dosegrad.engines.protocols.BeamColumns`.

    Sub-beams are made, and their entries added up, for some columns at a time: nothing is kept
    in between, so that counting and filling each do the whole work.

    Parameters
    ----------
    medium, beams, index, voxels
        As the engine was given them.
    splitting
        Sub-beams of a spot, in its standard deviation at the skin.
    cutoff, factor
        Lateral cut-off, and what values are multiplied by.
    range_percent, range_mm
        Range errors.
    tissue
        Tissue class of each voxel, if alpha and beta are wanted.
    """

    medium: Stopping
    beams: Beams
    index: int
    voxels: IntArray
    splitting: Splitting
    cutoff: float
    factor: float
    range_percent: float
    range_mm: float
    tissue: IntArray | None

    def count(self) -> NDArray[np.int64]:
        """Number of entries of each column, (n_columns of the beam,)."""
        parts = [np.diff(m["dose"].indptr) for _, m in self._parts(("dose",), "counting")]
        return np.concatenate(parts).astype(np.int64)

    def fill(
        self,
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        values: Mapping[str, Float32Array],
    ) -> None:
        """Write rows and values into the arrays of a whole matrix, from ``indptr`` on."""
        for first, merged in self._parts(tuple(values), "influence"):
            start = int(indptr[first])
            part = slice(start, start + merged["dose"].nnz)
            indices[part] = merged["dose"].indices
            for name, matrix in merged.items():
                values[name][part] = matrix.data

    def add_dose(self, weights: Array, dose: Array) -> None:
        """Add the dose of ``weights`` (n_columns of the beam,) to ``dose`` (n_voxels,), Gy."""
        for first, last, columns, shares in self._sub_beams():
            mine = np.repeat(weights[first:last], self.splitting.n_beamlets)
            columns.add_dose(mine * shares, dose)

    def _parts(
        self, names: tuple[str, ...], task: str
    ) -> Iterator[tuple[int, dict[str, csc_array]]]:
        """First column and matrices (n_voxels, columns) of each quantity, some columns each."""
        n = self._chosen.size
        for first, last, columns, shares in self._sub_beams():
            yield first, _merged(columns, names, shares, self.voxels.size, last - first)
            report(task, last / n, f"{last} of {n} columns in sub-beams")

    @property
    def _chosen(self) -> NDArray[np.void]:
        """The beam's columns."""
        return np.asarray(self.beams.columns[self.beams.columns_of(self.index)])

    def _sub_beams(self) -> Iterator[tuple[int, int, PencilBeamColumns, Array]]:
        """First and last column, columns of their sub-beams, and these' shares of a spot."""
        chosen, beam = self._chosen, self.beams[self.index]
        skin = meet_skin(self.medium, beam, rays_of(self.beams, self.index)[0])
        whole, _ = prepare_rays(
            *(self.beams, self.index, self._stretched(skin), self.medium.grid, self.cutoff)
        )
        sigmas = np.sqrt(whole.variances)
        stations = max(sum(self.medium.grid.shape), 1)
        size = max(1, _AT_A_TIME // (stations * self.splitting.n_beamlets))
        for first in range(0, chosen.size, size):
            last = min(first + size, chosen.size)
            columns = self._columns(chosen[first:last], sigmas[first:last])
            yield first, last, columns, np.tile(self.splitting.weight, last - first)

    def _columns(self, chosen: NDArray[np.void], sigmas: Array) -> PencilBeamColumns:
        """Columns of the sub-beams of some spots, spot by spot."""
        n = self.splitting.n_beamlets
        columns = np.repeat(chosen, n).astype(COLUMN_DTYPE)
        columns["beam"] = 0
        columns["x"] += np.outer(sigmas, self.splitting.x).ravel()
        columns["y"] += np.outer(sigmas, self.splitting.y).ravel()
        beams = Beams(self.beams.machine, (self.beams[self.index],), columns)
        skin = self._stretched(meet_skin(self.medium, beams[0], rays_of(beams, 0)[0]))
        rays, tables = prepare_rays(
            *(beams, 0, skin, self.medium.grid, self.cutoff),
            narrowing=np.tile(self.splitting.spread, chosen.size),
        )
        rays = self._with_profiles(_parallel(rays, beams, chosen, n), beams)
        nowhere = np.zeros(self.voxels.size)
        scene = prepare_scene(self.medium, beams[0], self.voxels, rays, nowhere)
        biology = prepare_biology(beams, 0, self.voxels.size, self.tissue)
        return PencilBeamColumns(scene, rays, tables, self.factor, biology)

    def _stretched(self, skin: Skin) -> Skin:
        return skin.with_range_error(percent=self.range_percent, mm=self.range_mm)

    def _with_profiles(self, rays: Rays, beams: Beams) -> Rays:
        profiles, stations = ray_profiles(self.medium, beams[0], rays)
        stretch = 1.0 + self.range_percent / 100.0
        return rays._replace(profiles=stretch * profiles, stations=stations)


def _parallel(rays: Rays, beams: Beams, chosen: NDArray[np.void], n: int) -> Rays:
    """Rays of sub-beams, turned to fly beside the axes of their spots.

    A spot is as wide behind the skin as there, but for scattering in the patient. Blocks of
    voxels are found by their projection from the source, so the bounds take in the difference.
    """
    _, ray = rays_of(beams, 0)
    spot = np.empty(rays.bounds.size, dtype=np.int64)
    spot[ray] = np.repeat(np.arange(chosen.size), n)
    axes = rays.axes.copy()
    positions = np.column_stack([chosen["x"], chosen["y"]])
    axes[:, 2:5] = ray_directions(positions, beams[0].sad)[spot]
    aside = np.hypot(*(axes[:, :2] - positions[spot]).T)
    return rays._replace(axes=axes, bounds=rays.bounds + _ASIDE * aside)


def _merged(
    columns: PencilBeamColumns, names: tuple[str, ...], shares: Array, n_rows: int, n_columns: int
) -> dict[str, csc_array]:
    """Matrix (n_rows, n_columns) of each quantity, from the sub-beams of its columns."""
    heads = np.concatenate([[0], np.cumsum(columns.count())])
    indices = np.empty(heads[-1], dtype=np.int32)
    values = {name: np.empty(heads[-1], dtype=np.float32) for name in names}
    columns.fill(heads, indices, values)
    group = np.repeat(np.arange(n_columns), shares.size // n_columns)
    mix = csc_array(
        (shares.astype(np.float32), (np.arange(shares.size), group)),
        shape=(shares.size, n_columns),
    )
    merged = {}
    for name in names:
        parts = csc_array((values[name], indices, heads), shape=(n_rows, shares.size))
        merged[name] = csc_array(parts @ mix)
        merged[name].sort_indices()
    return merged
