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

from dosegrad.machine.analytic_data import analytic_data
from dosegrad.machine.beam_data import IdealBeam
from dosegrad.machine.particle import ParticleMachine
from dosegrad.physics.stopping import energy_of_range, range_in_water

__all__ = ["research_protons"]

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
