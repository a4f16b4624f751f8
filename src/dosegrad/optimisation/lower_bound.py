"""A rigorous lower bound of a convex objective of weights that are not negative.

A plane below the objective bounds it where the plane's slope is not negative in any weight. Just
off the optimum some slopes are, slightly. Then the bound is that of the plane on the weights that
can be optimal: doses of small regions cannot be high where a squared deviation is small. The worst
over these weights is a linear programme, whose dual is solved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csc_array

from dosegrad.arrays import Array, IntArray
from dosegrad.geometry.grid import Grid
from dosegrad.influence.products import in_kernel_types
from dosegrad.objectives.mean import MeanDose
from dosegrad.objectives.protocols import Objective
from dosegrad.objectives.squared import SquaredDeviation, SquaredOverdose
from dosegrad.optimisation.problem import Term

__all__ = ["Regions", "form_regions", "highest_mean", "plane_minimum"]

#: Side of a region, in voxels.
_SIDE: Final = 3
#: Slopes that cost the bound less than this share altogether are covered at once.
_SLIGHT: Final = 5e-4


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """Parts of structures whose mean dose an objective bounds.

    Parameters
    ----------
    terms
        Number (n_regions,) of the objective that bounds each.
    shares
        Part (n_regions,) of the structure that each is.
    doses
        Mean dose (n_regions, n_columns), Gy per unit weight.
    """

    terms: IntArray
    shares: Array
    doses: Array

    def tops(self, objectives: Sequence[Objective], values: Array) -> Array:
        """Highest mean dose (n_regions,) while no objective is above its value (n_terms,)."""
        pairs = zip(self.terms, self.shares, strict=True)
        return np.array([highest_mean(objectives[k], float(values[k]), s) for k, s in pairs])


def highest_mean(objective: Objective, value: float, share: float) -> float:
    """Highest mean dose, Gy, of a part ``share`` of a structure where the objective is ``value``.

    Infinity for objectives that bound none.
    """
    if isinstance(objective, (SquaredDeviation, SquaredOverdose)):
        return objective.dose + float(np.sqrt(max(value, 0.0) / share))
    if isinstance(objective, MeanDose):
        return (objective.dose + max(value, 0.0)) / share
    return np.inf


def form_regions(matrix: csc_array, voxels: IntArray, grid: Grid, terms: Sequence[Term]) -> Regions:
    """Cubes of some voxels of structures with a squared objective, and whole structures."""
    numbers, shares, parts = [], [], []
    for number, term in enumerate(terms):
        if np.isinf(highest_mean(term.objective, 0.0, 1.0)):
            continue
        labels = np.zeros(term.rows.size, dtype=np.int64)
        if not isinstance(term.objective, MeanDose):
            index = np.stack(np.unravel_index(voxels[term.rows], grid.shape), axis=1) // _SIDE
            labels = 1 + np.unique(index, axis=0, return_inverse=True)[1].ravel()
        rows = in_kernel_types(matrix)[term.rows]
        for label in dict.fromkeys([0, *labels]):
            inside = np.ones(labels.size, bool) if label == 0 else labels == label
            numbers.append(number)
            shares.append(inside.mean())
        parts.append(_means(rows, labels))
    width = matrix.shape[1]
    doses = np.concatenate([np.zeros((0, width)), *parts])
    return Regions(np.array(numbers, dtype=np.int64), np.array(shares), doses)


def _means(rows: csc_array, labels: IntArray) -> Array:
    """Mean over all rows, then over the rows of each label from 1 upwards, in order of rows."""
    order = [label for label in dict.fromkeys(labels) if label != 0]
    place = {label: k + 1 for k, label in enumerate(order)}
    number = np.array([place.get(label, 0) for label in labels])
    sizes = np.bincount(number, minlength=len(order) + 1)
    pick = csc_array(
        (1.0 / sizes[number], (number, np.arange(labels.size))),
        shape=(len(order) + 1, labels.size),
    )
    means: Array = (pick @ rows).toarray()
    means[0] = np.asarray(rows.sum(axis=0)).ravel() / labels.size
    return means


def plane_minimum(constant: float, slope: Array, regions: Regions, tops: Array) -> float:
    r"""The least value of a plane over weights whose regions keep below their tops.

    .. math:: \min_{w \ge 0,\; A w \le M} c + r^T w = c - \min_{p \ge 0,\; A^T p \ge -r} M^T p

    Minus infinity if no region holds a column whose slope is negative.
    """
    known = np.isfinite(tops)
    doses, limits = regions.doses[known], tops[known]
    reach = doses.max(axis=0, initial=0.0)
    if (slope < -1e-12 * np.abs(slope).max(initial=0.0))[reach <= 0].any():
        return -np.inf
    whole = (regions.shares[known] >= 1.0) & (limits > 0)
    eased, spent = slope, 0.0
    for row in np.flatnonzero(whole):
        price = _SLIGHT * max(abs(constant), 1e-300) / limits[row]
        eased, spent = eased + price * doses[row], spent + price * limits[row]
    short = np.flatnonzero((eased < 0) & (reach > 0))
    if not short.size:
        return constant - spent
    scale = reach[short]
    needed = -eased[short] / scale
    unit = float(needed.max())  # the programme is solved to an absolute tolerance
    rows = (doses[:, short] / scale).T
    found = linprog(limits, A_ub=-rows, b_ub=-needed / unit, method="highs-ds")
    if found.status != 0:
        return -np.inf
    prices = np.maximum(found.x, 0.0) * unit
    # what the programme's tolerance left uncovered is covered by the region that does it best
    np.add.at(prices, rows.argmax(axis=1), np.maximum(needed - rows @ prices, 0.0))
    return constant - spent - float(limits @ prices)
