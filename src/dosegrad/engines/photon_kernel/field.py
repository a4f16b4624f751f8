"""Field mode: what jaws and leaves let through, convolved with sources and kernels at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import fft

from dosegrad.arrays import Array
from dosegrad.beams.apertures import Apertures
from dosegrad.engines.photon_kernel._arrays import FieldMap
from dosegrad.errors import CapabilityError
from dosegrad.machine.collimator import MultileafCollimator
from dosegrad.machine.photon import PhotonMachine
from dosegrad.units import FWHM_PER_SIGMA

__all__ = [
    "box_of",
    "collimator_of",
    "convolved_fluence",
    "covered",
    "field_maps",
    "kernel_spectra",
    "segment_fluence",
    "source_spectra",
]


def collimator_of(machine: PhotonMachine) -> MultileafCollimator:
    """The machine's leaves.

    Raises
    ------
    CapabilityError
        If it has none.
    """
    if machine.collimator is None:
        raise CapabilityError(
            f"machine {machine.name!r} has no leaves, so that it delivers no apertures; choose one "
            "that has, or give it some: replace(machine, collimator=...)."
        )
    return machine.collimator


def field_maps(
    machines: Sequence[PhotonMachine],
    ssd: float,
    apertures: Apertures,
    *,
    margin: float,
    uniform: bool,
) -> list[FieldMap]:
    """The convolved fluence of the segments of one beam, one map for each collimator angle.

    Parameters
    ----------
    machines, ssd
        Kernels, sources and leaves; distance from source to skin, mm. Machines differ by kernels
        alone; their components lie side by side.
    apertures
        Segments of one beam.
    margin
        By how much maps reach beyond the jaws, mm.
    uniform
        Whether fluence in air is the same everywhere, or that of the machine.
    """
    return [
        _map_of(machines, ssd, apertures.chosen(same), margin, uniform)
        for angle in np.unique(apertures.rotation)
        for same in [np.flatnonzero(apertures.rotation == angle)]
    ]


def _map_of(
    machines: Sequence[PhotonMachine],
    ssd: float,
    apertures: Apertures,
    margin: float,
    uniform: bool,
) -> FieldMap:
    machine = machines[0]
    raster = machine.raster
    edges = [
        raster * np.arange(np.floor((low - margin) / raster), np.ceil((high + margin) / raster) + 1)
        for low, high in zip(
            apertures.jaws[:, ::2].min(axis=0), apertures.jaws[:, 1::2].max(axis=0), strict=True
        )
    ]
    fluence = segment_fluence(collimator_of(machine), apertures, *edges)
    if machine.mu_per_weight is not None:
        fluence /= machine.mu_per_weight
    x, y = (0.5 * (e[1:] + e[:-1]) for e in edges)
    if not uniform:
        fluence *= machine.fluence_at(np.hypot(x, y[:, None]))
    angle = np.deg2rad(apertures.rotation[0])
    return FieldMap(
        values=np.concatenate([convolved_fluence(m, ssd, fluence) for m in machines], axis=2),
        low=np.array([x[0], y[0]]),
        raster=float(raster),
        turn=np.array([np.cos(angle), np.sin(angle)]),
    )


def box_of(maps: Sequence[FieldMap]) -> tuple[Array, Array]:
    """Lowest and highest (x, y) of the gantry frame that any of the maps reaches, mm."""
    corners = []
    for field in maps:
        size = field.raster * (np.array(field.values.shape[1::-1]) - 1.0)
        cosine, sine = field.turn
        for share in ((0, 0), (1, 0), (0, 1), (1, 1)):
            x, y = field.low + size * share
            corners.append((x * cosine - y * sine, x * sine + y * cosine))
    points = np.array(corners)
    return points.min(axis=0), points.max(axis=0)


def covered(edges: Array, low: Array, high: Array) -> Array:
    """Share (..., n) of each pixel between ``edges`` (n + 1,) that [low, high] (...) covers."""
    ends = np.clip(edges, np.asarray(low)[..., None], np.asarray(high)[..., None])
    share: Array = np.diff(ends, axis=-1) / np.diff(edges)
    return share


def segment_fluence(
    collimator: MultileafCollimator, apertures: Apertures, x_edges: Array, y_edges: Array
) -> Array:
    r"""Fluence (ny, nx), MU, of all segments behind jaws and leaves, averaged over pixels.

    .. math:: F = \sum_s M_s\, [\tau_j + (1 - \tau_j)\, J_s]\, [\tau_l + (1 - \tau_l)\, L_s]

    with J and L the shares of a pixel that jaws and leaves leave open. The radiation edge lies
    behind a leaf's tip by the collimator's offset.
    """
    passing, offset = collimator.transmission, collimator.leaf_end_offset
    under = covered(y_edges, collimator.boundaries[:-1], collimator.boundaries[1:])
    total = np.zeros((y_edges.size - 1, x_edges.size - 1))
    jaws, which = np.unique(apertures.jaws, axis=0, return_inverse=True)
    for number, (x1, x2, y1, y2) in enumerate(jaws):
        same = np.flatnonzero(which.reshape(-1) == number)
        weights = apertures.monitor_units[same]
        open_ = covered(x_edges, apertures.left[same] - offset, apertures.right[same] + offset)
        leaves = (1.0 - passing) * under.T @ np.tensordot(weights, open_, 1)
        leaves += passing * weights.sum()
        free = np.outer(covered(y_edges, y1, y2), covered(x_edges, x1, x2))
        total += leaves * (collimator.jaw_transmission * (1.0 - free) + free)
    return total


def convolved_fluence(machine: PhotonMachine, ssd: float, fluence: Array) -> Array:
    """Fluence (ny, nx) on the machine's raster after sources and kernels, (ny, nx, 3), Gy."""
    shape = tuple(fft.next_fast_len(2 * n, real=True) for n in fluence.shape)
    spectrum = fft.rfft2(fluence, s=shape) * source_spectra(machine, shape, machine.raster)
    values = np.empty((*fluence.shape, 3))
    for k, kernel in enumerate(kernel_spectra(machine, ssd, shape)):
        whole = fft.irfft2(spectrum * kernel, s=shape)
        values[:, :, k] = whole[: fluence.shape[0], : fluence.shape[1]]
    return values


def kernel_spectra(machine: PhotonMachine, ssd: float, shape: tuple[int, ...]) -> Array:
    """Spectra (3, ...) of the kernels, times the area of a pixel, on a raster that wraps around."""
    ways = [np.abs(fft.fftfreq(n, 1.0 / n)).astype(int) for n in shape]
    quarter = np.hypot(*np.ogrid[: shape[0] // 2 + 1, : shape[1] // 2 + 1]) * machine.raster
    spectra = [
        fft.rfft2(np.interp(quarter, machine.radii, kernel, right=0.0)[np.ix_(*ways)])
        for kernel in machine.kernels_at(ssd)
    ]
    return np.array(spectra) * machine.raster**2


def source_spectra(machine: PhotonMachine, shape: tuple[int, ...], raster: float) -> Array:
    """Spectrum of the blur by focal source and head scatter, on a raster of that ``shape``."""
    y = fft.fftfreq(shape[0], raster)[:, None]
    x = fft.rfftfreq(shape[1], raster)
    squared = 2.0 * np.pi**2 * (x**2 + y**2)
    focal = machine.penumbra_fwhm / FWHM_PER_SIGMA
    head = machine.head_scatter
    blur: Array = (1.0 - head.share) * np.exp(-squared * focal**2)
    if head.share > 0.0:
        blur = blur + head.share * np.exp(-squared * head.sigma**2)
    return blur
