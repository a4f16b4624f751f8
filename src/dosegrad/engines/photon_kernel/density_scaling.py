r"""Lateral scaling of pencil kernels by density, after O'Connor.

In a medium of relative electron density :math:`\rho` throughout, dose is that in water if all
lengths, those across the beam too, are counted in water [OConnor1957]_. A pencil kernel then is

.. math:: K_\rho(r) = \rho^2 K(\rho r),

whose integral over the plane is that in water: broad fields keep their dose, narrow ones lose it on
the axis, and penumbras widen by :math:`1/\rho`. Here each voxel takes the mean density around it.
Kernels are made for a few densities and mixed linearly in the logarithm of density.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from scipy import ndimage

from dosegrad.arrays import Array, Volume
from dosegrad.engines.photon_kernel._arrays import Scene
from dosegrad.engines.photon_kernel.field import covered
from dosegrad.geometry.grid import Grid
from dosegrad.machine.photon import PhotonMachine

__all__ = ["NODES", "KernelMix", "mean_density", "scaled_machine"]

#: Relative densities for which there are kernels; below and above, the outermost are used.
NODES: Final = (0.1, 0.15, 0.22, 0.32, 0.45, 0.65, 1.0, 1.4, 2.0)
#: Standard deviation of the Gaussian over which density is averaged, mm.
_SIGMA: Final = 5.0
#: Less than this is air, which does not count in the mean.
_AIR: Final = 0.05
#: Half a side of the square over which the kernel's integral is kept exactly, in rasters.
_SQUARE: Final = 10.5
#: Up to here, in rasters, scaled kernels have a node at each raster.
_FINE: Final = 60


def mean_density(grid: Grid, density: Volume) -> Volume:
    """Density (z, y, x) averaged by a Gaussian of 5 mm over what is not air; 0 far from all.

    Voxels below 0.05 are air: they do not count, so that it makes no difference how near the skin
    is.
    """
    sigmas = [_SIGMA / spacing for spacing in grid.spacing]
    there = np.asarray(density > _AIR, dtype=np.float64)
    amount = ndimage.gaussian_filter(np.where(there, density, 0.0), sigmas, mode="constant")
    weight = ndimage.gaussian_filter(there, sigmas, mode="constant")
    found = np.divide(amount, weight, out=np.zeros_like(amount), where=weight > 1e-3)
    # the ratio of equal sums is 1 but for rounding, which must not ask for a second kernel
    rounded: Volume = np.round(found, 6)
    return rounded


@dataclass(frozen=True, slots=True, eq=False)
class KernelMix:
    """Kernels of one beam and how voxels mix them; of water alone by default.

    Parameters
    ----------
    machines
        The machine, with the kernels of each density (m,).
    shares
        Share (n_voxels, m) of each; empty for water alone.
    """

    machines: tuple[PhotonMachine, ...]
    shares: Array = field(default_factory=lambda: np.empty((0, 0)))

    @classmethod
    def of(cls, machine: PhotonMachine, ssd: float, density: Array) -> KernelMix:
        """For voxels of mean ``density`` (n,), at a distance from source to skin, mm."""
        nodes = np.array(NODES)
        inside = np.clip(density, nodes[0], nodes[-1])
        low = int(np.searchsorted(nodes, inside.min(initial=1.0), side="right")) - 1
        high = int(np.searchsorted(nodes, inside.max(initial=1.0)))
        nodes = nodes[low : high + 1]
        places = np.interp(np.log(inside), np.log(nodes), np.arange(nodes.size))
        shares = np.maximum(1.0 - np.abs(places[:, None] - np.arange(nodes.size)), 0.0)
        return cls(tuple(scaled_machine(machine, ssd, float(node)) for node in nodes), shares)

    def mixed(self, scene: Scene) -> Scene:
        """The scene with factors (n, 3 m) for the components of every kernel."""
        if len(self.machines) == 1:
            return scene
        factors = self.shares[scene.rows][:, :, None] * scene.factors[:, None, :]
        return scene._replace(factors=np.ascontiguousarray(factors.reshape(scene.rows.size, -1)))


def scaled_machine(machine: PhotonMachine, ssd: float, density: float) -> PhotonMachine:
    """The machine with kernels for one distance to the skin, scaled to a relative density.

    The middle pixel takes what makes the integral over a square of 10 mm in water, and of that
    divided by density here, the same; its own mean over a pixel does not scale.
    """
    if density == 1.0:
        return machine
    raster, kernels = machine.raster, machine.kernels_at(ssd)
    fine = raster * np.arange(_FINE)
    stretched = machine.radii / density
    radii = np.concatenate([fine, stretched[stretched > fine[-1]]])
    values = [density**2 * np.interp(density * radii, machine.radii, k, right=0.0) for k in kernels]
    scaled = np.array(values)
    for new, old in zip(scaled, kernels, strict=True):
        wanted = _square_sum(machine.radii, old, raster, _SQUARE)
        new[0] += wanted - _square_sum(radii, new, raster, _SQUARE / density)
    return replace(machine, ssds=np.array([ssd]), radii=radii, kernels=scaled[None])


def _square_sum(radii: Array, kernel: Array, raster: float, half: float) -> float:
    """Sum of a kernel over the pixels of a square, ``half`` a side in rasters; rims by share."""
    n = int(np.ceil(half + 0.5))
    share = covered(np.arange(-n, n + 2, dtype=np.float64) - 0.5, np.array(-half), np.array(half))
    places = np.arange(-n, n + 1) * raster
    values = np.interp(np.hypot(places[:, None], places), radii, kernel, right=0.0)
    return float(share @ values @ share)
