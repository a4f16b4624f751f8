"""The reference mode: paths of beamlets marched on the energy grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dosegrad.engines.yoda._march_arrays import Layers, Record, Slowing
from dosegrad.engines.yoda.energy_grid import BeamletPaths, EnergyGrid, PreparedGrid
from dosegrad.engines.yoda.range_march import empty_record
from dosegrad.physics.materials import Material
from dosegrad.physics.scattering import ScatteringModel
from dosegrad.physics.stopping import WATER_I_VALUE

__all__ = ["march_on_grid", "prepare_grid"]


def prepare_grid(
    materials: Sequence[Material],
    energies: Sequence[float],
    energy_stds: Sequence[float],
    *,
    scattering: ScatteringModel = "differential-moliere",
    water_i_value: float = WATER_I_VALUE,
) -> PreparedGrid:
    """Electromagnetic operators of ``materials`` for some beam qualities."""
    settings = EnergyGrid(nuclear=False, scattering=scattering, water_i_value=water_i_value)
    return settings.prepare(materials, energy=energies, energy_std=energy_stds)


def march_on_grid(grid: PreparedGrid, layers: Layers, slowing: Slowing) -> Record:
    """What beams leave along all paths of ``layers``.

    Nuclei take the protons of each step with the probability that those of the mean energy meet
    there, so that all modes of the engine lose the same primaries.
    """
    count = np.diff(layers.offsets)
    inside = np.arange(int(count.max(initial=1))) < count[:, None]
    material = np.zeros(inside.shape, dtype=np.int32)
    mass = np.zeros(inside.shape)
    material[inside], mass[inside] = layers.material, layers.mass
    # Mass depth alone counts: 1 mm long steps of ten times the density in g/cm3.
    paths = BeamletPaths(material, 10.0 * mass, np.ones(mass.shape), family=layers.family)
    transport = grid.solve(paths)
    record = empty_record(layers)
    record.depth[:] = slowing.depth
    owner = np.repeat(np.arange(count.size), count)
    cell = owner * layers.n_steps + layers.step
    size = layers.n_steps * count.size

    def per_step(values: np.ndarray) -> np.ndarray:
        return np.bincount(cell, values[inside], minlength=size).reshape(-1, layers.n_steps)

    lost = per_step(transport.energy_lost)
    weighted = per_step(transport.energy_lost * transport.let)
    survival = np.exp(-np.cumsum(slowing.removal, axis=1))
    edges = np.concatenate([np.ones((count.size, 1)), survival], axis=1)
    carried = np.cumsum(lost[:, ::-1], axis=1)[:, ::-1] - 0.5 * lost
    taken = edges[:, :-1] - edges[:, 1:]
    record.absorbed[:] = taken * carried
    record.lost[:] = lost * np.sqrt(edges[:, 1:] * edges[:, :-1]) + record.absorbed
    record.scattered[:] = per_step(transport.record.scattering * mass)
    record.let[:] = np.where(lost > 0, weighted / np.where(lost > 0, lost, 1.0), 0.0)
    record.number[:] = edges
    return record
