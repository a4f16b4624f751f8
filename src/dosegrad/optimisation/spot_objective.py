"""What moving spots minimise: objectives of the plan itself, and in scenarios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from scipy.sparse import csc_array

from dosegrad.arrays import Array
from dosegrad.beams.beam import Beams
from dosegrad.engines.pencil_beam.engine import PencilBeam
from dosegrad.engines.protocols import Stopping
from dosegrad.errors import CapabilityError
from dosegrad.geometry.grid import Grid
from dosegrad.influence.dose_map import InfluenceDoseMap
from dosegrad.influence.matrix import Influence
from dosegrad.influence.range_map import LayerDoseMap
from dosegrad.influence.scenario_build import engine_in, robust_rows
from dosegrad.influence.scenario_map import ScenarioMatrices
from dosegrad.influence.scenario_storage import RunLengthMatrix
from dosegrad.influence.scenarios import Scenarios
from dosegrad.influence.spot_map import SpotDoseMap
from dosegrad.objectives.protocols import Objective
from dosegrad.optimisation.problem import DoseProblem, Term
from dosegrad.optimisation.robust import Robust
from dosegrad.optimisation.robust_problem import RobustProblem, form_groups
from dosegrad.optimisation.robust_wishes import RobustChoice, robust_ways, split_wishes
from dosegrad.optimisation.spot_problem import sample_terms
from dosegrad.optimisation.wishes import Wishes
from dosegrad.patient.patient import Patient

__all__ = ["SpotObjective", "SpotSettings"]


@dataclass(frozen=True, slots=True, eq=False)
class SpotSettings:
    """All that says what spots do, but the spots.

    Parameters
    ----------
    patient, grid, engine, medium
        Where dose is computed, and how.
    objectives
        As for :func:`~dosegrad.optimise`.
    max_shift
        How far spots may move, mm.
    max_range_shift
        How far layers may move in depth, mm; 0 for fixed energies.
    scenarios, robust, robust_structures
        As for :func:`~dosegrad.compute_influence` and :func:`~dosegrad.optimise`.
    """

    patient: Patient
    grid: Grid
    engine: PencilBeam
    medium: Stopping
    objectives: Wishes
    max_shift: float
    max_range_shift: float = 0.0
    scenarios: Scenarios | None = None
    robust: RobustChoice = None
    robust_structures: Sequence[str] | None = None

    def dose_map(
        self, beams: Beams, voxels: np.ndarray, engine: PencilBeam
    ) -> SpotDoseMap | LayerDoseMap:
        """The map of spots, and of layers if their energies move."""
        reach = self.max_shift
        if self.max_range_shift <= 0:
            return SpotDoseMap.of(self.medium, beams, voxels, engine=engine, max_shift=reach)
        return LayerDoseMap.of(
            *(self.medium, beams, voxels),
            max_range_shift=self.max_range_shift,
            engine=engine,
            max_shift=reach,
        )


@dataclass(slots=True, eq=False)
class SpotObjective:
    """Objective of weights, positions and energies.

    Parameters
    ----------
    whole
        All objectives in the plan's own case.
    nominal
        Those that count in the plan's own case only.
    robust
        The others, in all scenarios; ``None`` for a plan that is not robust.
    """

    whole: DoseProblem
    nominal: DoseProblem
    robust: RobustProblem | None
    softness: tuple[float, ...] = field(default=(), init=False)

    @classmethod
    def of(cls, settings: SpotSettings, beams: Beams) -> SpotObjective:
        """The objective of ``beams`` whose spots move."""
        wishes, marks = split_wishes(settings.objectives)
        sampled = sample_terms(settings.patient, beams, settings.grid, wishes)
        spots = settings.dose_map(beams, sampled.voxels, settings.engine)
        whole = DoseProblem(spots, sampled.terms, sampled.shares)
        stand_in = _stand_in(settings, beams, sampled.voxels)
        ways = robust_ways(stand_in, sampled.terms, marks, settings.robust)
        if settings.scenarios is None or not any(way is not None for way in ways):
            return cls(whole, whole, None)
        plain = [k for k, way in enumerate(ways) if way is None]
        nominal = replace(
            whole,
            terms=tuple(sampled.terms[k] for k in plain),
            shares=tuple(sampled.shares[k] for k in plain),
        )
        robust = _in_scenarios(settings, beams, sampled.voxels, whole, ways)
        return cls(whole, nominal, robust)

    @property
    def spots(self) -> SpotDoseMap | LayerDoseMap:
        """The map of the plan's own case."""
        spots = self.whole.dose_map
        assert isinstance(spots, SpotDoseMap | LayerDoseMap)
        return spots

    @property
    def n_rounds(self) -> int:
        """Rounds of ever sharper maxima."""
        if self.robust is None:
            return 1
        return max(len(group.how.rounds) for group in self.robust.groups)

    def sharpen(self, variables: Array, number: int) -> None:
        """Soften maxima as a round by its ``number`` does, in proportion to their values now."""
        if self.robust is None:
            return
        values = self.robust.values_at(variables)
        self.softness = tuple(
            group.how.rounds[min(number, len(group.how.rounds) - 1)] * max(value, 1e-12)
            for group, value in zip(self.robust.groups, values, strict=True)
        )

    def value_and_gradient(self, variables: Array) -> tuple[float, Array]:
        """Weighted sum of all objectives, and its derivative (n_variables,)."""
        if self.robust is None:
            return self.whole.value_and_gradient(variables)
        value, gradient = self.robust.value_and_gradient(variables, self.softness)
        if self.nominal.terms:
            part, slope = self.nominal.value_and_gradient(variables)
            value, gradient = value + part, gradient + slope
        return value, gradient

    def of_weights(self, variables: Array) -> tuple[DoseProblem, SpotObjective]:
        """The objective of weights alone, spots being where ``variables`` have them, by matrices.

        The first is that of the plan's own case with all objectives, for the scale of weights.
        """
        matrix = InfluenceDoseMap.of(self.spots.matrices(variables)[0])
        whole = replace(self.whole, dose_map=matrix)
        if self.robust is None:
            return whole, SpotObjective(whole, whole, None)
        maps = []
        for one in self.robust.maps:
            assert isinstance(one, SpotDoseMap | LayerDoseMap)
            maps.append(InfluenceDoseMap.of(one.matrices(variables)[0]))
        robust = replace(self.robust, maps=tuple(maps))
        nominal = replace(self.nominal, dose_map=matrix)
        return whole, SpotObjective(whole, nominal, robust)


@dataclass(frozen=True, slots=True, eq=False)
class _Sampled:
    """An objective on chosen voxels, each of which stands for a share of the structure."""

    kind: ClassVar[str] = "sampled"

    objective: Objective
    share: Array

    @property
    def weight(self) -> float:
        return self.objective.weight

    @property
    def is_convex(self) -> bool:
        return self.objective.is_convex

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        del share  # equal ones, which these voxels do not have
        return self.objective.value_and_gradient(dose, self.share)


def _in_scenarios(
    settings: SpotSettings,
    beams: Beams,
    voxels: np.ndarray,
    whole: DoseProblem,
    ways: Sequence[Robust | None],
) -> RobustProblem:
    """Robust objectives on maps of moving spots, one for each scenario."""
    assert settings.scenarios is not None
    chosen = [k for k, way in enumerate(ways) if way is not None]
    rows = np.unique(np.concatenate([whole.terms[k].rows for k in chosen]))
    terms = []
    for k in chosen:
        term = whole.terms[k]
        objective = _Sampled(term.objective, whole.shares[k])
        terms.append(Term(term.structure, objective, np.searchsorted(rows, term.rows)))
    roles = [settings.patient.structure(term.structure).role for term in terms]
    groups = form_groups(
        terms, [way for way in ways if way is not None], [role == "target" for role in roles]
    )
    for case in settings.scenarios:
        if case.phase is not None:
            raise CapabilityError(
                f"spots move in errors of set-up and range, but scenario {case.name!r} has a CT of "
                "its own; leave it out, then optimise weights with it by optimise()."
            )
    maps = tuple(
        settings.dose_map(case.apply(beams), voxels[rows], engine_in(settings.engine, case))
        for case in settings.scenarios
    )
    return RobustProblem(maps, np.asarray(settings.scenarios.probabilities), groups)


def _stand_in(settings: SpotSettings, beams: Beams, voxels: np.ndarray) -> Influence:
    """An influence without values on the voxels looked at, to find which objectives are robust."""
    nothing = csc_array((voxels.size, beams.n_columns), dtype=np.float32)
    held = None
    if settings.scenarios is not None:
        names, rows = robust_rows(
            settings.patient, settings.grid, voxels, settings.robust_structures
        )
        empty = RunLengthMatrix.of(csc_array((rows.size, beams.n_columns), dtype=np.float32))
        cases = enumerate(settings.scenarios)
        matrices = {k: empty for k, case in cases if not case.is_nominal}
        held = ScenarioMatrices(settings.scenarios, names, rows, matrices, settings.engine)
    return Influence(settings.patient, beams, settings.grid, voxels, nothing, scenarios=held)
