r"""Spectra of beamlets in heterogeneous media, on a range coordinate that moves with the beam.

With the residual range in water :math:`r = R_w(E)`, :math:`\psi = \varphi S_w`,
:math:`\Theta = T / S_w^2` and :math:`\kappa = S / S_w` the Fokker-Planck equation is

.. math:: \frac{\partial\psi}{\partial z} = \frac{\partial}{\partial r}\left[
          (\kappa + \tfrac12 \Theta' + \tfrac12 \Theta (\ln S_w)')\,\psi
          + \tfrac12 \Theta \psi' \right] - \Sigma_a \psi

On :math:`r' = r + w(z)`, :math:`dw/dz = \rho \kappa_m(\bar E)`, the beam hardly moves, and slow
diffusion and what :math:`\kappa` differs from that of the mean energy remain: Legendre P0 to P2 in
24 groups, interior penalty and upwind fluxes, SDIRK3 in depth. Everything that depends on the
residual range of a group alone is tabulated once per beam quality, at 1/32 of a group; all groups
then share one interpolation. Implicit steps are 0.4 groups near the end of range and longer
far from it; between them the energy of a proton is a cubic whose slopes are the stopping powers.

Source: [Burlacu2024]_ for the equation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.engines.yoda._march_arrays import Families, Layers, Media, Record
from dosegrad.engines.yoda.materials import MaterialTables
from dosegrad.engines.yoda.range_frame import WaterTables
from dosegrad.errors import EnergyError
from dosegrad.physics.scattering import ScatteringModel, mass_scattering_power
from dosegrad.physics.stopping import HIGHEST_ENERGY, WATER_I_VALUE
from dosegrad.units import MM_PER_CM

__all__ = ["PreparedMarch", "RangeMarch", "empty_record"]

_HALF_WIDTH: Final = 6.0  # of the window, in standard deviations of the final range spread
_GROUP: Final = 0.4  # width of a group in the same
_PARTS: Final = 32  # rows of the tables per group
_SLOWEST: Final = 1.0  # MeV, below which scattering is not averaged
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


@dataclass(frozen=True, slots=True)
class RangeMarch:
    """Settings of the range-frame march.

    Parameters
    ----------
    groups_per_step
        Longest implicit step near the end of range, in widths of a group.
    range_per_step
        Longest implicit step far from it, as a share of the residual range.
    longest
        Of all implicit steps, mm of water.
    """

    groups_per_step: float = 0.4
    range_per_step: float = 0.1
    longest: float = 10.0

    def prepare(
        self,
        energies: Sequence[float],
        energy_stds: Sequence[float],
        *,
        scattering: ScatteringModel = "differential-moliere",
        water_i_value: float = WATER_I_VALUE,
    ) -> PreparedMarch:
        """Tables of some beam qualities: mean energies and their standard deviations, MeV.

        Raises
        ------
        EnergyError
            If an energy, with eight standard deviations, leaves the tables.
        """
        made = [
            _family(float(e), float(s), scattering, float(water_i_value))
            for e, s in zip(energies, energy_stds, strict=True)
        ]
        first = np.concatenate([[0], np.cumsum([len(m.rows) for m in made])]).astype(np.int64)
        families = Families(
            full=np.array([m.full for m in made]),
            low=np.array([m.low for m in made]),
            width=np.array([m.width for m in made]),
            first=first,
            parts=_PARTS,
            operator=np.concatenate([m.operator for m in made]),
            rows=np.concatenate([m.rows for m in made]),
            initial=np.stack([m.initial for m in made]),
        )
        return PreparedMarch(self, families)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedMarch:
    """Tables of some beam qualities, ready to march."""

    settings: RangeMarch
    families: Families

    def solve(self, layers: Layers, tables: MaterialTables) -> Record:
        """Transport of all paths of ``layers``, whose materials are those of ``tables``."""
        from dosegrad.engines.yoda._range_march_kernels import march

        record = empty_record(layers)
        media = Media(tables.values, tables.straggling, tables.step)
        settings = self.settings
        longest = (settings.groups_per_step, settings.range_per_step, settings.longest)
        march(self.families, media, layers, longest, record)
        return record


def empty_record(layers: Layers) -> Record:
    """Zeros for what a march through ``layers`` leaves."""
    shape = (layers.family.size, layers.n_steps)
    edges = (shape[0], shape[1] + 1)
    lost, absorbed, scattered, let = np.zeros((4, *shape))
    return Record(lost, absorbed, scattered, let, np.zeros(edges), np.zeros(edges))


@dataclass(frozen=True, slots=True, eq=False)
class _Family:
    """One beam quality; see :class:`Families`."""

    full: float
    low: float
    width: float
    operator: Array = field(repr=False)
    rows: Array = field(repr=False)
    initial: Array = field(repr=False)


@lru_cache(maxsize=4)
def _water(water_i_value: float) -> WaterTables:
    return WaterTables(water_i_value)


@lru_cache(maxsize=512)
def _family(
    energy: float, energy_std: float, scattering: ScatteringModel, water_i_value: float
) -> _Family:
    """Tables of one beam quality."""
    water = _water(water_i_value)
    if not (energy_std >= 0 and energy - 6 * energy_std > 0 and energy < HIGHEST_ENERGY - 20):
        raise EnergyError(
            f"a beam of {energy:g} MeV with standard deviation {energy_std:g} MeV does not fit "
            f"into the tables, 0 to {HIGHEST_ENERGY - 20:g} MeV with six standard deviations "
            "below; give an energy and a spread within."
        )
    full = float(water.range(energy))
    slope = 1.0 / float(water.stopping(np.array(energy)))
    straggle = 0.12 * (full / MM_PER_CM) ** 0.935
    n = int(np.ceil(2.0 * _HALF_WIDTH / _GROUP))
    half = _HALF_WIDTH * float(np.hypot(energy_std * slope, straggle))
    low, width = full - half, 2.0 * half / n
    edges = width * (np.arange(int((low / width + n + 2) * _PARTS) + 2) / _PARTS - 1.0)
    return _Family(
        full=full,
        low=low,
        width=width,
        operator=_operator_rows(water, edges, width),
        rows=_functional_rows(water, edges, width, energy, scattering),
        initial=_initial(water, energy, energy_std, low, width, n),
    )


def _quadrature(edges: Array, width: float, start: float) -> tuple[Array, Array, Array]:
    """Residual ranges, places in the group (-1 to 1) and weights (rows, nodes), from ``start``.

    The nodes crowd towards the lower end, where what is integrated may have a weak singularity.
    """
    unit = 0.5 * (_NODES + 1.0)
    begin = np.clip(start, edges, edges + width)[:, None]
    span = edges[:, None] + width - begin
    residual = begin + span * unit**2
    return residual, 2.0 * (residual - edges[:, None]) / width - 1.0, span * unit * _WEIGHTS


def _operator_rows(water: WaterTables, edges: Array, width: float) -> Array:
    """Rows of ``Families.operator`` for groups whose lower edges are ``edges``."""
    residual, x, weights = _quadrature(edges, width, 0.0)
    drift, diffusion = water.drift(residual) * weights, water.diffusion(residual) * weights
    basis = np.stack([np.ones_like(x), x, 1.5 * x**2 - 0.5])
    slopes = (2.0 / width) * np.stack([np.ones_like(x), 3.0 * x])
    by_drift = np.einsum("rq,irq,jrq->rij", drift, slopes, basis).reshape(-1, 6)
    by_diffusion = np.einsum("rq,irq,jrq->rij", diffusion, slopes, slopes).reshape(-1, 4)
    at_edge = np.stack([water.drift(edges), water.diffusion(edges)], axis=1)
    return np.concatenate([by_drift, by_diffusion[:, [0, 1, 3]], at_edge], axis=1)


def _functional_rows(
    water: WaterTables, edges: Array, width: float, energy: float, scattering: ScatteringModel
) -> Array:
    """Rows of ``Families.rows``."""
    residual, x, weights = _quadrature(edges, width, 0.0)
    energies = np.maximum(water.energy(residual), 1e-3)
    moving = [energies, water.stopping(energies), np.ones_like(x)]
    parts = [_moments(values * weights, x) for values in moving]
    squared = _moments(moving[1] ** 2 * weights, x)
    residual, x, weights = _quadrature(edges, width, float(water.range(_SLOWEST)))
    energies = np.maximum(water.energy(residual), _SLOWEST)
    first = np.maximum(energies, energy)
    power = mass_scattering_power(energies, initial_energy=first, model=scattering)
    parts += [_moments(power * weights, x), _moments(weights, x), squared]
    return np.concatenate(parts, axis=1)


def _moments(values: Array, x: Array) -> Array:
    """Integrals (rows, 3) of ``values`` times P0, P1, P2."""
    return np.stack([(values * p).sum(axis=1) for p in (1.0, x, 1.5 * x**2 - 0.5)], axis=1)


def _initial(
    water: WaterTables, energy: float, energy_std: float, low: float, width: float, n: int
) -> Array:
    """Projection (groups, 3) of the Gaussian in energy; keeps its moments in range to the 2nd."""
    nodes, weights = np.array([0.0]), np.array([1.0])
    if energy_std > 0:
        nodes = np.linspace(-6.0, 6.0, 4001)
        weights = np.exp(-0.5 * nodes**2)
    places = water.range(np.maximum(energy + energy_std * nodes, 1e-3))
    group = np.floor((places - low) / width).astype(int)
    inside = (group >= 0) & (group < n)
    group, weights = group[inside], weights[inside] / weights[inside].sum()
    x = 2.0 * (places[inside] - low - width * group) / width - 1.0
    state = np.zeros((n, 3))
    for j, values in enumerate((np.ones_like(x), x, 1.5 * x**2 - 0.5)):
        np.add.at(state[:, j], group, weights * values)
    return np.asarray(state * (2.0 * np.arange(3) + 1.0) / width)
