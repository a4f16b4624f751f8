r"""Discontinuous Galerkin operators of the energy grid, one per material.

The Fokker-Planck equation per mass depth, in conservative form with :math:`s^* = S + T'/2` and
:math:`D = T/2`:

.. math:: \frac{\partial\varphi}{\partial z} = \frac{\partial}{\partial E}(s^* \varphi)
          + \frac{\partial}{\partial E}\left(D \frac{\partial\varphi}{\partial E}\right)
          - \Sigma_a \varphi

in Legendre P0 to P2 on equal groups of width h, six Gauss points. Advection is upwind, from the
higher energy, with nothing entering at the top and free outflow at the bottom; diffusion is the
symmetric interior penalty method [Arnold1982]_ with penalty :math:`\eta D/h`, without terms at the
two ends of the grid. Source: [Burlacu2024]_, with the half that its equation 14 lacks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dosegrad.arrays import Array
from dosegrad.physics.absorption import mass_absorption
from dosegrad.physics.materials import Material
from dosegrad.physics.scattering import ScatteringModel, mass_scattering_power
from dosegrad.physics.stopping import csda_range, mass_stopping_power
from dosegrad.physics.straggling import mass_straggling
from dosegrad.units import CM_PER_MM

__all__ = ["Mesh", "absorbed_energy_row", "blocks", "edge_ranges", "moment_rows", "scattering_row"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)
#: Values and slopes (by x in -1 to 1) of P0, P1, P2 at a group's two ends.
_AT_LOW, _AT_HIGH = np.array([1.0, -1.0, 1.0]), np.ones(3)
_SLOPE_LOW, _SLOPE_HIGH = np.array([0.0, 1.0, -3.0]), np.array([0.0, 1.0, 3.0])
#: Integral of P_i^2 over -1 to 1, times 1/2.
_NORM = 1.0 / (2.0 * np.arange(3) + 1.0)


def legendre(x: Array) -> Array:
    """P0, P1, P2 at ``x``, stacked in front of its shape."""
    return np.stack([np.ones_like(x), x, 1.5 * x**2 - 0.5])


_P = legendre(_NODES)
_DP = np.stack([np.zeros_like(_NODES), np.ones_like(_NODES), 3.0 * _NODES])


@dataclass(frozen=True, slots=True)
class Mesh:
    """Equal energy groups: lowest edge and width in MeV, and their number."""

    lowest: float
    width: float
    n_groups: int

    @property
    def edges(self) -> Array:
        """Edges of the groups, MeV, ascending, shape (groups + 1,)."""
        return self.lowest + self.width * np.arange(self.n_groups + 1.0)

    @property
    def nodes(self) -> Array:
        """Quadrature energies, MeV, shape (groups, 6)."""
        return np.asarray(self.edges[:-1, None] + 0.5 * self.width * (1.0 + _NODES))

    def project(self, energy: float, energy_std: float) -> Array:
        """Coefficients (groups, 3) of one proton with a Gaussian spectrum."""
        nodes, weights = np.polynomial.legendre.leggauss(16)
        # Parts no longer than half a standard deviation, for grids coarser than the beam.
        parts = max(1, int(np.ceil(2.0 * self.width / energy_std)))
        x = -1.0 + (2.0 * np.arange(parts)[:, None] + 1.0 + nodes).ravel() / parts
        places = self.edges[:-1, None] + 0.5 * self.width * (1.0 + x)
        density = np.exp(-0.5 * ((places - energy) / energy_std) ** 2)
        density /= energy_std * np.sqrt(2.0 * np.pi)
        moments = np.einsum("gq,iq,q->gi", density, legendre(x), np.tile(weights, parts) / parts)
        return np.asarray(0.5 * moments / _NORM)

    def row(self, values: Array) -> Array:
        """Functional (groups, 3) that integrates ``values`` at the nodes times the spectrum."""
        return np.asarray(np.einsum("gq,iq,q->gi", values, _P, 0.5 * self.width * _WEIGHTS))


def blocks(
    mesh: Mesh, material: Material, *, nuclear: bool, penalty: float, water_i_value: float
) -> Array:
    """Rates of change (groups, 3, 3, 3) by the group below, itself, and the group above."""
    drift, diffusion = _coefficients(mesh.nodes, material, water_i_value)
    rate = mass_absorption(mesh.nodes, material) if nuclear else np.zeros_like(mesh.nodes)
    half = 0.5 * mesh.width
    out = np.zeros((mesh.n_groups, 3, 3, 3))
    out[:, 1] = -np.einsum("gq,iq,jq->gij", drift * _WEIGHTS, _DP, _P)
    out[:, 1] -= np.einsum("gq,iq,jq->gij", diffusion * _WEIGHTS / half, _DP, _DP)
    out[:, 1] -= np.einsum("gq,iq,jq->gij", rate * _WEIGHTS * half, _P, _P)
    drift, diffusion = _coefficients(mesh.edges, material, water_i_value)
    out[:, 1] -= drift[:-1, None, None] * np.outer(_AT_LOW, _AT_LOW)
    out[:-1, 2] += drift[1:-1, None, None] * np.outer(_AT_HIGH, _AT_LOW)
    _add_penalties(out, diffusion[1:-1, None, None] / mesh.width, penalty)
    return np.asarray(out / (mesh.width * _NORM)[:, None])


def _add_penalties(out: Array, diffusion: Array, penalty: float) -> None:
    """Interior penalty terms of the inner edges, in place; ``diffusion`` is D/h there."""
    values = (_AT_HIGH, _AT_LOW)  # of the group below the edge, and of that above
    slopes = (2.0 * _SLOPE_HIGH, 2.0 * _SLOPE_LOW)  # by E, times h
    signs = (1.0, -1.0)  # of the jump: below minus above
    for a in range(2):
        for b in range(2):
            term = 0.5 * signs[a] * np.outer(values[a], slopes[b])
            term += 0.5 * signs[b] * np.outer(slopes[a], values[b])
            term -= penalty * signs[a] * signs[b] * np.outer(values[a], values[b])
            rows = out[a : len(out) - 1 + a]
            rows[:, 1 + b - a] += diffusion * term


def _coefficients(energies: Array, material: Material, water_i_value: float) -> tuple[Array, Array]:
    """s* and D per mass depth."""
    stopping = mass_stopping_power(energies, material, water_i_value=water_i_value)
    step = 1e-4 * energies
    above, below = (mass_straggling(energies + d, material) for d in (step, -step))
    slope = (above - below) / (2.0 * step)
    return stopping + 0.5 * slope, 0.5 * mass_straggling(energies, material)


def moment_rows(mesh: Mesh, water_i_value: float) -> Array:
    """Functionals (4, groups, 3): number, energy, stopping power of water and its square."""
    stopping = mass_stopping_power(mesh.nodes, water_i_value=water_i_value)
    values = (np.ones_like(stopping), mesh.nodes, stopping, stopping**2)
    return np.stack([mesh.row(v) for v in values])


def absorbed_energy_row(mesh: Mesh, material: Material, *, nuclear: bool) -> Array:
    """Functional (groups, 3): energy of protons absorbed by nuclei, per mass depth."""
    if not nuclear:
        return np.zeros((mesh.n_groups, 3))
    return mesh.row(mesh.nodes * mass_absorption(mesh.nodes, material))


def scattering_row(
    mesh: Mesh, material: Material, initial_energy: float, model: ScatteringModel
) -> Array:
    """Functional (groups, 3): mass scattering power times number.

    Protons above the mean initial energy count as if they had just begun.
    """
    first = np.maximum(mesh.nodes, initial_energy)
    return mesh.row(mass_scattering_power(mesh.nodes, material, initial_energy=first, model=model))


def edge_ranges(mesh: Mesh, material: Material, water_i_value: float) -> Array:
    """CSDA ranges (groups + 1,) at the edges, g/cm2."""
    lengths = csda_range(mesh.edges, material, water_i_value=water_i_value)
    return np.asarray(lengths * CM_PER_MM * material.density)
