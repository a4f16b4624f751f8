r"""Slowing down in continuous steps: water-equivalent depth and length of paths.

Protons of the mean energy cross layers with :math:`dw = \rho \kappa_m(\bar E)\,ds`. Scattering
makes their path longer than the way along the axis,
:math:`ds = (1 + \overline{\theta_x^2})\,dz`, by 0.1 % of the range in all: what PSTAR's detour
factor says. Every mode of the engine then marches through the lengthened layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from dosegrad.arrays import Array, readonly
from dosegrad.engines.yoda._march_arrays import Layers, Media, Slowing
from dosegrad.engines.yoda.materials import MaterialTables
from dosegrad.physics.materials import WATER
from dosegrad.physics.scattering import ScatteringModel, mass_scattering_power
from dosegrad.physics.stopping import WATER_I_VALUE, energy_of_range, range_in_water

__all__ = ["WIDEST", "beam_tables", "slow_down"]

#: Angular variance beyond which paths get no longer, rad2.
WIDEST = 0.3
_SLOWEST = 1.0  # MeV, below which scattering stays as it is


def slow_down(
    layers: Layers,
    tables: MaterialTables,
    energies: Sequence[float],
    *,
    scattering: ScatteringModel = "differential-moliere",
    water_i_value: float = WATER_I_VALUE,
    straight: bool = False,
) -> Slowing:
    """Depths, lengthened masses and what else the mean proton meets along all paths.

    Parameters
    ----------
    layers, tables
        What paths cross; water must be among the materials.
    energies
        Mean energy of each beam quality, MeV.
    scattering, water_i_value
        As the engine has them.
    straight
        Whether to leave out that scattering makes paths longer.
    """
    from dosegrad.engines.yoda._slowing_kernels import slow_down as run

    shape = (layers.family.size, layers.n_steps)
    out = Slowing(
        depth=np.zeros((shape[0], shape[1] + 1)),
        mass=np.zeros(layers.mass.size),
        removal=np.zeros(shape),
        excess=np.zeros(shape),
        scattering=np.zeros(shape),
        water=np.zeros(shape),
    )
    full, power = beam_tables(tables, energies, scattering=scattering, water_i_value=water_i_value)
    widest = 0.0 if straight else WIDEST
    media = Media(tables.values, tables.straggling, tables.step)
    run(full, power, media, layers, tables.materials.index(WATER), widest, out)
    return out


def beam_tables(
    tables: MaterialTables,
    energies: Sequence[float],
    *,
    scattering: ScatteringModel,
    water_i_value: float,
) -> tuple[Array, Array]:
    """Ranges (families,), mm, and scattering powers of water (families, ranges), rad2 cm2/g."""
    full = np.array([float(range_in_water(e, water_i_value=water_i_value)) for e in energies])
    n = tables.values.shape[1]
    rows = [_water_power(float(e), n, tables.step, scattering, water_i_value) for e in energies]
    return full, np.stack(rows)


@lru_cache(maxsize=512)
def _water_power(
    energy: float, n: int, step: float, scattering: ScatteringModel, water_i_value: float
) -> Array:
    """Mass scattering power of water at ``n`` residual ranges, rad2 cm2/g."""
    left = energy_of_range(step * np.arange(n), water_i_value=water_i_value)
    at = np.maximum(left, _SLOWEST)
    first = np.maximum(at, energy)
    return readonly(mass_scattering_power(at, initial_energy=first, model=scattering))
