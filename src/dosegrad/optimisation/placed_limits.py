"""Limits put where the dose is: on the samples on which goals are evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import numpy as np
from scipy.sparse import csr_array

from dosegrad.arrays import Array, IntArray
from dosegrad.errors import PlanError
from dosegrad.evaluation.goals import Goal
from dosegrad.influence.matrix import Influence
from dosegrad.objectives import limits as kinds
from dosegrad.objectives.limit_protocols import Excess, Limit, StructureLimit
from dosegrad.optimisation.goal_limits import GoalLimit, SampledRows, goal_limits, sampled_rows

__all__ = ["KEPT", "Constraints", "PlacedLimit", "place_limits"]

#: What is aimed at is inside a limit by this share of its size, so that it is kept in the end.
#: Where there is no room inside, a limit is kept if it is missed by no more than this.
KEPT: Final = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class PlacedLimit:
    """A limit on rows of an influence.

    Parameters
    ----------
    name
        How it is called in messages.
    limit
        What is to be kept.
    rows
        Rows (n_rows,) of the structure, or that its samples depend on.
    structure
        Its name.
    mixing
        Part of each row in each sample (n, n_rows); ``None`` where the rows are the samples.
    margin
        How far inside the limit is aimed at, as a share of its size.
    """

    name: str
    limit: Limit
    rows: IntArray
    structure: str
    mixing: csr_array | None = None
    margin: float = 0.0

    @property
    def n(self) -> int:
        """Number of samples."""
        return int(self.rows.size if self.mixing is None else self.mixing.shape[0])

    @property
    def share(self) -> Array:
        """Part of the volume (n,) that each sample stands for."""
        return np.full(self.n, 1.0 / self.n)

    def miss(self, dose: Array) -> float:
        """By how much ``dose`` (n_rows,) of these rows is beyond the limit; not above 0 if kept."""
        return self.limit.miss(self._sampled(dose), self.share)

    def excess(self, dose: Array) -> Excess:
        """Smooth excess over what is aimed at, of ``dose`` (n_rows,), and its pullback to it."""
        excess, pullback = self.limit.excess(self._sampled(dose), self.share)
        aimed = excess + self.margin * self.limit.size
        mixing = self.mixing
        if mixing is None:
            return aimed, pullback
        return aimed, lambda g: np.asarray(mixing.T @ pullback(g))

    def beyond(self, dose: Array) -> float:
        """Miss of ``dose`` (n_rows,) from what is aimed at, in sizes; kept up to a thousandth."""
        return self.miss(dose) / self.limit.size + self.margin

    def is_kept(self, dose: Array) -> bool:
        """Whether ``dose`` (n_rows,) keeps it."""
        return self.beyond(dose) <= KEPT

    def _sampled(self, dose: Array) -> Array:
        return dose if self.mixing is None else np.asarray(self.mixing @ dose)


#: Limits by structure; or limits that name theirs, and goals as sentences.
Constraints: TypeAlias = (
    Mapping[str, Limit | Sequence[Limit]] | Sequence[StructureLimit | PlacedLimit | str | Goal]
)


def place_limits(influence: Influence, constraints: Constraints) -> tuple[PlacedLimit, ...]:
    """Limits on whole structures, on the samples on which goals are evaluated.

    Raises
    ------
    PlanError
        If there is none, something is no limit, or a goal has none that implies it.
    UnknownNameError
        If the patient lacks a structure.
    """
    if isinstance(constraints, str):
        constraints = [constraints]
    if not constraints:
        raise PlanError(
            "constraints= holds no limit; leave it out, or give one such as 'Cord: Dmax <= 45 Gy'."
        )
    placed: list[PlacedLimit] = []
    if isinstance(constraints, Mapping):
        for name, given in constraints.items():
            several = isinstance(given, Sequence) and not isinstance(given, str)
            found = cast(Sequence[object], given if several else (given,))
            placed.extend(_placed(influence, str(name), limit) for limit in found)
        return tuple(placed)
    for item in constraints:
        if isinstance(item, PlacedLimit):
            placed.append(item)
        elif isinstance(item, StructureLimit):
            placed.append(_placed(influence, item.structure, item.limit))
        elif isinstance(item, str | Goal):
            placed.append(_of_goal(goal_limits(influence, [item])[0]))
        else:
            raise PlanError(
                f"{item!r} does not name its structure; write limits.MaxDose(45.0).on('Cord'), a "
                "sentence such as 'Cord: Dmax <= 45 Gy', or give a mapping of structures."
            )
    return tuple(placed)


def _placed(influence: Influence, name: str, limit: object) -> PlacedLimit:
    influence.patient.structure(name)
    if isinstance(limit, str | Goal):
        words = str(limit)
        raise PlanError(
            f"{words!r} on {name!r} is a sentence, and sentences name their structure themselves; "
            f"write constraints=['{name}: {words}'], or give a limit such as limits.MaxMean(5.0)."
        )
    if not hasattr(limit, "excess") or isinstance(limit, type):
        raise PlanError(
            f"{limit!r} on {name!r} is no limit; give one such as limits.MaxDose(45.0). Wishes "
            "belong to the objectives."
        )
    kept = cast(Limit, limit)
    return _on_samples(f"{name}: {limit!r}", kept, sampled_rows(influence, name), name)


def _on_samples(name: str, limit: Limit, samples: SampledRows, structure: str) -> PlacedLimit:
    """A limit that is aimed at from inside, if there is room."""
    is_volume = isinstance(limit, kinds.MaxVolume | kinds.MinVolume)
    level = float(getattr(limit, "volume" if is_volume else "dose", 0.0))
    margin = KEPT if level > 2.0 * KEPT * limit.size else 0.0
    return PlacedLimit(name, limit, samples.rows, structure, samples.mixing, margin)


def _of_goal(found: GoalLimit) -> PlacedLimit:
    """The limit that implies a goal."""
    kind, dose, volume = found.goal.metric.kind, found.dose, found.volume
    limit: Limit
    if volume >= 1.0:
        limit = kinds.MinMean(dose) if found.coldest else kinds.MaxMean(dose)
    elif kind in ("maximum", "minimum"):
        limit = kinds.MinDose(dose) if found.coldest else kinds.MaxDose(dose)
    elif found.coldest:
        limit = kinds.MinMeanTail(dose, volume)
    else:
        limit = kinds.MaxMeanTail(dose, volume)
    return _on_samples(str(found.goal), limit, found.samples, found.goal.structure)
