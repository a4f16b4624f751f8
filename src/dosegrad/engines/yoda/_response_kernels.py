"""Compiled responses of beamlets, and their gradient; ``_response_reference`` holds them plain.

Each beamlet's path is slowed down, the solve that belongs to it is read at the water-equivalent
depths of its steps, and the laterally integrated dose at the nodes of its profile is multiplied
with what such dose does to the responses. The gradient walks the same way back.
"""

from __future__ import annotations

from math import exp

import numpy as np

from dosegrad.arrays import Array
from dosegrad.compiled import kernel, parallel_kernel, prange
from dosegrad.engines.yoda._march_arrays import Media
from dosegrad.engines.yoda._response_arrays import HALOS, Bank, Course, Lateral, Rays
from dosegrad.engines.yoda._tracing_arrays import Entries

__all__ = ["classify", "pull_back", "respond", "survey"]

# Rows of a beamlet's scratch, over edges or steps; step 0 lies before the grid.
_DEPTH, _OWN, _SCATTER, _MASS, _ENERGY, _SUMMED, _VARIANCE = 0, 1, 2, 3, 4, 5, 6
_NUMBER, _EXPECTED, _EXPONENT, _CORE, _SCALE = 7, 8, 9, 10, 11
_ROWS = 12
# Columns of its slopes: by depth at edges of energy, number, excess, core, halos; in steps the
# slope of what is scattered by the depth of the middle, the primaries' deposit, the scattering.
_BY_CORE, _BY_HALO, _BY_MIDDLE, _PRIMARY, _POWER = 3, 4, 9, 10, 11
_COLUMNS = 12


@kernel
def _lookup(table: Array, step: float, residual: float) -> tuple[float, float]:
    """Value of a table at a residual range, mm, and its slope."""
    place = residual / step
    most = table.shape[0] - 1.000001
    inside = min(max(place, 0.0), most)
    index = int(inside)
    rise = table[index + 1] - table[index]
    slope = rise / step if 0.0 <= place <= most else 0.0
    return table[index] + (inside - index) * rise, slope


@kernel
def _cross(
    course: Course, media: Media, family: int, material: int, raw: float, now: Array, gains: Array
) -> None:
    """Take the mean proton over an entry: ``now`` (depth, angular variance), in place.

    ``gains`` (4,): absorption beyond water, scattering, lengthened mass, and the mass depth that
    dose is counted by.
    """
    values, step = media.values, media.step
    most = values.shape[1] - 1.000001
    mass = raw * (1.0 + min(now[1], course.widest))
    left = course.full[family] - now[0]
    place = min(max(left / step, 0.0), most)
    at = int(place)
    low, high = values[material, at, 0], values[material, at + 1, 0]
    left -= 5.0 * mass * (low + (place - at) * (high - low))
    place = min(max(left / step, 0.0), most)
    at = int(place)
    share, rest = place - at, 1.0 - (place - at)
    before, behind = values[material, at], values[material, at + 1]
    kappa = rest * before[0] + share * behind[0]
    removal = rest * before[1] + share * behind[1]
    scattering = mass * (rest * before[2] + share * behind[2])
    water = rest * values[course.water, at, 1] + share * values[course.water, at + 1, 1]
    now[0] += 10.0 * mass * kappa
    gains[0] = mass * (removal - kappa * water)
    gains[1] = scattering
    gains[2] = mass
    gains[3] = raw * kappa if course.to_water else raw
    if left > 0.0:
        power = course.power[family]
        now[1] += scattering * (rest * power[at] + share * power[at + 1])


@kernel
def _cross_back(
    course: Course,
    media: Media,
    family: int,
    material: int,
    raw: float,
    before: Array,
    bars: tuple[float, float, float],
    state: Array,
) -> float:
    """Gradient by the mass of an entry; ``state``: by depth and angular variance, in place.

    ``before`` (2,) as ``now`` of :func:`_cross` was; ``bars``: by its gains but the third.
    """
    full, step = course.full[family], media.step
    mass = raw * (1.0 + min(before[1], course.widest))
    first, first_slope = _lookup(media.values[material, :, 0], step, full - before[0])
    left = full - before[0] - 5.0 * mass * first
    kappa, kappa_slope = _lookup(media.values[material, :, 0], step, left)
    removal, removal_slope = _lookup(media.values[material, :, 1], step, left)
    in_water, water_slope = _lookup(media.values[course.water, :, 1], step, left)
    relative, relative_slope = _lookup(media.values[material, :, 2], step, left)
    by_depth, by_angle = state[0], state[1]
    by_excess, by_scatter, by_counted = bars
    by_mass = 10.0 * kappa * by_depth + (removal - kappa * in_water) * by_excess
    by_mass += relative * by_scatter
    by_kappa = 10.0 * mass * by_depth - mass * in_water * by_excess
    if course.to_water:
        by_kappa += raw * by_counted
        by_counted *= kappa
    by_relative = mass * by_scatter
    by_left = mass * by_excess * (removal_slope - kappa * water_slope)
    if left > 0.0:
        power, power_slope = _lookup(course.power[family], step, left)
        by_mass += relative * power * by_angle
        by_relative += mass * power * by_angle
        by_left += mass * relative * power_slope * by_angle
    by_left += by_kappa * kappa_slope + by_relative * relative_slope
    by_mass -= 5.0 * first * by_left
    by_first = -5.0 * mass * by_left
    by_raw = by_counted
    state[0] = by_depth - by_left - by_first * first_slope
    if before[1] < course.widest:
        state[1] = by_angle + by_mass * raw
    return float(by_mass * (1.0 + min(before[1], course.widest)) + by_raw)


@kernel
def _walk(
    course: Course,
    media: Media,
    rays: Rays,
    entries: Entries,
    beamlet: int,
    n_steps: int,
    rows: Array,
    passed: Array,
) -> int:
    """Slow a beamlet down over ``n_steps`` steps; the number of entries that were crossed.

    Fills depth and absorption at the edges, scattering and mass in the steps; ``passed`` (most,
    2): depth and angular variance before each entry, those before the grid first.
    """
    family = rays.family[beamlet]
    now, gains = np.zeros(2), np.zeros(4)
    rows[_SCATTER, :n_steps] = 0.0
    rows[_MASS, :n_steps] = 0.0
    rows[_DEPTH, 0], rows[_OWN, 0] = 0.0, 0.0
    own = 0.0
    for number in range(2):
        raw = rays.shifter[beamlet] if number == 0 else rays.air[beamlet]
        passed[number, 0], passed[number, 1] = now[0], now[1]
        if raw > 0.0:
            material = course.water if number == 0 else course.air
            _cross(course, media, family, material, raw, now, gains)
            own += gains[0]
            rows[_SCATTER, 0] += gains[1]
    at, used = 0, entries.used[beamlet]
    rows[_DEPTH, 1], rows[_OWN, 1] = now[0], own
    for k in range(1, n_steps):
        while at < used and entries.step[beamlet, at] + 1 == k:
            raw = entries.mass[beamlet, at]
            passed[at + 2, 0], passed[at + 2, 1] = now[0], now[1]
            _cross(course, media, family, entries.material[beamlet, at], raw, now, gains)
            own += gains[0]
            rows[_SCATTER, k] += gains[1]
            rows[_MASS, k] += gains[3]
            at += 1
        rows[_DEPTH, k + 1], rows[_OWN, k + 1] = now[0], own
    return at


@kernel
def _walk_back(
    course: Course,
    media: Media,
    rays: Rays,
    entries: Entries,
    beamlet: int,
    n_steps: int,
    crossed: int,
    passed: Array,
    bars: Array,
    by_mass: Array,
) -> None:
    """Gradient by the masses of entries from that by depth and absorption at the edges.

    ``bars`` (4, edges): by depth, absorption, scattering in steps and mass in steps.
    """
    family = rays.family[beamlet]
    state = np.zeros(2)
    at = crossed - 1
    by_own = 0.0
    for k in range(n_steps - 1, 0, -1):
        state[0] += bars[0, k + 1]
        by_own += bars[1, k + 1]
        while at >= 0 and entries.step[beamlet, at] + 1 == k:
            by_mass[at] = _cross_back(
                course,
                media,
                family,
                entries.material[beamlet, at],
                entries.mass[beamlet, at],
                passed[at + 2],
                (by_own, bars[2, k], bars[3, k]),
                state,
            )
            at -= 1


@kernel
def _find(depth: Array, at: int, last: int, place: float) -> int:
    """Interval of ``depth``, from ``at`` on, that holds ``place``."""
    while at < last - 1 and depth[at + 1] <= place:
        at += 1
    return at


@kernel
def _share(depth: Array, at: int, place: float) -> tuple[float, float]:
    """Share of an interval that lies below ``place``, 0 to 1, and its slope."""
    width = depth[at + 1] - depth[at]
    share = (place - depth[at]) / width
    if share <= 0.0:
        return 0.0, 0.0
    if share >= 1.0:
        return 1.0, 0.0
    return share, 1.0 / width


@kernel
def _scattering(bank: Bank, at: int, place: float) -> tuple[float, float]:
    """Scattering per mass of water at a depth behind the middle ``at``, and its slope."""
    slope = 1.0 / (bank.middle[at + 1] - bank.middle[at])
    share = (place - bank.middle[at]) * slope
    low = bank.values[at, 3]
    rise = bank.values[at + 1, 3] - low
    if share <= 0.0:
        return low, 0.0
    if share >= 1.0:
        return low + rise, 0.0
    return low + share * rise, slope * rise


@kernel
def _read_edge(
    bank: Bank, family: int, at: int, place: int, k: int, rows: Array, slopes: Array, levels: Array
) -> None:
    """Read the solve and the halo's tables at one edge; energy and halos into ``levels`` (6,)."""
    w = rows[_DEPTH, k]
    share, slope = _share(bank.depth, at, w)
    low, high = bank.values[at], bank.values[at + 1]
    for q in range(3):
        slopes[k, q] = slope * (high[q] - low[q])
    levels[0] = low[0] + share * (high[0] - low[0])
    number = low[1] + share * (high[1] - low[1])
    excess = low[2] + share * (high[2] - low[2])
    rows[_EXPONENT, k] = excess - rows[_OWN, k]
    rows[_NUMBER, k] = number * exp(rows[_EXPONENT, k])
    rows[_EXPECTED, k] = number * exp(excess)
    if bank.halo.shape[0] == 0:
        return
    share, slope = _share(bank.halo_depth[family], place, w)
    below, above = bank.halo[family, place], bank.halo[family, place + 1]
    for q in range(HALOS + 1):
        slopes[k, _BY_CORE + q] = slope * (above[q] - below[q])
    rows[_CORE, k] = below[0] + share * (above[0] - below[0])
    for h in range(HALOS):
        levels[h + 1] = below[h + 1] + share * (above[h + 1] - below[h + 1])
    rows[_SCALE, k] = 1.0
    if 1.0 - rows[_EXPECTED, k] > 1e-6:
        rows[_SCALE, k] = (1.0 - rows[_NUMBER, k]) / (1.0 - rows[_EXPECTED, k])


@kernel
def _read(
    course: Course,
    bank: Bank,
    rays: Rays,
    beamlet: int,
    begin: int,
    n_steps: int,
    rows: Array,
    halo: Array,
    slopes: Array,
) -> None:
    """Read the solve at all edges; energy, mass and variance summed up to each into ``rows``.

    Energy and mass count from the edge ``begin`` on, at least 1. ``halo`` (5, steps): energy in
    each Gaussian before it is scaled.
    """
    first, last = bank.first[rays.solve[beamlet]], bank.first[rays.solve[beamlet] + 1] - 1
    family = rays.family[beamlet]
    nuclear = bank.halo.shape[0] > 0
    at, place, half_at = first, 0, first
    now, before = np.zeros(HALOS + 1), np.zeros(HALOS + 1)
    rows[_ENERGY, : begin + 1] = 0.0
    rows[_SUMMED, : begin + 1] = 0.0
    rows[_VARIANCE, :2] = 0.0
    for k in range(n_steps + 1):
        w = rows[_DEPTH, k]
        if k >= begin:
            at = _find(bank.depth, at, last, w)
            if nuclear:
                table = bank.halo_depth[family]
                place = _find(table, place, table.size - 1, w)
            _read_edge(bank, family, at, place, k, rows, slopes, now)
        if k > begin:
            kept = exp(0.5 * (rows[_EXPONENT, k] + rows[_EXPONENT, k - 1]))
            deposit = kept * (before[0] - now[0])
            slopes[k - 1, _PRIMARY] = deposit
            if nuclear:
                deposit += rows[_SCALE, k] * (rows[_CORE, k] - rows[_CORE, k - 1])
                for h in range(HALOS):
                    halo[h, k - 1] = now[h + 1] - before[h + 1]
            rows[_ENERGY, k] = rows[_ENERGY, k - 1] + deposit
            rows[_SUMMED, k] = rows[_SUMMED, k - 1] + rows[_MASS, k - 1]
        if k > 1:
            middle = 0.5 * (w + rows[_DEPTH, k - 1])
            half_at = _find(bank.middle, half_at, last - 1, middle)
            power, slope = _scattering(bank, half_at, middle)
            slopes[k - 1, _BY_MIDDLE] = slope * rows[_SCATTER, k - 1]
            slopes[k - 1, _POWER] = power
        before[:] = now
    _vary(course, n_steps, slopes[:, _POWER], rows[_SCATTER], rows[_VARIANCE])


@kernel
def _vary(course: Course, n_steps: int, power: Array, scatter: Array, variance: Array) -> None:
    """Variance that scattering adds up to each edge, mm2."""
    d = course.step
    a0, a1, a2 = 0.0, 0.0, 0.0
    for k in range(2, n_steps + 1):
        t = power[k - 1] * scatter[k - 1] / d
        a2 += 2.0 * a1 * d + a0 * d * d + t * d * d * d / 3.0
        a1 += a0 * d + 0.5 * t * d * d
        a0 += t * d
        variance[k] = a2


@kernel
def _vary_back(course: Course, n_steps: int, by_variance: Array, by_scattered: Array) -> None:
    """Gradient by the angular variance gained in each step from that by variances at edges."""
    d = course.step
    b0, b1, b2 = 0.0, 0.0, 0.0
    for k in range(n_steps, 1, -1):
        b2 += by_variance[k]
        by_scattered[k - 1] = b2 * d * d / 3.0 + b1 * d / 2.0 + b0
        b0 += b1 * d + b2 * d * d
        b1 += 2.0 * d * b2


@kernel
def _read_back(
    bank: Bank,
    n_steps: int,
    rows: Array,
    halo: Array,
    slopes: Array,
    by_deposit: Array,
    by_halo: Array,
    by_scattered: Array,
    bars: Array,
) -> None:
    """Gradient by depth, absorption and scattering of a path from that by what is read.

    ``by_deposit``, ``by_scattered`` (steps,), ``by_halo`` (5, steps); adds to ``bars``.
    """
    nuclear = bank.halo.shape[0] > 0
    for k in range(n_steps - 1, 0, -1):
        a, b = k, k + 1
        given = by_deposit[k]
        by_exponent = 0.5 * slopes[k, _PRIMARY] * given
        kept = exp(0.5 * (rows[_EXPONENT, a] + rows[_EXPONENT, b]))
        bars[0, a] += kept * given * slopes[a, 0] + by_exponent * slopes[a, 2]
        bars[0, b] += by_exponent * slopes[b, 2] - kept * given * slopes[b, 0]
        bars[1, a] -= by_exponent
        bars[1, b] -= by_exponent
        bars[2, k] += slopes[k, _POWER] * by_scattered[k]
        bars[0, a] += 0.5 * slopes[k, _BY_MIDDLE] * by_scattered[k]
        bars[0, b] += 0.5 * slopes[k, _BY_MIDDLE] * by_scattered[k]
        if not nuclear:
            continue
        scale = rows[_SCALE, b]
        by_scale = given * (rows[_CORE, b] - rows[_CORE, a])
        bars[0, a] -= scale * given * slopes[a, _BY_CORE]
        bars[0, b] += scale * given * slopes[b, _BY_CORE]
        for h in range(HALOS):
            by_scale += by_halo[h, k] * halo[h, k]
            bars[0, a] -= scale * by_halo[h, k] * slopes[a, _BY_HALO + h]
            bars[0, b] += scale * by_halo[h, k] * slopes[b, _BY_HALO + h]
        expected = 1.0 - rows[_EXPECTED, b]
        if expected > 1e-6:
            by_number = -by_scale / expected
            by_expected = by_scale * scale / expected
            kept = exp(rows[_EXPONENT, b])
            water = exp(rows[_EXPONENT, b] + rows[_OWN, b])
            by_exponent = by_number * rows[_NUMBER, b]
            bars[0, b] += slopes[b, 1] * (by_number * kept + by_expected * water)
            bars[0, b] += slopes[b, 2] * (by_exponent + by_expected * rows[_EXPECTED, b])
            bars[1, b] -= by_exponent


@kernel
def _at(row: Array, last: int, place: float) -> float:
    """Value between edges 1 and ``last`` of a row, flat outside; ``place`` counts from 1."""
    inside = min(max(place, 0.0), last - 1.0)
    index = min(int(inside), last - 2)
    low = row[1 + index]
    return float(low + (inside - index) * (row[2 + index] - low))


@kernel
def _add_at(row: Array, last: int, place: float, value: float) -> None:
    """Give ``value`` back to the edges that :func:`_at` read."""
    inside = min(max(place, 0.0), last - 1.0)
    index = min(int(inside), last - 2)
    row[1 + index] += (1.0 - (inside - index)) * value
    row[2 + index] += (inside - index) * value


@kernel
def _needed(course: Course, lateral: Lateral, pencil: int, so_far: int, most: int) -> int:
    """Steps, with that before the grid, that the nodes of a pencil need."""
    n = lateral.first[pencil + 1] - lateral.first[pencil]
    if n == 0:
        return so_far
    end = 0.5 * (lateral.node[pencil] + n) + course.half
    return min(max(so_far, int(end) + 3), most)


@kernel
def _begun(course: Course, lateral: Lateral, pencil: int, so_far: int) -> int:
    """Edge, at least 1, from which on the nodes of a pencil need sums."""
    if lateral.first[pencil + 1] == lateral.first[pencil]:
        return so_far
    return max(1, min(so_far, int(0.5 * lateral.node[pencil] - course.half) + 1))


@kernel
def _change(lateral: Lateral, row: int, node: int, n_steps: int, variance: Array) -> float:
    """By how much scattering adds more variance at a node than it did in the planning CT."""
    return float(_at(variance, n_steps, 0.5 * node) - lateral.values[row, 0])


@kernel
def _on_axis(course: Course, place: float, n_steps: int, rows: Array) -> tuple[float, float]:
    """Energy over mass, MeV cm2/g, about a place in steps, and that mass."""
    low, high = place - course.half, place + course.half
    mass = _at(rows[_SUMMED], n_steps, high) - _at(rows[_SUMMED], n_steps, low)
    if mass <= 0.0:
        return 0.0, 0.0
    energy = _at(rows[_ENERGY], n_steps, high) - _at(rows[_ENERGY], n_steps, low)
    return energy / mass, mass


@kernel
def _add_pencil(
    course: Course, lateral: Lateral, pencil: int, n_steps: int, rows: Array, out: Array
) -> None:
    """Add the responses of one pencil to ``out`` (r,)."""
    first, start = lateral.first[pencil], lateral.node[pencil]
    n = lateral.first[pencil + 1] - first
    before, here, behind = 0.0, 0.0, 0.0
    for i in range(n):
        if i == 0:
            here = _change(lateral, first, start, n_steps, rows[_VARIANCE])
        else:
            before, here = here, behind
        behind = 0.0
        if i < n - 1:
            behind = _change(lateral, first + i + 1, start + i + 1, n_steps, rows[_VARIANCE])
        dose, _ = _on_axis(course, 0.5 * (start + i), n_steps, rows)
        value = lateral.values[first + i]
        for r in range(out.size):
            factor = value[1 + 4 * r] + value[2 + 4 * r] * before
            factor += value[3 + 4 * r] * here + value[4 + 4 * r] * behind
            out[r] += factor * dose


@kernel
def _pull_pencil(
    course: Course,
    lateral: Lateral,
    pencil: int,
    n_steps: int,
    rows: Array,
    goal: Array,
    bars: Array,
) -> None:
    """Gradient of ``goal`` (r,) times the responses by what a pencil deposits.

    ``bars`` (3, edges), overwritten: by energy in steps, mass in steps, variance at edges.
    """
    first, start = lateral.first[pencil], lateral.node[pencil]
    n = lateral.first[pencil + 1] - first
    bars[:3, : n_steps + 1] = 0.0
    variance = rows[_VARIANCE]
    for i in range(n):
        dose, mass = _on_axis(course, 0.5 * (start + i), n_steps, rows)
        value = lateral.values[first + i]
        factor = 0.0
        for q in range(3):
            j = i + q - 1
            if not 0 <= j < n:
                continue
            grows = 0.0
            for r in range(goal.size):
                grows += goal[r] * value[2 + 4 * r + q]
            factor += grows * _change(lateral, first + j, start + j, n_steps, variance)
            _add_at(bars[2], n_steps, 0.5 * (start + j), grows * dose)
        for r in range(goal.size):
            factor += goal[r] * value[1 + 4 * r]
        if mass > 0.0:
            low, high = 0.5 * (start + i) - course.half, 0.5 * (start + i) + course.half
            _add_at(bars[0], n_steps, high, factor / mass)
            _add_at(bars[0], n_steps, low, -factor / mass)
            _add_at(bars[1], n_steps, high, -factor * dose / mass)
            _add_at(bars[1], n_steps, low, factor * dose / mass)
    for q in range(2):
        # Sums over later edges: what a step adds counts from its end on.
        total = 0.0
        for k in range(n_steps, 0, -1):
            total += bars[q, k]
            bars[q, k - 1], bars[q, k] = bars[q, k - 1], bars[q, k]
            bars[q, k] = total
        for k in range(n_steps):
            bars[q, k] = bars[q, k + 1]


@kernel
def _mean_over_spot(
    course: Course,
    media: Media,
    bank: Bank,
    rays: Rays,
    entries: Entries,
    spot: int,
    n_steps: int,
    work: tuple[Array, Array, Array, Array],
    means: Array,
) -> None:
    """Means over a spot's beamlets of mass, angular variance gained and halos per mass, (7, n)."""
    rows, passed, halo, slopes = work
    means[:, :n_steps] = 0.0
    for b in range(rays.first[spot], rays.first[spot + 1]):
        _walk(course, media, rays, entries, b, n_steps, rows, passed)
        _read(course, bank, rays, b, 1, n_steps, rows, halo, slopes)
        _add_to_means(rays.wide[b], 1, n_steps, rows, halo, slopes, means)


@kernel
def _add_to_means(
    share: float, begin: int, n_steps: int, rows: Array, halo: Array, slopes: Array, means: Array
) -> None:
    """Add one beamlet to the means of its spot, energies from the edge ``begin`` on."""
    for k in range(1, n_steps):
        mass = rows[_MASS, k]
        means[0, k] += share * mass
        means[1, k] += share * slopes[k, _POWER] * rows[_SCATTER, k]
        if mass > 0.0 and k >= begin:
            for h in range(HALOS):
                means[2 + h, k] += share * rows[_SCALE, k + 1] * halo[h, k] / mass


@kernel
def _halo_rows(course: Course, means: Array, h: int, n_steps: int, rows: Array) -> None:
    """Energy, mass and variance of one Gaussian of a spot's halo, summed up to each edge."""
    rows[_ENERGY, 1], rows[_SUMMED, 1], rows[_VARIANCE, 1] = 0.0, 0.0, 0.0
    for k in range(1, n_steps):
        rows[_ENERGY, k + 1] = rows[_ENERGY, k] + means[2 + h, k] * means[0, k]
        rows[_SUMMED, k + 1] = rows[_SUMMED, k] + means[0, k]
    ones = np.ones(n_steps)
    _vary(course, n_steps, ones, means[1], rows[_VARIANCE])


@kernel
def _work(n_steps: int, most: int) -> tuple[Array, Array, Array, Array]:
    """Scratch of a spot: rows, what entries met, halos, slopes."""
    return (
        np.zeros((_ROWS, n_steps + 2)),
        np.zeros((most + 3, 2)),
        np.zeros((HALOS, n_steps + 2)),
        np.zeros((n_steps + 2, _COLUMNS)),
    )


@kernel
def _respond_spot(
    course: Course,
    media: Media,
    bank: Bank,
    rays: Rays,
    entries: Entries,
    lateral: Lateral,
    spot: int,
    most: int,
    out: Array,
) -> None:
    """Responses of one spot into ``out`` (r,)."""
    n_beamlets = rays.family.size
    nuclear = bank.halo.shape[0] > 0
    own, wide, early = 0, 0, most
    for b in range(rays.first[spot], rays.first[spot + 1]):
        own = _needed(course, lateral, b, own, most)
    if nuclear:
        for h in range(HALOS):
            wide = _needed(course, lateral, n_beamlets + HALOS * spot + h, wide, most)
            early = _begun(course, lateral, n_beamlets + HALOS * spot + h, early)
    n = max(own, wide)
    if n == 0:
        return
    work = _work(n, entries.step.shape[1])
    rows, passed, halo, slopes = work
    means = np.zeros((2 + HALOS, n + 1))
    for b in range(rays.first[spot], rays.first[spot + 1]):
        with_halo = rays.wide[b] > 0.0
        n = _needed(course, lateral, b, wide if with_halo else 0, most)
        if n == 0:
            continue
        begin = _begun(course, lateral, b, early if with_halo else most)
        _walk(course, media, rays, entries, b, n, rows, passed)
        _read(course, bank, rays, b, begin, n, rows, halo, slopes)
        _add_pencil(course, lateral, b, n, rows, out)
        if wide > 0 and with_halo:
            _add_to_means(rays.wide[b], early, wide, rows, halo, slopes, means)
    if wide > 0:
        for h in range(HALOS):
            _halo_rows(course, means, h, wide, rows)
            _add_pencil(course, lateral, n_beamlets + HALOS * spot + h, wide, rows, out)


@parallel_kernel
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
    for spot in prange(rays.first.size - 1):
        _respond_spot(course, media, bank, rays, entries, lateral, spot, most, out[spot])


@kernel
def _halo_back(
    course: Course,
    lateral: Lateral,
    pencil: int,
    n_steps: int,
    goal: Array,
    means: Array,
    rows: Array,
    bars: Array,
    by_means: Array,
) -> None:
    """Add the gradient by the means of a spot (7, n) from its halo, whose first is ``pencil``."""
    by_scattered = np.zeros(n_steps + 2)
    for h in range(HALOS):
        _halo_rows(course, means, h, n_steps, rows)
        _pull_pencil(course, lateral, pencil + h, n_steps, rows, goal, bars)
        _vary_back(course, n_steps, bars[2], by_scattered)
        for k in range(1, n_steps):
            by_means[2 + h, k] += bars[0, k] * means[0, k]
            by_means[0, k] += bars[0, k] * means[2 + h, k] + bars[1, k]
            by_means[1, k] += by_scattered[k]


@kernel
def _pull_spot(
    course: Course,
    media: Media,
    bank: Bank,
    rays: Rays,
    entries: Entries,
    lateral: Lateral,
    spot: int,
    most: int,
    goal: Array,
    by_mass: Array,
) -> None:
    """Gradient by the masses of all entries of one spot, into ``by_mass`` (beamlets, entries)."""
    n_beamlets = rays.family.size
    wide = 0
    if bank.halo.shape[0] > 0:
        for h in range(HALOS):
            wide = _needed(course, lateral, n_beamlets + HALOS * spot + h, wide, most)
    work = _work(most, entries.step.shape[1])
    rows, passed, halo, slopes = work
    means, by_means = np.zeros((2 + HALOS, most + 1)), np.zeros((2 + HALOS, most + 1))
    pencil_bars, bars = np.zeros((3, most + 2)), np.zeros((4, most + 2))
    by_halo, by_scattered = np.zeros((HALOS, most + 2)), np.zeros(most + 2)
    if wide > 0:
        _mean_over_spot(course, media, bank, rays, entries, spot, wide, work, means)
        first = n_beamlets + HALOS * spot
        _halo_back(course, lateral, first, wide, goal, means, rows, pencil_bars, by_means)
    for b in range(rays.first[spot], rays.first[spot + 1]):
        n = _needed(course, lateral, b, wide if rays.wide[b] > 0.0 else 0, most)
        if n == 0:
            continue
        crossed = _walk(course, media, rays, entries, b, n, rows, passed)
        _read(course, bank, rays, b, 1, n, rows, halo, slopes)
        _pull_pencil(course, lateral, b, n, rows, goal, pencil_bars)
        by_scattered[:] = 0.0
        _vary_back(course, n, pencil_bars[2], by_scattered)
        bars[:] = 0.0
        by_halo[:] = 0.0
        bars[3, :n] = pencil_bars[1, :n]
        for k in range(1, min(n, wide)):
            mass, share = rows[_MASS, k], rays.wide[b]
            bars[3, k] += share * by_means[0, k]
            by_scattered[k] += share * by_means[1, k]
            if mass > 0.0:
                for h in range(HALOS):
                    by_halo[h, k] = share * by_means[2 + h, k] / mass
                    scaled = rows[_SCALE, k + 1] * halo[h, k]
                    bars[3, k] -= by_halo[h, k] * scaled / mass
        _read_back(bank, n, rows, halo, slopes, pencil_bars[0], by_halo, by_scattered, bars)
        _walk_back(course, media, rays, entries, b, n, crossed, passed, bars, by_mass[b])


@parallel_kernel
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
    for spot in prange(rays.first.size - 1):
        _pull_spot(course, media, bank, rays, entries, lateral, spot, most, goal, by_mass)


@parallel_kernel
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
    """Energy, mass and variance of all pencils, summed up to the edges in the grid.

    Each (pencils, most); pencils are beamlets and then the Gaussians of the halos.
    """
    n_beamlets = rays.family.size
    for spot in prange(rays.first.size - 1):
        work = _work(most, entries.step.shape[1])
        rows, passed, halo, slopes = work
        means = np.zeros((2 + HALOS, most + 1))
        for b in range(rays.first[spot], rays.first[spot + 1]):
            _walk(course, media, rays, entries, b, most, rows, passed)
            _read(course, bank, rays, b, 1, most, rows, halo, slopes)
            _add_to_means(rays.wide[b], 1, most, rows, halo, slopes, means)
            energy[b] = rows[_ENERGY, 1 : most + 1]
            mass[b] = rows[_SUMMED, 1 : most + 1]
            variance[b] = rows[_VARIANCE, 1 : most + 1]
        if bank.halo.shape[0] > 0:
            for h in range(HALOS):
                p = n_beamlets + HALOS * spot + h
                _halo_rows(course, means, h, most, rows)
                energy[p] = rows[_ENERGY, 1 : most + 1]
                mass[p] = rows[_SUMMED, 1 : most + 1]
                variance[p] = rows[_VARIANCE, 1 : most + 1]


@parallel_kernel
def classify(
    course: Course,
    media: Media,
    rays: Rays,
    entries: Entries,
    half_way: Array,
    limit: Array,
    out: Array,
) -> None:
    """Of each beamlet (n, 4): its composition, water-equivalent length, and where it ends.

    ``half_way`` (materials, families): stopping relative to water at half the range. Composition
    is the mean shortfall and excess of these along the range. The last column is the first step
    behind the depth ``limit`` (families,), mm.
    """
    for b in prange(rays.family.size):
        family = rays.family[b]
        full = course.full[family]
        now, gains = np.zeros(2), np.zeros(4)
        begun = 0.0
        out[b, 3] = -1.0
        for at in range(-2, entries.used[b]):
            if at < 0:
                raw = rays.shifter[b] if at == -2 else rays.air[b]
                material = course.water if at == -2 else course.air
                step = 0
            else:
                raw = entries.mass[b, at]
                material = entries.material[b, at]
                step = entries.step[b, at] + 1
                if at == 0 or entries.step[b, at - 1] + 1 != step:
                    begun = now[0]
            if raw <= 0.0:
                continue
            inside = begun < full
            _cross(course, media, family, material, raw, now, gains)
            if inside:
                kappa = half_way[material, family]
                water = 10.0 * gains[2] * kappa / full
                out[b, 0] += water * max(1.0 - kappa, 0.0)
                out[b, 1] += water * max(kappa - 1.0, 0.0)
            if out[b, 3] < 0.0 and now[0] > limit[family]:
                out[b, 3] = step
        out[b, 2] = now[0]
