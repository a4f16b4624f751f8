"""Which beam angles to treat from: chosen among candidates by the objective of the plan itself."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosegrad.arrays import Array
from dosegrad.beams.beam import Beams
from dosegrad.beams.steering import steer
from dosegrad.errors import BeamError, CapabilityError, EnergyError, SettingsError
from dosegrad.geometry.grid import Triple
from dosegrad.influence.build import compute_influence
from dosegrad.machine.kinds import Machine
from dosegrad.objectives.structure_objective import QuantityObjective, RobustObjective
from dosegrad.optimisation.angle_worth import CandidateBeams
from dosegrad.optimisation.candidate_angles import Angle, list_angles, spread_evenly
from dosegrad.optimisation.optimise import optimise
from dosegrad.optimisation.solvers._stopping import check_whole
from dosegrad.optimisation.wishes import Wishes, as_pairs, make_terms
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan
from dosegrad.progress import report

__all__ = ["Angle", "AngleChoice", "optimise_angles"]

#: Exchanges begin anew, from the best set that is known, at most so many times.
_PASSES: Final = 3
#: Sets that are optimised with so many times the iterations, to choose among them.
_FINALISTS: Final = 6
_LONGER: Final = 5
#: Candidates tried for a place because they are next to the one that has it.
_NEIGHBOURS: Final = 2
#: An exchange counts if it lowers the objective by this share.
_BETTER: Final = 2e-3


@dataclass(frozen=True, slots=True, eq=False)
class AngleChoice:
    """Chosen beam angles, and what every candidate is worth.

    Parameters
    ----------
    gantry, couch
        Of the chosen beams, degree, by rising couch and gantry angle.
    plan
        Optimised with them.
    candidates
        All angles that were looked at.
    worth
        For each candidate, the lowest objective after ``iterations`` that was found for a set of
        so many beams with it.
    n_sets
        Number of sets of beams whose objective was computed.
    evenly_spread
        Objective of the plan of the candidates nearest to an even spread, optimised like ``plan``,
        which is at least as good.
    """

    gantry: tuple[float, ...]
    couch: tuple[float, ...]
    plan: Plan
    candidates: tuple[Angle, ...]
    worth: Mapping[Angle, float]
    n_sets: int
    evenly_spread: float = np.nan

    def __repr__(self) -> str:
        angles = ", ".join(
            f"{g:g}°" + (f" couch {c:g}°" if c else "")
            for g, c in zip(self.gantry, self.couch, strict=True)
        )
        return f"AngleChoice({angles}; of {len(self.candidates)} candidates)"

    @property
    def chosen(self) -> tuple[Angle, ...]:
        """Gantry and couch angle of each chosen beam."""
        return tuple(zip(self.gantry, self.couch, strict=True))


def optimise_angles(
    patient: Patient,
    machine: Machine,
    objectives: Wishes,
    *,
    n: int,
    target: str,
    candidates: Sequence[float | Angle] | None = None,
    couch: ArrayLike = 0.0,
    dose_spacing: Triple | None = None,
    iterations: int = 40,
    tries: int = 12,
    cluster: object | None = None,
    **steering: Any,
) -> AngleChoice:
    r"""The ``n`` beam angles with which the objectives become least, as far as a search finds.

    Beams are added one by one, then exchanged one by one as long as that helps; exchanges begin
    from the better of that set and the evenly spread one. Which candidates are tried follows from
    the gradient at the plan without them. For a candidate with columns J it is assumed that
    weights :math:`p_j = -\min(g_j, 0) / h_j` grow in step, with gradient g and diagonal h of the
    curvature H, which would lower the objective by

    .. math:: \frac{(g_J \cdot p_J)^2}{2\, p_J^T H p_J} .

    The candidates of the largest such gain, and those next to the present beam, are tried by
    optimising weights. In the end every candidate has been tried in some set, and of the six best
    sets that one is chosen which is best after five times as many iterations. It and the evenly
    spread set are then optimised alike, as :func:`~dosegrad.optimise` does, and the better one is
    the result.

    Parameters
    ----------
    patient, machine, objectives
        As for :func:`~dosegrad.steer` and :func:`~dosegrad.optimise`.
    n
        Number of beams.
    target
        Name of the structure to aim at.
    candidates
        Gantry angles, or pairs of gantry and couch angle, degree; by default every 10° around.
    couch
        Couch angles, degree, for candidates that state none: one, or several, each with every
        gantry angle.
    dose_spacing
        Spacing (z, y, x) of the dose grid, mm.
    iterations
        Of the solver for each set of beams, from equal weights: enough to tell sets apart.
    tries
        Number of candidates of the largest gain that are tried for each place.
    cluster
        Where the beams' influence is computed, as for :func:`~dosegrad.compute_influence`.
    **steering
        Options of :func:`~dosegrad.steer`, such as ``spot_spacing=8``: a coarse lattice chooses
        as well as a fine one, in less time.

    Raises
    ------
    SettingsError
        If there are fewer candidates than beams wanted, or an option cannot be.
    CapabilityError
        If an objective is robust, or about another quantity than dose.
    BeamError
        If fewer than ``n`` candidates can be steered at the target.

    References
    ----------
    The problem and searches: Bangert, Ziegenhein, Oelfke 2012, Phys. Med. Biol. 57, 6707
    [Bangert2012]_.
    """
    _check_options(objectives, steering)
    for name, count in (("n", n), ("iterations", iterations), ("tries", tries)):
        check_whole(name, count)
    angles = list_angles(candidates, couch)
    if not 1 <= n <= len(angles) or iterations < 1 or tries < 1:
        raise SettingsError(
            f"{n} beams cannot be chosen from {len(angles)} candidates with {iterations} "
            f"iterations and {tries} tries; ask for 1 or more of each, and give enough candidates."
        )
    angles, beams = _steered(patient, machine, target, angles, n, steering)
    influence = compute_influence(patient, beams, dose_spacing=dose_spacing, cluster=cluster)
    terms = make_terms(influence, objectives)
    search = _Search(CandidateBeams(influence.matrix, beams, terms, iterations), n, tries)
    spread = sorted(spread_evenly(angles, n), key=lambda k: angles[k][::-1])
    best = sorted(search.run(spread), key=lambda k: angles[k][::-1])
    plans: dict[tuple[int, ...], tuple[float, Plan]] = {}
    for order in dict.fromkeys((tuple(best), tuple(spread))):
        found = compute_influence(
            patient, _beams_of(beams, order), dose_spacing=dose_spacing, cluster=cluster
        )
        plan = optimise(found, objectives)
        assert plan.objective is not None
        plans[order] = (plan.objective, plan)
    chosen = min(plans, key=lambda order: plans[order][0])
    return AngleChoice(
        tuple(angles[k][0] for k in chosen),
        tuple(angles[k][1] for k in chosen),
        plans[chosen][1],
        angles,
        {angles[k]: search.best_with[k] for k in range(len(angles))},
        search.n_sets,
        plans[tuple(spread)][0],
    )


@dataclass(slots=True, eq=False)
class _Search:
    """Sets of beams that were tried, by the numbers of their candidates."""

    beams: CandidateBeams
    n: int
    tries: int
    best_with: dict[int, float] = field(default_factory=dict)
    known: dict[frozenset[int], tuple[float, Array]] = field(default_factory=dict)

    @property
    def n_sets(self) -> int:
        """Number of sets whose objective was computed."""
        return len(self.known)

    def run(self, spread: Sequence[int]) -> list[int]:
        """The best set found, ``spread`` being the evenly spread one."""
        chosen: list[int] = []
        for place in range(self.n):
            report("beam angles", place / (2 * self.n), f"beam {place + 1} of {self.n}")
            chosen.append(self._best_addition(chosen, None))
        self._value(spread)
        for number in range(_PASSES):
            chosen = self._best()
            self._exchange(chosen, 0.5 + number / (2 * _PASSES))
            self._try_the_others()
            if self._value(chosen) <= (1.0 + _BETTER) * self._value(self._best()):
                break
        return self._best_of_finalists()

    def _best_of_finalists(self) -> list[int]:
        """The best of the best sets, after more iterations."""
        whole = sorted(
            (value, sorted(k)) for k, (value, _) in self.known.items() if len(k) == self.n
        )
        finalists = [members for _, members in whole[:_FINALISTS]]
        ends = [self.beams.solve(members, _LONGER)[0] for members in finalists]
        report("beam angles", 1.0, f"objective {min(ends):.5g}")
        return finalists[int(np.argmin(ends))]

    def _exchange(self, chosen: list[int], done: float) -> None:
        """Exchange one beam after the other, as long as one of a round of them helps."""
        helped = True
        while helped:
            helped = False
            for place, old in enumerate(list(chosen)):
                report("beam angles", done, f"objective {self._value(chosen):.5g}")
                rest = [k for k in chosen if k != old]
                new = self._best_addition(rest, old)
                if self._value([*rest, new]) < (1.0 - _BETTER) * self._value(chosen):
                    chosen[place] = new
                    helped = True

    def _try_the_others(self) -> None:
        """Give candidates that were never tried the place of the chosen beam nearest in angle."""
        chosen = self._best()
        for number in range(self.beams.n):
            if number not in self.best_with:
                near = min(chosen, key=lambda k: self.beams.angle_between(k, number))
                self._value([number if k == near else k for k in chosen])

    def _best(self) -> list[int]:
        """The best whole set that was tried."""
        whole = [(value, sorted(k)) for k, (value, _) in self.known.items() if len(k) == self.n]
        return min(whole)[1]

    def _best_addition(self, rest: Sequence[int], old: int | None) -> int:
        """The candidate that lowers the objective most beside ``rest``, in place of ``old``."""
        gains = self.beams.gains(rest, self._solved(rest)[1])
        gains[list(rest)] = -np.inf
        tried = [int(k) for k in np.argsort(-gains, kind="stable")[: self.tries]]
        if old is not None:
            others = set(range(self.beams.n)) - {*rest, old}
            near = sorted(others, key=lambda k: self.beams.angle_between(k, old))
            tried += near[:_NEIGHBOURS]
        fit = [k for k in tried if gains[k] > -np.inf]
        return min(fit, key=lambda k: self._value([*rest, k]))

    def _value(self, members: Sequence[int]) -> float:
        return self._solved(members)[0]

    def _solved(self, members: Sequence[int]) -> tuple[float, Array]:
        """Objective and weights of all columns for a set."""
        key = frozenset(members)
        if key not in self.known:
            self.known[key] = self.beams.solve(sorted(members))
            if len(key) == self.n:
                for k in key:
                    self.best_with[k] = min(self.best_with.get(k, np.inf), self.known[key][0])
        return self.known[key]


def _check_options(objectives: Wishes, steering: Mapping[str, Any]) -> None:
    """Raise if the search cannot see an objective, or an option is chosen by it."""
    for name, objective in as_pairs(objectives):
        if isinstance(objective, RobustObjective | QuantityObjective):
            raise CapabilityError(
                f"the objective {objective!r} on {name!r} is no plain one of dose, by which beam "
                "angles are chosen. Choose them without .robust() and .of(), then optimise the "
                "plan of these angles with them."
            )
    if "gantry" in steering:
        raise SettingsError(
            "gantry angles are what is chosen; name those to choose from as candidates=."
        )


def _steered(
    patient: Patient,
    machine: Machine,
    target: str,
    angles: Sequence[Angle],
    n: int,
    options: Mapping[str, Any],
) -> tuple[tuple[Angle, ...], Beams]:
    """Candidates that can be steered at the target, and a beam for each of them."""
    kept: list[Angle] = []
    parts: list[Beams] = []
    reason = ""
    for gantry, turn in angles:
        report("steering", len(kept) / len(angles), f"gantry {gantry:g}°")
        try:
            parts.append(
                steer(patient, machine, target=target, gantry=gantry, couch=turn, **options)
            )
        except (BeamError, EnergyError) as error:
            reason = str(error)
            continue
        kept.append((gantry, turn))
    if len(kept) < n:
        raise BeamError(
            f"only {len(kept)} of {len(angles)} candidates can be steered at {target!r}, and {n} "
            f"beams are wanted. The last one failed so: {reason}"
        )
    if len(kept) < len(angles):
        warnings.warn(
            f"{len(angles) - len(kept)} of {len(angles)} candidates cannot be steered at "
            f"{target!r} and are left out: {reason}",
            stacklevel=3,
        )
    return tuple(kept), _joined(parts)


def _joined(parts: Sequence[Beams]) -> Beams:
    """One set of beams from several."""
    columns = []
    n_fields = n_rays = 0
    for part in parts:
        mine: NDArray[np.void] = part.columns.copy()
        mine["beam"] += n_fields
        mine["ray"] += n_rays
        n_fields += len(part)
        n_rays = int(mine["ray"].max()) + 1
        columns.append(mine)
    fields = tuple(beam for part in parts for beam in part)
    return Beams(parts[0].machine, fields, np.concatenate(columns))


def _beams_of(beams: Beams, numbers: Sequence[int]) -> Beams:
    """Some of the beams, in the order of ``numbers``."""
    parts = []
    for number in numbers:
        mine = beams.columns[beams.columns_of(number)].copy()
        mine["beam"] = 0
        mine["ray"] -= mine["ray"].min()
        parts.append(Beams(beams.machine, (beams[number],), mine))
    return _joined(parts)
