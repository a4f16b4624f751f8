"""Columns of the particle pencil beam: from arrays to entries of a matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, Float32Array
from dosegrad.engines.pencil_beam._arrays import Biology, Rays, Scene, Tables, no_biology
from dosegrad.errors import SettingsError
from dosegrad.progress import report

__all__ = ["PencilBeamColumns"]

#: Between two looks for an interruption a kernel walks about this many rays times voxels.
_CHUNK_WORK: Final = 60_000_000
#: Parts of the patient that are worked on side by side where dose is added up.
_PARTS: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class PencilBeamColumns:
    """Columns of one beam; see :class:`dosegrad.engines.protocols.BeamColumns`."""

    scene: Scene
    rays: Rays
    tables: Tables
    factor: float
    biology: Biology = field(default_factory=no_biology)

    def count(self) -> NDArray[np.int64]:
        """Number of entries of each column, (n_columns of the beam,)."""
        counts = np.zeros(self.rays.columns.size, dtype=np.int64)
        for first, last in self._chunks(self.rays.bounds.size, self.scene.depths.size):
            _kernels().count_entries(self.scene, self.rays, self.tables, first, last, counts)
        return counts

    def fill(
        self,
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        values: Mapping[str, Float32Array],
    ) -> None:
        """Write rows and values into the arrays of a whole matrix, from ``indptr`` on.

        Raises
        ------
        SettingsError
            If alpha or beta is asked for but no tissue was given.
        """
        heads = np.array(indptr[: self.rays.columns.size], dtype=np.int64)
        dose = values["dose"]
        let_dose = values.get("let_dose", np.empty(0, dtype=np.float32))
        alpha_dose, sqrt_beta_dose = self._biology_values(values)
        n = self.rays.bounds.size
        before = float(heads[0]) / max(indices.size, 1)
        share = float(np.ptp(heads)) / max(indices.size, 1)
        for first, last in self._chunks(n, self.scene.depths.size):
            _kernels().fill_entries(
                *(self.scene, self.rays, self.tables, self.factor, first, last),
                *(heads, indices, dose, let_dose, self.biology, alpha_dose, sqrt_beta_dose),
            )
            report("influence", before + share * last / n, f"{indices.size} values")

    def _biology_values(
        self, values: Mapping[str, Float32Array]
    ) -> tuple[Float32Array, Float32Array]:
        """Where alpha dose and root beta dose go; both without an element if neither is wanted."""
        if not {"alpha_dose", "sqrt_beta_dose"} & values.keys():
            return np.empty(0, dtype=np.float32), np.empty(0, dtype=np.float32)
        if not self.biology.tables.size:
            raise SettingsError(
                "alpha and beta depend on the tissue, but no tissue class was given for the "
                "voxels; give tissue=, or an RBE model that knows them."
            )
        n = values["dose"].size
        return (
            values.get("alpha_dose", np.empty(n, dtype=np.float32)),
            values.get("sqrt_beta_dose", np.empty(n, dtype=np.float32)),
        )

    def add_dose(self, weights: Array, dose: Array) -> None:
        """Add the dose of ``weights`` (n_columns of the beam,) to ``dose`` (n_voxels,), Gy."""
        scaled = weights * self.factor
        n_blocks = self.scene.blocks.shape[0]
        parts = np.unique(np.linspace(0, n_blocks, _PARTS + 1).astype(np.int64))
        for first, last in self._chunks(self.rays.bounds.size, self.scene.depths.size):
            _kernels().add_dose(
                self.scene, self.rays, self.tables, scaled, parts, first, last, dose
            )

    @staticmethod
    def _chunks(n: int, work: int) -> list[tuple[int, int]]:
        """Ranges of rays between which an interruption is heard."""
        size = max(1, _CHUNK_WORK // max(work, 1))
        return [(first, min(first + size, n)) for first in range(0, n, size)]


def _kernels() -> Any:
    from dosegrad.engines.pencil_beam import _kernels

    return _kernels
