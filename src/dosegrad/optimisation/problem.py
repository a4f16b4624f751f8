"""Objectives on structures turned into a function of weights, with as few rows as it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

import numpy as np
from scipy.sparse import csc_array

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.influence.dose_map import DoseMap, RowMap
from dosegrad.influence.sources import MatrixSource, ValueSource
from dosegrad.objectives.protocols import (
    MeanObjective,
    Objective,
    OneSidedObjective,
    VoxelwiseObjective,
    WeightPenalty,
)

__all__ = ["DoseProblem", "PlanProblem", "Term", "typical_steps"]

#: Voxels below this part of their limit are left out, until they come above the limit: at first,
#: and once the dose has settled.
_IDLE_SHARE: Final = 0.3
_SETTLED_IDLE_SHARE: Final = 0.8
#: A weight may change by at most this many times the step of the most effective one.
_LONGEST_STEP: Final = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """One objective on the rows of one structure.

    Parameters
    ----------
    structure
        Its name.
    objective
        What is wished.
    rows
        Positions (n,), ascending, among the voxels of the influence.
    quantity
        What the objective is about.
    """

    structure: str
    objective: Objective
    rows: IntArray
    quantity: str = "dose"

    def at(self, rows: IntArray, kept: BoolArray) -> Term:
        """The same at ``rows`` (n_kept,) of another numbering, for those that are ``kept`` (n,)."""
        objective = self.objective
        if isinstance(objective, VoxelwiseObjective) and not kept.all():
            objective = objective.keeping(kept)
        return replace(self, objective=objective, rows=rows)

    @property
    def depends_on_mean(self) -> bool:
        """Whether only the mean dose counts."""
        return isinstance(self.objective, MeanObjective)

    @property
    def idle_below(self) -> float:
        """Dose, Gy, up to which a voxel has no effect; minus infinity if there is none."""
        if isinstance(self.objective, OneSidedObjective):
            return self.objective.idle_below
        return -np.inf


@dataclass(frozen=True, slots=True, eq=False)
class DoseProblem:
    """Objective of a dose map: a function of its variables.

    Parameters
    ----------
    dose_map
        From variables to dose.
    terms
        Objectives; ``rows`` are positions in the dose of the map.
    shares
        Part of the structure's volume that each row of each term stands for.
    mean_terms
        Objectives of mean doses.
    mean_columns
        Mean dose per unit variable (n_variables,) for each of ``mean_terms``.
    penalties
        Wishes about the variables themselves.
    """

    dose_map: DoseMap
    terms: tuple[Term, ...]
    shares: tuple[Array, ...]
    mean_terms: tuple[Objective, ...] = ()
    mean_columns: tuple[Array, ...] = ()
    penalties: tuple[WeightPenalty, ...] = ()

    def sizes(self) -> IntArray:
        """Number of matrix values (n_voxels,) of each row, where the map is made of rows."""
        return _rows_of(self.dose_map).row_sizes

    def keeping(self, kept: BoolArray) -> DoseProblem:
        """The same without rows not ``kept`` (n_voxels,), where the map is made of rows."""
        place = np.where(kept, np.cumsum(kept) - 1, -1)
        inside = [kept[term.rows] for term in self.terms]
        return replace(
            self,
            dose_map=_rows_of(self.dose_map).keeping(kept),
            terms=tuple(t.at(place[t.rows[i]], i) for t, i in zip(self.terms, inside, strict=True)),
            shares=tuple(s[i] for s, i in zip(self.shares, inside, strict=True)),
        )

    def value_and_gradient(self, variables: Array) -> tuple[float, Array]:
        """Weighted sum of all objectives, and its derivative (n_variables,)."""
        dose, pullback = self.dose_map.linearise(variables)
        value, by_dose = 0.0, np.zeros_like(dose)
        for term, share in zip(self.terms, self.shares, strict=True):
            part, slope = term.objective.value_and_gradient(dose[term.rows], share)
            value += term.objective.weight * part
            by_dose[term.rows] += term.objective.weight * slope
        gradient = pullback(by_dose)
        for objective, column in zip(self.mean_terms, self.mean_columns, strict=True):
            assert isinstance(objective, MeanObjective)
            part, step = objective.of_mean(float(np.dot(column, variables)))
            value += objective.weight * part
            gradient = gradient + objective.weight * step * column
        for penalty in self.penalties:
            part, slope = penalty.value_and_gradient(variables)
            value += penalty.weight * part
            gradient = gradient + penalty.weight * slope
        return value, gradient


@dataclass(frozen=True, slots=True, eq=False)
class PlanProblem:
    """Objectives on the rows of an influence, and which of the rows are needed.

    Values of several quantities stand one after another, each on all rows: *places* number them,
    and are the rows themselves where there is one quantity.

    An objective of the mean dose needs no row, only one vector over the columns. A voxel far below
    its limit adds neither value nor gradient: it is left out until it comes above the limit,
    which :meth:`overlooked` tells. So the optimum is that of all voxels.

    Parameters
    ----------
    matrix
        Gy per unit weight, csc (n_rows, n_columns).
    terms
        All objectives of dose.
    penalties
        Wishes about the weights.
    source
        Where values come from; by default the matrix, for objectives of dose alone.
    """

    matrix: csc_array
    terms: tuple[Term, ...]
    penalties: tuple[WeightPenalty, ...] = ()
    source: ValueSource | None = None

    @property
    def values_from(self) -> ValueSource:
        """Where values come from."""
        return MatrixSource(self.matrix) if self.source is None else self.source

    @property
    def n_values(self) -> int:
        """Number of values: rows times quantities."""
        return self.values_from.n_values

    @property
    def row_terms(self) -> tuple[Term, ...]:
        """Objectives that need the dose of every voxel."""
        return tuple(t for t in self.terms if not self._needs_mean_only(t))

    def places(self, term: Term) -> IntArray:
        """Places (n,) of a term's values."""
        return term.rows + self.values_from.offset(term.quantity)

    def _needs_mean_only(self, term: Term) -> bool:
        return term.depends_on_mean and self.values_from.is_linear(term.quantity)

    def thresholds(self) -> Array:
        """Dose (n_values,), Gy, below which a row has no effect; infinity for rows never needed."""
        found = np.full(self.n_values, np.inf)
        for term in self.row_terms:
            at = self.places(term)
            found[at] = np.minimum(found[at], term.idle_below)
        return found

    def worth_following(self, dose: Array, *, settled: bool = False) -> BoolArray:
        """Rows (n_values,) that have an effect at ``dose`` (n_values,) or soon may have one.

        Fewer once the dose has ``settled`` and changes little.
        """
        limits = self.thresholds()
        share = _SETTLED_IDLE_SHARE if settled else _IDLE_SHARE
        worth: BoolArray = (dose > share * limits) | (dose > limits)
        return worth

    def overlooked(self, followed: BoolArray, dose: Array) -> bool:
        """Whether a row that is not ``followed`` has an effect at ``dose`` (n_values,)."""
        return bool((~followed & (dose > self.thresholds())).any())

    def dose(self, weights: Array) -> Array:
        """Dose, or all quantities (n_values,), of ``weights`` (n_columns,)."""
        return self.values_from.values(weights)

    def following(self, followed: BoolArray) -> DoseProblem:
        """The function of weights in which only ``followed`` rows (n_values,) count."""
        rows = np.flatnonzero(followed)
        place = np.full(followed.size, -1, dtype=np.int64)
        place[rows] = np.arange(rows.size)
        kept, shares = [], []
        for term in self.row_terms:
            inside = place[self.places(term)]
            kept.append(term.at(inside[inside >= 0], inside >= 0))
            shares.append(np.full(kept[-1].rows.size, 1.0 / term.rows.size))
        means = [t for t in self.terms if self._needs_mean_only(t)]
        return DoseProblem(
            self.values_from.following(rows),
            tuple(kept),
            tuple(shares),
            tuple(t.objective for t in means),
            tuple(self._mean_column(t) for t in means),
            self.penalties,
        )

    def _mean_column(self, term: Term) -> Array:
        """Mean dose (n_columns,), Gy per unit weight, over the rows of a term."""
        share = np.zeros(self.n_values)
        share[self.places(term)] = 1.0 / term.rows.size
        return self.values_from.column_sums(share)

    def values(self, dose: Array, weights: Array) -> list[float]:
        """Weighted value of each term, then of each penalty, at ``dose`` (n_values,)."""
        found = []
        for term in self.terms:
            share = np.full(term.rows.size, 1.0 / term.rows.size)
            part, _ = term.objective.value_and_gradient(dose[self.places(term)], share)
            found.append(term.objective.weight * part)
        found.extend(p.weight * p.value_and_gradient(weights)[0] for p in self.penalties)
        return found


def typical_steps(problem: DoseProblem, weights: Sequence[float] | Array) -> Array:
    r"""Typical change (n_columns,) of each weight: Jacobi scaling of the objective's curvature.

    .. math:: s_j = \Bigl(\sum_v h_v D_{vj}^2\Bigr)^{-1/2}

    with h the curvature that squared objectives have, half of it where they are one-sided. Columns
    without curvature get the mean of the others. No step is more than ten times the least: a spot
    that only grazes the structures with objectives would otherwise take any weight, and dose
    where nobody looks.
    """
    dose_map = _rows_of(problem.dose_map)
    curvature = np.zeros(dose_map.n_voxels)
    for term, share in zip(problem.terms, problem.shares, strict=True):
        part = 1.0 if np.isinf(term.idle_below) else 0.5
        curvature[term.rows] += 2.0 * part * term.objective.weight * share
    diagonal = dose_map.squares(curvature, np.asarray(weights, dtype=np.float64))
    bent = diagonal > 1e-12 * max(float(diagonal.max(initial=0.0)), 1e-300)
    if not bent.any():
        mean = float(np.mean(weights))
        return np.full(diagonal.size, mean if mean > 0 else 1.0)
    steps = np.zeros(diagonal.size)
    steps[bent] = diagonal[bent] ** -0.5
    steps[bent] = np.minimum(steps[bent], _LONGEST_STEP * steps[bent].min())
    steps[~bent] = steps[bent].mean()
    return steps


def _rows_of(dose_map: DoseMap) -> RowMap:
    assert hasattr(dose_map, "row_sizes")  # problems with rows left out are made with such maps
    return cast(RowMap, dose_map)
