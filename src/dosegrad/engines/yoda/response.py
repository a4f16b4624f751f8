r"""Responses of one beam: what doses do to a few numbers, carried back to the beamlets' axes.

A response is :math:`R = \sum_i g_i D_i` over voxels. Scoring is linear in the laterally integrated
dose d along the axis of a pencil, and depends smoothly on its variances v, so that

.. math:: R = \sum_p \sum_n d_{pn} \left(L_{pn} + \sum_m H_{pnm}\,(v_{pm} - v^0_{pm})\right)

to first order in v, with L and H from one pass over the voxels where g is not 0: the adjoint of
the scoring. d and v follow from what the beamlet crosses, through the slowing down of the mean
proton and the solve that belongs to its path, so that a new anatomy costs no new transport:
water-equivalent depths shift what was solved, without any linearisation, and inner products with L
and H give the responses. The gradient by every mass on the way is their exact derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.beams.beam import Beams
from dosegrad.engines.yoda._march_arrays import Media
from dosegrad.engines.yoda._response_arrays import HALOS, Bank, Course, Lateral, Rays
from dosegrad.engines.yoda._scoring_arrays import FINE, Pencils, Profiles
from dosegrad.engines.yoda._tracing_arrays import Entries, Lines, Scene
from dosegrad.engines.yoda.adaptive import choose_schemes
from dosegrad.engines.yoda.bank import Solver, make_bank, solve_classes
from dosegrad.engines.yoda.beamlets import Beamlets, split_spots
from dosegrad.engines.yoda.grid_march import march_on_grid, prepare_grid
from dosegrad.engines.yoda.materials import KAPPA, MaterialTables
from dosegrad.engines.yoda.range_march import PreparedMarch, RangeMarch
from dosegrad.engines.yoda.scoring import FARTHEST, GRAY, voxels_of
from dosegrad.engines.yoda.secondaries import HALO_VARIANCES
from dosegrad.engines.yoda.slowing import WIDEST, beam_tables
from dosegrad.engines.yoda.splitting import Splitting
from dosegrad.engines.yoda.transport import BEYOND, BeamTransport, place_pencils
from dosegrad.engines.yoda.wet import Solved, prepare_wet
from dosegrad.geometry.grid import Grid
from dosegrad.patient.medium import Medium

if TYPE_CHECKING:
    from dosegrad.engines.yoda.engine import Yoda

__all__ = ["BeamResponse", "prepare_response"]

_BATCH: Final = 600_000  # beamlets times steps that are worked on at once
_MARGIN: Final = 10.0  # mm of water behind the longest range at which responses may end
_FURTHER: Final = 1.1  # of the range, likewise
_FINEST: Final = 1e-3  # narrowest class of paths
_IDLE: Final = 1e-3  # of what pencils can give to a response that may be left out
_CARRIED: Final = 0.8  # of a spot's protons, whose beamlets make its halo
_COARSER: Final = 2.0  # pitch of adaptive lattices in that of the engine


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """A medium as the kernels of responses want it."""

    scene: Scene
    course: Course
    media: Media


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some spots of a beam: their beamlets' lines, and what their doses do.

    ``spots`` (n,): columns of the beam; ``lines``: of the beamlets; ``most`` steps, with that
    before the grid, that matter.
    """

    spots: NDArray[np.intp]
    rays: Rays
    lines: Lines
    lateral: Lateral
    most: int

    @property
    def n_bytes(self) -> int:
        """Memory in use."""
        held = (*self.rays, self.lines.start, self.lines.direction, *self.lateral)
        return sum(array.nbytes for array in held)


@dataclass(frozen=True, slots=True, eq=False)
class BeamResponse:
    """Responses of the spots of one beam in any anatomy on the grid.

    ``observe`` turns a medium into the anatomy that this beam sees.
    """

    bank: Bank
    parts: tuple[Part, ...]
    n_spots: int
    n_responses: int
    observe: Callable[[Medium], Anatomy]

    @property
    def n_bytes(self) -> int:
        """Memory in use."""
        return sum(p.n_bytes for p in self.parts) + sum(a.nbytes for a in self.bank)

    def respond(self, medium: Medium, *, shift: Array | None = None) -> Array:
        """Responses (spots of the beam, responses) in ``medium``.

        ``shift`` (3,), mm, moves the anatomy, but not the responding voxels, along the patient's
        axes (x, y, z).
        """
        from dosegrad.engines.yoda._response_kernels import respond

        anatomy = self.observe(medium)
        total = np.zeros((self.n_spots, self.n_responses))
        for part in self.parts:
            entries = trace_lines(anatomy.scene, _moved(part.lines, medium.grid, shift))
            found = np.zeros((part.spots.size, self.n_responses))
            respond(
                *(anatomy.course, anatomy.media, self.bank, part.rays, entries, part.lateral),
                *(part.most, found),
            )
            total[part.spots] = found
        return total

    def by_density(self, medium: Medium, goal: Array) -> Array:
        """Gradient (n_voxels,) of ``goal`` (responses,) times the responses by density.

        Per g/cm3, at the materials of ``medium``.
        """
        from dosegrad.compiled import thread_count
        from dosegrad.engines.yoda._response_kernels import pull_back
        from dosegrad.engines.yoda._tracing_kernels import spread

        anatomy = self.observe(medium)
        maps = np.zeros((thread_count(), medium.grid.n_voxels))
        for part in self.parts:
            entries = trace_lines(anatomy.scene, part.lines)
            by_mass = np.zeros(entries.mass.shape)
            pull_back(
                *(anatomy.course, anatomy.media, self.bank, part.rays, entries, part.lateral),
                *(part.most, np.asarray(goal, dtype=np.float64), by_mass),
            )
            spread(anatomy.scene, part.lines, entries, by_mass, maps)
        return np.asarray(maps.sum(axis=0))


def _moved(lines: Lines, grid: Grid, shift: Array | None) -> Lines:
    """``lines`` as they run through an anatomy that moved by ``shift`` (3,) mm."""
    if shift is None:
        return lines
    local = (np.asarray(shift) @ np.asarray(grid.direction))[::-1] / np.asarray(grid.spacing)
    return lines._replace(start=lines.start - local)


def trace_lines(scene: Scene, lines: Lines) -> Entries:
    """What lines cross."""
    from dosegrad.engines.yoda._tracing_kernels import trace

    shape = (len(lines.start), lines.n_steps + int(scene.shape.sum()) + 4)
    entries = Entries(
        np.zeros(shape, np.int32),
        np.zeros(shape, np.int32),
        np.zeros(shape),
        np.zeros(shape[0], np.int64),
    )
    trace(scene, lines, entries)
    return entries


def prepare_response(
    engine: Yoda,
    medium: Medium,
    beams: Beams,
    index: int,
    weights: Array,
    gradients: Array,
) -> BeamResponse:
    """Responses of beam ``index`` to doses of ``weights`` (n_columns of the beam,).

    ``gradients`` (responses, n_voxels): of each response by dose.
    """
    transport = engine.transport(medium, beams, index)
    chosen = np.flatnonzero(weights > 0)
    half = _half_voxel(transport)

    def observe(other: Medium) -> Anatomy:
        tables, scene = engine.see(other)
        if not transport.spots.in_air:
            scene = scene._replace(outside_density=0.0)
        return Anatomy(scene, _course(transport, tables, half), _media(tables))

    builder = _Builder(engine, transport, observe(medium), np.asarray(weights), gradients)
    if chosen.size == 0:
        bank = make_bank([], (), nuclear=False, water_i_value=engine.water_i_value)
        return BeamResponse(bank, (), weights.size, len(gradients), observe)
    bank, parts = builder.build(chosen)
    return BeamResponse(bank, parts, weights.size, len(gradients), observe)


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
class _Split:
    """Beamlets of some spots before their solves are known."""

    spots: NDArray[np.intp]
    beamlets: Beamlets
    rays: Rays
    lines: Lines


@dataclass(frozen=True, slots=True, eq=False)
class _Builder:
    """Makes the response of one beam."""

    engine: Yoda
    transport: BeamTransport
    anatomy: Anatomy
    weights: Array
    gradients: Array

    def build(self, chosen: NDArray[np.intp]) -> tuple[Bank, tuple[Part, ...]]:
        """Solves of the ``chosen`` spots, and their parts."""
        splits = list(self._split(chosen))
        kinds = [self._classify(split) for split in splits]
        solves, numbers = self._solves(splits, kinds)
        spots = self.transport.spots
        bank = make_bank(
            solves,
            spots.energies,
            nuclear=self.transport.nuclear,
            water_i_value=self.transport.water_i_value,
        )
        parts = []
        for split, kind, solve in zip(splits, kinds, numbers, strict=True):
            rays = split.rays._replace(solve=solve.astype(np.int32))
            part = self._part(split, rays, bank, kind[:, 3])
            if part is not None:
                parts.append(part)
        if isinstance(self.engine.splitting, Splitting):
            return bank, tuple(parts)
        return bank, tuple(_pruned(parts))

    def _split(self, chosen: NDArray[np.intp]) -> Iterator[_Split]:
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
            yield _Split(picked, beamlets, rays, self._lines(beamlets, n_steps))

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
        """The engine's schemes; where it adapts them, coarser ones, which changes do with."""
        splitting = self.engine.splitting
        if isinstance(splitting, Splitting):
            return [splitting] * chosen.size
        pitch = _COARSER * splitting.voxels_per_pitch
        coarse = replace(splitting, voxels_per_pitch=pitch)
        return choose_schemes(coarse, self.transport, chosen)

    def _lines(self, beamlets: Beamlets, n_steps: int) -> Lines:
        grid = self.transport.grid
        turned = beamlets.frame[:, 0] @ np.asarray(grid.direction)
        longest = BEYOND * max(self.transport.full_ranges) + 5.0
        return Lines(
            np.ascontiguousarray(grid.to_index(beamlets.start) + 0.5),
            np.ascontiguousarray(turned[:, ::-1] / np.asarray(grid.spacing)),
            self.transport.step,
            n_steps,
            longest / 10.0 / 0.8,  # per gram no tissue stops less than 0.8 times what water stops
        )

    def _classify(self, split: _Split) -> Array:
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
        self, splits: list[_Split], kinds: list[Array]
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

    def _solve_along(self, splits: list[_Split], leaders: NDArray[np.intp]) -> list[Solved]:
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

    def _part(self, split: _Split, rays: Rays, bank: Bank, last: Array) -> Part | None:
        """One part with its pulled-back scoring, or None if nothing of it matters."""
        transport = self.transport
        entries = trace_lines(self.anatomy.scene, split.lines)
        most = int((entries.step.max(axis=1, initial=0)).max()) + 2
        halos = HALOS if transport.nuclear else 0
        n_spots = split.spots.size
        n = rays.family.size + halos * n_spots
        from dosegrad.engines.yoda._response_kernels import survey

        energy, mass, added = (np.zeros((n, most)) for _ in range(3))
        survey(
            *(self.anatomy.course, self.anatomy.media, bank, rays, entries, most),
            *(energy, mass, added),
        )
        pencils, moments = self._pencils(split, rays, halos)
        ends = last
        if halos:
            wide = np.maximum.reduceat(last, rays.first[:-1])
            ends = np.concatenate([last, np.repeat(wide, halos)])
        variance = self._variances(moments, added, halos, n_spots)
        lateral = self._lateral(pencils, variance, added, ends)
        count = np.diff(lateral.first)
        if not count.any():
            return None
        last = (lateral.node + count)[count > 0].max()
        reach = int(np.ceil(0.5 * last + self.anatomy.course.half)) + 4
        lines = split.lines._replace(n_steps=min(split.lines.n_steps, reach))
        return Part(split.spots, rays, lines, lateral, min(most, reach))

    def _pencils(self, split: _Split, rays: Rays, halos: int) -> tuple[Pencils, Array]:
        """Pencils with the weights of the plan, and their moments (pencils, 2, 3)."""
        spots, beamlets = self.transport.spots, split.beamlets
        owner = np.repeat(split.spots, halos)
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

    def _variances(self, moments: Array, added: Array, halos: int, n_spots: int) -> Array:
        """Variances with those of voxels at the nodes (pencils, 2, nodes), mm2."""
        place = self.transport.step * np.arange(added.shape[1])
        drifted = (
            moments[:, :, :1]
            + 2.0 * moments[:, :, 1:2] * place
            + moments[:, :, 2:] * place**2
            + added[:, None]
        )
        if halos:
            wider = np.tile(HALO_VARIANCES, n_spots)
            drifted[-wider.size :] += wider[:, None, None]
        return at_nodes(drifted) + self._blur()[:, None]

    def _blur(self) -> Array:
        """Variances of a voxel across the beam, mm2, (2,)."""
        frame = self.transport.spots.frame[0] @ np.asarray(self.transport.grid.direction)
        squares = (frame[1:, ::-1] * np.asarray(self.transport.grid.spacing)) ** 2
        return np.asarray(squares.sum(axis=1) / 12.0)

    def _lateral(self, pencils: Pencils, variance: Array, added: Array, ends: Array) -> Lateral:
        """The pulled-back scoring of some pencils, whose steps count up to ``ends``."""
        from dosegrad.engines.yoda._pull_kernels import pull_profiles

        step = self.transport.step / FINE
        first, last = self._window(pencils, np.minimum(FINE * ends, variance.shape[2] - 1))
        places = first[:, None] + np.arange(int((last - first).max(initial=0)) + 1)
        inside = np.minimum(places, variance.shape[2] - 1)
        variance = np.take_along_axis(variance, inside[:, None], axis=2)
        used = (places <= last[:, None])[:, None]
        widest = np.where(used, variance, 0.0).max(axis=(1, 2))
        values = np.zeros((*places.shape, 4))
        values[:, :, 1], values[:, :, 2] = 0.5 / variance[:, 0], 0.5 / variance[:, 1]
        reach = np.stack([(last - first) * step, np.sqrt(2.0 * FARTHEST * widest)], axis=1)
        profiles = Profiles(step, values, self._blur(), reach, FARTHEST)
        pencils = pencils._replace(origin=pencils.origin + (first * step)[:, None] * pencils.axis)
        columns = [np.take_along_axis(at_nodes(added), inside, axis=1)]
        pulled = np.zeros((*places.shape, 5))
        for gradient in self.gradients:
            pulled[:] = 0.0
            box = _box(gradient, self.transport.grid)
            pull_profiles(voxels_of(self.transport.grid), pencils, profiles, box, gradient, pulled)
            columns.extend(_factors(pulled, variance))
        return _compressed(columns, first)

    def _window(self, pencils: Pencils, ends: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last node (pencils,), up to ``ends``, at which any response can be."""
        last = ends.astype(np.int64)
        spacing, step = np.asarray(self.transport.grid.spacing), self.transport.step / FINE
        boxes = np.stack([_box(g, self.transport.grid) for g in self.gradients])
        bounds = np.stack([boxes[:, :, 0].min(axis=0), boxes[:, :, 1].max(axis=0) - 1], axis=1)
        corners = np.array(list(product(*bounds))) * spacing
        places = np.einsum("cnk,nk->cn", corners[:, None] - pencils.origin, pencils.axis)
        nearest = np.floor(places.min(axis=0) / step).astype(np.int64) - 1
        farthest = np.ceil(places.max(axis=0) / step).astype(np.int64) + 1
        first = np.clip(nearest, 0, last)
        return first, np.maximum(np.minimum(farthest, last), first)


def _pruned(parts: list[Part]) -> list[Part]:
    """``parts`` without the pencils that together can give next to nothing to any response."""
    sums = [_potential(part.lateral) for part in parts]
    every = np.concatenate(sums) if sums else np.zeros((0, 1))
    limits = np.zeros(every.shape[1])
    for r, column in enumerate(every.T):
        ascending = np.sort(column)
        idle = np.searchsorted(np.cumsum(ascending), _IDLE * column.sum())
        limits[r] = ascending[max(int(idle) - 1, 0)] if idle else 0.0
    kept = [
        _only(part, np.asarray((s > limits).any(axis=1)))
        for part, s in zip(parts, sums, strict=True)
    ]
    return [part for part in kept if part.lateral.first[-1] > 0]


def _potential(lateral: Lateral) -> Array:
    """What the same dose at all nodes of each pencil would give, (pencils, responses)."""
    factors = np.abs(lateral.values[:, 1::4].astype(np.float64))
    sums = np.concatenate([np.zeros((1, factors.shape[1])), np.cumsum(factors, axis=0)])
    return np.asarray(np.diff(sums[lateral.first], axis=0))


def _only(part: Part, kept: NDArray[np.bool_]) -> Part:
    """``part`` with no nodes for pencils that are not ``kept``."""
    count = np.diff(part.lateral.first)
    rows = np.repeat(kept, count)
    first = np.concatenate([[0], np.cumsum(np.where(kept, count, 0))]).astype(np.int64)
    values = np.ascontiguousarray(part.lateral.values[rows])
    return replace(part, lateral=part.lateral._replace(first=first, values=values))


def at_nodes(edges: Array) -> Array:
    """Values at nodes from those at the edges of steps, along the last axis."""
    n = edges.shape[-1]
    nodes = np.empty((*edges.shape[:-1], FINE * (n - 1) + 1))
    nodes[..., ::FINE] = edges
    nodes[..., 1::FINE] = 0.5 * (edges[..., 1:] + edges[..., :-1])
    return nodes


def _box(gradient: Array, grid: Grid) -> NDArray[np.int64]:
    """Bounds (3, 2) of the voxels where a gradient is not 0."""
    filled = gradient.reshape(grid.shape) != 0
    bounds = np.zeros((3, 2), dtype=np.int64)
    for axis in range(3):
        found = np.flatnonzero(filled.any(axis=tuple({0, 1, 2} - {axis})))
        if found.size:
            bounds[axis] = found[0], found[-1] + 1
    return bounds


def _factors(pulled: Array, variance: Array) -> list[Array]:
    """The four columns of one response in ``Lateral.values`` (pencils, nodes)."""
    x, y = variance[:, 0], variance[:, 1]
    scale = GRAY / (1.0 - np.exp(-FARTHEST)) / (2.0 * np.pi) / np.sqrt(x * y)
    by_x, by_y = 0.5 / x**2, 0.5 / y**2
    here = pulled[:, :, 1] * by_x + pulled[:, :, 3] * by_y
    here -= 0.5 * pulled[:, :, 0] * (1.0 / x + 1.0 / y)
    before, behind = np.zeros_like(here), np.zeros_like(here)
    mixed_x, mixed_y = pulled[:, :-1, 2], pulled[:, :-1, 4]
    before[:, 1:] = mixed_x * by_x[:, :-1] + mixed_y * by_y[:, :-1]
    behind[:, :-1] = mixed_x * by_x[:, 1:] + mixed_y * by_y[:, 1:]
    return [scale * values for values in (pulled[:, :, 0], before, here, behind)]


def _compressed(columns: list[Array], start: NDArray[np.int64]) -> Lateral:
    """Nodes of pencils from the first to the last that matters; columns begin at ``start``."""
    used = np.zeros(columns[0].shape, dtype=bool)
    for values in columns[1:]:
        used |= values != 0
    n_nodes = columns[0].shape[1]
    some = used.any(axis=1)
    first = np.where(some, np.argmax(used, axis=1), 0)
    last = np.where(some, n_nodes - np.argmax(np.flip(used, axis=1), axis=1), 0)
    places = np.arange(n_nodes)
    inside = (places >= first[:, None]) & (places < last[:, None])
    values = np.stack([c[inside] for c in columns], axis=1).astype(np.float32)
    return Lateral(
        np.concatenate([[0], np.cumsum(last - first)]).astype(np.int64),
        (start + first).astype(np.int32),
        np.ascontiguousarray(values),
    )
