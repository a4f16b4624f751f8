r"""Accelerated coordinate descent on separable objectives, under limits on means and mean tails.

One sweep goes through the columns in random order and takes a Newton step in each weight; most
sweeps leave out weights that are zero. After each sweep the weights go on along their last change
by a part :math:`k / (k + 6)`, as in Nesterov's method. Where that led uphill, the descent returns
to where it was and starts anew.

Limits join by multipliers, which grow after each sweep by what the limit is missed by. That of a
limit on a tail acts as a ramp in every voxel of the structure, whose place is the edge of the tail
and moves from sweep to sweep. Where goals are evaluated between voxels, a limit is about samples,
mixtures of voxels: each voxel then has a line in its slope, the derivative of a parabola that
touches the limit's potential and is nowhere below it,

.. math:: \Bigl(\sum_v S_{iv} \delta_v\Bigr)^2 \le \sum_v S_{iv} \delta_v^2
    \quad\text{where}\quad \sum_v S_{iv} \le 1 .

References
----------
Nesterov 2012, SIAM J. Optim. 22, 341; O'Donoghue, Candès 2015, Found. Comput. Math. 15, 715.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy.sparse import csr_array

from dosegrad.arrays import Array, IntArray
from dosegrad.objectives.mean_tail import mean_tail, soft_mean_tail, tail_edge
from dosegrad.optimisation.separable import SeparableObjective

__all__ = ["Descent", "TailLimit"]

#: Momentum reaches half its strength after so many sweeps.
_MOMENTUM: Final = 6.0
#: All columns are looked at in the first sweeps and in every so many later ones.
_FULL_AT_FIRST: Final = 5
_FULL_EVERY: Final = 10
#: Curvature of a column counts as this share of the largest at least.
_LEAST_CURVATURE: Final = 1e-6
#: At first, the largest is that of about so many columns.
_SOME_COLUMNS: Final = 200
#: Multipliers move by this share of the curvature that the objective has along the tail: little,
#: since they stand still while a sweep is under way.
_STIFFNESS: Final = 0.2
#: Share of the objective that stands in where the objective has no curvature there, per Gy2.
_FAINT_STIFFNESS: Final = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class TailLimit:
    """A limit on the mean dose of the hottest or coldest part of some rows.

    Parameters
    ----------
    rows
        Places (n,) among the rows of the objective.
    volume
        The part; 1 for the mean dose of all.
    dose
        The limit, Gy: an upper one of the hottest, a lower one of the coldest part.
    coldest
        Which part.
    width
        Gy over which samples enter the tail.
    mixing
        Part of each row in each sample (n_samples, n); ``None`` where the rows are the samples.
    """

    rows: IntArray
    volume: float
    dose: float
    coldest: bool
    width: float
    mixing: csr_array | None = None

    @property
    def sign(self) -> float:
        """-1 for a lower limit, 1 for an upper one."""
        return -1.0 if self.coldest else 1.0

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.rows.size if self.mixing is None else self.mixing.shape[0])

    def samples(self, dose: Array) -> tuple[Array, Array]:
        """Dose (n_samples,) of the samples for ``dose`` (n_rows,), and the part that each is."""
        inside = dose[self.rows]
        inside = inside if self.mixing is None else np.asarray(self.mixing @ inside)
        return inside, np.full(inside.size, 1.0 / inside.size)

    def excess(self, dose: Array) -> float:
        """By how much ``dose`` (n_rows,) is on the wrong side, Gy; negative where it keeps it."""
        inside, share = self.samples(dose)
        value, _ = mean_tail(inside, share, self.volume, coldest=self.coldest)
        return self.sign * (value - self.dose)


@dataclass(slots=True, eq=False)
class Descent:
    """A descent under way.

    Parameters
    ----------
    objective
        What is minimised; ramps of limits are its last ones.
    weights
        Where it starts (n_columns,); the present weights later on.
    limits
        What is to be kept; the owner of limit k is ``first_limit + k``.
    first_limit
        Number of the first moving ramp.
    multipliers
        Of the limits, from 0 upwards.
    seed
        Of the order of columns.
    """

    objective: SeparableObjective
    weights: Array
    limits: Sequence[TailLimit] = ()
    first_limit: int = 0
    multipliers: Array = field(default_factory=lambda: np.zeros(0))
    seed: int = 0
    n_sweeps: int = 0
    dose: Array = field(init=False)
    ramps: Array = field(init=False)
    _arrays: _Arrays = field(init=False)
    _random: np.random.Generator = field(init=False)
    _since_restart: int = 0
    _edges: Array = field(init=False)
    _lines: Array = field(init=False)
    _no_lines: Array = field(default_factory=lambda: np.zeros((0, 2)))
    _stiffness: Array = field(init=False)
    _last: tuple[float, Array] = field(init=False)

    def __post_init__(self) -> None:
        self.weights = np.array(self.weights, dtype=float)
        self.ramps = self.objective.ramps.copy()
        if not self.multipliers.size:
            self.multipliers = np.zeros(len(self.limits))
        self._edges = np.zeros(len(self.limits))
        mixed = any(limit.mixing is not None for limit in self.limits)
        self._lines = np.zeros((self.objective.columns.n_rows if mixed else 0, 2))
        self._random = np.random.default_rng(self.seed)
        self.dose = np.asarray(self.objective.columns.as_matrix() @ self.weights, dtype=float)
        self._arrays = _Arrays.of(self.objective)
        self._stiffness = self._stiffen()
        self._keep()
        self._place_limits()

    def _stiffen(self) -> Array:
        """Change of each multiplier per Gy off its limit."""
        bend = np.zeros(self.objective.classes.max(initial=0) + 1, dtype=float)
        for number in range(bend.size):
            mine = slice(self.objective.starts[number], self.objective.starts[number + 1])
            fixed = self.objective.owners[mine] < self.first_limit
            bend[number] = self.objective.ramps[mine, 2][fixed].sum()
        faint = _FAINT_STIFFNESS * abs(self.value())
        found = []
        for limit in self.limits:
            whole = float(bend[self.objective.classes[limit.rows]].sum())
            found.append(max(_STIFFNESS * limit.volume * whole, faint))
        return np.array(found)

    def run(self, n_sweeps: int, watch: Callable[[float], bool] | None = None) -> None:
        """Go on for so many sweeps, or until ``watch``, given the objective, says so."""
        for _ in range(n_sweeps):
            self._sweep()
            value, excesses = self.value(), self._soft_excesses()
            if self._is_worse(value, excesses):
                self._go_back()
                continue
            self._last = (value, excesses)
            if watch is not None and watch(value):
                self._keep()
                break
            change = self._stiffness * excesses
            self.multipliers = np.maximum(self.multipliers + change, 0.0)
            self._go_on()
        self._go_back()

    def _is_worse(self, value: float, excesses: Array) -> bool:
        """Whether the last step along the momentum led uphill."""
        before = self._last[0] + float(self.multipliers @ self._last[1])
        now = value + float(self.multipliers @ excesses)
        return self._since_restart > 0 and now > before + 1e-12 * abs(before)

    def _keep(self) -> None:
        """Take the present weights as the last good ones."""
        self._arrays.last_weights[:] = self.weights
        self._arrays.last_dose[:] = self.dose
        self._last = (self.value(), self._soft_excesses())

    def _go_back(self) -> None:
        """Return to the last good weights, without momentum."""
        self.weights[:] = self._arrays.last_weights
        self.dose[:] = self._arrays.last_dose
        self._since_restart = 0
        self._place_limits()

    def value(self) -> float:
        """The objective at the present weights, without the limits."""
        total = self._refresh(limits=False)
        return total + self.objective.constant + float(self.objective.prices @ self.weights)

    def excesses(self) -> Array:
        """By how much each limit is missed, Gy; negative where it is kept."""
        return np.array([limit.excess(self.dose) for limit in self.limits])

    def lagrangian(self) -> tuple[float, Array]:
        """Constant and slope (n_columns,) of a plane below the objective where limits are kept.

        The objective is convex, so that its tangent is below it; what keeps a limit makes the
        limit's own plane, times its multiplier, negative.
        """
        potential = self._refresh(limits=False)
        tangent = potential + self.objective.constant - float(self._arrays.slopes @ self.dose)
        self._place_limits()
        slope = self.objective.columns.as_matrix().T @ self._arrays.slopes + self.objective.prices
        doses = np.array([limit.sign * limit.dose for limit in self.limits])
        return tangent - float(self.multipliers @ doses), slope

    def _sweep(self) -> None:
        from dosegrad.optimisation.solvers._coordinate_kernels import sweep

        number, a, c = self.n_sweeps, self._arrays, self.objective.columns
        whole = number < _FULL_AT_FIRST or number % _FULL_EVERY == 0
        chosen = np.arange(c.n_columns) if whole else np.flatnonzero(self.weights > 0)
        order = self._random.permutation(chosen)
        if number == 0:
            a.curvatures[:] = self._typical_curvatures()
        if whole:
            a.least = max(_LEAST_CURVATURE * float(a.curvatures.max(initial=0.0)), 1e-300)
        measure = whole or bool(self.limits)  # ramps of limits move
        sweep(
            *(c.indptr, c.rows, c.values, order, self.objective.prices),
            *(self.objective.classes, self.objective.starts, self.ramps, self._lines),
            *(a.least, measure),
            *(a.curvatures, self.dose, a.slopes, a.pieces, self.weights),
        )
        self.n_sweeps += 1

    def _typical_curvatures(self) -> Array:
        """Curvature (n_columns,) of some columns spread over all; of the rest 0."""
        a, c = self._arrays, self.objective.columns
        found = np.zeros(c.n_columns)
        for column in range(0, c.n_columns, max(c.n_columns // _SOME_COLUMNS, 1)):
            mine = slice(c.indptr[column], c.indptr[column + 1])
            found[column] = c.values[mine].astype(float) ** 2 @ a.pieces[c.rows[mine], 3]
        return found

    def _go_on(self) -> None:
        """Move along the last change, and the ramps of limits with the tails."""
        from dosegrad.optimisation.solvers._coordinate_kernels import step_along

        a, c = self._arrays, self.objective.columns
        self._since_restart += 1
        part = self._since_restart / (self._since_restart + _MOMENTUM)
        last = (a.last_weights, a.last_dose, self.weights, self.dose)
        step_along(c.indptr, c.rows, c.values, part, *last)
        self._place_limits()

    def _soft_excesses(self) -> Array:
        """By how much each limit is missed, Gy, rounded off to the safe side."""
        found = []
        for limit in self.limits:
            inside, share = limit.samples(self.dose)
            soft = soft_mean_tail(inside, share, limit.volume, limit.width, coldest=limit.coldest)
            found.append(limit.sign * (soft[0] - limit.dose))
        return np.array(found)

    def _place_limits(self) -> None:
        """Move the ramps of limits to the edge of their tails; slopes follow."""
        self._lines[:] = 0.0
        for number, limit in enumerate(self.limits):
            if limit.volume < 1.0:
                inside, share = limit.samples(self.dose)
                edge = tail_edge(limit.sign * inside, share, limit.volume, limit.width)
                self._edges[number] = limit.sign * edge
            if limit.mixing is not None:
                self._lines[limit.rows] += self._line(number, limit, limit.mixing)
        self._show_limits()
        self._refresh()

    def _line(self, number: int, limit: TailLimit, mixing: csr_array) -> Array:
        """Curvature and offset (n, 2) that a limit on samples adds to the slopes of its rows."""
        level = self.multipliers[number] / (limit.volume * limit.n_samples)
        inside, _ = limit.samples(self.dose)
        if limit.volume >= 1.0:
            offset = np.asarray(mixing.T @ np.full(inside.size, limit.sign * level))
            return np.column_stack([np.zeros(offset.size), offset])
        # how far each sample is inside the ramp, from where the limit has no slope
        depth = limit.sign * (inside - self._edges[number]) / limit.width + 0.5
        reach = np.where(depth > 0, np.maximum(depth, 1.0), np.maximum(1.0 - 2.0 * depth, 1.0))
        slope = limit.sign * level * np.clip(depth, 0.0, 1.0)
        bend = np.asarray(mixing.T @ (level / (limit.width * reach)))
        return np.column_stack([bend, np.asarray(mixing.T @ slope) - bend * self.dose[limit.rows]])

    def _show_limits(self) -> None:
        for number, limit in enumerate(self.limits):
            if limit.mixing is not None:
                continue
            mine = self.objective.owners == self.first_limit + number
            level = self.multipliers[number] / (limit.volume * limit.rows.size)
            if limit.volume >= 1.0:
                self.ramps[mine] = (0.0, 0.0, 0.0, limit.sign * level)
                continue
            low, high = self._edges[number] + 0.5 * limit.width * np.array([-1.0, 1.0])
            zero = high if limit.coldest else low
            self.ramps[mine] = (low, high, level / limit.width, -level / limit.width * zero)

    def _hide_limits(self) -> None:
        if self.limits:
            self.ramps[self.objective.owners >= self.first_limit] = 0.0

    def _refresh(self, *, limits: bool = True) -> float:
        """Set slopes and pieces, with ``limits`` or without; the potential."""
        from dosegrad.optimisation.solvers._coordinate_kernels import potential_and_slopes

        if not limits:
            self._hide_limits()
        a, o = self._arrays, self.objective
        lines = self._lines if limits else self._no_lines
        voxels = (self.dose, o.classes, o.starts, self.ramps, lines, a.slopes, a.pieces)
        total = float(potential_and_slopes(*voxels))
        if not limits:
            self._show_limits()
        return total


@dataclass(slots=True, eq=False)
class _Arrays:
    """What a sweep keeps up to date, and where the last one ended."""

    slopes: Array
    pieces: Array
    curvatures: Array
    last_weights: Array
    last_dose: Array
    least: float = 1e-300

    @classmethod
    def of(cls, objective: SeparableObjective) -> _Arrays:
        n_rows, n = objective.columns.n_rows, objective.columns.n_columns
        return cls(
            slopes=np.zeros(n_rows),
            pieces=np.zeros((n_rows, 4)),
            curvatures=np.zeros(n),
            last_weights=np.zeros(n),
            last_dose=np.zeros(n_rows),
        )
