"""Base data of a photon machine: pencil kernels, depth components and head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np

from dosegrad.arrays import Array, readonly
from dosegrad.errors import BeamError, MachineError
from dosegrad.machine.collimator import ArcLimits, MultileafCollimator

__all__ = ["HeadScatter", "PhotonMachine"]


@dataclass(frozen=True, slots=True)
class HeadScatter:
    """The second, wide source: photons that scatter in the head before they leave it.

    Parameters
    ----------
    share
        Share of the fluence of a wide open field that comes from it.
    sigma
        Standard deviation of its Gaussian, seen through the collimator, in the isocentre plane, mm.
    """

    share: float = 0.0
    sigma: float = 0.0

    def __post_init__(self) -> None:
        if not (0.0 <= self.share < 1.0 and 0.0 <= self.sigma < np.inf):
            raise MachineError(
                f"head scatter of share {self.share} and sigma {self.sigma} mm is not possible; "
                "give a share from 0 to below 1 and a finite width."
            )


@dataclass(frozen=True, slots=True, eq=False)
class PhotonMachine:
    r"""A linac by its pencil kernels, in three depth components.

    .. math:: D = \left(\frac{SAD}{r}\right)^2 \sum_{k=1}^{3} \frac{\beta_k}{\beta_k - m}
       \left(e^{-m t} - e^{-\beta_k t}\right) [F * G * K_k](x, y)

    Parameters
    ----------
    name
        As ``load_machine`` knows it.
    energy
        Nominal, MV.
    sad
        Source to isocentre, mm.
    betas
        :math:`\beta_k`, 1/mm, shape (3,).
    attenuation
        m, 1/mm.
    ssds
        Distances from source to skin, mm, ascending, shape (s,), for which there are kernels.
    radii
        Distances in the isocentre plane, mm, ascending from 0, shape (n,).
    kernels
        K_k in Gy per unit weight and mm2 of bixel, (s, 3, n): means over the pixels of a raster of
        ``raster`` mm, so that a sum over such pixels times their area is the integral.
    raster
        Spacing of the raster on which kernels are summed, mm.
    penumbra_fwhm
        Full width at half maximum of the focal source's Gaussian blur at the isocentre, mm.
    head_scatter
        Second source; none by default.
    surface_offset
        Water that stands before the skin for build-up, mm: air, head and contaminating electrons.
    primary_fluence
        Distance from the axis at the isocentre plane, mm, and relative fluence in air, (n, 2);
        empty for a uniform one.
    mu_per_weight
        Monitor units per unit weight of a bixel; ``None`` where the file does not tell.
    collimator
        Leaves and jaws; ``None`` where the file does not tell.
    arc
        Limits of gantry and dose rate.
    description
        Where the data came from.

    Raises
    ------
    MachineError
        If tables contradict each other or numbers are not possible.
    """

    name: str
    energy: float
    sad: float
    betas: Array
    attenuation: float
    ssds: Array
    radii: Array
    kernels: Array
    raster: float = 0.5
    penumbra_fwhm: float = 5.0
    head_scatter: HeadScatter = field(default_factory=HeadScatter)
    surface_offset: float = 0.0
    primary_fluence: Array = field(default_factory=lambda: np.empty((0, 2)))
    mu_per_weight: float | None = None
    collimator: MultileafCollimator | None = None
    arc: ArcLimits = field(default_factory=ArcLimits)
    description: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("betas", "ssds", "radii", "kernels", "primary_fluence"):
            object.__setattr__(self, name, readonly(getattr(self, name)))
        numbers = (self.sad, self.attenuation, self.raster, self.energy)
        if not all(np.isfinite(n) and n > 0 for n in numbers):
            raise MachineError(
                f"machine {self.name!r} has energy, SAD, attenuation or raster that is not "
                "positive; correct its base data."
            )
        if self.betas.shape != (3,) or self.penumbra_fwhm < 0 or self.surface_offset < 0:
            raise MachineError(
                f"machine {self.name!r} needs three betas, and blur and offset not negative."
            )
        if self.kernels.shape != (self.ssds.size, 3, self.radii.size) or self.ssds.size == 0:
            raise MachineError(
                f"machine {self.name!r} has kernels of shape {self.kernels.shape}; expected (SSDs, "
                f"3, radii) = ({self.ssds.size}, 3, {self.radii.size})."
            )
        if (
            self.radii[0] != 0
            or (np.diff(self.radii) <= 0).any()
            or (np.diff(self.ssds) <= 0).any()
        ):
            raise MachineError(f"machine {self.name!r}: radii, from 0, and SSDs must ascend.")
        if not all(np.isfinite(v).all() for v in (self.kernels, self.betas, self.primary_fluence)):
            raise MachineError(f"machine {self.name!r} holds numbers that are not finite.")
        object.__setattr__(self, "description", MappingProxyType(dict(self.description)))

    def __repr__(self) -> str:
        return f"PhotonMachine({self.name!r}, {self.energy:g} MV, SAD {self.sad:.0f} mm)"

    @property
    def modality(self) -> Literal["photons"]:
        """``"photons"``."""
        return "photons"

    def kernels_at(self, ssd: float) -> Array:
        """Kernels (3, n) at a distance from source to skin, mm, linear between those tabulated.

        Raises
        ------
        BeamError
            If the machine has no kernels for this distance.
        """
        low, high = float(self.ssds[0]), float(self.ssds[-1])
        if not low - 0.5 <= ssd <= high + 0.5:
            raise BeamError(
                f"the skin is {ssd:.0f} mm from the source, but machine {self.name!r} has kernels "
                f"for {low:.0f} to {high:.0f} mm. Move the isocentre."
            )
        if self.ssds.size == 1:
            only: Array = self.kernels[0]
            return only
        upper = int(np.clip(np.searchsorted(self.ssds, ssd), 1, self.ssds.size - 1))
        below, above = self.ssds[upper - 1], self.ssds[upper]
        share = float(np.clip((ssd - below) / (above - below), 0.0, 1.0))
        mixed: Array = (1.0 - share) * self.kernels[upper - 1] + share * self.kernels[upper]
        return mixed

    def fluence_at(self, distance: Array) -> Array:
        """Relative fluence in air at distances from the axis in the isocentre plane, mm."""
        if self.primary_fluence.size == 0:
            return np.ones_like(distance, dtype=np.float64)
        values: Array = np.interp(distance, self.primary_fluence[:, 0], self.primary_fluence[:, 1])
        return values
