r"""Solves that are read at water-equivalent depths: the fast mode, and sharing of solves.

What a beam leaves depends on the water-equivalent depth w and hardly on what made it up. So a solve
along one path serves others: a step loses what the solved path loses between the depths of its
edges, times the survival that differs,

.. math:: [W(w_k) - W(w_{k+1})]\, \exp[-(X(z) - X_\text{solved}(w))], \quad
          X = \int (\Sigma_{a,m} - \kappa \Sigma_{a,w})\,\rho\,dz

and scatters like the spectrum there, times what the material scatters relative to water. The fast
mode solves in water alone, once per beam quality. The range frame solves once for all paths of one
beam quality whose materials stop alike: what counts is how much of w lies in materials that stop
less, and more, than water per gram.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.engines.yoda._march_arrays import Layers, Record, Slowing
from dosegrad.engines.yoda.materials import KAPPA, MaterialTables
from dosegrad.engines.yoda.range_march import PreparedMarch, empty_record
from dosegrad.physics.materials import WATER

__all__ = [
    "SharedMarch",
    "Solved",
    "WaterSolves",
    "prepare_wet",
    "refine_paths",
    "solved_along",
]

_PER_GROUP: Final = 4.0  # depths per group of the march, in water
_FINEST: Final = 0.25  # mm, of the depths in water at most
_PARTS: Final = 4  # of each step of a path whose solve others read


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """One solve against water-equivalent depth.

    ``depth``, ``carried``, ``number``, ``absorbed`` and ``excess`` (n + 1,) at the edges: mm,
    energy of the primaries (MeV), their number, energy that nuclei absorbed up to there, and X of
    the module's equation; ``power`` and ``let`` (n,) in the steps: scattering per mass of water
    (rad2 cm2/g) and LET (MeV/mm).
    """

    depth: Array
    carried: Array
    number: Array
    absorbed: Array
    excess: Array
    power: Array
    let: Array

    def read(self, slowing: Slowing, rows: NDArray[np.intp], record: Record) -> None:
        """Fill the ``rows`` of ``record`` with what beams leave along those paths."""
        depth = slowing.depth[rows]
        carried, number, absorbed, excess = (
            np.interp(depth, self.depth, values)
            for values in (self.carried, self.number, self.absorbed, self.excess)
        )
        own = np.concatenate([np.zeros((len(rows), 1)), slowing.excess[rows]], axis=1)
        survival = np.exp(excess - np.cumsum(own, axis=1))
        kept = np.sqrt(survival[:, 1:] * survival[:, :-1])
        left = 0.5 * (number[:, 1:] + number[:, :-1])
        mean = 0.5 * (carried[:, 1:] + carried[:, :-1]) / np.maximum(left, 1e-12)
        extra = left * kept * -np.expm1(np.diff(excess, axis=1) - own[:, 1:]) * mean
        record.lost[rows] = -np.diff(carried, axis=1) * kept + extra
        record.absorbed[rows] = np.diff(absorbed, axis=1) * kept + extra
        record.number[rows] = number * survival
        half = 0.5 * (depth[:, 1:] + depth[:, :-1])
        middle = 0.5 * (self.depth[1:] + self.depth[:-1])
        record.scattered[rows] = slowing.scattering[rows] * np.interp(half, middle, self.power)
        record.let[rows] = np.interp(half, middle, self.let)
        record.depth[rows] = depth


def solved_along(record: Record, row: int, scattering: Array, excess: Array) -> Solved:
    """One row of a record, whose steps scattered like ``scattering`` g/cm2 of water."""
    lost = record.lost[row]
    known = scattering > 0
    power = np.where(known, record.scattered[row] / np.where(known, scattering, 1.0), 0.0)
    return Solved(
        depth=record.depth[row],
        carried=np.append(np.cumsum(lost[::-1])[::-1], 0.0),
        number=record.number[row],
        absorbed=np.append(0.0, np.cumsum(record.absorbed[row])),
        excess=excess,
        power=power,
        let=record.let[row],
    )


@dataclass(frozen=True, slots=True, eq=False)
class WaterSolves:
    """Solves in water, one per beam quality."""

    solves: tuple[Solved, ...]

    def along(self, layers: Layers, slowing: Slowing) -> Record:
        """What beams leave along all paths of ``layers``."""
        record = empty_record(layers)
        for family in np.unique(layers.family):
            rows = np.flatnonzero(layers.family == family)
            self.solves[family].read(slowing, rows, record)
        return record


def prepare_wet(march: PreparedMarch, tables: MaterialTables) -> WaterSolves:
    """Solves in water of the beam qualities of ``march``."""
    families = march.families
    ends = families.low + families.initial.shape[1] * families.width
    steps = np.minimum(families.width / _PER_GROUP, _FINEST)
    n_steps = int(np.ceil((ends / steps).max())) + 1
    count = len(families.full)
    layers = Layers(
        family=np.arange(count, dtype=np.int32),
        offsets=n_steps * np.arange(count + 1, dtype=np.int64),
        step=np.tile(np.arange(n_steps, dtype=np.int32), count),
        material=np.full(n_steps * count, tables.materials.index(WATER), dtype=np.int32),
        mass=np.repeat(0.1 * steps, n_steps),
        n_steps=n_steps,
    )
    record = march.solve(layers, tables)
    none = np.zeros(n_steps + 1)
    return WaterSolves(
        tuple(solved_along(record, f, np.full(n_steps, 0.1 * steps[f]), none) for f in range(count))
    )


@dataclass(frozen=True, slots=True, eq=False)
class SharedMarch:
    """The range-frame march, with one solve for paths whose materials stop alike.

    ``tolerance``: width of a class of paths, in the share of the water-equivalent depth times
    the difference of its stopping power per gram from water's; 0 solves along every path.
    """

    march: PreparedMarch
    tables: MaterialTables
    tolerance: float

    def along(self, layers: Layers, slowing: Slowing) -> Record:
        """What beams leave along all paths of ``layers``, whose masses are those of ``slowing``."""
        if self.tolerance <= 0.0 or layers.family.size == 1:
            return self.march.solve(layers, self.tables)
        group, leaders = self._groups(layers, slowing)
        if leaders.size == layers.family.size:
            return self.march.solve(layers, self.tables)
        chosen = refine_paths(layers, leaders)
        solved = self.march.solve(chosen, self.tables)
        record = empty_record(layers)
        for number, leader in enumerate(leaders):
            scattering = np.repeat(slowing.scattering[leader] / _PARTS, _PARTS)
            sums = np.append(0.0, np.cumsum(slowing.excess[leader]))
            excess = np.interp(solved.depth[number], slowing.depth[leader], sums)
            rows = np.flatnonzero(group == number)
            solved_along(solved, number, scattering, excess).read(slowing, rows, record)
        return record

    def _groups(
        self, layers: Layers, slowing: Slowing
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Class of each path (paths,), and of each class the path that reaches farthest."""
        owner = np.repeat(np.arange(layers.family.size), np.diff(layers.offsets))
        family = layers.family[owner]
        full = self.march.families.full
        count = len(self.tables.materials)
        half_way = np.stack([self.tables.at(m, KAPPA, 0.5 * full) for m in range(count)])
        kappa, full = half_way[layers.material, family], full[family]
        # Beyond the range nothing matters.
        inside = slowing.depth[owner, layers.step] < full
        water = np.where(inside, 10.0 * layers.mass * kappa, 0.0) / full
        sides = [np.maximum(1.0 - kappa, 0.0), np.maximum(kappa - 1.0, 0.0)]
        n = layers.family.size
        shares = [np.bincount(owner, water * s, minlength=n) / self.tolerance for s in sides]
        key = np.stack([layers.family, *(np.round(s) for s in shares)], axis=1)
        _, group = np.unique(key, axis=0, return_inverse=True)
        group = group.reshape(-1)
        order = np.lexsort([-slowing.depth[:, -1], group])
        _, first = np.unique(group[order], return_index=True)
        return group, order[first]


def refine_paths(layers: Layers, rows: NDArray[np.intp], parts: int = _PARTS) -> Layers:
    """The paths in ``rows`` with every step cut into ``parts``."""
    count = np.diff(layers.offsets)[rows]
    picked = np.concatenate([np.arange(*layers.offsets[r : r + 2]) for r in rows])
    part = np.arange(parts, dtype=np.int32)
    step = (parts * layers.step[picked][:, None] + part).ravel()
    owner = np.repeat(np.arange(len(rows)), count * parts)
    order = np.lexsort([step, owner])
    return Layers(
        family=layers.family[rows],
        offsets=np.concatenate([[0], np.cumsum(count * parts)]).astype(np.int64),
        step=step[order].astype(np.int32),
        material=np.repeat(layers.material[picked], parts)[order],
        mass=np.repeat(layers.mass[picked] / parts, parts)[order],
        n_steps=layers.n_steps * parts,
    )
