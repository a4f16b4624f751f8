"""Dose as a function of monitor units and leaf positions, with its derivative."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import ndtr

from dosegrad.arrays import Array, IntArray
from dosegrad.beams.apertures import Apertures
from dosegrad.beams.beam import Beams
from dosegrad.engines.photon_kernel._setup import (
    ElectronDensity,
    check_source,
    photon_machine,
    prepare_scene,
    skin_distance,
)
from dosegrad.engines.photon_kernel.engine import PhotonKernel
from dosegrad.engines.photon_kernel.field import collimator_of, covered
from dosegrad.errors import CapabilityError, PlanError, SettingsError
from dosegrad.influence._aperture_arrays import Look
from dosegrad.influence.dose_map import Pullback
from dosegrad.machine.collimator import MultileafCollimator
from dosegrad.machine.photon import PhotonMachine
from dosegrad.units import FWHM_PER_SIGMA

__all__ = ["ApertureDoseMap"]

#: Blocks of voxels whose derivatives are summed apart; fixed, so that threads change nothing.
_BLOCKS: Final = 8
#: How far beyond the jaws there is fluence that counts, mm.
_BLURRED: Final = 12.0


@dataclass(frozen=True, slots=True, eq=False)
class _Field:
    """One beam: its segments, its raster, the way from fluence to maps, and its voxels.

    ``segments`` (s,): their numbers; ``pairs`` (p,): leaf pairs between the jaws; ``under``
    (ny, p): which share of each row of pixels lies under each; ``x_edges`` (nx + 1,), mm;
    ``jaws``: x1 and x2, mm; ``passing`` (nx,): share of the fluence that passes closed leaves;
    ``stray`` (ny, 1): what passes leaves and a jaw across the leaves; ``sigma``: of the blur of
    leaf ends, mm; ``spectra`` (3, ...): from blurred leaf ends to maps.
    """

    segments: NDArray[np.int64]
    pairs: NDArray[np.int64]
    under: Array
    x_edges: Array
    jaws: tuple[float, float]
    passing: Array
    stray: Array
    sigma: float
    spectra: NDArray[np.complex128]
    padded: tuple[int, int]
    look: Look

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the raster."""
        return self.under.shape[0], self.x_edges.size - 1


@dataclass(frozen=True, slots=True, eq=False)
class ApertureDoseMap:
    r"""Dose of apertures whose monitor units and leaf tips are variables.

    .. math:: F(x, y) = \sum_s M_s \left[\tau + (1 - \tau) \int_{l_s - o}^{r_s + o}
       \mathcal{N}(x - x'; \sigma)\, dx'\right]

    is the fluence in the row of a leaf pair: the blur by the focal source is worked out at the leaf
    ends, so that dose is smooth in their positions; across the leaves, and for head scatter and
    kernels, it is left to a convolution. From there on dose is that of the engine's field mode, on
    a coarser raster; what that adds to the blur is taken off the source's.

    Variables are the MU of all segments, then the left tips, then the right tips, each segment by
    segment, of the pairs between its beam's jaws. The jaws stay, and pairs behind them stay closed.
    Make one with :meth:`of`.

    Parameters
    ----------
    apertures
        Where jaws and leaves begin.
    collimator
        Their limits.
    n_voxels
        Number of dose values.
    fields
        What each beam needs.
    """

    apertures: Apertures
    collimator: MultileafCollimator
    n_voxels: int
    fields: tuple[_Field, ...]

    @classmethod
    def of(
        cls,
        medium: ElectronDensity,
        beams: Beams,
        apertures: Apertures,
        voxels: IntArray,
        *,
        engine: PhotonKernel | None = None,
        coarseness: int = 3,
    ) -> ApertureDoseMap:
        """The map of ``apertures`` on ``voxels``.

        Parameters
        ----------
        medium, beams
            What the beams travel through.
        apertures
            Segments, no collimator turned; those of one beam with the same jaws share a raster.
        voxels
            Flat indices (n,) into the medium's grid.
        engine
            Lateral cut-off and fluence in air to compute with.
        coarseness
            Raster in rasters of the machine's kernels, odd: 3 of 0.5 mm by default.

        Raises
        ------
        CapabilityError
            If the machine has no leaves, a collimator is turned, or the raster is even.
        SettingsError
            If the raster is no positive whole number.
        """
        settings = PhotonKernel() if engine is None else engine
        machine = photon_machine(beams.machine)
        collimator = collimator_of(machine)
        if isinstance(coarseness, bool) or not isinstance(coarseness, int) or coarseness < 1:
            raise SettingsError(
                f"a raster of {coarseness!r} rasters of the kernels is not possible; give an odd "
                "whole number, such as 3."
            )
        plain = settings.primary_fluence == "uniform" and settings.density_scaling == "none"
        if apertures.rotation.any() or not plain or coarseness % 2 == 0:
            raise CapabilityError(
                "leaves move for collimators that are not turned, in a uniform fluence in air, "
                "with the kernels of water, on an odd number of rasters; use such apertures, "
                "PhotonKernel() and coarseness=3."
            )
        fields = []
        keys = np.column_stack([apertures.beam, apertures.jaws])
        kinds, which = np.unique(keys, axis=0, return_inverse=True)
        for number, (index, *jaws) in enumerate(kinds):
            part = np.flatnonzero(which.reshape(-1) == number)
            raster = _Raster.of(machine, np.array(jaws), settings.lateral_cutoff, coarseness)
            scene_of = (medium, beams, int(index), voxels)
            fields.append(_field(machine, collimator, part, raster, *scene_of))
        return cls(apertures, collimator, len(voxels), tuple(fields))

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of moving pairs (segments,) of each segment."""
        found = np.zeros(len(self.apertures), dtype=np.int64)
        for field in self.fields:
            found[field.segments] = field.pairs.size
        return found

    @property
    def n_tips(self) -> int:
        """Number of moving tips of one bank, of all segments."""
        return int(self.sizes.sum())

    @property
    def n_variables(self) -> int:
        """MU of all segments and tips of both banks."""
        return len(self.apertures) + 2 * self.n_tips

    def place_of(self, field: _Field) -> NDArray[np.int64]:
        """Places (segments, pairs) of a beam's tips among those of one bank."""
        starts = np.cumsum(self.sizes) - self.sizes
        places: NDArray[np.int64] = starts[field.segments, None] + np.arange(field.pairs.size)
        return places

    def variables(self, apertures: Apertures) -> Array:
        """Variables (n_variables,) of apertures that differ from these by MU and tips alone."""
        tips = np.empty((2, self.n_tips))
        for field in self.fields:
            mine = np.ix_(field.segments, field.pairs)
            tips[0, self.place_of(field)] = apertures.left[mine]
            tips[1, self.place_of(field)] = apertures.right[mine]
        return np.concatenate([apertures.monitor_units, *tips])

    def moved(self, variables: Array) -> Apertures:
        """The apertures of ``variables`` (n_variables,)."""
        units, left, right = self._parts(variables)
        banks = [self.apertures.left.copy(), self.apertures.right.copy()]
        for field in self.fields:
            mine = np.ix_(field.segments, field.pairs)
            banks[0][mine] = left[self.place_of(field)]
            banks[1][mine] = right[self.place_of(field)]
        return replace(self.apertures, monitor_units=units, left=banks[0], right=banks[1])

    def linearise(self, variables: Array) -> tuple[Array, Pullback]:
        """Dose (n_voxels,), Gy, at ``variables`` (n_variables,), and the pullback."""
        units, left, right = self._parts(variables)
        dose = np.zeros(self.n_voxels)
        passing, offset = self.collimator.transmission, self.collimator.leaf_end_offset
        open_, slopes = [], []
        for field in self.fields:
            places = self.place_of(field)
            low, slope_low = _behind_jaws(field, left[places] - offset)
            high, slope_high = _behind_jaws(field, right[places] + offset)
            shares = field.passing + (1.0 - passing) * (low - high)
            fluence = field.under @ np.tensordot(units[field.segments], shares, 1)
            fluence += field.stray * units[field.segments].sum()
            _kernels().gather(field.look, _maps(field, fluence), dose)
            open_.append(shares)
            slopes.append(((1.0 - passing) * slope_low, -(1.0 - passing) * slope_high))

        def pullback(g: Array) -> Array:
            by_units = np.zeros_like(units)
            by_tips = np.zeros((2, self.n_tips))
            by_dose = np.ascontiguousarray(g, dtype=np.float64)
            for field, shares, banks in zip(self.fields, open_, slopes, strict=True):
                by_fluence = _back(field, by_dose)
                rows = field.under.T @ by_fluence
                by_units[field.segments] = np.einsum("spx,px->s", shares, rows)
                by_units[field.segments] += float((field.stray * by_fluence).sum())
                weights = units[field.segments, None]
                for bank, slope in enumerate(banks):
                    found = weights * np.einsum("spx,px->sp", slope, rows)
                    by_tips[bank, self.place_of(field)] = found
            return np.concatenate([by_units, *by_tips])

        return dose, pullback

    def _parts(self, variables: Array) -> tuple[Array, Array, Array]:
        given = np.asarray(variables, dtype=np.float64)
        if given.shape != (self.n_variables,):
            raise PlanError(
                f"variables of shape {given.shape} do not fit {len(self.apertures)} segments; give "
                f"{self.n_variables} numbers: MU, then left tips, then right tips."
            )
        n, tips = len(self.apertures), self.n_tips
        return given[:n], given[n : n + tips], given[n + tips :]


@dataclass(frozen=True, slots=True, eq=False)
class _Raster:
    """Edges of pixels around the jaws of a beam, mm, and how coarse they are."""

    x_edges: Array
    y_edges: Array
    jaws: Array
    pitch: float
    coarseness: int

    @classmethod
    def of(cls, machine: PhotonMachine, jaws: Array, margin: float, coarseness: int) -> _Raster:
        pitch = machine.raster * coarseness
        edges = [
            pitch
            * np.arange(np.floor((low - margin) / pitch), np.ceil((high + margin) / pitch) + 1)
            for low, high in zip(jaws[::2], jaws[1::2], strict=True)
        ]
        return cls(edges[0], edges[1], jaws, pitch, coarseness)


def _field(
    machine: PhotonMachine,
    collimator: MultileafCollimator,
    segments: NDArray[np.int64],
    raster: _Raster,
    medium: ElectronDensity,
    beams: Beams,
    index: int,
    voxels: IntArray,
) -> _Field:
    """What one beam needs."""
    beam = beams[index]
    check_source(medium.grid, beam)
    columns = beams.columns[beams.columns_of(index)]
    ssd = skin_distance(medium, beam, np.column_stack([columns["x"], columns["y"]]))
    x, y = (0.5 * (e[1:] + e[:-1]) for e in (raster.x_edges, raster.y_edges))
    box = (np.array([x[0], y[0]]), np.array([x[-1], y[-1]]) - 1e-9 * raster.pitch)
    scene = prepare_scene(medium, machine, beam, voxels, box, None)
    projected = scene.points[:, :2] * (-machine.sad / scene.points[:, 2:])
    fx, fy = ((projected - box[0]) / raster.pitch).T
    i, j = np.clip(fx.astype(np.int64), 0, x.size - 2), np.clip(fy.astype(np.int64), 0, y.size - 2)

    x1, x2, y1, y2 = raster.jaws
    sides = collimator.boundaries
    pairs = np.flatnonzero((sides[1:] > y1) & (sides[:-1] < y2))
    low, high = np.maximum(sides[pairs], y1), np.minimum(sides[pairs + 1], y2)
    # pixels and bilinear look-up widen edges by a variance of pitch^2 / 4 in all
    focal = machine.penumbra_fwhm / FWHM_PER_SIGMA
    sigma = float(np.sqrt(max(focal**2 - 0.25 * raster.pitch**2, 0.01 * focal**2)))
    # fluence keeps off the rim of the raster, so that less than its double prevents wrapping
    rim = int(max(raster.jaws[0] - raster.x_edges[0] - _BLURRED, 0.0) / raster.pitch)
    padded = tuple(fft.next_fast_len(2 * n - 2 * rim, real=True) for n in (y.size, x.size))
    field = _Field(
        segments=segments,
        pairs=pairs,
        under=np.ascontiguousarray(covered(raster.y_edges, low, high).T),
        x_edges=raster.x_edges,
        jaws=(float(x1), float(x2)),
        passing=np.zeros(x.size),
        stray=np.zeros((y.size, 1)),
        sigma=sigma,
        spectra=_spectra(machine, ssd, padded, raster, sigma),
        padded=(padded[0], padded[1]),
        look=Look(
            j * x.size + i, np.stack([fx - i, fy - j], axis=1), scene.factors,
            scene.rows.astype(np.int64), x.size,
        ),
    )  # fmt: skip
    ends = [_behind(field, np.array([[edge]]))[0][0, 0] for edge in (x1, x2)]
    both = collimator.transmission * collimator.jaw_transmission
    return replace(
        field,
        passing=both + (collimator.transmission - both) * (ends[0] - ends[1]),
        stray=both * (1.0 - field.under.sum(axis=1, keepdims=True)),
    )


def _spectra(
    machine: PhotonMachine, ssd: float, shape: tuple[int, ...], raster: _Raster, sigma: float
) -> NDArray[np.complex128]:
    """From fluence whose leaf ends are blurred by ``sigma`` to maps, (3, ...), Gy per MU."""
    y = fft.fftfreq(shape[0], raster.pitch)[:, None]
    x = fft.rfftfreq(shape[1], raster.pitch)
    head = machine.head_scatter
    blur = (1.0 - head.share) * np.exp(-2.0 * (np.pi * sigma * y) ** 2)
    if head.share > 0.0:
        rest = max(head.sigma**2 - sigma**2, 0.0)
        wide = np.exp(-2.0 * np.pi**2 * (rest * x**2 + head.sigma**2 * y**2))
        blur = blur + head.share * wide
    kernels = np.array([_averaged(machine, k, shape, raster) for k in machine.kernels_at(ssd)])
    per_unit = 1.0 if machine.mu_per_weight is None else 1.0 / machine.mu_per_weight
    found: NDArray[np.complex128] = fft.rfft2(kernels) * (blur * per_unit)
    return found


def _averaged(
    machine: PhotonMachine, kernel: Array, shape: tuple[int, ...], raster: _Raster
) -> Array:
    """A kernel averaged over coarse pixels, times their area, on a raster that wraps around."""
    n = raster.coarseness
    offsets = np.arange(n) - n // 2
    cells = [np.arange(length // 2 + 1)[:, None] * n + offsets for length in shape]
    fine = np.hypot(cells[0].ravel()[:, None], cells[1].ravel()) * machine.raster
    values = np.interp(fine, machine.radii, kernel, right=0.0)
    means = values.reshape(cells[0].shape[0], n, cells[1].shape[0], n).mean(axis=(1, 3))
    ways = [np.abs(fft.fftfreq(length, 1.0 / length)).astype(int) for length in shape]
    spread: Array = means[np.ix_(*ways)] * raster.pitch**2
    return spread


def _behind(field: _Field, edges: Array) -> tuple[Array, Array]:
    r"""Share of each pixel (s, p, nx) to the right of blurred ``edges`` (s, p), and derivatives.

    .. math:: \frac{1}{h} \int_a^{a + h} \Phi\left(\frac{x - e}{\sigma}\right) dx =
       \frac{Q(a + h - e) - Q(a - e)}{h}, \quad Q(t) = t \Phi(t / \sigma) + \sigma \phi(t / \sigma)
    """
    t = field.x_edges - edges[..., None]
    reduced = t / field.sigma
    below = ndtr(reduced)
    bell = np.exp(-0.5 * reduced**2) / np.sqrt(2.0 * np.pi)
    integral = t * below + field.sigma * bell
    pitch = np.diff(field.x_edges)
    return np.diff(integral) / pitch, -np.diff(below) / pitch


def _behind_jaws(field: _Field, edges: Array) -> tuple[Array, Array]:
    """As :func:`_behind`, of edges that stop at the jaws, beyond which nothing changes."""
    shares, slopes = _behind(field, np.clip(edges, *field.jaws))
    inside = (edges > field.jaws[0]) & (edges < field.jaws[1])
    return shares, slopes * inside[..., None]


def _maps(field: _Field, fluence: Array) -> Array:
    """Maps (n_nodes, 3) of a fluence (ny, nx)."""
    ny, nx = field.shape
    whole = fft.irfft2(fft.rfft2(fluence, s=field.padded) * field.spectra, s=field.padded)
    return np.ascontiguousarray(np.moveaxis(whole[:, :ny, :nx], 0, -1)).reshape(-1, 3)


def _back(field: _Field, slopes: Array) -> Array:
    """Derivative by fluence (ny, nx) from those by dose (n_voxels,)."""
    ny, nx = field.shape
    partial = np.zeros((_BLOCKS, ny * nx, 3))
    _kernels().scatter(field.look, slopes, partial)
    maps = np.moveaxis(partial.sum(axis=0).reshape(ny, nx, 3), -1, 0)
    # kernels are symmetric, so that their spectra are real up to rounding; the adjoint conjugates
    spectrum = (fft.rfft2(maps, s=field.padded) * field.spectra.conj()).sum(axis=0)
    found: Array = fft.irfft2(spectrum, s=field.padded)[:ny, :nx]
    return found


def _kernels() -> Any:
    from dosegrad.influence import _aperture_kernels

    return _aperture_kernels
