"""Objectives of moving leaves: variables in which leaf pairs cannot collide, and their bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.sparse import csc_array

from dosegrad.arrays import Array, BoolArray
from dosegrad.beams.beam import Beams
from dosegrad.dose import Dose
from dosegrad.influence.aperture_map import ApertureDoseMap
from dosegrad.influence.build import choose_voxels
from dosegrad.influence.matrix import Influence
from dosegrad.optimisation.leaf_limits import bank_windows, passed
from dosegrad.optimisation.problem import DoseProblem
from dosegrad.optimisation.spot_problem import SampledTerms
from dosegrad.optimisation.wishes import Wishes, make_terms
from dosegrad.patient.patient import Patient

__all__ = ["ApertureProblem", "Box", "moving_pairs", "objective_of"]

#: Typical change of a leaf tip, mm.
_TIP_STEP: Final = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """Lowest and highest variables, and a typical change of each (n,)."""

    low: Array
    high: Array
    scale: Array

    def frozen(self, start: Array, kept: BoolArray) -> Box:
        """The same, but with the variables that are ``kept`` (n,) at ``start``."""
        low, high = np.where(kept, start, self.low), np.where(kept, start, self.high)
        return replace(self, low=low, high=high)


@dataclass(frozen=True, slots=True, eq=False)
class ApertureProblem:
    """Objectives as a function of MU, left tips and gaps between opposing tips.

    With the gap as variable, "leaves do not collide" is a bound. Right tips stop where their window
    ends, whatever the gap.

    Parameters
    ----------
    dose_map
        From MU and tips to dose.
    objective
        The same with objectives.
    low, high
        Between which tips (2, n_tips) of both banks may stand, mm.
    price
        Of 1 mm² by which a leaf passes an opposing neighbour.
    """

    dose_map: ApertureDoseMap
    objective: DoseProblem
    low: Array
    high: Array
    price: float = 0.0

    @classmethod
    def of(
        cls, dose_map: ApertureDoseMap, sampled: SampledTerms, *, room: float = 5.0
    ) -> ApertureProblem:
        """Objectives on chosen voxels of a dose map; tips stay within ``room`` mm of the jaws."""
        windows = bank_windows(
            dose_map.collimator, dose_map.apertures, moving_pairs(dose_map), room=room
        )
        ends = np.empty((2, 2, dose_map.n_tips))
        for field in dose_map.fields:
            places = dose_map.place_of(field)
            for bank, window in enumerate((windows.left, windows.right)):
                ends[0, bank, places] = window[field.segments, :1]
                ends[1, bank, places] = window[field.segments, 1:]
        objective = DoseProblem(dose_map, sampled.terms, sampled.shares)
        return cls(dose_map, objective, ends[0], ends[1])

    def inner(self, variables: Array) -> Array:
        """MU, left tips and gaps of the variables of the dose map, MU and both tips."""
        n, tips = len(self.dose_map.apertures), self.dose_map.n_tips
        inner = variables.copy()
        inner[n + tips :] -= variables[n : n + tips]
        return inner

    def outer(self, inner: Array) -> Array:
        """The reverse of :meth:`inner`, right tips within their windows."""
        n, tips = len(self.dose_map.apertures), self.dose_map.n_tips
        outer = inner.copy()
        outer[n + tips :] += inner[n : n + tips]
        outer[n + tips :] = np.clip(outer[n + tips :], self.low[1], self.high[1])
        return outer

    def value_and_gradient(self, inner: Array) -> tuple[float, Array]:
        """Weighted sum of all objectives and its derivative (n,) by MU, left tips and gaps."""
        outer = self.outer(inner)
        value, slope = self.objective.value_and_gradient(outer)
        n, tips = len(self.dose_map.apertures), self.dose_map.n_tips
        if self.price > 0.0:
            extra, by_tips = self._passing(outer[n : n + tips], outer[n + tips :])
            value, slope = value + extra, slope.copy()
            slope[n:] += by_tips
        by_inner = slope.copy()
        reached = inner[n : n + tips] + inner[n + tips :]
        by_inner[n + tips :] *= (reached >= self.low[1]) & (reached <= self.high[1])
        by_inner[n : n + tips] += by_inner[n + tips :]
        return value, by_inner

    def _passing(self, left: Array, right: Array) -> tuple[float, Array]:
        """Price of leaves that pass opposing neighbours, and its derivative by tips."""
        total, by_left, by_right = 0.0, np.zeros_like(left), np.zeros_like(right)
        for field in self.dose_map.fields:
            places = self.dose_map.place_of(field)
            after, before = passed(left[places], right[places])
            total += float((after**2).sum() + (before**2).sum())
            by_left[places[:, :-1]] += 2.0 * after
            by_right[places[:, 1:]] -= 2.0 * after
            by_left[places[:, 1:]] += 2.0 * before
            by_right[places[:, :-1]] -= 2.0 * before
        return self.price * total, self.price * np.concatenate([by_left, by_right])

    def box(self) -> Box:
        """Bounds of MU, left tips and gaps."""
        n, tips = len(self.dose_map.apertures), self.dose_map.n_tips
        units, gap = self.dose_map.apertures.monitor_units, self.dose_map.collimator.minimum_gap
        mean = float(units.mean()) if units.any() else 1.0
        widest = np.maximum(self.high[1] - self.low[0], gap)
        return Box(
            np.concatenate([np.zeros(n), self.low[0], np.full(tips, gap)]),
            np.concatenate([np.full(n, np.inf), self.high[0], widest]),
            np.concatenate([np.full(n, mean), np.full(2 * tips, _TIP_STEP)]),
        )


def moving_pairs(dose_map: ApertureDoseMap) -> list[slice]:
    """Which pairs of each segment (segments,) move."""
    found = [slice(0, 0)] * len(dose_map.apertures)
    for field in dose_map.fields:
        for segment in field.segments:
            found[int(segment)] = slice(int(field.pairs[0]), int(field.pairs[-1]) + 1)
    return found


def objective_of(patient: Patient, beams: Beams, dose: Dose, wishes: Wishes) -> float:
    """Weighted sum of objectives of a dose, on all voxels of its grid in the body."""
    voxels = choose_voxels(patient, dose.grid, "body")
    nothing = csc_array((voxels.size, beams.n_columns), dtype=np.float32)
    terms = make_terms(Influence(patient, beams, dose.grid, voxels, nothing), wishes)
    values = dose.array.ravel()[voxels]
    total = 0.0
    for term in terms:
        share = np.full(term.rows.size, 1.0 / term.rows.size)
        part, _ = term.objective.value_and_gradient(values[term.rows], share)
        total += term.objective.weight * part
    return float(total)
