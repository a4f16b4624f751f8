r"""Base data of the machine ``generic-protons``, from the transport equation in water.

Run ``python -m dosegrad.commissioning.generic_protons`` to make the file again; it gives the same
numbers each time. What the machine is, and where its numbers come from:

energies
    70 MeV to 230 MeV in steps of range of 1.8 standard deviations of the range spread, at most
    5 mm, so that neighbouring peaks overlap to a smooth spread-out peak.
energy spread
    :math:`\sigma_E / E = 0.9\,\% (70\,\mathrm{MeV} / E)^{0.7}`, in the manner of cyclotron
    beamlines: 0.63 MeV at 70 MeV, 0.90 MeV at 230 MeV. A choice, not a measurement.
depth dose, LET
    :mod:`dosegrad.engines.yoda.water_depth_dose`; water with a mean excitation energy of 75 eV.
    LET is dose-averaged over primary and secondary protons, without heavier fragments.
spot in air
    :math:`\sigma` = 6 mm at 70 MeV falling to 3 mm at 230 MeV at the isocentre, as
    :math:`\sigma \propto E^{-0.583}`. The beam leaves the nozzle, 400 mm before the isocentre, as a
    waist of angular spread 2 mrad (at 230 MeV; like :math:`\sigma` at other energies) and scatters
    in air. A choice, in the manner of published gantries.
lateral spread in water
    Core: Fermi-Eyges with Gottschalk's differential Molière scattering power. Halo: protons after
    nuclear events, weight and width against depth (see :func:`two_gaussians`).

A teaching machine: it resembles what is in clinical use but is no clinical machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import numpy as np
from scipy.interpolate import CubicSpline

from dosegrad.arrays import Array
from dosegrad.engines.yoda.range_frame import WaterTables
from dosegrad.engines.yoda.water_depth_dose import DepthDose, depth_dose, two_gaussians
from dosegrad.machine.archive import write_machine_archive
from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.machine.particle import ParticleMachine
from dosegrad.physics.fermi_eyges import spread
from dosegrad.physics.materials import AIR
from dosegrad.physics.nuclear import WaterRates, water_rates
from dosegrad.physics.scattering import mass_scattering_power
from dosegrad.units import CM_PER_MM, MM_PER_CM

__all__ = ["build", "build_energy", "depth_grid", "energies", "main", "two_gaussians"]

LOWEST: Final = 70.0
HIGHEST: Final = 230.0
SAD: Final = 2200.0  # mm, virtual source to isocentre
NOZZLE_DISTANCE: Final = 400.0  # mm, nozzle exit to isocentre
_SPOT_LOWEST: Final = 6.0  # mm, spot sigma at the isocentre at the lowest energy
_SPOT_HIGHEST: Final = 3.0  # mm, at the highest
_DIVERGENCE_HIGHEST: Final = 2e-3  # rad, angular spread at the nozzle exit at the highest energy
_AIR_REACH: Final = 800.0  # mm behind the nozzle exit to which the spot in air is tabulated
_SPACING_SPREADS: Final = 1.8  # step of range in standard deviations of the range spread
_SPACING_MAXIMUM: Final = 5.0  # mm
_DEFAULT_PATH: Final = Path(__file__).parents[1] / "machine" / "data" / "generic-protons.npz"


def energy_std(energy: float) -> float:
    """Standard deviation of the beam's energy, MeV."""
    return float(0.009 * energy * (LOWEST / energy) ** 0.7)


def range_spread(energy: float, tables: WaterTables, std: float | None = None) -> float:
    """Standard deviation of the range, mm: energy spread and straggling [Bortfeld1997]_.

    ``std`` is that of the energy, MeV, where it is not this machine's.
    """
    full = float(tables.range(energy))
    straggling = 0.12 * (full / MM_PER_CM) ** 0.935
    spread_of_energy = energy_std(energy) if std is None else std
    return float(np.hypot(spread_of_energy / tables.stopping(np.array(energy)), straggling))


def energies(tables: WaterTables | None = None) -> Array:
    """Energies of the machine, MeV, rounded to 0.01 MeV, ascending."""
    tables = tables or WaterTables()
    chosen = [LOWEST]
    while chosen[-1] < HIGHEST:
        spacing = min(_SPACING_SPREADS * range_spread(chosen[-1], tables), _SPACING_MAXIMUM)
        following = float(tables.energy(tables.range(chosen[-1]) + spacing))
        chosen.append(round(min(following, HIGHEST), 2))
    if HIGHEST - chosen[-2] < 0.5 * (chosen[-2] - chosen[-3]):
        del chosen[-2]
    return np.array(chosen)


def depth_grid(energy: float, tables: WaterTables, std: float | None = None) -> Array:
    """Depths, mm: 0.25 mm or finer around the peak, 1.5 mm at most in front of it."""
    full = float(tables.range(energy))
    width = range_spread(energy, tables, std)
    fine = min(0.25, width / 5.0)
    start, stop = full - 5.0 * width - 2.0, full + 5.0 * width + 1.0
    entrance = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0])
    coarse = np.linspace(5.0, start, int(np.ceil((start - 5.0) / 1.5)) + 1)
    near = start + fine * np.arange(1, int(np.ceil((stop - start) / fine)) + 1)
    return np.concatenate([entrance, coarse, near])


def build_energy(
    energy: float,
    *,
    std: float | None = None,
    focus: tuple[Array, Array] | None = None,
    tables: WaterTables | None = None,
    rates: WaterRates | None = None,
) -> PencilBeamData:
    """Base data of one energy, MeV.

    Other machines give the standard deviation of their energy, MeV, and their ``focus``: distances
    from the nozzle exit and spot sigma there, mm.
    """
    tables = tables or WaterTables()
    std = energy_std(energy) if std is None else std
    edges = depth_grid(energy, tables, std)
    result = depth_dose(energy, edges, energy_std=std, tables=tables, rates=rates)
    middle = 0.5 * (edges[1:] + edges[:-1])
    dose = np.maximum(_at_edges(edges, result.deposit) / CM_PER_MM, 0.0)
    variances, weights = two_gaussians(result)
    sigmas = np.array([np.sqrt(np.interp(edges, middle, v)) for v in variances])
    sigmas[:, 0] = 0.0
    shares = np.array([np.interp(edges, middle, w) for w in weights])
    distance, sigma = spot_in_air(energy, tables) if focus is None else focus
    peak, distal = _peak_and_range(edges, dose)
    return PencilBeamData(
        energy=energy,
        depths=edges,
        dose=dose,
        sigmas=sigmas,
        weights=shares,
        let=np.interp(edges, middle, _mean_let(result)),
        range=distal,
        peak=peak,
        focus_distance=distance,
        focus_sigma=sigma,
        energy_spread=std,
    )


def spot_in_air(energy: float, tables: WaterTables) -> tuple[Array, Array]:
    """Distances from the nozzle exit, mm, and spot sigma there, mm, scattered in air."""
    power = np.log(_SPOT_LOWEST / _SPOT_HIGHEST) / np.log(HIGHEST / LOWEST)
    scale = (HIGHEST / energy) ** power
    distances = np.linspace(0.0, _AIR_REACH, 17)
    middle = 0.5 * (distances[1:] + distances[:-1])
    # Air takes its share of water's range; only the scattering power asks for the energy.
    left = tables.energy(tables.range(energy) - middle * AIR.density)
    scattering = mass_scattering_power(left, AIR, initial_energy=energy)
    growth = spread(
        distances,
        scattering * AIR.density * CM_PER_MM,
        angular=(_DIVERGENCE_HIGHEST * scale) ** 2,
    ).variance
    at_isocentre = np.interp(NOZZLE_DISTANCE, distances, growth)
    waist = (_SPOT_HIGHEST * scale) ** 2 - at_isocentre
    return distances, np.sqrt(waist + growth)


def build() -> ParticleMachine:
    """The whole machine; takes one or two minutes."""
    tables, rates = WaterTables(), water_rates()
    data = tuple(build_energy(e, tables=tables, rates=rates) for e in energies(tables))
    return ParticleMachine(
        name="generic-protons",
        modality="protons",
        sad=SAD,
        nozzle_distance=NOZZLE_DISTANCE,
        data=data,
        description={
            "made by": "dosegrad.commissioning.generic_protons",
            "method": "range-frame Fokker-Planck in water, I = 75 eV, own nuclear model",
            "energy spread": "0.9 % (70 MeV / E)^0.7, standard deviation",
            "use": "teaching and research; not a clinical machine",
        },
    )


def main(arguments: list[str] | None = None) -> None:
    """Write the machine file."""
    parser = argparse.ArgumentParser(description="Make the base data of generic-protons.")
    parser.add_argument("path", nargs="?", type=Path, default=_DEFAULT_PATH)
    path = parser.parse_args(arguments).path
    machine = build()
    write_machine_archive(machine, path)
    print(f"{machine!r} written to {path} ({path.stat().st_size / 1e3:.0f} kB)")


def _at_edges(edges: Array, deposit: Array) -> Array:
    """Energy per depth at the edges, from what lies between them."""
    carried = np.concatenate([[0.0], np.cumsum(deposit)])
    return np.asarray(CubicSpline(edges, carried)(edges, 1))


def _mean_let(result: DepthDose) -> Array:
    """Dose-averaged LET over primary and secondary protons, keV/µm."""
    parts = (result.primary, *result.secondaries)
    dose = np.sum([c.deposit for c in parts], axis=0)
    let = np.sum([c.deposit * c.let for c in parts], axis=0)
    known = dose > 1e-7 * dose.max()
    values = np.where(known, let / np.where(known, dose, 1.0), 0.0)
    last = int(np.flatnonzero(known)[-1])
    values[last + 1 :] = values[last]
    return np.asarray(values)


def _peak_and_range(depths: Array, dose: Array) -> tuple[float, float]:
    """Depth of the maximum and of the distal 80 % of it, mm."""
    dense = np.linspace(depths[0], depths[-1], 200001)
    values = CubicSpline(depths, dose)(dense)
    top = int(values.argmax())
    behind = top + int(np.argmax(values[top:] < 0.8 * values[top]))
    return float(dense[top]), float(dense[behind])


if __name__ == "__main__":
    main()
