"""Own depth curves of the same range and width as someone else's, to compare what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.commissioning.ion_base_data import (
    PHOTON_SPECIFIC_ENERGY,
    DepthCurves,
    depth_curves,
    distal_depth,
)
from dosegrad.errors import MachineError
from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.machine.particle import ParticleMachine
from dosegrad.physics.ions import IONS, energy_of_ion_range
from dosegrad.units import MM_PER_CM

__all__ = ["MatchedCurves", "match_ion_curves", "peak_width"]

_IONS: Final = {"helium": "4He", "carbon": "12C"}
_LEVEL: Final = 0.6  # of the peak at which its width is taken: above the entrance dose
_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class MatchedCurves:
    """Own curves beside those of one energy of another machine.

    Parameters
    ----------
    energy, width
        Of the own beam: MeV/u, and standard deviation of the range, mm.
    curves
        What it leaves in water.
    tissues
        alpha_x, beta_x of the other machine, (classes, 2).
    """

    energy: float
    width: float
    curves: DepthCurves
    tissues: Array

    @property
    def dose(self) -> Array:
        """Integral depth dose (n,), MeV cm2/g."""
        return np.asarray(self.curves.total[0] * MM_PER_CM)

    @property
    def let(self) -> Array:
        """Dose-averaged LET (n,), keV/µm."""
        energy, let = self.curves.total[:2]
        return np.asarray(let / energy)

    def alpha(self, tissue: int) -> Array:
        """Alpha (n,), 1/Gy, of a tissue class by the microdosimetric kinetic model."""
        alpha_x, beta_x = self.tissues[tissue]
        place = sorted({float(b) for _, b in self.tissues}).index(float(beta_x))
        specific = self.curves.total[2 + place] / self.curves.total[0]
        return np.asarray(alpha_x + beta_x * (specific - PHOTON_SPECIFIC_ENERGY))


def match_ion_curves(machine: ParticleMachine, energy: float) -> MatchedCurves:
    """Own curves with the distal 80 % depth and the peak width of another machine's energy.

    Energy and spread of the range are found in some rounds, each from the error of the last.

    Raises
    ------
    MachineError
        If the machine delivers other particles than helium or carbon.
    """
    if machine.modality not in _IONS:
        raise MachineError(
            f"machine {machine.name!r} delivers {machine.modality}; curves of "
            f"{' and '.join(_IONS)} can be matched. Give such a machine."
        )
    data = machine.at_energy(energy)
    ion = IONS[_IONS[machine.modality]]
    betas: Sequence[float] = sorted({float(b) for _, b in machine.tissues})
    depth, width = _end(data), peak_width(data.depths, data.dose)
    full, spread = depth, width / 5.0
    for _ in range(_ROUNDS):
        own = float(energy_of_ion_range(full, ion))
        curves = depth_curves(own, ion, width=spread, betas=betas)
        dose = curves.total[0]
        full += depth - distal_depth(curves.depths, dose, 0.8)[1]
        spread *= width / peak_width(curves.depths, dose)
    own = float(energy_of_ion_range(full, ion))
    found = depth_curves(own, ion, width=spread, betas=betas)
    return MatchedCurves(own, spread, found, np.asarray(machine.tissues))


def peak_width(depths: Array, dose: Array) -> float:
    """Width of the peak at 60 % of its height, mm."""
    dense = np.linspace(depths[0], depths[-1], 60001)
    values = np.interp(dense, depths, dose)
    top = int(values.argmax())
    low = _LEVEL * values[top]
    behind = top + int(np.argmax(values[top:] < low))
    before = top - int(np.argmax(values[top::-1] < low))
    return float(dense[behind] - dense[before])


def _end(data: PencilBeamData) -> float:
    return distal_depth(data.depths, data.dose, 0.8)[1]
