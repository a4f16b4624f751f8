"""The particle pencil beam engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from dosegrad.arrays import Array, IntArray, Weights
from dosegrad.beams.beam import Beams
from dosegrad.engines.pencil_beam._setup import (
    Skin,
    meet_skin,
    prepare_biology,
    prepare_rays,
    prepare_scene,
    rays_of,
)
from dosegrad.engines.pencil_beam.columns import PencilBeamColumns
from dosegrad.engines.protocols import Stopping
from dosegrad.engines.yoda.splitting import RINGS_25, RINGS_61, split_on_rings
from dosegrad.errors import SettingsError, unknown_name
from dosegrad.machine.particle import ParticleMachine
from dosegrad.patient.patient import OutsideBody
from dosegrad.progress import report

if TYPE_CHECKING:
    from dosegrad.engines.pencil_beam.fine import FineColumns

__all__ = ["FineSampling", "PencilBeam", "PencilBeamColumns"]

_OUTSIDE: Final = ("air", "ct")
#: Rings of sub-beams by name.
_RINGS: Final = {"rings-25": RINGS_25, "rings-61": RINGS_61}

#: How spots are divided into sub-beams: a name, beamlets on each ring, or not at all.
FineSampling: TypeAlias = Literal["rings-25", "rings-61"] | tuple[int, ...] | None


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
    fine_sampling
        ``"rings-25"`` or ``"rings-61"``: every spot is a sum of so many narrower sub-beams on
        rings about its axis, each with the depth along its own axis, as for lateral
        heterogeneity; also numbers of sub-beams on each ring, such as ``(1, 6, 6, 12)``. ``None``
        (default): one beam, whose voxels have each the depth of their own.

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
    fine_sampling: FineSampling = None

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
        if isinstance(self.fine_sampling, str) and self.fine_sampling not in _RINGS:
            raise unknown_name("fine sampling", self.fine_sampling, _RINGS)

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
    ) -> PencilBeamColumns | FineColumns:
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
        if self.fine_sampling is not None:
            if depths is not None or skin_heights is not None:
                raise SettingsError(
                    "fine sampling traces depths along its own sub-beams; leave out depths and "
                    "skin heights, or set fine_sampling=None."
                )
            return self._prepare_fine(medium, beams, beam_index, voxels, tissue)
        biology = prepare_biology(beams, beam_index, voxels.size, tissue)
        if skin_heights is None:
            skin = meet_skin(medium, beam, rays_of(beams, beam_index)[0])
        else:
            skin = Skin(skin_heights, np.zeros_like(skin_heights))
        skin = skin.with_range_error(percent=self.range_percent, mm=self.range_mm)
        rays, tables = prepare_rays(beams, beam_index, skin, medium.grid, self.lateral_cutoff)
        scene = prepare_scene(medium, beam, voxels, rays, depths)
        stretch = 1.0 + self.range_percent / 100.0
        scene = scene._replace(depths=stretch * scene.depths)
        return PencilBeamColumns(scene, rays, tables, self._factor, biology)

    def _prepare_fine(
        self,
        medium: Stopping,
        beams: Beams,
        beam_index: int,
        voxels: IntArray,
        tissue: IntArray | None,
    ) -> FineColumns:
        from dosegrad.engines.pencil_beam.fine import FineColumns

        given = self.fine_sampling
        counts = _RINGS[given] if isinstance(given, str) else given
        return FineColumns(
            *(medium, beams, beam_index, voxels),
            splitting=split_on_rings(counts or RINGS_25),
            cutoff=self.lateral_cutoff,
            factor=self._factor,
            range_percent=self.range_percent,
            range_mm=self.range_mm,
            tissue=tissue,
        )

    @property
    def _factor(self) -> float:
        """What doses are multiplied by for the share that the cut-off leaves out."""
        return 1.0 / self.lateral_cutoff if self.compensate_cutoff else 1.0

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
