"""Base data from formulas: Bortfeld's depth dose, Fermi-Eyges spreads.

These are approximations of a few percent.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.physics.bortfeld import bragg_curve, range_straggling
from dosegrad.physics.fermi_eyges import spread
from dosegrad.physics.scattering import mass_scattering_power
from dosegrad.physics.stopping import energy_of_range, mass_stopping_power, range_in_water
from dosegrad.units import CM_PER_MM, MM_PER_CM

__all__ = ["analytic_data"]


@lru_cache(maxsize=512)
def analytic_data(
    energy: float,
    energy_std: float,
    focus_distance: tuple[float, ...],
    focus_sigma: tuple[float, ...],
) -> PencilBeamData:
    """Base data of one energy, MeV, from analytical formulas, for a spot of that size in air."""
    full = float(range_in_water(energy))
    slope = MM_PER_CM / float(mass_stopping_power(energy))
    width = float(np.hypot(range_straggling(full), energy_std * slope))
    near = full + width * np.linspace(-5.0, 5.0, 81)
    before = np.linspace(0.0, max(float(near[0]), 0.1), 60)[:-1]
    depths = np.concatenate([before, near[near > before[-1] + 1e-6]])
    dose = bragg_curve(depths, mean_range=full, range_std=width)
    left = energy_of_range(np.maximum(full - 0.5 * (depths[1:] + depths[:-1]), 0.05))
    power = mass_scattering_power(left, initial_energy=energy) * CM_PER_MM
    power[0.5 * (depths[1:] + depths[:-1]) > full] = 0.0
    top = int(np.argmax(dose))
    distal = np.interp(-0.8 * dose[top], -dose[top:], depths[top:])
    return PencilBeamData(
        energy=energy,
        depths=depths,
        dose=dose,
        sigmas=np.sqrt(spread(depths, power).variance)[None],
        weights=np.ones((1, depths.size)),
        let=np.empty(0),
        range=float(distal),
        peak=float(depths[top]),
        focus_distance=np.array(focus_distance),
        focus_sigma=np.array(focus_sigma),
        energy_spread=energy_std,
    )
