"""The deterministic proton engine: dose from the transport equation along beamlets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, Float32Array, IntArray, Weights
from dosegrad.beams.beam import Beams
from dosegrad.engines.yoda._march_arrays import Record
from dosegrad.engines.yoda._scoring_arrays import Pencils, Profiles, Voxels
from dosegrad.engines.yoda._tracing_arrays import Scene
from dosegrad.engines.yoda.beamlets import Beamlets, SpotAxes, prepare_spots, split_spots
from dosegrad.engines.yoda.fermi_eyges import lateral_moments
from dosegrad.engines.yoda.materials import MaterialTables, material_tables
from dosegrad.engines.yoda.paths import TracedPaths, media_of, step_length, trace_beamlets
from dosegrad.engines.yoda.range_march import PreparedMarch, RangeMarch
from dosegrad.engines.yoda.scoring import DepthProfile, make_profiles, score, voxels_of
from dosegrad.engines.yoda.slowing import slow_down
from dosegrad.engines.yoda.splitting import Splitting, split_on_lattice
from dosegrad.errors import SettingsError, unknown_name
from dosegrad.geometry.grid import Grid
from dosegrad.machine.particle import ParticleMachine
from dosegrad.patient.medium import Medium
from dosegrad.patient.patient import OutsideBody, Patient
from dosegrad.physics.materials import WATER, with_element_i_values
from dosegrad.physics.scattering import ScatteringModel
from dosegrad.physics.stopping import WATER_I_VALUE, range_in_water
from dosegrad.progress import report

__all__ = ["Mode", "Yoda"]

#: How the transport equation is solved.
Mode: TypeAlias = Literal["range-frame", "energy-grid", "wet"]

#: Beamlets times steps that are worked on at once.
_BATCH: Final = 1_000_000
_MANY_VOXELS: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class Yoda:
    """Settings."""

    mode: Mode = "range-frame"
    nuclear: bool = True
    water_i_value: float = WATER_I_VALUE
    scattering: ScatteringModel = "differential-moliere"
    splitting: Splitting | None = None
    tissue_i_values: Literal["compounds", "elements"] = "compounds"
    outside_body: OutsideBody = "air"

    def dose_grid(self, patient: Patient) -> Grid:
        """The CT's grid unless it has more than four million voxels, then the patient's."""
        grid = patient.ct.grid
        return grid if grid.n_voxels <= _MANY_VOXELS else patient.dose_grid()

    def forward(self, medium: Medium, beams: Beams, weights: Weights, voxels: IntArray) -> Array:
        """Dose (n_voxels,), Gy, of ``weights`` (n_columns,), 10^6 particles, without a matrix."""
        total = np.zeros(medium.grid.n_voxels)
        materials, scene = media_of(medium)
        if self.tissue_i_values == "elements":
            materials = tuple(m if m is WATER else with_element_i_values(m) for m in materials)
        tables = material_tables(
            materials,
            nuclear=self.nuclear,
            water_i_value=self.water_i_value,
            scattering=self.scattering,
        )
        for index in range(len(beams)):
            part = np.asarray(weights[beams.columns_of(index)], dtype=np.float64)
            spots = prepare_spots(beams, index, medium.grid, self.scattering)
            march = RangeMarch().prepare(
                spots.energies, spots.energy_stds,
                scattering=self.scattering, water_i_value=self.water_i_value,
            )
            scheme = self.splitting or split_on_lattice(1 / 3)
            chosen = np.flatnonzero(part > 0)
            step = step_length(medium.grid, spots.frame[0, 0])
            for spot in chosen:
                beamlets = split_spots(spots, [spot], [scheme])
                pencils, profiles = self._transport(medium.grid, scene, spots, beamlets, march, tables, step)
                pencils = pencils._replace(weight=pencils.weight * part[beamlets.spot])
                score(voxels_of(medium.grid), pencils, profiles, total)
        return total[voxels]

    def _transport(self, grid, scene, spots, beamlets, march, tables, step):
        longest = float(range_in_water(max(spots.energies))) * 1.2
        paths = trace_beamlets(
            scene, grid, spots, beamlets, step=step, longest_range=longest,
            n_materials=len(tables.materials),
        )
        slowing = slow_down(paths.layers, tables, spots.energies, scattering=self.scattering, water_i_value=self.water_i_value)
        record = march.solve(paths.layers._replace(mass=slowing.mass), tables)
        deposit = record.lost[:, 1:] - record.absorbed[:, 1:]
        depth = DepthProfile(step, deposit, paths.mass, record.let[:, 1:])
        # one profile per path and initial moments
        key = np.concatenate([paths.path[:, None], beamlets.moments.reshape(len(paths.path), 6)], axis=1)
        rows, first, profile = np.unique(key.round(12), axis=0, return_index=True, return_inverse=True)
        path = paths.path[first]
        power = (record.scattered[:, 1:] / step)[path]
        length = np.full(power.shape, step)
        variance = np.stack([
            lateral_moments(beamlets.moments[first, a], length, power).variance for a in range(2)], axis=1)
        turned = beamlets.frame @ np.asarray(grid.direction)
        frame = np.ascontiguousarray(turned[..., ::-1])
        spacing = np.asarray(grid.spacing)
        size = np.sqrt(((frame[0] * spacing) ** 2).sum(axis=-1))
        profiles = make_profiles(depth, path, variance, width=float(size[0]), blur=size[1:] ** 2 / 12)
        origin = grid.to_index(beamlets.start) * spacing
        pencils = Pencils(origin, frame[:, 0].copy(), frame[:, 1].copy(), frame[:, 2].copy(), beamlets.weight.copy(), profile.reshape(-1).astype(np.int32))
        return pencils, profiles
