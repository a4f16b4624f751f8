"""An ideal proton beam of any energy, for comparison with other codes and for study.

Its spots have the same spread everywhere unless they diverge, and meet vacuum on their way to the
dose grid. Engines that transport protons need no more. For engines that look curves up, depth doses
come from Bortfeld's analytical curve and lateral spreads from Fermi-Eyges theory; these are
approximations of a few percent.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from dosegrad.machine.particle import IdealBeam, ParticleMachine, PencilBeamData
from dosegrad.physics.bortfeld import bragg_curve, range_straggling
from dosegrad.physics.fermi_eyges import spread
from dosegrad.physics.scattering import mass_scattering_power
from dosegrad.physics.stopping import energy_of_range, mass_stopping_power, range_in_water
from dosegrad.units import CM_PER_MM, MM_PER_CM

__all__ = ["analytic_data", "research_protons"]

_NOZZLE_DISTANCE: Final = 400.0  # mm; beams of vacuum may start anywhere
_LAYER_SPACING: Final = 3.0  # mm between the ranges of energies that steering chooses from
_FOCUS: Final = np.linspace(0.0, 800.0, 9)  # distances behind the nozzle, mm


def research_protons(
    *,
    energy_std: float = 1.0,
    spot_sigma: float = 4.0,
    divergence: float = 0.0,
    sad: float | None = None,
) -> ParticleMachine:
    """An ideal proton beam of any energy from 10 to 250 MeV.

    Parameters
    ----------
    energy_std
        Standard deviation of the energy, MeV.
    spot_sigma
        Standard deviation of the spot at the isocentre plane in vacuum, mm.
    divergence
        Standard deviation of the projected angle there, degree; uncorrelated with position.
    sad
        Virtual source to isocentre, mm; ``None`` for parallel beams.

    Raises
    ------
    MachineError
        If a number is not possible.
    """
    return _research_protons(
        IdealBeam(float(energy_std), float(spot_sigma), float(divergence)),
        None if sad is None else float(sad),
    )


@lru_cache(maxsize=8)
def _research_protons(ideal: IdealBeam, sad: float | None) -> ParticleMachine:
    low, high = (float(range_in_water(e)) for e in (ideal.lowest, ideal.highest))
    ranges = np.linspace(low, high, int(np.ceil((high - low) / _LAYER_SPACING)) + 1)
    energies = np.round(energy_of_range(ranges), 3)
    distance = _FOCUS - _NOZZLE_DISTANCE
    sigma = np.hypot(ideal.spot_sigma, np.radians(ideal.divergence) * distance)
    focus = tuple(_FOCUS.tolist()), tuple(sigma.tolist())
    data = tuple(analytic_data(float(e), ideal.energy_std, *focus) for e in energies)
    return ParticleMachine(
        name="research-protons",
        modality="protons",
        sad=sad,
        nozzle_distance=_NOZZLE_DISTANCE,
        data=data,
        description={"use": "an ideal beam; Bortfeld's curve where tables are looked up"},
        ideal=ideal,
    )


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
