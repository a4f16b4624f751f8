r"""Energy spectrum of a proton beam in water, on a range coordinate that moves with the beam.

The one-dimensional Fokker-Planck equation [Burlacu2024]_ for the spectrum, written in the residual
range :math:`r = R_w(E)` with :math:`\psi = \varphi S`, :math:`\Theta = T / S^2`:

.. math:: \frac{\partial\psi}{\partial z} = \frac{\partial}{\partial r}\left[
          (1 + \tfrac12 \Theta' + \tfrac12 \Theta (\ln S)')\,\psi + \tfrac12 \Theta \psi' \right]
          - \Sigma_a \psi

On :math:`r' = r + z` the unit advection drops out, and what is left is slow diffusion, so few
groups suffice: Legendre P0 to P2 in groups of :math:`0.75 \sqrt{(\sigma_E/S)^2 +
(0.012 R^{0.935})^2}` (cm), upwind advection, symmetric interior penalty diffusion (eta = 6), and
three-stage stiffly accurate SDIRK in depth with the operator at mid-step. Stopped protons
(r <= 0) keep their place with all coefficients zero. No flux crosses the ends of the window, so
particles are conserved to round-off; the energy handed to the medium is the drop of
:math:`\int E \psi\,dr`, so energy is too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.linalg import lu_factor, lu_solve

from dosegrad.arrays import Array, readonly
from dosegrad.errors import SettingsError
from dosegrad.physics.stopping import (
    WATER_I_VALUE,
    energy_of_range,
    mass_stopping_power,
    range_in_water,
)
from dosegrad.physics.straggling import mass_straggling
from dosegrad.units import MM_PER_CM

__all__ = ["Spectra", "WaterTables", "solve_in_water"]

_HALF_WIDTH: Final = 8.0  # of the window, in standard deviations of the final range spread
_GROUP: Final = 0.75  # width of a group in the same
_PENALTY: Final = 6.0
_GAMMA: Final = 0.43586652150845899942
_STAGES: Final = (_GAMMA, 0.5 * (1.0 + _GAMMA), 1.0)
_A21: Final = 0.5 * (1.0 - _GAMMA)
_B: Final = (
    -(6.0 * _GAMMA**2 - 16.0 * _GAMMA + 1.0) / 4.0,
    (6.0 * _GAMMA**2 - 20.0 * _GAMMA + 5.0) / 4.0,
    _GAMMA,
)


class WaterTables:
    """Coefficients of the equation in water against residual range, mm.

    Parameters
    ----------
    water_i_value
        Mean excitation energy of water, eV.
    """

    __slots__ = ("_diffusion", "_drift", "water_i_value")

    def __init__(self, water_i_value: float = WATER_I_VALUE) -> None:
        self.water_i_value = water_i_value
        energies = np.geomspace(1e-3, 290.0, 3000)
        ranges = range_in_water(energies, water_i_value=water_i_value)
        stopping = self.stopping(energies)
        # Variance of range per depth, mm; d/dr follows from cubic splines in ln r.
        spread = mass_straggling(energies) / MM_PER_CM / stopping**2
        logs = np.log(ranges)
        theta = CubicSpline(logs, np.log(spread))
        slope = theta(logs, 1) + CubicSpline(logs, np.log(stopping))(logs, 1)
        self._diffusion = CubicSpline(logs, 0.5 * spread)
        self._drift = CubicSpline(logs, 0.5 * spread * slope / ranges)

    def stopping(self, energy: Array) -> Array:
        """Stopping power of water, MeV/mm."""
        power = mass_stopping_power(energy, water_i_value=self.water_i_value)
        return np.asarray(power / MM_PER_CM)

    def range(self, energy: Array | float) -> Array:
        """Range in water, mm."""
        return range_in_water(energy, water_i_value=self.water_i_value)

    def energy(self, residual: Array | float) -> Array:
        """Energy, MeV, with the residual range ``residual`` mm; 0 where that is not positive."""
        return energy_of_range(residual, water_i_value=self.water_i_value)

    def diffusion(self, residual: Array) -> Array:
        """Theta/2, mm, at the residual ranges; 0 where they are not positive."""
        return self._where_moving(self._diffusion, residual)

    def drift(self, residual: Array) -> Array:
        """Theta'/2 + Theta (ln S)'/2, a pure number, at the residual ranges."""
        return self._where_moving(self._drift, residual)

    @staticmethod
    def _where_moving(table: CubicSpline, residual: Array) -> Array:
        moving = residual > 2e-4
        values = table(np.log(np.where(moving, residual, 1.0)))
        return np.asarray(np.where(moving, values, 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Spectra:
    """Spectra of the primaries at each edge of the depth grid, as sums over quadrature points.

    Parameters
    ----------
    edges
        Depths, mm, ascending, shape (n + 1,).
    energies
        Quadrature energies at each edge (n + 1, points), MeV; 0 for stopped protons.
    fluence
        Protons per primary that each point stands for, same shape.
    absorbed
        Protons per primary that nuclei absorbed in each interval, shape (n,).
    absorbed_energy
        Energy that these had on absorption, MeV per primary, shape (n,).
    """

    edges: Array
    energies: Array
    fluence: Array
    absorbed: Array
    absorbed_energy: Array

    def __post_init__(self) -> None:
        for name in ("edges", "energies", "fluence", "absorbed", "absorbed_energy"):
            object.__setattr__(self, name, readonly(getattr(self, name)))

    @property
    def energy(self) -> Array:
        """Energy that the primaries carry past each edge, MeV per primary, shape (n + 1,)."""
        return np.asarray((self.energies * self.fluence).sum(axis=1))

    @property
    def deposit(self) -> Array:
        """Energy that primaries lose to electrons in each interval, MeV per primary, (n,)."""
        return np.asarray(-np.diff(self.energy) - self.absorbed_energy)


def solve_in_water(
    energy: float,
    edges: Array,
    *,
    energy_std: float = 0.0,
    absorption: Array | None = None,
    absorption_energies: Array | None = None,
    tables: WaterTables | None = None,
) -> Spectra:
    """Spectra of a beam in water at the depths ``edges``, one step per interval.

    Parameters
    ----------
    energy
        Mean energy at the surface, MeV.
    edges
        Depths, mm, ascending from 0; steps of 1 mm, or a third of the final range spread near the
        end of range, keep the error below 0.2 % of the peak.
    energy_std
        Standard deviation of the energy at the surface, MeV; 0 for a mono-energetic beam.
    absorption, absorption_energies
        Probability of nuclear absorption per depth, 1/mm, against energy in MeV, both (m,);
        ``None`` for electromagnetic interactions alone.
    tables
        Of water; made anew where they are not given.

    Raises
    ------
    SettingsError
        If the depths do not ascend from 0 or the spread is negative.
    """
    depths = np.asarray(edges, dtype=float)
    if depths.size < 2 or depths[0] != 0.0 or (np.diff(depths) <= 0).any() or energy_std < 0:
        raise SettingsError(
            f"depths must ascend from 0 and the energy spread be >= 0, not "
            f"{depths[:3]}... and {energy_std}; give edges in mm."
        )
    if absorption is None or absorption_energies is None:
        absorption, absorption_energies = np.zeros(2), np.array([0.0, 300.0])
    march = _March(energy, energy_std, tables or WaterTables(), absorption_energies, absorption)
    return march.run(depths)


class _March:
    """Window, basis and state of one solve."""

    def __init__(
        self,
        energy: float,
        energy_std: float,
        tables: WaterTables,
        absorption_energies: Array,
        absorption: Array,
    ) -> None:
        self.tables = tables
        self.absorption = (absorption_energies, absorption)
        full = float(tables.range(energy))
        slope = 1.0 / float(tables.stopping(np.array(energy)))
        straggle = 0.12 * (full / MM_PER_CM) ** 0.935
        width = float(np.hypot(energy_std * slope, straggle))
        self.n = int(np.ceil(2.0 * _HALF_WIDTH / _GROUP))
        self.h = 2.0 * _HALF_WIDTH * width / self.n
        self.low = full - _HALF_WIDTH * width + self.h * np.arange(self.n)
        self.nodes, self.node_weights = np.polynomial.legendre.leggauss(6)
        self.basis = _legendre(self.nodes)
        self.slopes = _legendre_slopes(self.nodes) * (2.0 / self.h)
        self.mass = np.tile(self.h / (2.0 * np.arange(3) + 1.0), self.n)
        half_nodes, half_weights = np.polynomial.legendre.leggauss(12)
        self.unit_nodes, self.unit_weights = 0.5 * (half_nodes + 1.0), 0.5 * half_weights
        self.state = self._initial(energy, energy_std)

    def run(self, depths: Array) -> Spectra:
        """March over ``depths`` and keep the spectrum at each."""
        points = [self._points(depths[0], self.state)]
        absorbed = np.zeros((depths.size - 1, 2))
        for k in range(depths.size - 1):
            absorbed[k] = self._step(depths[k], depths[k + 1])
            points.append(self._points(depths[k + 1], self.state))
        energies, fluence = (np.array(values) for values in zip(*points, strict=True))
        return Spectra(depths, energies, fluence, absorbed[:, 0], absorbed[:, 1])

    def _initial(self, energy: float, energy_std: float) -> Array:
        """Projection of the Gaussian in energy, which keeps its moments in range up to the 2nd."""
        nodes, weights = np.array([0.0]), np.array([1.0])
        if energy_std > 0:
            nodes = np.linspace(-6.0, 6.0, 4001)
            weights = np.exp(-0.5 * nodes**2)
        places = self.tables.range(energy + energy_std * nodes)
        group = np.floor((places - self.low[0]) / self.h).astype(int)
        inside = (group >= 0) & (group < self.n)
        group, weights = group[inside], weights[inside] / weights[inside].sum()
        local = 2.0 * (places[inside] - self.low[group]) / self.h - 1.0
        state = np.zeros((self.n, 3))
        for j, values in enumerate(_legendre(local)):
            np.add.at(state[:, j], group, weights * values)
        return np.asarray(state.ravel() / self.mass)

    def _step(self, start: float, stop: float) -> tuple[float, float]:
        """Advance the state by one interval; absorbed protons and the energy they had."""
        step = stop - start
        operator = self._operator(0.5 * (start + stop)) / self.mass[:, None]
        factors = lu_factor(np.eye(self.state.size) - _GAMMA * step * operator)
        first = lu_solve(factors, self.state)
        k1 = (first - self.state) / (_GAMMA * step)
        second_base = self.state + step * _A21 * k1
        second = lu_solve(factors, second_base)
        k2 = (second - second_base) / (_GAMMA * step)
        third = lu_solve(factors, self.state + step * (_B[0] * k1 + _B[1] * k2))
        number, lost = 0.0, 0.0
        if self.absorption[1].any():
            stages = zip(_B, _STAGES, (first, second, third), strict=True)
            for weight, place, state in stages:
                energies, fluence = self._points(start + place * step, state)
                rate = np.interp(energies, *self.absorption) * fluence
                lost += weight * step * float((rate * energies).sum())
            number = float(self.mass[::3] @ (self.state - third)[::3])
        self.state = third
        return number, lost

    def _points(self, depth: float, state: Array) -> tuple[Array, Array]:
        """Quadrature over the spectrum at ``depth``: energies and the protons each stands for.

        The points lie in energy rather than range, where the integrands of stopping power are
        smooth down to the end; one further point at energy 0 holds what has stopped.
        """
        edges = np.append(self.low, self.low[-1] + self.h) - depth
        bounds = self.tables.energy(np.maximum(edges, 0.0))
        low, high = bounds[:-1, None], bounds[1:, None]
        spans = (high - low) * np.ones_like(self.unit_nodes)
        energies = low + spans * self.unit_nodes**2
        moving = energies > 0
        safe = np.where(moving, energies, 1.0)
        local = 2.0 * (self.tables.range(safe) - edges[:-1, None]) / self.h - 1.0
        density = np.einsum("jgq,gj->gq", _legendre(local), state.reshape(-1, 3))
        measure = spans * 2.0 * self.unit_nodes * self.unit_weights / self.tables.stopping(safe)
        fluence = np.where(moving, density * measure, 0.0)
        total = float(self.mass[::3] @ state[::3])
        stopped = total - fluence.sum()
        return np.append(energies.ravel(), 0.0), np.append(fluence.ravel(), stopped)

    def _operator(self, depth: float) -> Array:
        """Weak form of the right-hand side at ``depth``, before the mass matrix, (3n, 3n)."""
        middle = self.low[:, None] + 0.5 * self.h * (1.0 + self.nodes) - depth
        measure = 0.5 * self.h * self.node_weights
        drift, diffusion = self.tables.drift(middle), self.tables.diffusion(middle)
        rate = np.interp(self.tables.energy(middle), *self.absorption)
        weak = -np.einsum("gq,iq,jq->gij", drift * measure, self.slopes, self.basis)
        weak -= np.einsum("gq,iq,jq->gij", diffusion * measure, self.slopes, self.slopes)
        weak -= np.einsum("gq,iq,jq->gij", rate * measure, self.basis, self.basis)
        blocks = np.zeros((self.n, 3, self.n, 3))
        here = np.arange(self.n)
        blocks[here, :, here, :] = weak
        self._add_faces(blocks, np.asarray(self.low[1:] - depth, dtype=np.float64))
        return blocks.reshape(3 * self.n, 3 * self.n)

    def _add_faces(self, blocks: Array, faces: Array) -> None:
        """Upwind advection and interior penalty between neighbouring groups, in place."""
        drift, diffusion = self.tables.drift(faces), self.tables.diffusion(faces)
        ones = np.array([-1.0, 1.0])
        (left_lower, right_lower) = _legendre(ones).T  # at the lower and upper end of a group
        slope_low, slope_high = (_legendre_slopes(ones) * (2.0 / self.h)).T
        values = (right_lower, left_lower)  # of the group below the face, and of that above
        slopes = (slope_high, slope_low)
        signs = (1.0, -1.0)  # jump: below minus above
        lower = np.arange(self.n - 1)
        # dpsi/dz = dF/dr moves protons down where the drift is positive: upwind is above.
        upwind = (np.minimum(drift, 0.0), np.maximum(drift, 0.0))
        for a in range(2):
            for b in range(2):
                face = upwind[b][:, None, None] * signs[a] * np.outer(values[a], values[b])
                penalty = (
                    0.5 * signs[a] * np.outer(values[a], slopes[b])
                    + 0.5 * signs[b] * np.outer(slopes[a], values[b])
                    - _PENALTY / self.h * signs[a] * signs[b] * np.outer(values[a], values[b])
                )
                blocks[lower + a, :, lower + b, :] += face + diffusion[:, None, None] * penalty


def _legendre(x: Array) -> Array:
    """P0, P1, P2 at ``x``, stacked in front of its shape."""
    return np.stack([np.ones_like(x), x, 1.5 * x**2 - 0.5])


def _legendre_slopes(x: Array) -> Array:
    """Derivatives of P0, P1, P2 by ``x``."""
    return np.stack([np.zeros_like(x), np.ones_like(x), 3.0 * x])
