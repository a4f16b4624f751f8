r"""Base data of the machine ``generic-carbon``.

Run ``python -m dosegrad.commissioning.generic_carbon`` to make the file again; it gives the same
numbers each time. ``--ripple-filter 0`` makes a machine without ripple filter.

energies
    Ranges of 16 mm to 300 mm, in steps of two standard deviations of the range spread.
peaks
    Range straggling, 0.1 % of energy spread, and a ripple filter that spreads the range by 1 mm
    (standard deviation), so that neighbouring peaks overlap smoothly. Choices in the manner of
    synchrotrons with 3 mm ripple filters, not measurements.
depth dose, spread, LET, alpha, beta
    :mod:`dosegrad.commissioning.ion_base_data`.
spot in air
    :math:`\sigma` = 4 mm at the lowest and 2.5 mm at the highest energy at the isocentre, 1 m
    behind the nozzle exit.

A teaching machine: it resembles what is in clinical use but is no clinical machine.
"""

from __future__ import annotations

from typing import Final

from dosegrad.commissioning.ion_machine import IonMachineSettings, build_ion_machine, run
from dosegrad.machine.particle import ParticleMachine

__all__ = ["SETTINGS", "build", "main"]

SETTINGS: Final = IonMachineSettings(
    name="generic-carbon",
    modality="carbon",
    ion="12C",
    shortest=16.0,
    longest=300.0,
    energy_std_percent=0.1,
    filter_std=1.0,
    spot_lowest=4.0,
    spot_highest=2.5,
    divergence=1e-3,
    nozzle_distance=1000.0,
    sad=8000.0,
)


def build() -> ParticleMachine:
    """The whole machine; takes some minutes."""
    return build_ion_machine(SETTINGS)


def main(arguments: list[str] | None = None) -> None:
    """Write the machine file."""
    run(SETTINGS, arguments)


if __name__ == "__main__":
    main()
