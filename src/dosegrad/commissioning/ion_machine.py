"""Machines for ions from a few numbers: energies, widths of peaks, spots in air."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.commissioning.ion_base_data import Tissues, ion_data, range_spread
from dosegrad.machine.archive import write_machine_archive
from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.machine.particle import ParticleMachine
from dosegrad.physics.fermi_eyges import spread
from dosegrad.physics.ions import (
    IONS,
    Ion,
    energy_of_ion_range,
    ion_range,
    ion_scattering_power,
)
from dosegrad.physics.materials import AIR

__all__ = ["GENERIC_TISSUES", "IonMachineSettings", "build_ion_machine", "ion_energies", "run"]

#: alpha_x, 1/Gy, and beta_x, 1/Gy2, of the tissue classes of generic ion machines.
GENERIC_TISSUES: Final[Tissues] = (
    (0.10, 0.05),
    (0.05, 0.025),
    (0.50, 0.05),
    (0.15, 0.05),
    (0.30, 0.03),
    (0.10, 0.02),
    (0.313, 0.0615),
)
_SPACING_SPREADS: Final = 2.0  # step of range in standard deviations of the range spread
_SPACING_MAXIMUM: Final = 3.0  # mm
_DATA: Final = Path(__file__).parents[1] / "machine" / "data"


@dataclass(frozen=True, slots=True)
class IonMachineSettings:
    """What a generic ion machine is like.

    Parameters
    ----------
    name, modality, ion
        Of the machine, and the name of its ion.
    shortest, longest
        Ranges of the lowest and the highest energy in water, mm.
    energy_std_percent
        Standard deviation of the energy, per cent.
    filter_std
        Standard deviation of the range behind the ripple filter, mm; 0 for none.
    spot_lowest, spot_highest
        Standard deviation of the spot at the isocentre at the lowest and highest energy, mm.
    divergence
        Standard deviation of the angle at the nozzle exit at the highest energy, rad; in
        proportion to the spot at the others.
    nozzle_distance, sad
        Nozzle exit and virtual source to the isocentre, mm.
    """

    name: str
    modality: str
    ion: str
    shortest: float
    longest: float
    energy_std_percent: float
    filter_std: float
    spot_lowest: float
    spot_highest: float
    divergence: float
    nozzle_distance: float
    sad: float

    def width(self, energy: float) -> float:
        """Standard deviation of the range, mm, of a beam of ``energy`` MeV/u."""
        return range_spread(
            energy,
            IONS[self.ion],
            energy_std=0.01 * self.energy_std_percent * energy,
            filter_std=self.filter_std,
        )


def ion_energies(settings: IonMachineSettings) -> Array:
    """Energies of the machine, MeV/u, rounded to 0.01, ascending.

    Peaks follow each other at two standard deviations of the range spread, at most 3 mm.
    """
    ion = IONS[settings.ion]
    ranges = [settings.shortest]
    while ranges[-1] < settings.longest:
        energy = float(energy_of_ion_range(ranges[-1], ion))
        ranges.append(ranges[-1] + min(_SPACING_SPREADS * settings.width(energy), _SPACING_MAXIMUM))
    return np.round(energy_of_ion_range(np.array(ranges), ion), 2)


def spot_in_air(settings: IonMachineSettings, energy: float) -> tuple[Array, Array]:
    """Distances from the nozzle exit, mm, and spot sigma there, mm, scattered in air."""
    ion = IONS[settings.ion]
    low, high = (float(energy_of_ion_range(r, ion)) for r in (settings.shortest, settings.longest))
    power = np.log(settings.spot_lowest / settings.spot_highest) / np.log(high / low)
    wanted = settings.spot_highest * (high / energy) ** power
    distances = np.linspace(0.0, 2.0 * settings.nozzle_distance, 17)
    middle = 0.5 * (distances[1:] + distances[:-1])
    left = energy_of_ion_range(ion_range(energy, ion) - middle * AIR.density, ion)
    scattering = ion_scattering_power(left, ion, initial_energy=energy) * AIR.density
    divergence = settings.divergence * wanted / settings.spot_highest
    growth = spread(distances, scattering, angular=divergence**2).variance
    waist = wanted**2 - np.interp(settings.nozzle_distance, distances, growth)
    return distances, np.sqrt(np.maximum(waist, 0.5**2) + growth)


def build_ion_machine(
    settings: IonMachineSettings, *, progress: Callable[[int, int], None] | None = None
) -> ParticleMachine:
    """The whole machine; takes some minutes.

    ``progress`` is told after each energy how many of how many are done.
    """
    ion = IONS[settings.ion]
    energies = ion_energies(settings)
    data = []
    for number, energy in enumerate(energies, start=1):
        data.append(_one_energy(settings, ion, float(energy)))
        if progress is not None:
            progress(number, energies.size)
    filtered = f"{settings.filter_std:g} mm" if settings.filter_std else "none"
    return ParticleMachine(
        name=settings.name,
        modality=settings.modality,
        sad=settings.sad,
        nozzle_distance=settings.nozzle_distance,
        data=tuple(data),
        tissues=np.array(GENERIC_TISSUES),
        description={
            "made by": f"dosegrad.commissioning.{settings.name.replace('-', '_')}",
            "method": "straight-ahead transport in water with two generations of fragments",
            "alpha, beta": "microdosimetric kinetic model of Inaniwa 2010, HSG radii",
            "energy spread": f"{settings.energy_std_percent:g} %, standard deviation",
            "ripple filter": filtered,
            "use": "teaching and research; not a clinical machine",
        },
    )


def _one_energy(settings: IonMachineSettings, ion: Ion, energy: float) -> PencilBeamData:
    return ion_data(
        *(energy, ion),
        width=settings.width(energy),
        tissues=GENERIC_TISSUES,
        focus=spot_in_air(settings, energy),
        energy_std=0.01 * settings.energy_std_percent * energy,
    )


def run(settings: IonMachineSettings, arguments: list[str] | None = None) -> None:
    """Write the file of a machine, as told by a command line."""
    parser = argparse.ArgumentParser(description=f"Make the base data of {settings.name}.")
    parser.add_argument("path", nargs="?", type=Path, default=_DATA / f"{settings.name}.npz")
    parser.add_argument("--ripple-filter", type=float, default=settings.filter_std, metavar="MM")
    given = parser.parse_args(arguments)
    machine = build_ion_machine(
        replace(settings, filter_std=given.ripple_filter),
        progress=lambda n, total: print(f"\r{n} of {total} energies", end="", flush=True),
    )
    write_machine_archive(machine, given.path)
    size = given.path.stat().st_size / 1e3
    print(f"\n{machine!r} written to {given.path} ({size:.0f} kB)")
