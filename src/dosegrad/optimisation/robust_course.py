"""One robust optimisation: rounds of a solver on ever sharper maxima."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.influence.dose_map import DoseMap
from dosegrad.influence.matrix import Influence
from dosegrad.influence.scenario_map import ScenarioMatrices
from dosegrad.influence.shards import ScenarioShards
from dosegrad.influence.sources import QuantitySource
from dosegrad.optimisation.problem import DoseProblem, PlanProblem, typical_steps
from dosegrad.optimisation.robust import Robust
from dosegrad.optimisation.robust_problem import Group, RobustProblem, form_groups
from dosegrad.optimisation.robust_shards import ShardedProblem
from dosegrad.optimisation.solvers.protocols import Function, Solution, Solver
from dosegrad.progress import report

__all__ = ["RobustCourse"]

#: Share of the iterations that a round but the last may take of those left.
_ROUND_SHARE: Final = 0.5
#: Iterations on the plan's own scenario alone, to begin with.
_WARM_UP: Final = 40
#: A round ends if the objective falls by less than this share over so many iterations; the last
#: one goes on to the solver's own end.
_ROUND_TOLERANCE: Final = 2e-3
_ROUND_PATIENCE: Final = 10
#: A round starts anew, with the softness of its value, if it is softer by this factor.
_TOO_SOFT: Final = 2.0
#: A scenario left out matters if a group is worse in it by this share.
_MATTERS: Final = 0.01
#: The last round of a maximum is repeated, without memory of its steps, until it lowers the
#: objective by less than this share: on the plateaus of a maximum, decreases alone stop too early.
_SETTLED: Final = 1e-3


@dataclass(slots=True, eq=False)
class RobustCourse:
    """One optimisation of nominal and robust objectives together.

    Parameters
    ----------
    whole
        All objectives on the nominal matrix.
    nominal
        Those that count in the nominal scenario only.
    robust
        The others, on the dose maps of all scenarios.
    solver, stop_below
        As in :func:`dosegrad.optimise`.
    warms_up
        Whether to begin with some iterations on the nominal scenario alone, which cost little.
    """

    whole: PlanProblem
    nominal: PlanProblem
    robust: RobustProblem | ShardedProblem
    solver: Solver
    stop_below: float | None
    warms_up: bool
    history: list[float] = field(default_factory=list)
    n_evaluations: int = 0
    reached: bool = False
    active: BoolArray = field(init=False)
    followed: BoolArray = field(init=False)
    function: DoseProblem = field(init=False)
    softness: tuple[float, ...] = field(init=False)
    number: int = 0
    is_last: bool = False
    begins_anew: bool = False

    @classmethod
    def of(
        cls,
        influence: Influence,
        whole: PlanProblem,
        ways: Sequence[Robust | None],
        solver: Solver,
        stop_below: float | None,
        *,
        warms_up: bool,
    ) -> RobustCourse:
        """The course of a problem whose terms see the scenarios in these ``ways``."""
        held = influence.scenarios
        assert held is not None  # found by robust_ways
        pairs = [(t, way) for t, way in zip(whole.terms, ways, strict=True) if way is not None]
        rows = np.unique(np.concatenate([term.rows for term, _ in pairs]))
        terms = [replace(t, rows=np.searchsorted(rows, t.rows)) for t, _ in pairs]
        roles = [influence.patient.structure(t.structure).role for t in terms]
        groups = form_groups(terms, [way for _, way in pairs], [r == "target" for r in roles])
        chances = np.asarray(held.scenarios.probabilities)
        robust: RobustProblem | ShardedProblem
        if isinstance(held, ScenarioShards):
            robust = ShardedProblem.of(held, whole.matrix, rows, groups)
        elif terms[0].quantity == "rbe_dose":
            robust = RobustProblem(_rbe_maps(influence, held, whole, rows), chances, groups)
        else:
            robust = RobustProblem(held.maps(whole.matrix, rows), chances, groups)
        plain = [t for t, way in zip(whole.terms, ways, strict=True) if way is None]
        nominal = replace(whole, terms=tuple(plain))
        return cls(whole, nominal, robust, solver, stop_below, warms_up)

    def run(self, start: Array) -> Solution:
        """The solution after all rounds."""
        scale = self._scale(start)
        self.followed = np.zeros(self.whole.n_values, dtype=bool)
        weights, n_left = start, self.solver.max_iterations
        if self.warms_up:
            weights = self._warmed_up(start, scale)
        self.active = self._first_scenarios(weights)
        n_rounds = max(len(group.how.rounds) for group in self.robust.groups)
        while True:
            self.is_last = self.number >= n_rounds - 1
            allowed = n_left if self.is_last else max(1, int(_ROUND_SHARE * n_left))
            before = self.value(weights)
            solution = self._round(weights, scale, allowed)
            weights, n_left = solution.variables, n_left - solution.n_iterations
            if self.reached:
                break
            if n_left < 1:
                solution = replace(solution, message=self._out_of_iterations())
                break
            if self.begins_anew or self._widen(weights):
                continue
            if self.is_last and (n_rounds == 1 or self._has_settled(before, weights)):
                break
            self.number += 1
        return replace(solution, message=self._message(solution), n_evaluations=self.n_evaluations)

    def last_function(self, weights: Array) -> Function:
        """What the last round minimises, on all voxels and in all scenarios.

        Maxima are softened in proportion to their values at ``weights`` (n_columns,).
        """
        values = self.robust.values_at(weights)
        self.softness = tuple(
            group.how.rounds[-1] * max(value, 1e-12)
            for group, value in zip(self.robust.groups, values, strict=True)
        )
        self.active = np.ones(self.robust.n_scenarios, dtype=bool)
        self.followed = np.ones(self.whole.matrix.shape[0], dtype=bool)
        self.function = self.nominal.following(self.followed)
        return self._evaluate

    def value(self, weights: Array) -> float:
        """Objective of ``weights`` (n_columns,) in all scenarios, maxima not softened."""
        value = float(sum(self.robust.values_at(weights)))
        if self._has_nominal():
            value += sum(self.nominal.values(self.nominal.dose(weights), weights))
        return value

    def _has_nominal(self) -> bool:
        return bool(self.nominal.terms or self.nominal.penalties)

    def _scale(self, weights: Array) -> Array:
        """Typical change (n_columns,) of each weight, from all objectives in the plan's case."""
        worth = self.whole.worth_following(self.whole.dose(weights))
        return typical_steps(self.whole.following(worth), weights)

    def _round(self, weights: Array, scale: Array, allowed: int) -> Solution:
        values = self.robust.values_at(weights)
        self.softness = tuple(
            _of_round(group, self.number) * max(value, 1e-12)
            for group, value in zip(self.robust.groups, values, strict=True)
        )
        if self._has_nominal():
            self.followed |= self.nominal.worth_following(self.nominal.dose(weights))
            self.function = self.nominal.following(self.followed)
        if not self.history:
            self.history.append(self._evaluate(weights)[0])
        self.begins_anew = False
        solution = self.solver.minimise(
            self._evaluate, weights, scale=scale, max_iterations=allowed, watch=self._watch
        )
        self.n_evaluations += solution.n_evaluations
        return solution

    def _warmed_up(self, start: Array, scale: Array) -> Array:
        """Weights after some iterations on the nominal scenario, at a fraction of the cost."""
        terms = replace(self.whole, penalties=())
        function = terms.following(terms.worth_following(terms.dose(start)))
        solution = self.solver.minimise(
            function.value_and_gradient,
            start,
            scale=scale,
            max_iterations=min(_WARM_UP, self.solver.max_iterations),
            watch=lambda *_: False,
        )
        self.n_evaluations += solution.n_evaluations
        return solution.variables

    def _evaluate(self, weights: Array) -> tuple[float, Array]:
        active = None if self.active.all() else self.active
        value, gradient = self.robust.value_and_gradient(weights, self.softness, active)
        if self._has_nominal():
            part, slope = self.function.value_and_gradient(weights)
            value, gradient = value + part, gradient + slope
        return value, gradient

    def _watch(self, number: int, weights: Array, value: float) -> bool:
        """Keep the history and tell progress; whether to stop."""
        self.history.append(value)
        done = len(self.history) - 1
        part = done / self.solver.max_iterations
        report("optimisation", part, f"iteration {done}, objective {value:.5g}")
        if self.stop_below is not None and value <= self.stop_below:
            self.reached = self.value(weights) <= self.stop_below
        if self.reached or number % _ROUND_PATIENCE != 0:
            return self.reached
        self.begins_anew = self._widen(weights) or self._has_sharpened(weights)
        if self.begins_anew or self.is_last:
            return self.begins_anew
        return self.history[-1 - _ROUND_PATIENCE] - value <= _ROUND_TOLERANCE * abs(value)

    def _has_sharpened(self, weights: Array) -> bool:
        """Whether values have fallen so far that the softness of this round is too much."""
        values = self.robust.values_at(weights)
        asked = [_of_round(group, self.number) for group in self.robust.groups]
        return any(
            soft > _TOO_SOFT * share * value > 0.0
            for soft, share, value in zip(self.softness, asked, values, strict=True)
        )

    def _out_of_iterations(self) -> str:
        return (
            f"not converged: stopped after {self.solver.max_iterations} iterations, as many as "
            "allowed; raise max_iterations to go on"
        )

    def _has_settled(self, before: float, weights: Array) -> bool:
        """Whether the objective is hardly below the one ``before`` the round."""
        value = self.value(weights)
        return before - value <= _SETTLED * abs(value)

    def _message(self, solution: Solution) -> str:
        if self.reached:
            return f"stopped: the objective is below {self.stop_below:g}, as asked for"
        n = int(self.active.sum())
        rest = (
            "" if self.active.all() else f"; {n} of {n + (~self.active).sum()} scenarios mattered"
        )
        return solution.message + rest

    def _first_scenarios(self, weights: Array) -> BoolArray:
        """Scenarios (n_scenarios,) to begin with: all, or the worst one if so wished."""
        choices = {getattr(group.how, "scenarios", "all") for group in self.robust.groups}
        if choices != {"as-needed"}:
            return np.ones(self.robust.n_scenarios, dtype=bool)
        active = np.zeros(self.robust.n_scenarios, dtype=bool)
        for values in self.robust.by_scenario(weights):
            active[int(values.argmax())] = True
        return active

    def _widen(self, weights: Array) -> bool:
        """Take in voxels and scenarios that were left out and matter; whether there are any."""
        more = False
        if self._has_nominal():
            more = self.nominal.overlooked(self.followed, self.nominal.dose(weights))
        if self.active.all():
            return more
        for values in self.robust.by_scenario(weights):
            worst = int(values.argmax())
            if values[worst] > (1.0 + _MATTERS) * values[self.active].max():
                self.active[worst] = True
                more = True
        return more


def _rbe_maps(
    influence: Influence, held: ScenarioMatrices, whole: PlanProblem, rows: IntArray
) -> tuple[DoseMap, ...]:
    """Maps of RBE-weighted dose by a variable RBE, of all scenarios on some rows."""
    tissue, source = influence.tissue, whole.values_from
    assert tissue is not None and isinstance(source, QuantitySource)  # found by in_dose
    photons = (tissue.alpha[rows], tissue.beta[rows])
    return held.rbe_maps(source.following(rows), rows, *photons, source.fractions)


def _of_round(group: Group, number: int) -> float:
    """Softness of a group in a round, as a share of its value."""
    return group.how.rounds[min(number, len(group.how.rounds) - 1)]
