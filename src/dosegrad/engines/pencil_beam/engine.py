"""The particle pencil beam engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, Float32Array, IntArray, Weights
from dosegrad.beams.beam import Beams
from dosegrad.engines.pencil_beam._arrays import Biology, Rays, Scene, Tables, no_biology
from dosegrad.engines.pencil_beam._setup import (
    Skin,
    meet_skin,
    prepare_biology,
    prepare_rays,
    prepare_scene,
    rays_of,
)
from dosegrad.engines.protocols import Stopping
from dosegrad.errors import SettingsError, unknown_name
from dosegrad.machine.particle import ParticleMachine
from dosegrad.patient.patient import OutsideBody
from dosegrad.progress import report

__all__ = ["PencilBeam", "PencilBeamColumns"]

#: Between two looks for an interruption a kernel walks about this many rays times voxels.
_CHUNK_WORK: Final = 60_000_000
#: Parts of the patient that are worked on side by side where dose is added up.
_PARTS: Final = 64


@dataclass(frozen=True, slots=True)
class PencilBeam:
    r"""Dose of particle spots as Gaussians about straight rays.

    .. math:: D = 0.016021766\, Z(t) \sum_k w_k(t)
       \frac{\exp(-r^2 / 2 s_k^2)}{2 \pi s_k^2}, \qquad s_k^2 = s_0^2 + \sigma_k(t)^2

    in Gy per 10^6 particles, with Z the integral depth dose in MeV cm2/g, r the distance from
    the ray, perpendicular to it, in mm, t the water-equivalent depth of the voxel centre plus the
    air between nozzle and skin plus a range shifter, and s_0 the spot in air at the skin, with a
    range shifter's scattering in quadrature. Tables are interpolated linearly between their own
    knots; before the first knot the first counts, behind the last there is no dose.

    Parameters
    ----------
    lateral_cutoff
        Share of the lateral integral, at each depth, inside the radius where columns end.
    compensate_cutoff
        Whether the dose inside is divided by that share, so that its integral is kept.
    outside_body
        ``"air"`` (default): voxels whose centre is outside the external structure stop nothing;
        ``"ct"``: they count as the CT says, couch and masks included.
    range_percent, range_mm
        Range errors to compute with: all depths behind the skin are longer by this many per cent,
        and by this many mm besides. Spots' energies and a range shifter stay as they are.

    Raises
    ------
    SettingsError
        If a setting is out of its range.

    References
    ----------
    Hong et al. 1996, Phys. Med. Biol. 41, 1305 [Hong1996]_.
    """

    lateral_cutoff: float = 0.995
    compensate_cutoff: bool = True
    outside_body: OutsideBody = "air"
    range_percent: float = 0.0
    range_mm: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.range_mm) and -100.0 < self.range_percent < np.inf):
            raise SettingsError(
                f"range errors of {self.range_percent} % and {self.range_mm} mm cannot be; give "
                "finite numbers, per cent above -100."
            )
        if not 0.5 <= self.lateral_cutoff <= 1.0 - 1e-9:
            raise SettingsError(
                f"lateral cut-off {self.lateral_cutoff} must be a share from 0.5 to below 1, "
                "such as 0.995; nearer to 1 columns become long."
            )
        if self.outside_body not in ("air", "ct"):
            raise unknown_name("treatment of voxels outside the body", self.outside_body, _OUTSIDE)

    @property
    def sees_only_water(self) -> bool:
        """Whether a stopping power ratio is all that the engine needs of a medium: yes."""
        return True

    def with_range_error(self, *, percent: float, mm: float) -> PencilBeam:
        """The same engine with depths behind the skin longer by ``percent`` % and ``mm``."""
        return replace(self, range_percent=percent, range_mm=mm)

    def quantities(self, machine: ParticleMachine) -> tuple[str, ...]:
        """``"dose"``, and what else the machine has tables for.

        ``"let_dose"`` with LET tables; ``"alpha_dose"`` and ``"sqrt_beta_dose"`` with alpha and
        beta tables.
        """
        let = ("let_dose",) if all(d.let.size for d in machine.data) else ()
        biology = ("alpha_dose", "sqrt_beta_dose") if machine.has_biology else ()
        return ("dose", *let, *biology)

    def prepare(
        self,
        medium: Stopping,
        beams: Beams,
        beam_index: int,
        voxels: IntArray,
        *,
        tissue: IntArray | None = None,
        depths: Array | None = None,
        skin_heights: Array | None = None,
    ) -> PencilBeamColumns:
        """Columns of one beam, ready to be counted and filled.

        Parameters
        ----------
        medium
            What the beam travels through.
        beams, beam_index
            All beams, and the number of this one.
        voxels
            Ascending flat indices (n,) into the medium's grid.
        tissue
            Tissue class of each voxel (n,), a row of ``machine.tissues``; needed for
            ``"alpha_dose"`` and ``"sqrt_beta_dose"``.
        depths
            Water-equivalent depths (n,), mm, instead of those traced through the medium.
        skin_heights
            Of the skin above the isocentre plane along each ray, mm, in the order of
            :func:`rays_of`, instead of those found in the medium.

        Raises
        ------
        EnergyError
            If a spot's energy is none of the machine's.
        BeamError
            If source, nozzle or range shifter would lie in the patient.
        CapabilityError, SettingsError
            If the machine has no tables for tissues, or a tissue is none of the machine's.
        """
        beam = beams[beam_index]
        biology = prepare_biology(beams, beam_index, voxels.size, tissue)
        if skin_heights is None:
            skin = meet_skin(medium, beam, rays_of(beams, beam_index)[0])
        else:
            skin = Skin(skin_heights, np.zeros_like(skin_heights))
        stretch = 1.0 + self.range_percent / 100.0
        skin = Skin(skin.heights, stretch * skin.depths - self.range_mm)
        rays, tables = prepare_rays(beams, beam_index, skin, medium.grid, self.lateral_cutoff)
        scene = prepare_scene(medium, beam, voxels, rays, depths)
        scene = scene._replace(depths=stretch * scene.depths)
        factor = 1.0 / self.lateral_cutoff if self.compensate_cutoff else 1.0
        return PencilBeamColumns(scene, rays, tables, factor, biology)

    def forward(self, medium: Stopping, beams: Beams, weights: Weights, voxels: IntArray) -> Array:
        """Dose (n_voxels,), Gy, of ``weights`` (n_columns,), 10^6 particles, without a matrix."""
        dose = np.zeros(len(voxels))
        for index in range(len(beams)):
            part = beams.columns_of(index)
            if not np.any(weights[part]):
                continue
            columns = self.prepare(medium, beams, index, voxels)
            columns.add_dose(np.asarray(weights[part], dtype=np.float64), dose)
            report("dose", (index + 1) / len(beams), f"beam {index + 1} of {len(beams)}")
        return dose


_OUTSIDE: Final = ("air", "ct")


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
