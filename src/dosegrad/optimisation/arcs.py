"""Arcs: apertures at the control points of a turning gantry, within what the machine can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from dosegrad._version import __version__
from dosegrad.arrays import Array, BoolArray
from dosegrad.beams.apertures import Apertures
from dosegrad.beams.beam import Beams
from dosegrad.beams.steering import steer
from dosegrad.dose import Dose
from dosegrad.engines.photon_kernel.engine import PhotonKernel
from dosegrad.errors import PlanError, SettingsError
from dosegrad.geometry.grid import Grid, Triple
from dosegrad.influence.aperture_map import ApertureDoseMap
from dosegrad.influence.build import choose_grid, compute_influence, prepare_medium
from dosegrad.influence.dose_map import InfluenceDoseMap
from dosegrad.machine.collimator import ArcLimits, MultileafCollimator
from dosegrad.machine.photon import PhotonMachine
from dosegrad.optimisation.aperture_problem import (
    ApertureProblem,
    Box,
    moving_pairs,
    objective_of,
)
from dosegrad.optimisation.apertures import (
    check_course,
    leaf_engine,
    leaves_of,
    opened_fluence,
)
from dosegrad.optimisation.boxed import minimise_between
from dosegrad.optimisation.leaf_limits import obedient
from dosegrad.optimisation.problem import DoseProblem, typical_steps
from dosegrad.optimisation.sequencing.sequence import sequence
from dosegrad.optimisation.solvers.lbfgsb import LBFGSB
from dosegrad.optimisation.spot_problem import SampledTerms, sample_terms
from dosegrad.optimisation.wishes import Wishes, prescribing, prescription
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan
from dosegrad.plan_dose import compute_dose
from dosegrad.progress import report

__all__ = ["optimise_arc"]

#: Control points of a full turn, degree: from 182 clockwise to 178.
_TURN: Final = tuple((182.0 + 4.0 * k) % 360.0 for k in range(90))
#: Iterations of the fluence from which shapes come, and of MU alone.
_FLUENCE_ITERATIONS: Final = 60
_UNIT_ITERATIONS: Final = 25
#: Levels at which these are sequenced: few, for large shapes that need few MU.
_LEVELS: Final = 2
#: Control points with this share of the highest MU have all that they can get; where so many of
#: them do, the dose rate limits the plan.
_FULL: Final = 0.999
_MANY: Final = 0.5
#: Less than this share of the prescription, as the mean of its structure, is told.
_REACHED: Final = 0.97
#: Price of 1 mm² of excess travel of one tip, round by round, in mean objectives of a tip.
_PRICES: Final = (0.02, 0.2, 2.0)


def optimise_arc(
    patient: Patient,
    machine: PhotonMachine,
    objectives: Wishes,
    *,
    target: str,
    gantry: Sequence[float] = _TURN,
    isocentre: Triple | None = None,
    fractions: int = 1,
    bixel: float = 5.0,
    fields: int = 9,
    turn_time: float = 120.0,
    engine: str | PhotonKernel = "photon-kernel",
    grid: Grid | None = None,
    dose_spacing: Triple | None = None,
    max_iterations: int = 90,
    tolerance: float = 1e-4,
    coarseness: int = 5,
) -> Plan:
    """A plan of one aperture at each control point of an arc (VMAT).

    It begins with the fluence of a few static fields, sequenced, whose shapes are dealt out to the
    control points around each field so that leaves sweep to and fro. Then all MU and leaf tips are
    moved by analytic derivatives, with a penalty on leaves that travel farther between control
    points than they can; what excess is left, and what breaks other limits of leaves, is taken
    away by trajectories nearby that obey, and MU are optimised once more. Dose and objective are
    recomputed in field mode.

    Parameters
    ----------
    patient, machine
        Whom to irradiate, and with what.
    objectives
        As for :func:`dosegrad.optimise`.
    target
        Name of the structure that the arc is steered at.
    gantry
        Angles of the control points in their order, degree; by default a full turn of 90.
    isocentre
        (x, y, z), mm, patient LPS; by default the middle of the target.
    fractions
        Number of fractions; limits of dose rate hold for each.
    bixel
        Side of the bixels with which fields are steered, mm.
    fields
        Number of static fields to begin with.
    turn_time
        Longest time of one fraction, s; more of it lets leaves travel farther.
    engine
        ``"photon-kernel"``, or its settings.
    grid, dose_spacing
        Dose grid, or its spacing (z, y, x), mm, as for :func:`dosegrad.compute_influence`.
    max_iterations, tolerance
        Of the moving part: at most so many, and the relative decrease over 10 iterations that is
        too small to go on.
    coarseness
        Raster while leaves move, in rasters of the machine's kernels; odd.

    Returns
    -------
        A plan with one beam and one aperture for each control point; :func:`arc_delivery` of
        ``dosegrad.evaluation.arc_delivery`` tells time and speeds.

    Raises
    ------
    PlanError
        If objectives are missing or contradict each other.
    SettingsError
        If an option is out of its range.
    CapabilityError
        If the machine has no leaves.

    References
    ----------
    Otto 2008, Med. Phys. 35, 310 [Otto2008]_; derivatives by leaf positions are this project's.
    """
    check_course(max_iterations, tolerance)
    angles = np.asarray(gantry, dtype=float)
    chosen = leaf_engine(engine)
    dose_grid = choose_grid(patient, grid=grid, dose_spacing=dose_spacing)
    beams = steer(
        patient, machine, target=target, gantry=angles.tolist(), isocentre=isocentre, bixel=bixel
    )
    machine, leaves = leaves_of(beams)
    pace = _Pace.of(machine.arc, leaves, angles, turn_time, fractions, fields)
    sampled = sample_terms(patient, beams, dose_grid, objectives)
    statics = _static_fields(patient, beams, angles, sampled, dose_grid, chosen, fields, bixel)
    start = _dealt(beams, statics, leaves, pace)

    medium: Any = prepare_medium(patient, dose_grid, chosen)  # the kind that the engine wants
    dose_map = ApertureDoseMap.of(
        *(medium, beams, start, sampled.voxels), engine=chosen, coarseness=coarseness
    )
    problem = _ArcProblem(ApertureProblem.of(dose_map, sampled, room=0.0), pace)
    history, apertures = problem.run(max_iterations, tolerance)
    plan = Plan(
        beams,
        opened_fluence(beams, apertures, leaves) / (machine.mu_per_weight or 1.0),
        history=tuple(history),
        fractions=fractions,
        message=f"an arc of {len(beams)} control points, leaves moved {problem.n_moves} times",
        provenance={"version": __version__, "machine": machine.name, "arc": {"fields": fields,
                    "turn_time": turn_time, "max_iterations": max_iterations}},
        apertures=apertures,
    )  # fmt: skip
    dose = compute_dose(patient, plan, engine=chosen, grid=dose_grid)
    return replace(
        plan,
        dose=dose,
        objective=objective_of(patient, beams, dose, objectives),
        message=plan.message + _remark(dose, patient, sampled, apertures, pace),
    )


def _remark(
    dose: Dose, patient: Patient, sampled: SampledTerms, apertures: Apertures, pace: _Pace
) -> str:
    """Words about a prescription that the dose rate does not let the arc reach, or none."""
    asked = prescribing(sampled.terms)
    full = int(np.count_nonzero(apertures.monitor_units > _FULL * pace.most))
    if asked is None or full < _MANY * len(apertures):
        return ""
    reached = dose.mean(patient.structure(asked[0].structure))
    if reached >= _REACHED * asked[1]:
        return ""
    return (
        f"; {asked[0].structure!r} gets {reached:.3g} of {asked[1]:.3g} Gy, as the dose rate "
        f"limits {full} control points: give a longer turn_time, or more fractions"
    )


@dataclass(frozen=True, slots=True)
class _Pace:
    """What the machine can do between two control points.

    ``travel``: of a leaf, mm; ``least``, ``most``: MU of a control point, whole course.
    """

    travel: float
    least: float
    most: float

    @classmethod
    def of(
        cls,
        limits: ArcLimits,
        leaves: MultileafCollimator,
        angles: Array,
        turn_time: float,
        fractions: int,
        fields: int,
    ) -> _Pace:
        if angles.ndim != 1 or not 1 <= fields <= angles.size or angles.size < 2:
            raise SettingsError(
                f"an arc of {angles.size} control points from {fields} fields is not possible; "
                "give at least two control points, and not more fields than these."
            )
        steps = (np.diff(angles) + 180.0) % 360.0 - 180.0
        if not (np.isfinite(steps).all() and abs(np.sign(steps).sum()) == steps.size):
            raise SettingsError(
                "control points of an arc must turn one way, by less than half a turn each; order "
                "them, and make another arc for the way back."
            )
        turned = np.abs(steps)
        # half a step at either end goes to half of the MU there, while the gantry stands
        step = turn_time / angles.size
        fastest = float(turned.max()) / limits.gantry_speed
        if not fastest <= step <= float(turned.min()) / max(limits.least_gantry_speed, 1e-9):
            raise SettingsError(
                f"a turn of {turn_time:g} s is not possible: the gantry needs at least "
                f"{fastest * angles.size:.0f} s and must not turn slower than "
                f"{limits.least_gantry_speed:g} degree/s. Give a turn_time between."
            )
        per_fraction = (limits.least_dose_rate / 60.0 * step, limits.dose_rate / 60.0 * step)
        return cls(leaves.leaf_speed * step, *(fractions * units for units in per_fraction))


def _static_fields(
    patient: Patient,
    beams: Beams,
    angles: Array,
    sampled: SampledTerms,
    grid: Grid,
    engine: PhotonKernel,
    fields: int,
    bixel: float,
) -> Plan:
    """Sequenced static fields, each in the middle of the control points that it stands for."""
    middles = [int(part[part.size // 2]) for part in np.array_split(np.arange(angles.size), fields)]
    columns = np.concatenate([beams.columns[beams.columns_of(k)] for k in middles])
    columns["beam"] = np.searchsorted(middles, columns["beam"])
    statics = Beams(beams.machine, tuple(beams[k] for k in middles), columns)
    wanted = np.zeros(grid.shape, dtype=bool)
    wanted.ravel()[sampled.voxels] = True
    influence = compute_influence(patient, statics, engine=engine, grid=grid, voxels=wanted)
    matrix = InfluenceDoseMap.of(influence.matrix)
    problem = DoseProblem(matrix, sampled.terms, sampled.shares)
    weights = np.ones(statics.n_columns)
    asked = prescription(sampled.terms)
    if asked is not None:
        rows, dose = asked
        weights *= dose / float(matrix.linearise(weights)[0][rows].mean())

    def watch(number: int, _weights: Array, value: float) -> bool:
        report("fluence", number / _FLUENCE_ITERATIONS, f"objective {value:.5g}")
        return False

    solution = LBFGSB().minimise(
        problem.value_and_gradient,
        weights,
        scale=typical_steps(problem, weights),
        max_iterations=_FLUENCE_ITERATIONS,
        watch=watch,
    )
    return sequence(Plan(statics, solution.variables), levels=_LEVELS)


def _dealt(beams: Beams, statics: Plan, leaves: MultileafCollimator, pace: _Pace) -> Apertures:
    """One aperture for each control point: shapes of the static fields, in sweeping order."""
    segments = statics.apertures
    assert segments is not None
    n = len(beams)
    jaws = _common_jaws(beams, leaves)
    inside = (leaves.boundaries[1:] > jaws[2]) & (leaves.boundaries[:-1] < jaws[3])
    left, right, units = np.zeros((n, leaves.pairs)), np.zeros((n, leaves.pairs)), np.zeros(n)
    for number, places in enumerate(np.array_split(np.arange(n), len(statics.beams))):
        mine = segments.of_beam(number)
        if not len(mine):
            raise PlanError(
                f"the field at gantry {statics.beams[number].gantry:g}° got no fluence; take fewer "
                "fields, or check the objectives."
            )
        tips = [_filled(mine, k, inside, leaves) for k in range(len(mine))]
        shares = _shares(mine.monitor_units, places.size)
        middle = np.array([float((low + high)[inside].mean()) for low, high in tips])
        order = np.argsort(middle[shares[0]], kind="stable")[:: 1 if number % 2 == 0 else -1]
        for place, at in zip(places, order, strict=True):
            left[place], right[place] = tips[shares[0][at]]
            units[place] = shares[1][at]
    units = np.clip(units, pace.least, pace.most)
    dealt = Apertures(np.arange(n), units, np.tile(jaws, (n, 1)), left, right, np.zeros(n))
    shown = np.flatnonzero(inside)
    return _kept(leaves, dealt, [slice(int(shown[0]), int(shown[-1]) + 1)] * n, pace)


def _common_jaws(beams: Beams, leaves: MultileafCollimator) -> Array:
    """Jaws (4,) that enclose the bixels of all control points, sides of leaves along y."""
    columns, sides = beams.columns, leaves.boundaries
    half = 0.5 * columns["size"]
    x1, x2 = (columns["x"] - half).min(), (columns["x"] + half).max()
    y1, y2 = (columns["y"] - half).min(), (columns["y"] + half).max()
    low = sides[np.searchsorted(sides, y1 + 1e-6, side="right") - 1]
    high = sides[np.searchsorted(sides, y2 - 1e-6)]
    return np.array([x1, x2, low, high])


def _filled(
    segments: Apertures, index: int, inside: BoolArray, leaves: MultileafCollimator
) -> tuple[Array, Array]:
    """Tips (pairs,) of a shape with closed pairs in the middle of the nearest open one."""
    aperture = segments[index]
    half = 0.5 * leaves.minimum_gap
    opened = np.flatnonzero(aperture.is_open & inside)
    places = np.arange(leaves.pairs)
    nearest = opened[np.abs(places[:, None] - opened).argmin(axis=1)]
    middle = 0.5 * (aperture.left + aperture.right)[nearest]
    shut = ~(aperture.is_open & inside)
    left = np.where(shut, middle - half, aperture.left)
    right = np.where(shut, middle + half, aperture.right)
    left[~inside], right[~inside] = -half, half  # behind the jaws, where they need not move
    return left, right


def _shares(units: Array, n: int) -> tuple[list[int], list[float]]:
    """Which shape, and how many MU, each of ``n`` places gets: heavy ones several, light none."""
    kept = np.argsort(-units, kind="stable")[:n]
    counts = np.ones(kept.size, dtype=np.int64)
    while counts.sum() < n:
        counts[np.argmax(units[kept] / counts)] += 1
    scale = float(units.sum() / units[kept].sum())
    which = np.repeat(kept, counts)
    each = np.repeat(scale * units[kept] / counts, counts)
    return [int(k) for k in which], [float(u) for u in each]


@dataclass(slots=True, eq=False)
class _ArcProblem:
    """Objectives and the travel of leaves, as a function of MU, left tips and gaps."""

    problem: ApertureProblem
    pace: _Pace
    price: float = 0.0
    n_moves: int = 0

    def run(self, max_iterations: int, tolerance: float) -> tuple[list[float], Apertures]:
        """History of the objective, and the best apertures that keep all limits."""
        dose_map = self.problem.dose_map
        n = len(dose_map.apertures)
        at = self.problem.inner(dose_map.variables(dose_map.apertures))
        box = self.problem.box()
        box.low[:n], box.high[:n] = self.pace.least, self.pace.most
        tips = np.arange(at.size) >= n
        history = [self.problem.value_and_gradient(at)[0]]
        at = self._descend(at, box.frozen(at, tips), _UNIT_ITERATIONS, tolerance, history)
        unit = history[-1] / dose_map.n_tips
        for price in _PRICES:
            self.price, before = price * unit, len(history)
            if not dose_map.collimator.interdigitation:
                self.problem = replace(self.problem, price=self.price)
            most = max(1, max_iterations // len(_PRICES))
            at = self._descend(at, box, most, 0.1 * tolerance, history)
            self.n_moves += len(history) - before
        self.price, self.problem = 0.0, replace(self.problem, price=0.0)
        kept = _kept(
            dose_map.collimator, dose_map.moved(self.problem.outer(at)), moving_pairs(dose_map),
            self.pace,
        )  # fmt: skip
        at = self.problem.inner(dose_map.variables(kept))
        at = self._descend(at, box.frozen(at, tips), _UNIT_ITERATIONS, tolerance, history)
        return history, replace(kept, monitor_units=at[:n])

    def _descend(
        self, at: Array, box: Box, most: int, tolerance: float, history: list[float]
    ) -> Array:
        def tell(value: float) -> None:
            history.append(value)
            report("moving leaves", 0.0, f"iteration {len(history)}, objective {value:.5g}")

        return minimise_between(
            *(self._value_and_gradient, at),
            low=box.low,
            high=box.high,
            scale=box.scale,
            max_iterations=most,
            tolerance=tolerance,
            tell=tell,
        )

    def _banks(self, outer: Array) -> Array:
        """Tips (2, control points, pairs) of variables."""
        n = len(self.problem.dose_map.apertures)
        return outer[n:].reshape(2, n, -1)

    def _value_and_gradient(self, inner: Array) -> tuple[float, Array]:
        value, slope = self.problem.value_and_gradient(inner)
        if self.price == 0.0:
            return value, slope
        n = len(self.problem.dose_map.apertures)
        steps = np.diff(self._banks(self.problem.outer(inner)), axis=1)
        excess = np.sign(steps) * np.maximum(np.abs(steps) - self.pace.travel, 0.0)
        by_tips = np.zeros((2, n, steps.shape[2]))
        by_tips[:, 1:] += 2.0 * self.price * excess
        by_tips[:, :-1] -= 2.0 * self.price * excess
        slope = slope.copy()
        slope[n:] += np.concatenate([by_tips.sum(axis=0).ravel(), by_tips[1].ravel()])
        return value + self.price * float((excess**2).sum()), slope


def _kept(
    leaves: MultileafCollimator, apertures: Apertures, pairs: Sequence[slice], pace: _Pace
) -> Apertures:
    r"""The same within all limits: each aperture by itself, then trajectories slow enough.

    .. math:: x'_i = \tfrac12 \left[\min_j (x_j + d |i - j|) + \max_j (x_j - d |i - j|)\right]

    changes by at most d from one control point to the next, leaves trajectories alone that do so
    already, and keeps whatever limits the difference of two trajectories: gaps, spans, bounds and
    the order of leaves.
    """
    placed = obedient(leaves, apertures, pairs)
    n = len(apertures)
    reach = pace.travel * np.abs(np.arange(n)[:, None] - np.arange(n))
    banks = []
    for bank in (placed.left, placed.right):
        upper = (bank[None, :, :] + reach[:, :, None]).min(axis=1)
        lower = (bank[None, :, :] - reach[:, :, None]).max(axis=1)
        banks.append(0.5 * (upper + lower))
    return replace(placed, left=banks[0], right=banks[1])
