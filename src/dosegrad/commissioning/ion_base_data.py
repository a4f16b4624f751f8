r"""Base data of one energy of an ion machine: dose, spread, LET, alpha and beta against depth.

depth dose
    :mod:`dosegrad.commissioning.ion_transport`: primaries with the spread of their range folded
    in, fragments, and what struck nuclei leave on the spot.
lateral spread
    First Gaussian: primaries, by Fermi-Eyges with the ions' scattering power. Second: fragments,
    their variance averaged by dose over all species, with their share of the dose.
LET
    Averaged by dose over primaries, fragments and struck nuclei (for these 30 keV/µm, a value
    between those of protons and helium that evaporate).
alpha, beta
    Microdosimetric kinetic model of Inaniwa 2010 [Inaniwa2010]_: for a tissue of photon response
    :math:`\alpha_x, \beta_x`

    .. math:: \alpha = \alpha_0 + \beta_x z^*_{1D}, \quad \beta = \beta_x, \quad
              \alpha_0 = \alpha_x - \beta_x z_x

    with :math:`z^*_{1D}` averaged by dose over everything that is there at a depth and
    :math:`z_x` = 1.1 Gy that of photons of a few MeV in the domain (lineal energy of 2.3 keV/µm
    [Okamoto2011]_). Radii of domain and nucleus are those fitted to HSG cells, for all tissues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter1d

from dosegrad.arrays import Array
from dosegrad.commissioning.ion_scores import RunningScores
from dosegrad.commissioning.ion_transport import FragmentField, march_fragments, survival
from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.physics.fermi_eyges import Moments, spread
from dosegrad.physics.ions import (
    Ion,
    energy_of_ion_range,
    ion_range,
    ion_scattering_power,
    range_straggling,
)
from dosegrad.units import MM_PER_CM

__all__ = [
    "PHOTON_SPECIFIC_ENERGY",
    "DepthCurves",
    "Tissues",
    "depth_curves",
    "depth_grid",
    "distal_depth",
    "ion_data",
    "range_spread",
]

#: Specific energy per event of photons of a few MeV in a domain, Gy: 0.204 y / d^2 with
#: y = 2.3 keV/µm and d = 0.64 µm.
PHOTON_SPECIFIC_ENERGY: Final = 0.204 * 2.3 / 0.64**2
_STEPS: Final = 360  # of the march of fragments
_REACH: Final = 2.0  # ranges to which tables go
_LEAST_TAIL: Final = 60.0  # mm behind the range, at least

Tissues = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, eq=False)
class DepthCurves:
    """Scores per mm of depth and primary at ``depths``, mm, (n,): energy, MeV, and products.

    ``primary``, ``fragments``, ``local`` (scores, n) as in
    :class:`~dosegrad.commissioning.ion_transport.FragmentField`; ``sigmas`` (2, n), mm, of
    primaries and fragments; ``field`` and ``deposited``, MeV, for the balance of energy.
    """

    depths: Array
    primary: Array
    fragments: Array
    local: Array
    sigmas: Array
    field: FragmentField
    deposited: float

    @property
    def total(self) -> Array:
        """All together (scores, n)."""
        return np.asarray(self.primary + self.fragments + self.local)


def range_spread(
    energy: float, ion: Ion, *, energy_std: float = 0.0, filter_std: float = 0.0
) -> float:
    """Standard deviation of the range, mm: straggling, energy spread (MeV/u), ripple filter (mm).

    Examples
    --------
    >>> from dosegrad.physics.ions import IONS
    >>> round(range_spread(200.0, IONS["12C"], filter_std=1.0), 2)
    1.03
    """
    full = float(ion_range(energy, ion))
    slope = (float(ion_range(1.001 * energy, ion)) - full) / (0.001 * energy)
    straggling = float(range_straggling(full, ion))
    return float(np.sqrt(straggling**2 + (slope * energy_std) ** 2 + filter_std**2))


def depth_grid(energy: float, ion: Ion, width: float) -> Array:
    """Depths, mm: a fifth of ``width`` about the peak, coarse before and behind it."""
    full = float(ion_range(energy, ion))
    start, stop = max(full - 6.0 * width - 1.5, 3.0), full + 5.0 * width
    end = max(_REACH * full, full + _LEAST_TAIL)
    entrance = np.array([0.0, 1.0, 2.0])
    approach = start - (start - 3.0) * np.linspace(1.0, 0.0, 41) ** 1.6
    near = start + 0.2 * width * np.arange(1, int(np.ceil((stop - start) / (0.2 * width))))
    tail = stop + (end - stop) * np.linspace(0.0, 1.0, 31) ** 1.5
    return np.unique(np.round(np.concatenate([entrance, approach, near, tail]), 4))


def depth_curves(
    energy: float, ion: Ion, *, width: float, betas: Sequence[float], depths: Array | None = None
) -> DepthCurves:
    """What a beam of ``energy`` MeV/u leaves in water, its range spread by ``width`` mm.

    ``betas``: of tissues, 1/Gy2, in whose terms specific energies are scored.
    """
    full = float(ion_range(energy, ion))
    end = max(_REACH * full, full + _LEAST_TAIL) + 6.0 * width
    edges = np.linspace(0.0, end, _STEPS + 1)
    step = end / _STEPS
    moments = _primary_moments(energy, ion, edges)
    field = march_fragments(
        *(energy, ion),
        step=step,
        depth=edges[-1] - 0.5 * step,
        moments=np.column_stack([moments.variance, moments.covariance, moments.angular]),
        betas=betas,
    )
    at = depth_grid(energy, ion, width) if depths is None else depths
    primary = _smeared_primaries(energy, ion, width, betas, at)
    middle = 0.5 * (edges[1:] + edges[:-1])
    smear = width / step

    def blurred(values: Array) -> Array:
        soft = gaussian_filter1d(values, smear, axis=0, mode="nearest")
        return np.array([np.interp(at, middle, v) for v in np.atleast_2d(soft.T)])

    wide = blurred(field.variances[:, None] * field.scores[:, :1])
    fragments = blurred(field.scores)
    variance = np.divide(wide[0], fragments[0], out=np.zeros(at.size), where=fragments[0] > 0)
    running = RunningScores.of(ion, energy, ())
    left = np.diff(running.at(full - edges)[0])
    alive = survival(edges, energy, ion)
    stopped = float(-(0.5 * (alive[1:] + alive[:-1])) @ left)
    in_flight = float((field.scores[:, 0] + field.local[:, 0]).sum() * step)
    narrow = np.interp(np.minimum(at, full), edges, moments.variance)
    return DepthCurves(
        depths=at,
        primary=primary,
        fragments=fragments,
        local=blurred(field.local),
        sigmas=np.sqrt(np.array([narrow, np.maximum(variance, narrow)])),
        field=field,
        deposited=stopped + in_flight,
    )


def ion_data(
    energy: float,
    ion: Ion,
    *,
    width: float,
    tissues: Tissues,
    focus: tuple[Array, Array],
    energy_std: float = 0.0,
) -> PencilBeamData:
    """Base data of one energy, MeV/u.

    ``width`` is the standard deviation of the range, mm; ``tissues`` pairs of alpha_x, 1/Gy, and
    beta_x, 1/Gy2; ``focus`` distances from the nozzle exit and spot sigma there, mm.
    """
    betas = sorted({beta for _, beta in tissues})
    curves = depth_curves(energy, ion, width=width, betas=betas)
    total = curves.total
    dose = np.maximum(total[0], 1e-9)
    share = np.clip(curves.fragments[0] / dose, 0.0, 1.0)
    specific = dict(zip(betas, total[2:] / dose, strict=True))
    alpha = [ax + bx * (specific[bx] - PHOTON_SPECIFIC_ENERGY) for ax, bx in tissues]
    beta = [np.full(dose.size, bx) for _, bx in tissues]
    peak, _ = distal_depth(curves.depths, dose, 1.0)
    return PencilBeamData(
        energy=energy,
        depths=curves.depths,
        dose=dose * MM_PER_CM,
        sigmas=curves.sigmas,
        weights=np.stack([1.0 - share, share]),
        let=total[1] / dose,
        range=distal_depth(curves.depths, dose, 0.8)[1],
        peak=peak,
        focus_distance=focus[0],
        focus_sigma=focus[1],
        energy_spread=energy_std,
        alpha=np.maximum(alpha, 0.0),
        beta=np.array(beta),
    )


def distal_depth(depths: Array, dose: Array, level: float) -> tuple[float, float]:
    """Depth of the maximum and where, behind it, ``level`` of it is left, mm."""
    from scipy.interpolate import CubicSpline

    dense = np.linspace(depths[0], depths[-1], 100001)
    values = CubicSpline(depths, dose)(dense)
    top = int(values.argmax())
    behind = top + int(np.argmax(values[top:] <= level * values[top]))
    return float(dense[top]), float(dense[behind])


def _primary_moments(energy: float, ion: Ion, edges: Array) -> Moments:
    """Moments of the primaries at depths ``edges``; behind their range they fly straight."""
    middle = 0.5 * (edges[1:] + edges[:-1])
    full = float(ion_range(energy, ion))
    left = np.maximum(energy_of_ion_range(np.maximum(full - middle, 1e-3), ion), 1.0)
    power = ion_scattering_power(left, ion, initial_energy=energy)
    return spread(edges, np.where(middle < full, power, 0.0))


def _smeared_primaries(
    energy: float, ion: Ion, width: float, betas: Sequence[float], depths: Array
) -> Array:
    """Scores (scores, n) per mm of primaries whose range is a Gaussian of ``width`` mm."""
    full = float(ion_range(energy, ion))
    highest = float(energy_of_ion_range(full + 8.0 * width, ion))
    running = RunningScores.of(ion, highest, betas)
    step = width / 40.0
    left = np.arange(-8.0 * width, full + 8.0 * width, step)
    integrals = gaussian_filter1d(running.at(left), width / step, axis=1, mode="nearest")
    rates = np.gradient(integrals, step, axis=1)
    alive = survival(np.minimum(depths, full), energy, ion)
    return np.array([np.interp(full - depths, left, r, left=0.0) for r in rates]) * alive
