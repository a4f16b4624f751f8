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
    machine, ssd
        Kernels, sources and fluence in air; distance from source to skin, mm.
    centres, widths
        Of the bixels (n, 2) and (n,), mm.
    shift
        Added to lateral coordinates before values are looked up, mm.
    """

    machine: PhotonMachine
    ssd: float
    centres: Array
    widths: Array
    shift: float

    def between(self, first: int, last: int, reach: float) -> Profiles:
        """Those of the columns from ``first`` to before ``last``, out to ``reach`` mm."""
        raster = self.machine.raster
        half = int(np.ceil((reach + abs(self.shift)) / raster)) + 2
        side = 2 * half
        # twice the width again, so that what wraps around is farther away than what is wanted
        shape = (fft.next_fast_len(2 * side, real=True),) * 2
        spectra = kernel_spectra(self.machine, self.ssd, shape)
        spectra = spectra * source_spectra(self.machine, shape, raster)
        nodes = np.asarray((np.arange(side) - half + 0.5) * raster, dtype=np.float64)
        values = np.empty((last - first, side * side, 3))
        for number, column in enumerate(range(first, last)):
            fluence = self._fluence(column, nodes)
            whole = fft.irfft2(fft.rfft2(fluence, s=shape) * spectra, s=shape)
            values[number] = np.moveaxis(whole[:, :side, :side], 0, -1).reshape(-1, 3)
        n = last - first
        return Profiles(
            values=values.reshape(-1, 3),
            starts=np.arange(n, dtype=np.int64) * side * side,
            sides=np.full(n, side, dtype=np.int64),
            first=np.full(n, 0.5 - half),
            raster=float(raster),
            shift=float(self.shift),
            mirrored=False,
        )

    def _fluence(self, column: int, nodes: Array) -> Array:
        """Fluence (n, n) of a bixel at ``nodes`` from its centre along both axes."""
        raster, width = self.machine.raster, self.widths[column]
        edges = np.append(nodes - 0.5 * raster, nodes[-1] + 0.5 * raster)
        share = covered(edges, np.array(-0.5 * width), np.array(0.5 * width))
        x, y = self.centres[column]
        air: Array = self.machine.fluence_at(np.hypot(x + nodes, y + nodes[:, None]))
        return np.outer(share, share) * air
