"""What one pencil beam does in water: tables of one energy, or an ideal beam of any."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dosegrad.arrays import Array, readonly
from dosegrad.errors import MachineError

__all__ = ["IdealBeam", "PencilBeamData"]


@dataclass(frozen=True, slots=True)
class IdealBeam:
    """Spots of a beam of any energy, without a machine around it.

    Parameters
    ----------
    energy_std
        Standard deviation of the energy, MeV.
    spot_sigma
        Standard deviation of the spot at the isocentre plane in vacuum, mm.
    divergence
        Standard deviation of the projected angle there, degree.
    lowest, highest
        Energies that it can have, MeV.

    Raises
    ------
    MachineError
        If a number is not possible.
    """

    energy_std: float
    spot_sigma: float
    divergence: float = 0.0
    lowest: float = 10.0
    highest: float = 250.0

    def __post_init__(self) -> None:
        possible = self.energy_std > 0 and self.spot_sigma > 0 and 0 <= self.divergence < 5
        if not possible or not np.isfinite([self.energy_std, self.spot_sigma]).all():
            raise MachineError(
                f"an ideal beam of energy_std {self.energy_std} MeV, spot_sigma {self.spot_sigma} "
                f"mm and divergence {self.divergence} degree is not possible; give positive "
                "spreads and a divergence below 5 degree."
            )


@dataclass(frozen=True, slots=True, eq=False)
class PencilBeamData:
    """One energy of a machine in water; all tables share ``depths``.

    Parameters
    ----------
    energy
        Nominal energy, MeV or MeV/u.
    depths
        Depth in water, mm, ascending from 0, shape (n,).
    dose
        Integral depth dose per primary particle, MeV cm2/g, shape (n,).
    sigmas
        In-water lateral spread of each Gaussian (k, n), mm, without the initial spot.
    weights
        Share of each Gaussian (k, n); columns sum to one.
    let
        Dose-averaged LET, keV/µm, shape (n,); empty where the file has none.
    range
        Depth of the distal 80 % of the peak, mm.
    peak
        Depth of the maximum, mm.
    focus_distance
        Distances from the nozzle exit, mm, ascending, at which ``focus_sigma`` holds, shape (m,).
    focus_sigma
        Standard deviation of the spot in air, mm, shape (m,).
    offset
        Depth added to the water-equivalent depth before looking tables up, mm.
    energy_spread
        Standard deviation of the beam's energy, MeV or MeV/u.
    alpha, beta
        LQ tables (tissue class, n), 1/Gy and 1/Gy2; empty where the file has none.
    """

    energy: float
    depths: Array
    dose: Array
    sigmas: Array
    weights: Array
    let: Array
    range: float
    peak: float
    focus_distance: Array
    focus_sigma: Array
    offset: float = 0.0
    energy_spread: float = 0.0
    alpha: Array = field(default_factory=lambda: np.empty((0, 0)))
    beta: Array = field(default_factory=lambda: np.empty((0, 0)))

    def __post_init__(self) -> None:
        names = ("depths", "dose", "sigmas", "weights", "let", "focus_distance", "focus_sigma")
        for name in (*names, "alpha", "beta"):
            object.__setattr__(self, name, readonly(getattr(self, name)))
        n = self.depths.size
        if n < 2 or (np.diff(self.depths) <= 0).any():
            raise MachineError(f"{self.energy:g} MeV: depths must ascend and be at least two.")
        if self.dose.shape != (n,) or self.sigmas.shape != self.weights.shape:
            raise MachineError(f"{self.energy:g} MeV: tables differ in length from depths.")
        if self.sigmas.ndim != 2 or self.sigmas.shape[1] != n:
            raise MachineError(f"{self.energy:g} MeV: sigmas must be (Gaussians, depths).")
        if self.let.size not in (0, n):
            raise MachineError(f"{self.energy:g} MeV: LET must be as long as depths, or empty.")
        if self.alpha.shape != self.beta.shape or (len(self.alpha) and self.alpha.shape[1] != n):
            raise MachineError(f"{self.energy:g} MeV: alpha and beta must be (classes, depths).")

    def __repr__(self) -> str:
        return f"PencilBeamData({self.energy:.1f} MeV, range {self.range:.1f} mm)"

    def spot_sigma(self, distance: float) -> float:
        """Standard deviation of the spot in air, mm, ``distance`` mm from the nozzle exit."""
        return float(np.interp(distance, self.focus_distance, self.focus_sigma))
