"""Transport of one beam: from spots of a beam to pencils that can be scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.engines.yoda._march_arrays import Layers, Record, Slowing
from dosegrad.engines.yoda._scoring_arrays import Pencils, Profiles
from dosegrad.engines.yoda._tracing_arrays import Scene
from dosegrad.engines.yoda.beamlets import Beamlets, SpotAxes, split_spots
from dosegrad.engines.yoda.fermi_eyges import lateral_moments
from dosegrad.engines.yoda.materials import MaterialTables
from dosegrad.engines.yoda.paths import TracedPaths, trace_beamlets
from dosegrad.engines.yoda.scoring import DepthProfile, make_profiles
from dosegrad.engines.yoda.secondaries import (
    HALO_VARIANCES,
    Secondaries,
    secondaries_along,
    water_secondaries,
)
from dosegrad.engines.yoda.slowing import slow_down
from dosegrad.engines.yoda.splitting import Splitting
from dosegrad.errors import BeamError
from dosegrad.geometry.grid import Grid
from dosegrad.physics.scattering import ScatteringModel
from dosegrad.physics.stopping import range_in_water

__all__ = ["BEYOND", "BeamTransport", "Scored", "check_hits", "place_pencils"]

#: Of the longest range, behind which no path is traced.
BEYOND = 1.15


_LEAST: Final = 1.0  # mm of water that a spot must meet


class Scored(NamedTuple):
    """Pencils with their profiles, and the spot that each belongs to."""

    pencils: Pencils
    profiles: Profiles
    spot: NDArray[np.intp]


class _Solved(NamedTuple):
    """Paths of beamlets, water-equivalent depths of their ends, and what is left along them."""

    paths: TracedPaths
    end: Array
    record: Record
    secondaries: Secondaries | None


@dataclass(frozen=True, slots=True, eq=False)
class BeamTransport:
    """Everything that transports the spots of one beam through one medium.

    ``march`` turns layers and their slowing down into what beams leave along them; ``to_water``:
    whether dose is that to water, not to tissue.
    """

    grid: Grid
    scene: Scene
    tables: MaterialTables
    spots: SpotAxes
    step: float
    march: Callable[[Layers, Slowing], Record]
    nuclear: bool
    scattering: ScatteringModel
    water_i_value: float
    to_water: bool = False

    @property
    def full_ranges(self) -> tuple[float, ...]:
        """Range in water of each beam quality, mm."""
        i_value = self.water_i_value
        return tuple(float(range_in_water(e, water_i_value=i_value)) for e in self.spots.energies)

    def trace(self, beamlets: Beamlets) -> TracedPaths:
        """What ``beamlets`` cross."""
        return trace_beamlets(
            *(self.scene, self.grid, self.spots, beamlets),
            step=self.step,
            longest_range=BEYOND * max(self.full_ranges) + 5.0,
            n_materials=len(self.tables.materials),
        )

    def slow_down(self, layers: Layers) -> Slowing:
        """Slowing down of the mean proton along paths."""
        return slow_down(
            *(layers, self.tables, self.spots.energies),
            scattering=self.scattering,
            water_i_value=self.water_i_value,
        )

    def pencils(
        self, chosen: Sequence[int], schemes: Sequence[Splitting], *, must_hit: bool = False
    ) -> list[Scored]:
        """Pencils of the ``chosen`` spots: their beamlets, and their halos where there are any.

        Raises
        ------
        BeamError
            If ``must_hit`` and a spot misses the patient.
        """
        beamlets = split_spots(self.spots, chosen, schemes)
        solved = self._solve(self.trace(beamlets))
        if must_hit:
            check_hits(self.spots, beamlets.spot, solved.end[solved.paths.path])
        scored = [self._cores(beamlets, solved)]
        if solved.secondaries is not None:
            scored.append(self._halos(beamlets, solved, solved.secondaries, chosen))
        return scored

    def _solve(self, paths: TracedPaths) -> _Solved:
        slowing = self.slow_down(paths.layers)
        layers = paths.layers._replace(mass=slowing.mass)
        record = self.march(layers, slowing)
        secondaries = self._secondaries(layers, slowing, record) if self.nuclear else None
        if self.to_water:
            paths = replace(paths, mass=slowing.water[:, 1:])
        return _Solved(paths, slowing.depth[:, -1], record, secondaries)

    def _secondaries(self, layers: Layers, slowing: Slowing, record: Record) -> Secondaries:
        out = Secondaries.empty((layers.family.size, layers.n_steps))
        for family in np.unique(layers.family):
            rows = np.flatnonzero(layers.family == family)
            table = water_secondaries(self.spots.energies[family], self.water_i_value)
            part = secondaries_along(table, slowing, rows, record.number[rows])
            for name in ("core", "core_let", "halo_let"):
                getattr(out, name)[rows] = getattr(part, name)
            out.halo[:, rows] = part.halo
        return out

    def _cores(self, beamlets: Beamlets, solved: _Solved) -> Scored:
        record, path = solved.record, solved.paths.path
        deposit = (record.lost - record.absorbed)[:, 1:]
        let = record.let[:, 1:]
        if solved.secondaries is not None:
            added = solved.secondaries.core[:, 1:]
            total = deposit + added
            weighted = deposit * let + added * solved.secondaries.core_let[:, 1:]
            deposit, let = total, np.where(total > 0, weighted / np.where(total > 0, total, 1.0), 0)
        key = np.column_stack([path, beamlets.moments.reshape(path.size, 6)]).round(12)
        _, first, profile = np.unique(key, axis=0, return_index=True, return_inverse=True)
        power = record.scattered[path[first], 1:] / self.step
        return self._scored(
            beamlets,
            DepthProfile(self.step, deposit, solved.paths.mass, let),
            path[first],
            self._variances(beamlets.moments[first], power),
            profile.reshape(-1),
        )

    def _halos(
        self, beamlets: Beamlets, solved: _Solved, halo: Secondaries, chosen: Sequence[int]
    ) -> Scored:
        """Wide pencils of each spot, one for each Gaussian, from the mean over its beamlets."""
        spots, path, n = self.spots, solved.paths.path, len(chosen)
        starts = np.searchsorted(beamlets.spot, np.asarray(chosen))

        def mean(values: Array) -> Array:
            weighted = beamlets.weight[:, None] * values[path]
            return np.asarray(np.add.reduceat(weighted, starts, axis=0))

        mass = solved.paths.mass
        mean_mass, mean_let = mean(mass), mean(halo.halo_let[:, 1:])
        per_mass = np.where(mass > 0, halo.halo[:, :, 1:] / np.where(mass > 0, mass, 1.0), 0.0)
        deposit = np.concatenate([mean(values) * mean_mass for values in per_mass])
        power = mean(solved.record.scattered[:, 1:]) / self.step
        variance = self._variances(spots.moments[chosen], power)
        count = len(HALO_VARIANCES)
        widened = np.concatenate([variance + added for added in HALO_VARIANCES])
        owner = np.tile(np.asarray(chosen, dtype=np.intp), count)
        whole = Beamlets(
            owner, spots.start[owner], spots.frame[owner], np.ones(n * count), spots.moments[owner]
        )
        depth = DepthProfile(
            *(self.step, deposit, np.tile(mean_mass, (count, 1)), np.tile(mean_let, (count, 1)))
        )
        every = np.arange(n * count)
        return self._scored(whole, depth, every, widened, every)

    def _variances(self, moments: Array, power: Array) -> Array:
        """Variances across (n, 2, steps + 1) from moments (n, 2, 3) and scattering powers."""
        length = np.full(power.shape, self.step)
        axes = [lateral_moments(moments[:, a], length, power).variance for a in range(2)]
        return np.stack(axes, axis=1)

    def _scored(
        self,
        beamlets: Beamlets,
        depth: DepthProfile,
        path: NDArray[np.intp],
        variance: Array,
        profile: NDArray[np.intp],
    ) -> Scored:
        pencils, size = place_pencils(self.grid, beamlets, profile)
        profiles = make_profiles(
            depth, path, variance, width=float(size[0]), blur=size[1:] ** 2 / 12.0
        )
        return Scored(pencils, profiles, beamlets.spot)


def check_hits(spots: SpotAxes, owner: NDArray[np.intp], end: Array) -> None:
    """Raise if a spot crosses next to nothing.

    ``owner`` (beamlets,): spot of each, those of one together; ``end`` (beamlets,):
    water-equivalent depth where each ends, mm.
    """
    first = np.flatnonzero(np.append(True, np.diff(owner) != 0))
    farthest = np.maximum.reduceat(end - 10.0 * spots.approach.shifter[owner], first)
    missing = owner[first][farthest < _LEAST]
    if missing.size:
        others = f", and so do {missing.size - 1} others" if missing.size > 1 else ""
        raise BeamError(
            f"spot {missing[0] + 1} of {spots.beam} misses the patient{others}: no beamlet of it "
            "crosses 1 mm of tissue. Check isocentre, gantry angle and spot positions, or give it "
            "no weight."
        )


def place_pencils(
    grid: Grid, beamlets: Beamlets, profile: NDArray[np.intp]
) -> tuple[Pencils, Array]:
    """Beamlets along the axes of ``grid``; size of a voxel along the first and across it, mm."""
    spacing = np.asarray(grid.spacing)
    frame = (beamlets.frame @ np.asarray(grid.direction))[..., ::-1]
    size = np.sqrt(((frame[0] * spacing) ** 2).sum(axis=-1))
    pencils = Pencils(
        origin=np.ascontiguousarray(grid.to_index(beamlets.start) * spacing),
        axis=np.ascontiguousarray(frame[:, 0]),
        across_x=np.ascontiguousarray(frame[:, 1]),
        across_y=np.ascontiguousarray(frame[:, 2]),
        weight=np.array(beamlets.weight),
        profile=profile.astype(np.int32),
    )
    return pencils, np.asarray(size)
