"""Making the responses of one beam: splitting, solves, and the pullback of the scoring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.beams.beam import Beams
from dosegrad.engines.yoda._march_arrays import Media
from dosegrad.engines.yoda._response_arrays import HALOS, Bank, Course, Rays
from dosegrad.engines.yoda._scoring_arrays import Pencils
from dosegrad.engines.yoda._tracing_arrays import Lines
from dosegrad.engines.yoda.adaptive import COARSEST, choose_schemes, turns
from dosegrad.engines.yoda.bank import Solver, make_bank, solve_classes
from dosegrad.engines.yoda.beamlets import Beamlets, split_spots
from dosegrad.engines.yoda.grid_march import march_on_grid, prepare_grid
from dosegrad.engines.yoda.materials import KAPPA, MaterialTables
from dosegrad.engines.yoda.paths import step_length
from dosegrad.engines.yoda.pulled_scoring import Axes, at_nodes, only, pull_scoring, unimportant
from dosegrad.engines.yoda.range_march import PreparedMarch, RangeMarch
from dosegrad.engines.yoda.response import Anatomy, BeamResponse, Part, trace_lines
from dosegrad.engines.yoda.secondaries import HALO_VARIANCES
from dosegrad.engines.yoda.slowing import WIDEST, beam_tables
from dosegrad.engines.yoda.splitting import Splitting, split_on_lattice
from dosegrad.engines.yoda.transport import BeamTransport, check_hits, place_pencils
from dosegrad.engines.yoda.wet import Solved, prepare_wet
from dosegrad.patient.medium import Medium

if TYPE_CHECKING:
    from dosegrad.engines.yoda.engine import Yoda

__all__ = ["Builder", "Split", "make_builder", "prepare_response"]

_BATCH: Final = 600_000  # beamlets times steps that are worked on at once
_MARGIN: Final = 40.0  # mm of water behind the longest range at which responses may end
_FURTHER: Final = 1.1  # of the range, likewise
_FINEST: Final = 1e-3  # narrowest class of paths
_CARRIED: Final = 0.8  # of a spot's protons, whose beamlets make its halo
# Lattice of the responses of spots that the engine splits adaptively, in the spot's standard
# deviation.
_PITCH, _REACH = 0.75, 3.0
_LONGEST: Final = 2.6  # mm, steps along these


def prepare_response(
    engine: Yoda,
    medium: Medium,
    beams: Beams,
    index: int,
    weights: Array,
    gradients: Array,
    *,
    must_hit: bool = True,
) -> BeamResponse:
    """Responses of beam ``index`` to doses of ``weights`` (n_columns of the beam,).

    ``gradients`` (responses, n_voxels): of each response by dose.

    Raises
    ------
    BeamError
        If ``must_hit`` and a spot with a weight misses the patient.
    """
    builder = make_builder(engine, medium, beams, index, weights, gradients)
    builder = replace(builder, must_hit=must_hit)
    chosen = np.flatnonzero(weights > 0)
    if chosen.size == 0:
        bank = make_bank([], (), nuclear=False, water_i_value=engine.water_i_value)
        return BeamResponse(bank, (), weights.size, len(gradients), builder.observe)
    bank, parts = builder.build(chosen)
    return BeamResponse(bank, parts, weights.size, len(gradients), builder.observe)


def make_builder(
    engine: Yoda,
    medium: Medium,
    beams: Beams,
    index: int,
    weights: Array,
    gradients: Array,
) -> Builder:
    """What makes the responses of beam ``index``; arguments as :func:`prepare_response`."""
    transport = engine.transport(medium, beams, index)
    if not isinstance(engine.splitting, Splitting):
        along = transport.spots.frame[0, 0]
        transport = replace(transport, step=step_length(medium.grid, along, longest=_LONGEST))
    return Builder(engine, transport, medium, np.asarray(weights), gradients)


def _sparse(scheme: Splitting, turn: float) -> Splitting:
    """A lattice with fewer beamlets that are as wide.

    Its sum has ripples, which responses of many spots do not feel, as each is turned another way;
    how sharply beamlets see is what counts for changes. A spot that the engine leaves whole is
    split too: tomorrow there may be something beside its axis.
    """
    one = scheme if scheme.n_beamlets > 1 else split_on_lattice(COARSEST)
    lattice = split_on_lattice(_PITCH, spread=float(one.spread[0]), reach=_REACH)
    return lattice.turned(turn)


def _half_voxel(transport: BeamTransport) -> float:
    """Half the size of a voxel along the beam, in steps."""
    along = transport.spots.frame[0, 0] @ np.asarray(transport.grid.direction)
    width = np.sqrt(((along[::-1] * np.asarray(transport.grid.spacing)) ** 2).sum())
    return float(0.5 * width / transport.step)


def _media(tables: MaterialTables) -> Media:
    return Media(tables.values, tables.straggling, tables.step)


def _course(transport: BeamTransport, tables: MaterialTables, half: float) -> Course:
    full, power = beam_tables(
        tables,
        transport.spots.energies,
        scattering=transport.scattering,
        water_i_value=transport.water_i_value,
    )
    count = len(tables.materials)
    return Course(
        full, power, WIDEST, count - 2, count - 1, transport.step, half, transport.to_water
    )


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Beamlets of some spots before their solves are known."""

    spots: NDArray[np.intp]
    beamlets: Beamlets
    rays: Rays
    lines: Lines


@dataclass(frozen=True, eq=False)
class Builder:
    """Makes the response of one beam."""

    engine: Yoda
    transport: BeamTransport
    medium: Medium
    weights: Array
    gradients: Array
    must_hit: bool = True

    def observe(self, medium: Medium) -> Anatomy:
        """``medium`` as this beam sees it."""
        tables, scene = self.engine.see(medium)
        if not self.transport.spots.in_air:
            scene = scene._replace(outside_density=0.0)
        half = _half_voxel(self.transport)
        return Anatomy(scene, _course(self.transport, tables, half), _media(tables))

    @cached_property
    def anatomy(self) -> Anatomy:
        """The planning CT."""
        return self.observe(self.medium)

    def build(self, chosen: NDArray[np.intp]) -> tuple[Bank, tuple[Part, ...]]:
        """Solves of the ``chosen`` spots, and their parts."""
        bank, splits, lasts = self.solve(chosen)
        found = [self._part(s, bank, last) for s, last in zip(splits, lasts, strict=True)]
        parts = [part for part in found if part is not None]
        if not isinstance(self.engine.splitting, Splitting):
            idle = unimportant([part.lateral for part in parts])
            parts = [
                replace(part, lateral=only(part.lateral, ~none))
                for part, none in zip(parts, idle, strict=True)
                if not none.all()
            ]
        return bank, tuple(parts)

    def solve(self, chosen: NDArray[np.intp]) -> tuple[Bank, list[Split], list[Array]]:
        """Solves of the ``chosen`` spots, their beamlets, and their last steps that matter."""
        splits = list(self.split(chosen))
        kinds = [self._classify(split) for split in splits]
        for split, kind in zip(splits, kinds, strict=True):
            if self.must_hit:
                check_hits(self.transport.spots, split.beamlets.spot, kind[:, 2])
        solves, numbers = self._solves(splits, kinds)
        bank = make_bank(
            *(solves, self.transport.spots.energies),
            nuclear=self.transport.nuclear,
            water_i_value=self.transport.water_i_value,
        )
        read = [
            replace(split, rays=split.rays._replace(solve=number.astype(np.int32)))
            for split, number in zip(splits, numbers, strict=True)
        ]
        return bank, read, [kind[:, 3] for kind in kinds]

    def split(self, chosen: NDArray[np.intp]) -> Iterator[Split]:
        """The spots' beamlets, some at a time."""
        transport, spots = self.transport, self.transport.spots
        schemes = self._schemes(chosen)
        n_steps = int(np.ceil(float(spots.length[chosen].max()) / transport.step - 1e-6))
        work = np.cumsum([s.n_beamlets * n_steps for s in schemes])
        batch = np.floor((work - 1.0) / _BATCH).astype(int)
        for number in np.unique(batch):
            rows = np.flatnonzero(batch == number)
            picked = chosen[rows]
            beamlets = split_spots(spots, picked.tolist(), [schemes[int(i)] for i in rows])
            counts = [schemes[int(i)].n_beamlets for i in rows]
            owner = beamlets.spot
            rays = Rays(
                first=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
                family=spots.quality[owner].astype(np.int32),
                solve=np.zeros(owner.size, np.int32),
                wide=self._wide(np.array(beamlets.weight), counts),
                shifter=spots.approach.shifter[owner],
                air=spots.approach.air[owner],
            )
            yield Split(picked, beamlets, rays, self._lines(beamlets, n_steps))

    def _wide(self, share: Array, counts: list[int]) -> Array:
        """Shares of beamlets in the halo of their spot: of all, or of those that carry most."""
        if isinstance(self.engine.splitting, Splitting):
            return share
        wide = np.zeros_like(share)
        for part in np.split(np.arange(share.size), np.cumsum(counts)[:-1]):
            falling = part[np.argsort(-share[part], kind="stable")]
            kept = falling[: int(np.searchsorted(np.cumsum(share[falling]), _CARRIED)) + 1]
            wide[kept] = share[kept] / share[kept].sum()
        return wide

    def _schemes(self, chosen: NDArray[np.intp]) -> Sequence[Splitting]:
        """The engine's schemes; where it adapts them, fewer beamlets of the same spread."""
        splitting = self.engine.splitting
        if isinstance(splitting, Splitting):
            return [splitting] * chosen.size
        found = choose_schemes(splitting, self.transport, chosen)
        angles = turns(self.transport, chosen)
        return [_sparse(scheme, float(a)) for scheme, a in zip(found, angles, strict=True)]

    def _lines(self, beamlets: Beamlets, n_steps: int) -> Lines:
        grid = self.transport.grid
        turned = beamlets.frame[:, 0] @ np.asarray(grid.direction)
        longest = _FURTHER * max(self.transport.full_ranges) + _MARGIN + 5.0
        return Lines(
            np.ascontiguousarray(grid.to_index(beamlets.start) + 0.5),
            np.ascontiguousarray(turned[:, ::-1] / np.asarray(grid.spacing)),
            self.transport.step,
            n_steps,
            longest / 10.0 / 0.8,  # per gram no tissue stops less than 0.8 times what water stops
        )

    def _classify(self, split: Split) -> Array:
        from dosegrad.engines.yoda._response_kernels import classify

        tables, course = self.transport.tables, self.anatomy.course
        middle = 0.5 * course.full
        count = range(len(tables.materials))
        half_way = np.stack([tables.at(m, KAPPA, middle) for m in count])
        found = np.zeros((split.beamlets.spot.size, 4))
        entries = trace_lines(self.anatomy.scene, split.lines)
        limit = _FURTHER * course.full + _MARGIN
        classify(course, self.anatomy.media, split.rays, entries, half_way, limit, found)
        last = entries.step[np.arange(len(found)), np.maximum(entries.used - 1, 0)] + 2
        found[:, 3] = np.where(found[:, 3] < 0, last, found[:, 3])
        return found

    def _solves(
        self, splits: list[Split], kinds: list[Array]
    ) -> tuple[list[Solved], list[NDArray[np.intp]]]:
        """Solves, and the number of that which each beamlet of each split reads."""
        families = [split.rays.family for split in splits]
        if self.engine.mode == "wet":
            march = self._range_march()
            return list(prepare_wet(march, self.transport.tables).solves), [
                f.astype(np.intp) for f in families
            ]
        family, kind = np.concatenate(families), np.concatenate(kinds)
        width = max(self.engine.sharing, _FINEST)
        key = np.column_stack([family, np.round(kind[:, :2] / width)])
        _, group = np.unique(key, axis=0, return_inverse=True)
        group = group.reshape(-1)
        order = np.lexsort([-kind[:, 2], group])
        leaders = order[np.unique(group[order], return_index=True)[1]]
        bounds = np.cumsum([f.size for f in families])[:-1]
        return self._solve_along(splits, leaders), np.split(group, bounds)

    def _range_march(self) -> PreparedMarch:
        spots = self.transport.spots
        return RangeMarch().prepare(
            *(spots.energies, spots.energy_stds),
            scattering=self.transport.scattering,
            water_i_value=self.transport.water_i_value,
        )

    def _solve_along(self, splits: list[Split], leaders: NDArray[np.intp]) -> list[Solved]:
        """Solves along the beamlets ``leaders``, counted over all splits."""
        transport, spots = self.transport, self.transport.spots
        names = ("spot", "start", "frame", "weight", "moments")
        every = Beamlets(
            *(np.concatenate([getattr(s.beamlets, n) for s in splits])[leaders] for n in names)
        )
        paths = transport.trace(every)
        if self.engine.mode == "energy-grid":
            grid = prepare_grid(
                *(transport.tables.materials, spots.energies, spots.energy_stds),
                scattering=transport.scattering,
                water_i_value=transport.water_i_value,
            )
            solver = Solver(lambda la, sl: march_on_grid(grid, la, sl), transport.slow_down)
        else:
            march = self._range_march()
            solver = Solver(lambda la, _: march.solve(la, transport.tables), transport.slow_down)
        solves = solve_classes(solver, paths.layers)
        return [solves[int(p)] for p in paths.path]

    def axes(self, split: Split, bank: Bank, last: Array) -> Axes:
        """The pencils of a split in the planning CT; ``last`` step of each beamlet that matters."""
        from dosegrad.engines.yoda._response_kernels import survey

        rays, course = split.rays, self.anatomy.course
        entries = trace_lines(self.anatomy.scene, split.lines)
        most = int((entries.step.max(axis=1, initial=0)).max()) + 2
        halos, n_spots = HALOS if self.transport.nuclear else 0, split.spots.size
        shape = (rays.family.size + halos * n_spots, most)
        energy, mass, added = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        survey(
            *(course, self.anatomy.media, bank, rays, entries, most),
            *(energy, mass, added),
        )
        pencils, moments = self.pencils(split.spots, split.beamlets)
        ends = last
        if halos:
            wide = np.maximum.reduceat(last, rays.first[:-1])
            ends = np.concatenate([last, np.repeat(wide, halos)])
        variance = self._variances(moments, added, halos * n_spots)
        return Axes(
            *(pencils, energy, mass, added, variance, ends),
            *(self.transport.step, course.half, self._blur()),
        )

    def _part(self, split: Split, bank: Bank, last: Array) -> Part | None:
        """One part with its pulled-back scoring, or None if nothing of it matters."""
        axes = self.axes(split, bank, last)
        lateral = pull_scoring(axes, self.gradients, self.transport.grid)
        count = np.diff(lateral.first)
        if not count.any():
            return None
        end = (lateral.node + count)[count > 0].max()
        reach = int(np.ceil(0.5 * end + axes.half)) + 4
        lines = split.lines._replace(n_steps=min(split.lines.n_steps, reach))
        return Part(split.spots, split.rays, lines, lateral, min(axes.mass.shape[1], reach))

    def pencils(self, chosen: NDArray[np.intp], beamlets: Beamlets) -> tuple[Pencils, Array]:
        """Pencils with the weights of the plan, and their moments (pencils, 2, 3)."""
        spots = self.transport.spots
        owner = np.repeat(chosen, HALOS if self.transport.nuclear else 0)
        whole = Beamlets(
            spot=np.concatenate([beamlets.spot, owner]),
            start=np.concatenate([beamlets.start, spots.start[owner]]),
            frame=np.concatenate([beamlets.frame, spots.frame[owner]]),
            weight=np.concatenate([beamlets.weight, np.ones(owner.size)]),
            moments=np.concatenate([beamlets.moments, spots.moments[owner]]),
        )
        pencils, _ = place_pencils(self.transport.grid, whole, np.arange(whole.spot.size))
        weight = pencils.weight * self.weights[whole.spot]
        return pencils._replace(weight=weight), whole.moments

    def _variances(self, moments: Array, added: Array, n_wide: int) -> Array:
        """Variances with those of voxels at the nodes (pencils, 2, nodes), mm2."""
        place = self.transport.step * np.arange(added.shape[1])
        drifted = (
            moments[:, :, :1]
            + 2.0 * moments[:, :, 1:2] * place
            + moments[:, :, 2:] * place**2
            + added[:, None]
        )
        if n_wide:
            wider = np.tile(HALO_VARIANCES, n_wide // HALOS)
            drifted[-n_wide:] += wider[:, None, None]
        return at_nodes(drifted) + self._blur()[:, None]

    def _blur(self) -> Array:
        """Variances of a voxel across the beam, mm2, (2,)."""
        frame = self.transport.spots.frame[0] @ np.asarray(self.transport.grid.direction)
        squares = (frame[1:, ::-1] * np.asarray(self.transport.grid.spacing)) ** 2
        return np.asarray(squares.sum(axis=1) / 12.0)
