"""What a machine's control system calls energy and monitor unit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dosegrad.arrays import Array, readonly
from dosegrad.errors import EnergyError, MachineError
from dosegrad.units import PARTICLES_PER_WEIGHT

__all__ = ["Monitor"]


@dataclass(frozen=True, slots=True, eq=False)
class Monitor:
    """Nominal energies, the true ones behind them, and particles per monitor unit.

    Without a table the nominal energy is the true one, and 1 MU is 10^6 particles by definition:
    one unit of spot weight. Generic machines have no monitor chamber, so any number would do; this
    one makes MU and weights the same number.

    Parameters
    ----------
    nominal
        What plans state, MeV or MeV/u, ascending, (n,).
    energies
        Mean energy of the beam that comes, MeV or MeV/u, ascending, (n,).
    particles
        Particles per MU, positive, (n,).

    Raises
    ------
    MachineError
        If the tables differ in length, do not ascend, or hold what cannot be.

    Examples
    --------
    >>> Monitor().particles_per_mu(160.0)
    1000000.0
    >>> chamber = Monitor([100.0, 200.0], [100.5, 200.3], [3.0e6, 4.0e6])
    >>> chamber.particles_per_mu(150.0), chamber.energy(150.0)
    (3500000.0, 150.4)
    """

    nominal: Array = field(default_factory=lambda: np.empty(0))
    energies: Array = field(default_factory=lambda: np.empty(0))
    particles: Array = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        for name in ("nominal", "energies", "particles"):
            object.__setattr__(self, name, readonly(getattr(self, name)))
        sizes = {self.nominal.shape, self.energies.shape, self.particles.shape}
        tables = np.concatenate([self.nominal, self.energies, self.particles])
        rising = (np.diff(self.nominal) > 0).all() and (np.diff(self.energies) > 0).all()
        if len(sizes) > 1 or not (np.isfinite(tables).all() and (tables > 0).all()) or not rising:
            raise MachineError(
                "a monitor needs nominal and true energies that ascend and positive particles per "
                "MU, all of one length; check the table of the machine."
            )

    def __repr__(self) -> str:
        return f"Monitor({self.nominal.size} energies)"

    def particles_per_mu(self, nominal: float) -> float:
        """Particles per MU at a nominal energy, linear between those of the table.

        Raises
        ------
        EnergyError
            If the energy is outside the table.
        """
        if not self.nominal.size:
            return PARTICLES_PER_WEIGHT
        return self._look_up(nominal, self.nominal, self.particles)

    def energy(self, nominal: float) -> float:
        """Mean energy of the beam that the control system calls ``nominal``."""
        if not self.nominal.size:
            return nominal
        return self._look_up(nominal, self.nominal, self.energies)

    def nominal_energy(self, energy: float) -> float:
        """What the control system calls a beam of this mean energy."""
        if not self.nominal.size:
            return energy
        return self._look_up(energy, self.energies, self.nominal)

    def _look_up(self, value: float, known: Array, wanted: Array) -> float:
        if not known[0] - 1e-6 <= value <= known[-1] + 1e-6:
            raise EnergyError(
                f"energy {value:.2f} MeV is outside the machine's table ({known[0]:.1f} to "
                f"{known[-1]:.1f} MeV); use a machine or beam model that covers the plan."
            )
        return float(np.interp(value, known, wanted))
