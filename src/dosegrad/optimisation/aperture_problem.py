"""Objectives of moving leaves: variables in which leaf pairs cannot collide, and their bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.sparse import csc_array

from dosegrad.arrays import Array, BoolArray
from dosegrad.beams.apertures import Apertures
from dosegrad.beams.beam import Beams
from dosegrad.dose import Dose
from dosegrad.influence.aperture_map import ApertureDoseMap
from dosegrad.influence.build import choose_voxels
from dosegrad.influence.matrix import Influence
from dosegrad.machine.collimator import MultileafCollimator
from dosegrad.optimisation.problem import DoseProblem
from dosegrad.optimisation.spot_problem import SampledTerms
from dosegrad.optimisation.wishes import Wishes, make_terms
from dosegrad.patient.patient import Patient

__all__ = ["ApertureProblem", "Box", "obedient", "objective_of"]

#: Typical change of a leaf tip, mm.
_TIP_STEP: Final = 8.0
#: Passes over all pairs that undo what they may not do.
_PASSES: Final = 200


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

    With the gap as variable, "leaves do not collide" is a bound.

    Parameters
    ----------
    dose_map
        From MU and tips to dose.
    objective
        The same with objectives.
    """

    dose_map: ApertureDoseMap
    objective: DoseProblem

    @classmethod
    def of(cls, dose_map: ApertureDoseMap, sampled: SampledTerms) -> ApertureProblem:
        """Objectives on chosen voxels of a dose map."""
        return cls(dose_map, DoseProblem(dose_map, sampled.terms, sampled.shares))

    def inner(self, variables: Array) -> Array:
        """MU, left tips and gaps of the variables of the dose map, MU and both tips."""
        n, tips = len(self.dose_map.apertures), self.dose_map.n_tips
        inner = variables.copy()
        inner[n + tips :] -= variables[n : n + tips]
        return inner

    def outer(self, inner: Array) -> Array:
        """The reverse of :meth:`inner`."""
        n, tips = len(self.dose_map.apertures), self.dose_map.n_tips
        outer = inner.copy()
        outer[n + tips :] += inner[n : n + tips]
        return outer

    def value_and_gradient(self, inner: Array) -> tuple[float, Array]:
        """Weighted sum of all objectives and its derivative (n,) by MU, left tips and gaps."""
        value, slope = self.objective.value_and_gradient(self.outer(inner))
        n, tips = len(self.dose_map.apertures), self.dose_map.n_tips
        by_inner = slope.copy()
        by_inner[n : n + tips] += slope[n + tips :]
        return value, by_inner

    def box(self, *, room: float) -> Box:
        """Bounds of MU, left tips and gaps; tips stay within ``room`` mm of the jaws' x."""
        dose_map, leaves = self.dose_map, self.dose_map.collimator
        n, tips = len(dose_map.apertures), dose_map.n_tips
        units = dose_map.apertures.monitor_units
        least, most = np.empty(tips), np.empty(tips)
        for field in dose_map.fields:
            places = dose_map.place_of(field)
            least[places], most[places] = field.jaws[0] - room, field.jaws[1] + room
        least = np.maximum(least, -leaves.reach)
        most = np.minimum(most, leaves.over_travel)
        mean = float(units.mean()) if units.any() else 1.0
        return Box(
            np.concatenate([np.zeros(n), least, np.full(tips, leaves.minimum_gap)]),
            np.concatenate([np.full(n, np.inf), most, most - least]),
            np.concatenate([np.full(n, mean), np.full(2 * tips, _TIP_STEP)]),
        )


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


def obedient(
    collimator: MultileafCollimator, apertures: Apertures, pairs: Sequence[slice]
) -> Apertures:
    """Apertures moved as little as it takes to keep gaps and, where it is forbidden, passing.

    ``pairs`` (segments,): which pairs of each segment may move.
    """
    left, right = apertures.left.copy(), apertures.right.copy()
    for k, span in enumerate(pairs):
        left[k, span], right[k, span] = _parted(collimator, left[k, span], right[k, span])
    return replace(apertures, left=left, right=right)


def _parted(collimator: MultileafCollimator, left: Array, right: Array) -> tuple[Array, Array]:
    """Tips (pairs,) of one segment by projections in turn."""
    left, right = left.copy(), right.copy()
    here, there = slice(None, -1), slice(1, None)
    for _ in range(_PASSES):
        lacking = 0.5 * np.maximum(collimator.minimum_gap - (right - left), 0.0)
        left, right = left - lacking, right + lacking
        if collimator.interdigitation:
            break
        worst = 0.0
        for a, b in ((here, there), (there, here)):
            passed = 0.5 * np.maximum(left[a] - right[b], 0.0)
            left[a] -= passed * 1.000001
            right[b] += passed * 1.000001
            worst = max(worst, float(passed.max(initial=0.0)))
        if worst < 1e-9:
            break
    return left, right
