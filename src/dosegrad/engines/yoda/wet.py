r"""The fast mode: one solve in water per beam quality, read at water-equivalent depths.

With w(z) from slowing down along the path, a step loses what water loses between the depths of its
edges, times the survival that differs from water's:

.. math:: [W_w(w_k) - W_w(w_{k+1})]
          \exp\left(-\int (\Sigma_{a,m}/\Sigma_{a,w} - \kappa)\,\rho\,\Sigma_{a,w}\,dz\right)

Scattering is that of the spectrum in water, times the material's ratio to water.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.engines.yoda._march_arrays import Layers, Record, Slowing
from dosegrad.engines.yoda.materials import MaterialTables
from dosegrad.engines.yoda.range_march import PreparedMarch, empty_record
from dosegrad.physics.materials import WATER

__all__ = ["WaterSolves", "prepare_wet"]

_PER_GROUP: Final = 4.0  # depths per group of the march
_FINEST: Final = 0.25  # mm, of the depths at most


@dataclass(frozen=True, slots=True, eq=False)
class WaterSolves:
    """Solves in water, one row per beam quality.

    ``step`` (families,): of the depths, mm. ``carried``, ``number``, ``absorbed``, ``power``,
    ``let`` (families, depths): energy of the primaries (MeV), their number, energy absorbed by
    nuclei up to there, and at each depth scattering power (rad2 cm2/g) and LET (MeV/mm).
    """

    step: Array
    carried: Array
    number: Array
    absorbed: Array
    power: Array
    let: Array

    def along(self, layers: Layers, slowing: Slowing) -> Record:
        """What beams leave along all paths of ``layers``."""
        record = empty_record(layers)
        record.depth[:] = slowing.depth
        survival = np.exp(-np.cumsum(slowing.excess, axis=1))
        survival = np.concatenate([np.ones((len(survival), 1)), survival], axis=1)
        middle = np.sqrt(survival[:, 1:] * survival[:, :-1])
        for family in np.unique(layers.family):
            rows = np.flatnonzero(layers.family == family)
            depth, kept = slowing.depth[rows], middle[rows]
            carried, number, absorbed = (
                self._at(values[family], depth, self.step[family])
                for values in (self.carried, self.number, self.absorbed)
            )
            half = 0.5 * (depth[:, 1:] + depth[:, :-1])
            power, let = (
                self._at(values[family], half, self.step[family])
                for values in (self.power, self.let)
            )
            share = kept * 0.5 * (number[:, 1:] + number[:, :-1])
            extra = share * -np.expm1(-slowing.excess[rows])
            mean = 0.5 * (carried[:, 1:] + carried[:, :-1])
            mean /= np.maximum(0.5 * (number[:, 1:] + number[:, :-1]), 1e-12)
            record.lost[rows] = -np.diff(carried, axis=1) * kept + extra * mean
            record.absorbed[rows] = np.diff(absorbed, axis=1) * kept + extra * mean
            record.number[rows] = number * survival[rows]
            record.scattered[rows] = slowing.scattering[rows] * power
            record.let[rows] = let
        return record

    @staticmethod
    def _at(values: Array, depth: Array, step: float) -> Array:
        places = np.minimum(depth / step, values.size - 1.0)
        index = np.minimum(places.astype(np.intp), values.size - 2)
        share = places - index
        return np.asarray(values[index] * (1.0 - share) + values[index + 1] * share)


def prepare_wet(march: PreparedMarch, tables: MaterialTables) -> WaterSolves:
    """Solves in water of the beam qualities of ``march``."""
    families = march.families
    n_groups = families.initial.shape[1]
    ends = families.low + n_groups * families.width
    steps = np.minimum(families.width / _PER_GROUP, _FINEST)
    n_steps = int(np.ceil((ends / steps).max())) + 1
    count = len(families.full)
    water = tables.materials.index(WATER)
    layers = Layers(
        family=np.arange(count, dtype=np.int32),
        offsets=n_steps * np.arange(count + 1, dtype=np.int64),
        step=np.tile(np.arange(n_steps, dtype=np.int32), count),
        material=np.full(n_steps * count, water, dtype=np.int32),
        mass=np.repeat(0.1 * steps, n_steps),
        n_steps=n_steps,
    )
    record = march.solve(layers, tables)
    per_step = np.where(record.scattered > 0, record.scattered / (0.1 * steps[:, None]), 0.0)
    return WaterSolves(
        step=steps,
        carried=_from_end(record.lost),
        number=record.number,
        absorbed=np.concatenate([np.zeros((count, 1)), record.absorbed.cumsum(axis=1)], axis=1),
        power=_at_edges(per_step),
        let=_at_edges(record.let),
    )


def _from_end(lost: Array) -> Array:
    """Energy still carried at the edges."""
    before = np.cumsum(lost[:, ::-1], axis=1)[:, ::-1]
    return np.concatenate([before, np.zeros((len(lost), 1))], axis=1)


def _at_edges(values: Array) -> Array:
    """Values of the steps at their edges."""
    first, last = values[:, :1], values[:, -1:]
    return np.concatenate([first, 0.5 * (values[:, 1:] + values[:, :-1]), last], axis=1)
