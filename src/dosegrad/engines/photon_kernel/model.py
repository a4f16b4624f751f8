"""Physics of the photon engine: depth components, and bixels convolved with kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import fft

from dosegrad.arrays import Array
from dosegrad.machine.photon import PhotonMachine
from dosegrad.units import FWHM_PER_SIGMA

__all__ = ["ConvolvedBixel", "convolved_bixel", "depth_components"]

#: Where Gaussians end, in standard deviations.
_GAUSSIAN_END: Final = 5.0


def depth_components(machine: PhotonMachine, depths: Array) -> Array:
    r"""The three depth components (n, 3) at radiological depths t (n,), mm.

    .. math:: f_k(t) = \frac{\beta_k}{\beta_k - m} \left(e^{-m t} - e^{-\beta_k t}\right)

    and :math:`f_k = \beta_k t e^{-m t}` where :math:`\beta_k = m`. The machine's surface offset is
    added to t.

    References
    ----------
    Bortfeld, Schlegel, Rhein 1993, Med. Phys. 20, 311 [Bortfeld1993]_.
    """
    t = np.asarray(depths, dtype=float)[:, None] + machine.surface_offset
    m, beta = machine.attenuation, machine.betas
    gap = beta - m
    with np.errstate(invalid="ignore", divide="ignore"):
        growth = np.where(np.abs(gap) < 1e-12, t, -np.expm1(-gap * t) / gap)
    components: Array = beta * np.exp(-m * t) * growth
    return components


@dataclass(frozen=True, slots=True, eq=False)
class ConvolvedBixel:
    """One quadrant of a bixel's fluence after source blur and kernels.

    ``values`` (n, n, 3), (y, x, component), Gy per unit weight, at nodes ``first``, ``first + 1``
    and so on, in units of the raster.
    """

    values: Array
    first: float


def convolved_bixel(
    machine: PhotonMachine, ssd: float, width: float, reach: float
) -> ConvolvedBixel:
    r"""A square bixel of unit fluence, convolved with sources and kernels: F * G * K_k.

    The bixel is laid on the machine's raster; nodes lie so that an even or odd number of pixels
    fills it where that is possible, and pixels at its edge count by the share that it covers. A
    source's Gaussian is separable; kernels are convolved by FFT, with padding so that nothing
    wraps around.

    Parameters
    ----------
    machine
        Kernels and sources.
    ssd
        Source to skin, mm.
    width
        Side of the bixel in the isocentre plane, mm.
    reach
        Distance from the centre up to which values are needed, mm.
    """
    raster = machine.raster
    first = 0.5 if round(width / raster) % 2 == 0 else 0.0
    n_out = int(np.ceil(reach / raster)) + 2
    focal = machine.penumbra_fwhm / FWHM_PER_SIGMA
    head = machine.head_scatter
    sources = [(1.0 - head.share, focal)]
    if head.share > 0.0:
        sources.append((head.share, head.sigma))
    blurred = [(share, _blurred_edge(width, sigma, raster, first)) for share, sigma in sources]
    n_in = max(profile.size for _, profile in blurred) // 2 + 1

    size = fft.next_fast_len(2 * (n_out + n_in) + 1, real=True)
    fluence = np.zeros((size, size))
    for share, profile in blurred:
        places = np.arange(profile.size) - profile.size // 2
        fluence[np.ix_(places, places)] += share * np.outer(profile, profile)
    spectrum = fft.rfft2(fluence)

    offsets = fft.fftfreq(size, 1.0 / size) * raster
    distances = np.hypot(offsets[:, None], offsets)
    values = np.empty((n_out, n_out, 3))
    for k, kernel in enumerate(machine.kernels_at(ssd)):
        raised = np.interp(distances, machine.radii, kernel, right=0.0) * raster**2
        convolved = fft.irfft2(spectrum * fft.rfft2(raised), s=(size, size))
        values[:, :, k] = convolved[:n_out, :n_out]
    return ConvolvedBixel(values, first)


def _blurred_edge(width: float, sigma: float, raster: float, first: float) -> Array:
    """Profile of a bixel's side blurred by a Gaussian, on nodes symmetric about its middle.

    With ``first`` 0.5 there is an even number of nodes, the middle lying between two.
    """
    half = int(np.ceil(0.5 * width / raster)) + 1
    nodes = (np.arange(-half, half + 1) if first == 0.0 else np.arange(-half, half) + 0.5) * raster
    covered: Array = (
        np.clip(0.5 * (width + raster) - np.abs(nodes), 0.0, min(raster, width)) / raster
    )
    if sigma <= 0.0:
        return covered
    end = int(np.ceil(_GAUSSIAN_END * sigma / raster))
    gaussian = np.exp(-0.5 * (np.arange(-end, end + 1) * raster / sigma) ** 2)
    profile: Array = np.convolve(covered, gaussian / gaussian.sum())
    return profile
