"""The photon pencil kernel engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, Float32Array, IntArray, Weights
from dosegrad.beams.apertures import Apertures
from dosegrad.beams.beam import Beams
from dosegrad.engines.photon_kernel._arrays import Bixels, Profiles, Scene
from dosegrad.engines.photon_kernel._setup import (
    ElectronDensity,
    LateralPlane,
    check_source,
    photon_machine,
    prepare_bixels,
    prepare_profiles,
    prepare_scene,
    skin_distance,
)
from dosegrad.engines.photon_kernel.density_scaling import KernelMix, mean_density
from dosegrad.engines.photon_kernel.field import box_of, field_maps
from dosegrad.engines.photon_kernel.lattice import LatticeColumns, find_lattice
from dosegrad.engines.photon_kernel.own_profiles import OwnProfiles
from dosegrad.errors import BeamError, SettingsError, unknown_name
from dosegrad.machine.kinds import Machine
from dosegrad.machine.photon import PhotonMachine
from dosegrad.patient.patient import OutsideBody
from dosegrad.progress import report

__all__ = ["PhotonColumns", "PhotonKernel"]

#: Between two looks for an interruption a kernel walks about this many columns times voxels.
_CHUNK_WORK: Final = 60_000_000
#: Bixels whose own convolutions are held at once.
_OWN_CHUNK: Final = 16
#: Parts of the patient that are worked on side by side where dose is added up.
_PARTS: Final = 64
_OUTSIDE: Final = ("air", "ct")
_PLANES: Final = ("isocentre", "ray")
_FLUENCES: Final = ("uniform", "machine", "exact")
_SCALINGS: Final = ("none", "lateral")


@dataclass(frozen=True, slots=True)
class PhotonKernel:
    r"""Dose of photon bixels by pencil kernels in three depth components.

    .. math:: D = \left(\frac{SAD}{r}\right)^2 \sum_{k=1}^{3} \frac{\beta_k}{\beta_k - m}
       \left(e^{-m t} - e^{-\beta_k t}\right) [F * G * K_k](x, y)

    in Gy per unit weight: r the distance to the source, t the exact radiological depth of the
    voxel centre in relative electron density, (x, y) where its ray meets the isocentre plane, F
    the bixel, G the Gaussian blur of focal source and head scatter, K_k the machine's kernels,
    interpolated to the distance from source to skin on the beam's axis.

    Parameters
    ----------
    lateral_cutoff
        Distance beyond the bixel's corner where columns end, mm, in the plane of ``lateral_plane``.
    relative_cutoff
        Share of a column's highest dose below which an entry is left out; 0 keeps all.
    primary_fluence
        ``"uniform"``; ``"machine"``: the machine's fluence in air, averaged over each bixel;
        ``"exact"``: the same pixel by pixel, with a convolution for every bixel, which takes some
        ten times as long. Whole apertures are always computed pixel by pixel.
    lateral_plane
        ``"isocentre"``: neighbouring bixels meet edge to edge; ``"ray"``: the bixel and its
        distances lie across its own ray, as in matRad.
    density_scaling
        ``"none"``: kernels are those of water across the ray; ``"lateral"``: they are scaled by the
        mean density around each voxel, so that fields in lung blur and narrow ones lose dose there.
        Some times as slow.
    outside_body
        ``"air"``: voxels whose centre is outside the external structure attenuate nothing;
        ``"ct"``: they count as the CT says.

    Raises
    ------
    SettingsError
        If a setting is out of its range.

    References
    ----------
    Bortfeld, Schlegel, Rhein 1993, Med. Phys. 20, 311 [Bortfeld1993]_.
    """

    lateral_cutoff: float = 50.0
    relative_cutoff: float = 0.0
    primary_fluence: Literal["uniform", "machine", "exact"] = "uniform"
    lateral_plane: LateralPlane = "isocentre"
    outside_body: OutsideBody = "air"
    density_scaling: Literal["none", "lateral"] = "none"

    def __post_init__(self) -> None:
        if not 1.0 <= self.lateral_cutoff <= 1000.0:
            raise SettingsError(
                f"lateral cut-off {self.lateral_cutoff} mm is not possible; give 1 to 1000 mm, "
                "such as 50."
            )
        if not 0.0 <= self.relative_cutoff <= 0.5:
            raise SettingsError(
                f"relative cut-off {self.relative_cutoff} must be a share from 0 to 0.5, such as "
                "0.001; what it leaves out adds up over bixels."
            )
        if self.outside_body not in _OUTSIDE:
            raise unknown_name("treatment of voxels outside the body", self.outside_body, _OUTSIDE)
        if self.lateral_plane not in _PLANES:
            raise unknown_name("lateral plane", self.lateral_plane, _PLANES)
        if self.primary_fluence not in _FLUENCES:
            raise unknown_name("primary fluence", self.primary_fluence, _FLUENCES)
        if self.density_scaling not in _SCALINGS:
            raise unknown_name("density scaling", self.density_scaling, _SCALINGS)

    @property
    def is_for_photons(self) -> bool:
        """Whether the engine computes with photon machines: yes, and with no others."""
        return True

    @property
    def sees_only_electrons(self) -> bool:
        """Whether electron density is all of a medium that the engine needs: yes."""
        return True

    def quantities(self, machine: Machine) -> tuple[str, ...]:
        """``"dose"``.

        Raises
        ------
        CapabilityError
            If the machine delivers no photons.
        """
        photon_machine(machine)
        return ("dose",)

    def prepare(
        self,
        medium: ElectronDensity,
        beams: Beams,
        beam_index: int,
        voxels: IntArray,
        *,
        depths: Array | None = None,
        ssd: float | None = None,
        raster_shift: float = 0.0,
    ) -> PhotonColumns:
        """Columns of one beam, ready to be counted and filled.

        Parameters
        ----------
        medium
            What the beam travels through.
        beams, beam_index
            All beams, and the number of this one.
        voxels
            Ascending flat indices (n,) into the medium's grid.
        depths
            Radiological depths (n,), mm, instead of those traced through the medium.
        ssd
            Distance from source to skin, mm, instead of the one found in the medium.
        raster_shift
            Added to lateral coordinates before convolved bixels are looked up, mm; for comparison
            with programs whose raster is off by half a pixel.

        Raises
        ------
        CapabilityError
            If the machine delivers no photons.
        BeamError
            If a bixel has no width, the source would lie in the grid, or the machine has no
            kernels for the distance to the skin.
        """
        machine, beam = photon_machine(beams.machine), beams[beam_index]
        sizes = beams.columns["size"][beams.columns_of(beam_index)]
        if sizes.size and not sizes.min() > 0.0:
            raise BeamError(
                f"a bixel at gantry {beam.gantry:g}° has a width of {sizes.min():g} mm; give "
                "photon bixels a positive width."
            )
        widths = np.unique(sizes)
        reaches = self.lateral_cutoff + widths / np.sqrt(2.0)
        bixels = prepare_bixels(
            *(beams, beam_index),
            grid=medium.grid,
            widths=widths,
            reaches=reaches,
            plane=self.lateral_plane,
            uniform=self.primary_fluence != "machine",
        )
        if ssd is None:
            ssd = skin_distance(medium, beam, bixels.centres)
        low = (bixels.centres - bixels.bounds[:, None]).min(axis=0)
        high = (bixels.centres + bixels.bounds[:, None]).max(axis=0)
        mix = self._mix(machine, ssd, medium, voxels)
        scene = mix.mixed(prepare_scene(medium, machine, beam, voxels, (low, high), depths))
        own = None
        if self.primary_fluence == "exact":
            own = OwnProfiles(mix.machines, ssd, bixels.centres, widths[bixels.kinds], raster_shift)
        profiles = prepare_profiles(mix.machines, ssd, widths, reaches, raster_shift)
        columns = PhotonColumns(scene, bixels, profiles, own)
        if self.relative_cutoff > 0:
            return columns.above(self.relative_cutoff)
        if self.lateral_plane != "isocentre" or own is not None or widths.size != 1:
            return columns
        if len(mix.machines) > 1:
            return columns
        found = find_lattice(bixels, profiles, float(widths[0]), machine.sad)
        return columns if found is None else replace(columns, lattice=LatticeColumns(scene, *found))

    def forward(
        self, medium: ElectronDensity, beams: Beams, weights: Weights, voxels: IntArray
    ) -> Array:
        """Dose (n_voxels,), Gy, of ``weights`` (n_columns,) without a matrix, cut off alike."""
        dose = np.zeros(len(voxels))
        for index in range(len(beams)):
            part = beams.columns_of(index)
            if not np.any(weights[part]):
                continue
            columns = self.prepare(medium, beams, index, voxels)
            columns.add_dose(np.asarray(weights[part], dtype=np.float64), dose)
            report("dose", (index + 1) / len(beams), f"beam {index + 1} of {len(beams)}")
        return dose

    def forward_apertures(
        self, medium: ElectronDensity, beams: Beams, apertures: Apertures, voxels: IntArray
    ) -> Array:
        """Dose (n_voxels,), Gy, of whole apertures as jaws and leaves deliver them.

        The fluence of all segments of a beam is laid on the machine's raster: jaws, leaves with
        their widths, transmission and rounded ends. It is multiplied by the fluence in air
        (``primary_fluence="machine"``), and convolved with sources and kernels by one FFT. Dose is
        known out to ``lateral_cutoff`` beyond the jaws; scatter within has no cut-off.

        Raises
        ------
        CapabilityError
            If the machine delivers no photons or has no leaves.
        """
        machine = photon_machine(beams.machine)
        dose = np.zeros(len(voxels))
        for index in np.unique(apertures.beam):
            beam, part = beams[int(index)], apertures.of_beam(int(index))
            check_source(medium.grid, beam)
            columns = beams.columns[beams.columns_of(int(index))]
            ssd = skin_distance(medium, beam, np.column_stack([columns["x"], columns["y"]]))
            mix = self._mix(machine, ssd, medium, voxels)
            maps = field_maps(
                *(mix.machines, ssd, part),
                margin=self.lateral_cutoff,
                uniform=self.primary_fluence == "uniform",
            )
            scene = mix.mixed(prepare_scene(medium, machine, beam, voxels, box_of(maps), None))
            for field in maps:
                _kernels().add_field(scene, field, machine.sad, dose)
            report("dose", (int(index) + 1) / len(beams), f"beam {index + 1} of {len(beams)}")
        return dose

    def _mix(
        self, machine: PhotonMachine, ssd: float, medium: ElectronDensity, voxels: IntArray
    ) -> KernelMix:
        """Kernels for the densities around ``voxels``, or those of water."""
        if self.density_scaling == "none":
            return KernelMix((machine,))
        around = mean_density(medium.grid, medium.electron_density)
        return KernelMix.of(machine, ssd, around.ravel()[voxels])


@dataclass(frozen=True, slots=True, eq=False)
class PhotonColumns:
    """Columns of one beam; see :class:`dosegrad.engines.protocols.BeamColumns`.

    Where bixels lie on a ``lattice``, that counts and fills them.
    """

    scene: Scene
    bixels: Bixels
    profiles: Profiles
    own: OwnProfiles | None = None
    lattice: LatticeColumns | None = None

    def above(self, share: float) -> PhotonColumns:
        """The same columns without entries below ``share`` of each column's highest dose."""
        maxima = np.zeros(self.bixels.kinds.size)
        for first, last in self._chunks():
            _kernels().find_maxima(*self._inputs(first, last), first, last, maxima)
        return replace(self, bixels=self.bixels._replace(floors=share * maxima))

    def count(self) -> NDArray[np.int64]:
        """Number of entries of each column, (n_columns of the beam,)."""
        if self.lattice is not None:
            return self.lattice.count()
        counts = np.zeros(self.bixels.kinds.size, dtype=np.int64)
        for first, last in self._chunks():
            inputs = self._inputs(first, last) if self._has_floors else self._shared()
            _kernels().count_entries(*inputs, first, last, counts)
        return counts

    def fill(
        self,
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        values: Mapping[str, Float32Array],
    ) -> None:
        """Write rows and values into the arrays of a whole matrix, from ``indptr`` on."""
        if self.lattice is not None:
            self.lattice.fill(indptr, indices, values)
            return
        n = self.bixels.kinds.size
        heads = np.array(indptr[:n], dtype=np.int64)
        before = float(heads[0]) / max(indices.size, 1)
        share = float(np.ptp(heads)) / max(indices.size, 1)
        for first, last in self._chunks():
            inputs = self._inputs(first, last)
            _kernels().fill_entries(*inputs, first, last, heads, indices, values["dose"])
            report("influence", before + share * last / n, f"{indices.size} values")

    def add_dose(self, weights: Array, dose: Array) -> None:
        """Add the dose of ``weights`` (n_columns of the beam,) to ``dose`` (n_voxels,), Gy."""
        n_blocks = self.scene.blocks.shape[0]
        parts = np.unique(np.linspace(0, n_blocks, _PARTS + 1).astype(np.int64))
        for first, last in self._chunks():
            if weights[first:last].any():
                inputs = self._inputs(first, last)
                _kernels().add_dose(*inputs, weights, parts, first, last, dose)

    @property
    def _has_floors(self) -> bool:
        return bool((self.bixels.floors > -np.inf).any())

    def _shared(self) -> tuple[Scene, Bixels, Profiles]:
        """What kernels need that look at no dose, or where bixels of a width share their dose."""
        return self.scene, self.bixels, self.profiles

    def _inputs(self, first: int, last: int) -> tuple[Scene, Bixels, Profiles]:
        """What kernels need for the columns from ``first`` to before ``last``."""
        if self.own is None:
            return self._shared()
        kinds = np.zeros_like(self.bixels.kinds)
        kinds[first:last] = np.arange(last - first)
        reaches = self.bixels.reaches[first:last]
        profiles = self.own.between(first, last, float(reaches.max()))
        return self.scene, self.bixels._replace(kinds=kinds), profiles

    def _chunks(self) -> list[tuple[int, int]]:
        """Ranges of columns between which an interruption is heard."""
        n = self.bixels.kinds.size
        size = max(2, _CHUNK_WORK // max(self.scene.rows.size, 1))
        if self.own is not None:
            size = min(size, _OWN_CHUNK)
        return [(first, min(first + size, n)) for first in range(0, n, size)]


def _kernels() -> Any:
    from dosegrad.engines.photon_kernel import _kernels

    return _kernels
