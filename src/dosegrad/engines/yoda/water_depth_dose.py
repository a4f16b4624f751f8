r"""Depth dose of a proton beam in water with nuclear interactions, split by what deposits it.

The primaries come from the range-frame solver with all three channels of
:mod:`dosegrad.physics.nuclear` as absorption. Each channel then emits, interval by interval, a few
classes of protons of energy e and angle theta. What a class still carries at depth z is what the
whole beam, without nuclear interactions, carries per proton at the depth where it has as much
range left:

.. math:: C(z) = w\, W_\mathrm{em}\!\left(z_0 + \frac{z - z_0}{\cos\theta} + R(E_0) - R(e)\right)

so that secondaries inherit the range straggling. Energy is conserved by differences of C. Protons
scattered elastically on oxygen go on to interact in the other two channels; those of these two are
attenuated by nonelastic events, of which the charged share stays.

Scattering makes the path longer than the depth: the grid is turned into path length by
:math:`dz = (1 - \overline{\theta_x^2})\,ds` with the angular variance of Fermi-Eyges theory. That
shortens ranges by 0.1 %, as PSTAR's detour factor does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from scipy.optimize import brentq

from dosegrad.arrays import Array, readonly
from dosegrad.engines.yoda.range_frame import Spectra, WaterTables, solve_in_water
from dosegrad.physics.constants import PROTON_MASS
from dosegrad.physics.fermi_eyges import spread
from dosegrad.physics.nuclear import (
    BINDING,
    ELASTIC_SLOPE,
    EVAPORATED_SHARE,
    FORWARD_POWER,
    LOCAL_SHARE,
    OXYGEN_MASS,
    PROTON_SHARE,
    WaterRates,
    water_rates,
)
from dosegrad.physics.scattering import mass_scattering_power
from dosegrad.units import CM_PER_MM

__all__ = ["RADII", "Angles", "Component", "DepthDose", "depth_dose", "two_gaussians"]

#: Bounds of rings about the axis, mm; the first is a disc, the last is open.
RADII: Final = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 14.0, 17.0, 20.0,
                24.0, 28.0, 33.0, 40.0, 50.0, 65.0, 85.0)  # fmt: skip

#: How protons of nonelastic events are spread in angle.
Angles: TypeAlias = Literal["cone", "spread"]

# Share of the protons that are emitted widely and their slope: chosen so that MCsquare's dose 20 mm
# from the axis of a 100 MeV beam is met at all depths (fitted).
_WIDE_SHARE: Final = 0.38
_WIDE_SLOPE: Final = 1.7
_N_ANGLES: Final = 8  # classes of angle that are emitted widely; half as many forward
_FLATTEST: Final = 0.05  # cosine below which protons leave their energy on the spot
_N_ELASTIC: Final = 12  # classes of momentum transfer
_N_SHARES: Final = 24  # classes of energy share
_STOPPED: Final = 1.0  # MeV of mean energy, below which primaries interact no more
_STEEPENS_TO: Final = 0.97  # share of the range up to which the angular variance of the beam grows
_NEUTRAL_SHARE: Final = 0.4  # of absorbed energy, which charged particles do not keep


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """What one kind of proton deposits, on the intervals of a depth grid; all (n,).

    Parameters
    ----------
    deposit
        Energy deposited, MeV per primary.
    variance
        Dose-weighted lateral variance in one direction that the nuclear event added, mm2.
    fourth
        Dose-weighted mean of rho^4/8 over the radii rho at which the event leaves protons, mm4.
    let
        Dose-averaged LET, keV/µm.
    radial
        Share of the dose in each of the rings between :data:`RADII` about the beam's axis,
        shape (n, rings), before the primaries' own spread.
    """

    deposit: Array
    variance: Array
    fourth: Array
    let: Array
    radial: Array

    def __post_init__(self) -> None:
        for name in ("deposit", "variance", "fourth", "let", "radial"):
            object.__setattr__(self, name, readonly(getattr(self, name)))


@dataclass(frozen=True, slots=True, eq=False)
class DepthDose:
    """Depth dose of one beam in water.

    Parameters
    ----------
    edges
        Depths, mm, shape (n + 1,).
    primary
        Protons without a nuclear event.
    oxygen
        Protons scattered elastically on oxygen.
    hydrogen
        Both protons of elastic scattering on hydrogen.
    nonelastic
        Protons from nonelastic events.
    local
        What fragments, recoils and evaporated protons deposit on the spot, MeV per primary, (n,).
    evaporated
        The part of it that is of evaporated protons, (n,).
    core_variance
        Lateral variance of the primaries by multiple scattering at the edges, mm2, (n + 1,).
    """

    edges: Array
    primary: Component
    oxygen: Component
    hydrogen: Component
    nonelastic: Component
    local: Array
    evaporated: Array
    core_variance: Array

    @property
    def secondaries(self) -> tuple[Component, Component, Component]:
        """Components whose protons had a nuclear event."""
        return self.oxygen, self.hydrogen, self.nonelastic

    @property
    def deposit(self) -> Array:
        """All energy deposited in each interval, MeV per primary, shape (n,)."""
        protons = self.primary.deposit + sum(c.deposit for c in self.secondaries)
        return np.asarray(protons + self.local)

    @property
    def dose(self) -> Array:
        """Integral depth dose, mean over each interval, MeV cm2/g, shape (n,)."""
        return np.asarray(self.deposit / (np.diff(self.edges) * CM_PER_MM))


def depth_dose(
    energy: float,
    edges: Array,
    *,
    energy_std: float = 0.0,
    tables: WaterTables | None = None,
    rates: WaterRates | None = None,
    angles: Angles = "cone",
) -> DepthDose:
    """Depth dose in water of protons of ``energy`` MeV on the depth grid ``edges``, mm.

    Parameters
    ----------
    energy
        Mean energy at the surface, MeV.
    edges
        Depths, mm, ascending from 0 to beyond the end of range, shape (n + 1,).
    energy_std
        Standard deviation of the energy, MeV.
    tables
        Of water, with its mean excitation energy; PSTAR's where they are not given.
    rates
        Nuclear interactions; those of :func:`~dosegrad.physics.nuclear.water_rates` by default.
    angles
        Of protons from nonelastic events: ``"cone"``, one for each share of the energy;
        ``"spread"``, a distribution about it, for lateral profiles far from the axis.
    """
    tables = tables or WaterTables()
    rates = rates or water_rates()
    paths, core = _path_lengths(energy, np.asarray(edges, dtype=float), tables)
    bare = solve_in_water(energy, paths, energy_std=energy_std, tables=tables)
    primaries = solve_in_water(
        energy,
        paths,
        energy_std=energy_std,
        tables=tables,
        absorption=rates.total,
        absorption_energies=rates.energies,
    )
    cascade = _Cascade(paths, bare, tables, rates)
    oxygen, scattered = cascade.oxygen(primaries)
    events = cascade.share(primaries.absorbed, "nonelastic") + scattered * cascade.nonelastic
    hits = cascade.share(primaries.absorbed, "hydrogen") + scattered * cascade.hydrogen_rate
    nonelastic = cascade.nonelastic_protons(events, angles)
    none = np.zeros(events.size)
    recoil = cascade.share(primaries.absorbed, "oxygen") * cascade.recoil()
    return DepthDose(
        edges=readonly(edges),
        primary=Component(
            *(primaries.deposit, none, none, cascade.let_of(primaries)),
            np.eye(1, len(RADII)).repeat(none.size, axis=0),
        ),
        oxygen=oxygen,
        hydrogen=cascade.hydrogen_protons(hits),
        nonelastic=nonelastic,
        local=readonly(events * cascade.mean * LOCAL_SHARE + recoil),
        evaporated=readonly(events * cascade.mean * EVAPORATED_SHARE),
        core_variance=core,
    )


def two_gaussians(result: DepthDose) -> tuple[Array, Array]:
    r"""Variances, mm2, and weights of core and halo on the intervals, (2, n) each.

    The core has the variance of multiple scattering. Nuclear events add to the dose second and
    fourth moments :math:`M_2 = \overline{\rho^2}/2`, :math:`M_4 = \overline{\rho^4}/8`; a
    Gaussian of weight :math:`M_2^2/M_4` that adds the variance :math:`M_4/M_2` has both. Its weight
    is lowered by 0.7 + 0.3 (z/R)^2, fitted to lateral profiles of MCsquare at 150 and 230 MeV.
    """
    core = 0.5 * (result.core_variance[1:] + result.core_variance[:-1])
    total = result.deposit
    second = np.sum([c.deposit * c.variance for c in result.secondaries], axis=0)
    fourth = np.sum([c.deposit * c.fourth for c in result.secondaries], axis=0)
    known = (total > 1e-6 * total.max()) & (second > 0) & (fourth > 0)
    last = int(np.flatnonzero(known)[-1])
    second, fourth, total = (np.where(known, v, v[last]) for v in (second, fourth, total))
    middle = 0.5 * (result.edges[1:] + result.edges[:-1])
    depth = np.minimum(middle / middle[int(result.dose.argmax())], 1.0)
    weight = second**2 / (fourth * total) * (0.7 + 0.3 * depth**2)
    weight[0], added = 0.0, fourth / second
    added[0] = 0.0
    weight = np.clip(weight, 0.0, 0.9)
    return np.stack([core, core + added]), np.stack([1.0 - weight, weight])


def _path_lengths(energy: float, edges: Array, tables: WaterTables) -> tuple[Array, Array]:
    """Path length of the beam at each depth, mm, and its lateral variance there, mm2."""
    full = float(tables.range(energy))
    paths = full * np.linspace(0.0, 1.0, 4001) ** 0.5  # dense where protons slow down
    middle = 0.5 * (paths[1:] + paths[:-1])
    left = np.maximum(tables.energy(full - middle), 0.1)
    power = mass_scattering_power(left, initial_energy=energy) * CM_PER_MM
    angular = np.concatenate([[0.0], np.cumsum(power * np.diff(paths))])
    lag = 0.5 * (angular[1:] + angular[:-1])
    # Whoever goes on near and behind the mean range is as steep as the beam was a little before.
    lag = np.minimum(lag, np.interp(_STEEPENS_TO * full, middle, lag))
    depths = np.concatenate([[0.0], np.cumsum((1.0 - lag) * np.diff(paths))])
    variance = spread(depths, power).variance
    beyond = np.maximum(edges - depths[-1], 0.0) / (1.0 - lag[-1])
    return np.interp(edges, depths, paths) + beyond, np.interp(edges, depths, variance)


class _Cascade:
    """Secondary protons of a beam, from its spectra on a grid of path lengths."""

    def __init__(self, edges: Array, bare: Spectra, tables: WaterTables, rates: WaterRates) -> None:
        self.edges, self.tables = edges, tables
        self.steps = np.diff(edges)
        self.middle = 0.5 * (edges[1:] + edges[:-1])
        self.carried = bare.energy
        self.mean = 0.5 * (self.carried[1:] + self.carried[:-1])
        self.stopping = np.maximum(bare.deposit / self.steps, 0.0)
        self.let = self.let_of(bare)
        self.residual = tables.range(np.maximum(self.mean, 0.05))
        moving = self.mean > _STOPPED
        channels = (rates.nonelastic, rates.hydrogen, rates.oxygen)
        per_mm = [np.where(moving, np.interp(self.mean, rates.energies, c), 0.0) for c in channels]
        self.nonelastic, self.hydrogen_rate = (rate * self.steps for rate in per_mm[:2])
        total = np.maximum(sum(per_mm), 1e-30)
        names = ("nonelastic", "hydrogen", "oxygen")
        self.shares = {n: r / total for n, r in zip(names, per_mm, strict=True)}
        self.depth_of_survival = np.append(0.0, np.cumsum(self.nonelastic))
        self.loss = self.nonelastic + self.hydrogen_rate

    def share(self, absorbed: Array, channel: str) -> Array:
        """Of the ``absorbed`` protons in each interval, those that went by ``channel``."""
        return np.asarray(absorbed * self.shares[channel])

    def let_of(self, spectra: Spectra) -> Array:
        """Dose-averaged LET of ``spectra`` at mid-interval, keV/µm."""
        moving = spectra.energies > 0
        stopping = np.where(
            moving, self.tables.stopping(np.where(moving, spectra.energies, 1.0)), 0.0
        )
        dose = (spectra.fluence * stopping).sum(axis=1)
        let = (spectra.fluence * stopping**2).sum(axis=1) / np.where(dose > 1e-9, dose, 1.0)
        return np.asarray(0.5 * (let[1:] + let[:-1]))  # MeV/mm is keV/µm

    def recoil(self) -> Array:
        """Mean energy of the oxygen recoil in each interval, MeV."""
        return np.asarray(self.mean - _elastic_energies(self.mean).mean(axis=1))

    def oxygen(self, primaries: Spectra) -> tuple[Component, Array]:
        """Dose of protons scattered on oxygen, and their number in each interval."""
        source = self.share(primaries.absorbed, "oxygen")
        energies = _elastic_energies(self.mean)
        lost = np.maximum(self.mean[:, None] - energies, 0.0)
        momentum2 = np.maximum(self.mean * (self.mean + 2.0 * PROTON_MASS), 1e-9)
        cosines = np.clip(1.0 - lost * OXYGEN_MASS / momentum2[:, None], 0.05, 1.0)
        weights = np.full(energies.shape, 1.0 / _N_ELASTIC)
        survival = np.exp(-np.append(0.0, np.cumsum(self.loss)))
        at_source = np.sqrt(survival[1:] * survival[:-1])
        number = np.append(0.0, np.cumsum(source / at_source)) * survival
        component = self._follow(source, energies, cosines, weights, survival, self.loss)
        return component, np.asarray(0.5 * (number[1:] + number[:-1]))

    def hydrogen_protons(self, source: Array) -> Component:
        """Dose of the two protons that leave each elastic event on hydrogen."""
        shares = (np.arange(_N_SHARES) + 0.5) / _N_SHARES
        energies = self.mean[:, None] * shares
        weights = np.full(energies.shape, 2.0 / _N_SHARES)
        return self._follow(source, energies, np.sqrt(shares) + 0.0 * energies, weights)

    def nonelastic_protons(self, source: Array, angles: Angles) -> Component:
        """Dose of the protons that leave nonelastic events."""
        count = _N_SHARES if angles == "cone" else _N_SHARES // 2
        shares = (np.arange(count) + 0.5) / count
        available = np.maximum(self.mean - BINDING, 0.02)
        # Few protons come out of events that hardly pay for their binding.
        opening = np.clip(self.mean / BINDING - 1.0, 0.0, 1.0)
        share = PROTON_SHARE * (opening * self.mean / available)[:, None]
        cosines, parts = (shares**FORWARD_POWER)[:, None], np.ones((count, 1))
        if angles == "spread":
            cosines, parts = _spread_cosines(cosines[:, 0])
        weights = share / shares.sum() * parts.ravel()
        energies = available[:, None] * np.repeat(shares, parts.shape[1])
        return self._follow(source, energies, cosines.ravel() + 0.0 * energies, weights)

    def _follow(
        self,
        source: Array,
        energies: Array,
        cosines: Array,
        weights: Array,
        survival: Array | None = None,
        loss: Array | None = None,
    ) -> Component:
        """Dose of classes (n, m) emitted with ``source`` (n,) events in each interval.

        With ``survival`` (n + 1,) the classes are attenuated by depth and lose, with their share of
        ``loss`` (n,), all energy to other channels; without it, by their own residual range.
        """
        n = self.middle.size
        carried, spent = np.zeros(n + 1), np.zeros(n)
        moments = np.zeros((4, n))  # dose; times variance, fourth moment, LET
        rings = np.zeros((n, len(RADII)))
        shift = self.residual[:, None] - self.tables.range(np.maximum(energies, 1e-3))
        for i in np.flatnonzero(source > 1e-9).tolist():
            weight = source[i] * weights[i]
            path = (self.edges[i + 1 :, None] - self.middle[i]) / cosines[i]
            place = path + self.middle[i] + shift[i]
            held = weight * np.interp(place, self.edges, self.carried, right=0.0)
            if survival is not None:
                kept = (survival[i + 1 :] / np.sqrt(survival[i] * survival[i + 1]))[:, None]
            else:
                start = np.interp(self.middle[i] + shift[i], self.edges, self.depth_of_survival)
                kept = np.exp(np.minimum(start - self._thickness(place), 0.0))
                lost = np.interp(place[:-1], self.middle, self.nonelastic / self.steps)
                lost = lost * self.steps[i + 1 :, None]
                spent[i + 1 :] += _NEUTRAL_SHARE * (held[:-1] * kept[:-1] * lost).sum(axis=1)
            held = held * kept
            carried[i + 1 :] += held.sum(axis=1)
            self._add_moments(moments, rings, i, weight * kept[:-1], cosines[i], shift[i])
        if loss is not None:
            spent = 0.5 * (carried[1:] + carried[:-1]) * loss
        deposit = -np.diff(carried) + source * (weights * energies).sum(axis=1) - spent
        dose = np.where(moments[0] > 0, moments[0], 1.0)
        variance, fourth, let = moments[1:] / dose
        return Component(deposit, variance, fourth, let, rings / dose[:, None])

    def _thickness(self, place: Array) -> Array:
        return np.asarray(np.interp(place, self.edges, self.depth_of_survival))

    def _add_moments(
        self, moments: Array, rings: Array, i: int, weight: Array, cosines: Array, shift: Array
    ) -> None:
        """Add dose, lateral variance and LET, and rings, of the classes born in interval ``i``."""
        path = (self.middle[i + 1 :, None] - self.middle[i]) / cosines
        place = path + self.middle[i] + shift
        dose = weight * np.interp(place, self.middle, self.stopping, right=0.0) / cosines
        moments[0, i + 1 :] += dose.sum(axis=1)
        radius2 = path**2 * (1.0 - cosines**2)
        moments[1, i + 1 :] += (dose * radius2).sum(axis=1) / 2.0
        moments[2, i + 1 :] += (dose * radius2**2).sum(axis=1) / 8.0
        ring = np.searchsorted(RADII, np.sqrt(radius2), side="right") - 1
        cell = ring + len(RADII) * np.arange(len(dose))[:, None]
        added = np.bincount(cell.ravel(), dose.ravel(), minlength=rings[i + 1 :].size)
        rings[i + 1 :] += added.reshape(-1, len(RADII))
        moments[3, i + 1 :] += (dose * np.interp(place, self.middle, self.let)).sum(axis=1)


def _spread_cosines(mean: Array) -> tuple[Array, Array]:
    r"""Cosines and weights (n, classes) about the mean ones (n,), which they keep.

    A share of the protons has :math:`p(c) \propto e^{ac}` with a fixed a, the others with the a
    that keeps the mean. Protons that would go backwards, or nearly across, leave their energy to
    the fragments.
    """
    wide = min(_mean_cosine(_WIDE_SLOPE), 0.98 * float(mean.min()))
    narrow = np.minimum((mean - _WIDE_SHARE * wide) / (1.0 - _WIDE_SHARE), 0.9995)
    slopes = [brentq(lambda a, m=m: _mean_cosine(a) - m, 1e-3, 1e5) for m in narrow]
    n, k = mean.size, _N_ANGLES // 2
    quantiles = (np.arange(_N_ANGLES) + 0.5) / _N_ANGLES
    broad = np.repeat(_cosine_at(quantiles, _WIDE_SLOPE)[None], n, axis=0)
    forward = np.stack([_cosine_at((np.arange(k) + 0.5) / k, a) for a in slopes])
    cosines = np.concatenate([broad, forward], axis=1)
    weights = np.repeat([_WIDE_SHARE / _N_ANGLES, (1.0 - _WIDE_SHARE) / k], (_N_ANGLES, k))
    return np.maximum(cosines, _FLATTEST), np.where(cosines > _FLATTEST, weights, 0.0)


def _mean_cosine(slope: float) -> float:
    return float(1.0 / np.tanh(slope) - 1.0 / slope)


def _cosine_at(quantile: Array, slope: float) -> Array:
    """Cosine below which a share of the protons lies."""
    return np.asarray(1.0 + np.log(quantile + (1.0 - quantile) * np.exp(-2.0 * slope)) / slope)


def _elastic_energies(mean: Array) -> Array:
    """Energies (n, classes) after elastic scattering on oxygen, equally likely."""
    quantiles = (np.arange(_N_ELASTIC) + 0.5) / _N_ELASTIC
    transfers = -np.log(1.0 - quantiles) / ELASTIC_SLOPE * 1e6  # MeV2
    return np.asarray(np.maximum(mean[:, None] - transfers / (2.0 * OXYGEN_MASS), 0.01))
