"""Responses of beamlets in plain NumPy; the same numbers as ``_response_kernels``.

The gradient is a central difference of the responses.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dosegrad.arrays import Array
from dosegrad.engines.yoda._march_arrays import Media
from dosegrad.engines.yoda._response_arrays import HALOS, Bank, Course, Lateral, Rays
from dosegrad.engines.yoda._tracing_arrays import Entries

__all__ = ["classify", "pull_back", "respond", "survey"]


class _Walk(NamedTuple):
    """What the mean proton of a beamlet meets: depth and absorption at edges, the rest in steps."""

    depth: Array
    own: Array
    scatter: Array
    mass: Array
    lengthened: Array


class _Axis(NamedTuple):
    """Energy, mass and variance summed up to the edges of the steps in the grid."""

    energy: Array
    mass: Array
    variance: Array


def _entries(course: Course, rays: Rays, entries: Entries, b: int) -> list[tuple[int, int, float]]:
    """Step, material and mass of everything that a beamlet crosses."""
    before = [(0, course.water, rays.shifter[b]), (0, course.air, rays.air[b])]
    inside = [
        (int(entries.step[b, e]) + 1, int(entries.material[b, e]), entries.mass[b, e])
        for e in range(entries.used[b])
    ]
    return [(k, m, float(mass)) for k, m, mass in before + inside if mass > 0]


def _walk(
    course: Course, media: Media, rays: Rays, entries: Entries, b: int, most: int
) -> tuple[_Walk, list[tuple[float, float]]]:
    """Slowing down of a beamlet over ``most`` steps; depth before and mass of each entry."""
    ranges = media.step * np.arange(media.values.shape[1])

    def value(material: int, quantity: int, residual: float) -> float:
        return float(np.interp(residual, ranges, media.values[material, :, quantity]))

    family = rays.family[b]
    full = course.full[family]
    walk = _Walk(*np.zeros((2, most + 1)), *np.zeros((3, most)))
    depth, angular, met = 0.0, 0.0, []
    for k, material, raw in _entries(course, rays, entries, b):
        if k >= most:
            break
        mass = raw * (1.0 + min(angular, course.widest))
        met.append((depth, mass))
        left = full - depth
        left -= 5.0 * mass * value(material, 0, left)
        kappa = value(material, 0, left)
        absorbed = value(material, 1, left) - kappa * value(course.water, 1, left)
        scatters = mass * value(material, 2, left)
        depth += 10.0 * mass * kappa
        walk.depth[k + 1 :] = depth
        walk.own[k + 1 :] += mass * absorbed
        walk.scatter[k] += scatters
        if k > 0:
            walk.mass[k] += raw * kappa if course.to_water else raw
        if left > 0:
            angular += scatters * float(np.interp(left, ranges, course.power[family]))
    return walk, met


def _read(
    course: Course, bank: Bank, rays: Rays, b: int, walk: _Walk
) -> tuple[_Axis, Array, Array]:
    """A beamlet's axis, the angular variance gained and the halo's energies (5, steps)."""
    part = slice(bank.first[rays.solve[b]], bank.first[rays.solve[b] + 1])
    place, table = bank.depth[part], bank.values[part]
    energy, number, excess = (np.interp(walk.depth, place, table[:, q]) for q in range(3))
    exponent = excess - walk.own
    kept = np.exp(0.5 * (exponent[1:] + exponent[:-1]))
    deposit = -kept * np.diff(energy)
    middle, between = 0.5 * (walk.depth[1:] + walk.depth[:-1]), 0.5 * (place[1:] + place[:-1])
    gained = walk.scatter * np.interp(middle, between, table[:-1, 3])
    halo = np.zeros((HALOS, walk.mass.size))
    if len(bank.halo):
        family = rays.family[b]
        lost, expected = 1.0 - number * np.exp(exponent), 1.0 - number * np.exp(excess)
        few = expected <= 1e-6
        scale = np.where(few, 1.0, lost / np.where(few, 1.0, expected))[1:]
        tables = [
            scale * np.diff(np.interp(walk.depth, bank.halo_depth[family], bank.halo[family, :, q]))
            for q in range(HALOS + 1)
        ]
        deposit = deposit + tables[0]
        halo = np.stack(tables[1:])
    return _axis(course, deposit[1:], walk.mass[1:], gained[1:]), gained, halo


def _axis(course: Course, deposit: Array, mass: Array, gained: Array) -> _Axis:
    """Sums up to the edges from what happens in the steps of the grid."""
    d = course.step
    moments = np.zeros(3)
    variance = [0.0]
    for gain in gained:
        a2, a1, a0 = moments
        t = gain / d
        moments = np.array(
            [a2 + 2 * a1 * d + a0 * d**2 + t * d**3 / 3, a1 + a0 * d + t * d**2 / 2, a0 + t * d]
        )
        variance.append(moments[0])
    return _Axis(
        np.append(0.0, np.cumsum(deposit)), np.append(0.0, np.cumsum(mass)), np.array(variance)
    )


def _of_spot(
    course: Course,
    media: Media,
    bank: Bank,
    rays: Rays,
    entries: Entries,
    spot: int,
    most: int,
) -> tuple[list[_Axis], list[_Axis]]:
    """Axes of a spot's beamlets, and of its halo."""
    axes, mass, gained = [], np.zeros(most), np.zeros(most)
    per_mass = np.zeros((HALOS, most))
    for b in range(rays.first[spot], rays.first[spot + 1]):
        walk, _ = _walk(course, media, rays, entries, b, most)
        axis, gains, halo = _read(course, bank, rays, b, walk)
        axes.append(axis)
        mass += rays.wide[b] * walk.mass
        gained += rays.wide[b] * gains
        held = np.where(walk.mass > 0, walk.mass, 1.0)
        per_mass += rays.wide[b] * np.where(walk.mass > 0, halo / held, 0.0)
    halos = [_axis(course, (p * mass)[1:], mass[1:], gained[1:]) for p in per_mass]
    return axes, halos if len(bank.halo) else []


def _respond(course: Course, lateral: Lateral, pencil: int, axis: _Axis) -> Array:
    """Responses (r,) of one pencil."""
    part = slice(lateral.first[pencil], lateral.first[pencil + 1])
    values = lateral.values[part].astype(np.float64)
    places = 0.5 * (lateral.node[pencil] + np.arange(len(values)))
    edges = np.arange(axis.mass.size)
    energy, mass = (
        np.interp(places + course.half, edges, row) - np.interp(places - course.half, edges, row)
        for row in (axis.energy, axis.mass)
    )
    dose = np.where(mass > 0, energy / np.where(mass > 0, mass, 1.0), 0.0)
    change = np.pad(np.interp(places, edges, axis.variance) - values[:, 0], 1)
    factors = values[:, 1:].reshape(len(values), -1, 4)
    grown = np.stack([change[:-2], change[1:-1], change[2:]], axis=1)
    total = factors[:, :, 0] + np.einsum("nrq,nq->nr", factors[:, :, 1:], grown)
    return np.asarray(dose @ total)


def respond(
    course: Course,
    media: Media,
    bank: Bank,
    rays: Rays,
    entries: Entries,
    lateral: Lateral,
    most: int,
    out: Array,
) -> None:
    """Responses (spots, r) of all spots, added to ``out``; ``most`` steps of a path."""
    n_beamlets = rays.family.size
    for spot in range(rays.first.size - 1):
        axes, halos = _of_spot(course, media, bank, rays, entries, spot, most)
        for number, axis in enumerate(axes):
            out[spot] += _respond(course, lateral, int(rays.first[spot]) + number, axis)
        for h, axis in enumerate(halos):
            out[spot] += _respond(course, lateral, n_beamlets + HALOS * spot + h, axis)


def pull_back(
    course: Course,
    media: Media,
    bank: Bank,
    rays: Rays,
    entries: Entries,
    lateral: Lateral,
    most: int,
    goal: Array,
    by_mass: Array,
) -> None:
    """Gradient of ``goal`` (r,) times the responses by the mass of every entry, per g/cm2."""
    for b in range(rays.family.size):
        for e in range(entries.used[b]):
            sides = []
            delta = 1e-5 * entries.mass[b, e]
            for sign in (1.0, -1.0):
                mass = entries.mass.copy()
                mass[b, e] += sign * delta
                out = np.zeros((rays.first.size - 1, goal.size))
                moved = entries._replace(mass=mass)
                respond(course, media, bank, rays, moved, lateral, most, out)
                sides.append(float((out @ goal).sum()))
            by_mass[b, e] = (sides[0] - sides[1]) / (2.0 * delta)


def survey(
    course: Course,
    media: Media,
    bank: Bank,
    rays: Rays,
    entries: Entries,
    most: int,
    energy: Array,
    mass: Array,
    variance: Array,
) -> None:
    """Energy, mass and variance of all pencils, summed up to the edges in the grid."""
    n_beamlets = rays.family.size
    for spot in range(rays.first.size - 1):
        axes, halos = _of_spot(course, media, bank, rays, entries, spot, most)
        rows = [int(rays.first[spot]) + i for i in range(len(axes))]
        rows += [n_beamlets + HALOS * spot + h for h in range(len(halos))]
        for row, axis in zip(rows, axes + halos, strict=True):
            energy[row], mass[row], variance[row] = axis


def classify(
    course: Course,
    media: Media,
    rays: Rays,
    entries: Entries,
    half_way: Array,
    limit: Array,
    out: Array,
) -> None:
    """Of each beamlet (n, 4): its composition, water-equivalent length, and where it ends."""
    most = int(entries.step.max()) + 2
    for b, family in enumerate(rays.family):
        walk, met = _walk(course, media, rays, entries, b, most)
        full = course.full[family]
        out[b, 3] = -1.0
        steps = _entries(course, rays, entries, b)
        after = [depth for depth, _ in met[1:]] + [walk.depth[-1]]
        for (k, material, _), (_, mass), behind in zip(steps, met, after, strict=True):
            if walk.depth[k] < full:
                kappa = half_way[material, family]
                out[b, 0] += 10.0 * mass * kappa / full * max(1.0 - kappa, 0.0)
                out[b, 1] += 10.0 * mass * kappa / full * max(kappa - 1.0, 0.0)
            if out[b, 3] < 0 and behind > limit[family]:
                out[b, 3] = k
        out[b, 2] = walk.depth[-1]
