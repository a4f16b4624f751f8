"""Bixels convolved one by one, each with the fluence in air that it has of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from dosegrad.arrays import Array
from dosegrad.engines.photon_kernel._arrays import Profiles
from dosegrad.engines.photon_kernel.field import covered, kernel_spectra, source_spectra
from dosegrad.machine.photon import PhotonMachine

__all__ = ["OwnProfiles"]


@dataclass(frozen=True, slots=True, eq=False)
class OwnProfiles:
    """Convolved bixels of a beam under the machine's fluence in air, made when they are needed.

    Parameters
    ----------
    machines, ssd
        Kernels, sources and fluence in air; distance from source to skin, mm. Machines differ by
        kernels alone; their components lie side by side.
    centres, widths
        Of the bixels (n, 2) and (n,), mm.
    shift
        Added to lateral coordinates before values are looked up, mm.
    """

    machines: tuple[PhotonMachine, ...]
    ssd: float
    centres: Array
    widths: Array
    shift: float

    def between(self, first: int, last: int, reach: float) -> Profiles:
        """Those of the columns from ``first`` to before ``last``, out to ``reach`` mm."""
        raster = self.machines[0].raster
        half = int(np.ceil((reach + abs(self.shift)) / raster)) + 2
        side = 2 * half
        # twice the width again, so that what wraps around is farther away than what is wanted
        shape = (fft.next_fast_len(2 * side, real=True),) * 2
        spectra = np.concatenate([kernel_spectra(m, self.ssd, shape) for m in self.machines])
        spectra = spectra * source_spectra(self.machines[0], shape, raster)
        nodes = np.asarray((np.arange(side) - half + 0.5) * raster, dtype=np.float64)
        values = np.empty((last - first, side * side, len(spectra)))
        for number, column in enumerate(range(first, last)):
            fluence = self._fluence(column, nodes)
            whole = fft.irfft2(fft.rfft2(fluence, s=shape) * spectra, s=shape)
            values[number] = np.moveaxis(whole[:, :side, :side], 0, -1).reshape(side * side, -1)
        n = last - first
        return Profiles(
            values=values.reshape(-1, len(spectra)),
            starts=np.arange(n, dtype=np.int64) * side * side,
            sides=np.full(n, side, dtype=np.int64),
            first=np.full(n, 0.5 - half),
            raster=float(raster),
            shift=float(self.shift),
            mirrored=False,
        )

    def _fluence(self, column: int, nodes: Array) -> Array:
        """Fluence (n, n) of a bixel at ``nodes`` from its centre along both axes."""
        raster, width = self.machines[0].raster, self.widths[column]
        edges = np.append(nodes - 0.5 * raster, nodes[-1] + 0.5 * raster)
        share = covered(edges, np.array(-0.5 * width), np.array(0.5 * width))
        x, y = self.centres[column]
        air: Array = self.machines[0].fluence_at(np.hypot(x + nodes, y + nodes[:, None]))
        return np.outer(share, share) * air
