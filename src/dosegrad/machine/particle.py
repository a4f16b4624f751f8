"""Particle machines: base data of their energies, and how their beams are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from dosegrad.arrays import Array, readonly
from dosegrad.errors import EnergyError, MachineError
from dosegrad.machine.analytic_data import analytic_data
from dosegrad.machine.beam_data import IdealBeam, PencilBeamData
from dosegrad.machine.monitor import Monitor

__all__ = ["ParticleMachine"]


@dataclass(frozen=True, slots=True, eq=False)
class ParticleMachine:
    """A machine that delivers spots of protons or ions.

    Parameters
    ----------
    name
        As ``load_machine`` knows it.
    modality
        ``"protons"``, ``"helium"`` or ``"carbon"``.
    sad
        Virtual source to isocentre, mm; ``None`` for parallel beams.
    nozzle_distance
        Nozzle exit (beam application system) to isocentre, mm.
    data
        One :class:`PencilBeamData` per energy, ascending.
    air_offset
        Air thickness, mm, that the depth tables already contain (matRad's ``fitAirOffset``).
    tissues
        alpha_x, beta_x of each tissue class of the alpha and beta tables, shape (classes, 2).
    description
        Where the data came from, for people and provenance.
    monitor
        Nominal energies and particles per monitor unit, for files that count these.
    phase_space
        Per energy (n, 8), at the nozzle exit: mean energy and its standard deviation, MeV, then
        variances of position, mm2, covariances with the angle, mm rad, and variances of the
        angle, rad2, each along x and y. Empty where the spot in air of ``data`` says it.
    ideal
        The beam of a machine that delivers any energy; ``data`` then are examples.
    """

    name: str
    modality: str
    sad: float | None
    nozzle_distance: float
    data: tuple[PencilBeamData, ...]
    air_offset: float = 0.0
    tissues: Array = field(default_factory=lambda: np.empty((0, 2)))
    description: Mapping[str, object] = field(default_factory=dict)
    monitor: Monitor = field(default_factory=Monitor)
    phase_space: Array = field(default_factory=lambda: np.empty((0, 8)))
    ideal: IdealBeam | None = None

    def __post_init__(self) -> None:
        energies = [d.energy for d in self.data]
        if not energies or any(b <= a for a, b in pairwise(energies)):
            raise MachineError(f"machine {self.name!r} needs energies in ascending order.")
        object.__setattr__(self, "data", tuple(self.data))
        if self.phase_space.shape not in ((0, 8), (len(energies), 8)):
            raise MachineError(
                f"machine {self.name!r} has a phase space of shape {self.phase_space.shape} for "
                f"{len(energies)} energies; give eight numbers for each, or none."
            )
        object.__setattr__(self, "tissues", readonly(self.tissues))
        object.__setattr__(self, "phase_space", readonly(self.phase_space))
        object.__setattr__(self, "description", MappingProxyType(dict(self.description)))

    def __repr__(self) -> str:
        low, high = self.energies[0], self.energies[-1]
        n = len(self.data)
        return f"ParticleMachine({self.name!r}, {self.modality}, {n} energies {low:.0f}-{high:.0f})"

    @property
    def energies(self) -> Array:
        """Energies, MeV or MeV/u, ascending, shape (n,)."""
        return np.array([d.energy for d in self.data])

    @property
    def energy_unit(self) -> str:
        """In what energies are told."""
        return "MeV" if self.modality == "protons" else "MeV/u"

    @property
    def has_biology(self) -> bool:
        """Whether every energy has alpha and beta tables for the tissues."""
        n = len(self.tissues)
        return n > 0 and all(len(d.alpha) == n and len(d.beta) == n for d in self.data)

    @property
    def ranges(self) -> Array:
        """Depth of the distal 80 % of each energy's peak, mm, shape (n,)."""
        return np.array([d.range for d in self.data])

    @property
    def peaks(self) -> Array:
        """Depth of each energy's maximum, mm, shape (n,)."""
        return np.array([d.peak for d in self.data])

    def at_energy(self, energy: float) -> PencilBeamData:
        """Data of the energy nearest to ``energy``, which must be one of the machine's own.

        Raises
        ------
        EnergyError
            If no energy of the machine is within 0.01 MeV, or an ideal beam cannot have it.
        """
        if self.ideal is not None:
            return _ideal_data(self, self.ideal, energy)
        energies = self.energies
        index = int(np.argmin(np.abs(energies - energy)))
        if abs(energies[index] - energy) > 0.01:
            raise EnergyError(
                f"spot energy {energy:.2f} {self.energy_unit} is not one of machine {self.name!r} "
                f"({energies[0]:.1f} to {energies[-1]:.1f} {self.energy_unit} in {energies.size} "
                f"steps; the nearest is {energies[index]:.2f}). Move the spot to a listed energy."
            )
        return self.data[index]


def _ideal_data(machine: ParticleMachine, ideal: IdealBeam, energy: float) -> PencilBeamData:
    if not ideal.lowest <= energy <= ideal.highest:
        raise EnergyError(
            f"spot energy {energy:.2f} MeV is outside machine {machine.name!r} "
            f"({ideal.lowest:g} to {ideal.highest:g} MeV); choose one within."
        )
    focus = machine.data[0]
    distance, sigma = (tuple(v.tolist()) for v in (focus.focus_distance, focus.focus_sigma))
    return analytic_data(float(energy), ideal.energy_std, distance, sigma)
