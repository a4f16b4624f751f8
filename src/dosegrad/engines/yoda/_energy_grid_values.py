"""What the energy grid takes and gives: paths of beamlets, their transport, its adjoint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, readonly
from dosegrad.engines.yoda._energy_grid_arrays import Record
from dosegrad.errors import GeometryError
from dosegrad.units import CM_PER_MM

__all__ = ["BeamletPaths", "GridAdjoint", "Transport"]


@dataclass(frozen=True, slots=True, eq=False)
class BeamletPaths:
    """What each beamlet meets on its way, step by step.

    Parameters
    ----------
    material
        Index into the materials of the grid, shape (beamlets, steps).
    density
        Mass density, g/cm3, same shape.
    length
        Length of the steps, mm, same shape; 0 for steps that are not there.
    family
        Which beam quality each beamlet has, shape (beamlets,); 0 for all where not given.

    Raises
    ------
    GeometryError
        If shapes differ, or densities or lengths are negative or not finite.
    """

    material: NDArray[np.int32]
    density: Array
    length: Array
    family: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "material", readonly(self.material, np.int32))
        object.__setattr__(self, "density", readonly(self.density))
        object.__setattr__(self, "length", readonly(self.length))
        family = np.zeros(len(self.material)) if self.family is None else self.family
        object.__setattr__(self, "family", readonly(family, np.int32))
        shapes = {self.material.shape, self.density.shape, self.length.shape}
        if len(shapes) != 1 or self.material.ndim != 2 or len(family) != len(self.material):
            raise GeometryError(
                f"paths have material {self.material.shape}, density {self.density.shape}, length "
                f"{self.length.shape} and {len(family)} families; give (beamlets, steps) for "
                f"three and (beamlets,) for the last."
            )
        for name, values in (("density", self.density), ("length", self.length)):
            if not (np.isfinite(values) & (values >= 0)).all():
                raise GeometryError(
                    f"{name} along the beamlets must be finite and not negative, and is "
                    f"{np.min(values):g} at least; check the CT and its calibration."
                )

    @property
    def depth(self) -> Array:
        """Mass depth of the steps, g/cm2."""
        return np.asarray(self.density * self.length * CM_PER_MM)


@dataclass(frozen=True, slots=True, eq=False)
class Transport:
    """What beamlets do along their paths, per incident proton.

    ``paths`` are those marched; ``record`` holds the numbers per mass depth; the properties are
    in the units of the project, one row per beamlet and one column per step.
    """

    paths: BeamletPaths
    record: Record

    @property
    def energy_lost(self) -> Array:
        """Energy that the primaries lose, MeV, those absorbed by nuclei with all they had."""
        return self.record.lost

    @property
    def energy_absorbed(self) -> Array:
        """Energy of the primaries that nuclei absorb, MeV."""
        return self.record.absorbed

    @property
    def number(self) -> Array:
        """Primaries at the edges of the steps, shape (beamlets, steps + 1)."""
        return self.record.number

    @property
    def scattering_power(self) -> Array:
        """Variance of the projected angle gained per depth, rad2/mm, averaged over primaries."""
        return np.asarray(self.record.scattering * self.paths.density * CM_PER_MM)

    @property
    def let(self) -> Array:
        """Dose-averaged LET of the primaries in water, keV/µm."""
        return self.record.let * 0.1  # 1 MeV cm2/g at 1 g/cm3 is 0.1 keV/µm

    def deposit(self, local_share: float = 0.6) -> Array:
        """Energy left in each step, MeV, with that share of the absorbed energy left on the spot.

        The default 0.6 is that of [Bortfeld1997]_; 0 leaves what goes to electrons alone.
        """
        return np.asarray(self.record.lost - (1.0 - local_share) * self.record.absorbed)


@dataclass(frozen=True, slots=True, eq=False)
class GridAdjoint:
    """Gradient of a response by everything on the way of the beamlets.

    Parameters
    ----------
    states
        At each edge, the gradient of what later steps contribute, by the spectrum's
        coefficients there, shape (beamlets, steps + 1, groups, 3).
    by_density, by_length
        Gradient by density, per g/cm3, and by length, per mm, of each step (beamlets, steps);
        0 in steps of no depth.
    by_energy, by_energy_std
        Gradient by the mean energy and its standard deviation at entry, per MeV, (beamlets,),
        at a fixed history term of the scattering model.
    gradients
        By energy lost, energy absorbed and scattering power, as given, (3, beamlets, steps).
    """

    states: Array
    by_density: Array
    by_length: Array
    by_energy: Array
    by_energy_std: Array
    gradients: Array
