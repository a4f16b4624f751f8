"""Direct aperture optimisation: monitor units and leaf positions together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from dosegrad.arrays import Array, IntArray
from dosegrad.beams.apertures import Apertures
from dosegrad.beams.beam import Beams
from dosegrad.engines.photon_kernel.engine import PhotonKernel
from dosegrad.engines.photon_kernel.field import collimator_of
from dosegrad.errors import CapabilityError, PlanError, SettingsError
from dosegrad.geometry.grid import Grid, Triple
from dosegrad.influence.aperture_map import ApertureDoseMap
from dosegrad.influence.build import choose_grid, prepare_medium, resolve_engine
from dosegrad.influence.matrix import Influence
from dosegrad.machine.collimator import MultileafCollimator
from dosegrad.machine.photon import PhotonMachine
from dosegrad.optimisation.aperture_problem import ApertureProblem, moving_pairs, objective_of
from dosegrad.optimisation.boxed import minimise_between
from dosegrad.optimisation.leaf_limits import obedient
from dosegrad.optimisation.spot_problem import sample_terms
from dosegrad.optimisation.wishes import Wishes
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan
from dosegrad.plan_dose import compute_dose
from dosegrad.progress import report

__all__ = ["ApertureCourse", "fitted_jaws", "opened_fluence", "optimise_apertures"]

#: Price of 1 mm² by which a leaf passes an opposing neighbour, in mean objectives of a tip.
_PASSING: Final = 0.2
#: By how much jaws give way before leaves move, mm; leaves may hide this far behind them.
_JAW_ROOM: Final = 5.0
#: Openings narrower than this, seen from the source, count as closed, mm.
_CLOSED: Final = 0.25
#: Segments of less than this many times the mean MU are left out.
_LIGHT: Final = 1e-3
#: Share of the iterations that is left for when jaws are fitted to the leaves.
_LAST_SHARE: Final = 0.3
#: Iterations of MU alone before and after leaves move.
_UNIT_ITERATIONS: Final = 20


def optimise_apertures(
    patient: Patient | Influence,
    plan: Plan,
    objectives: Wishes,
    *,
    engine: str | PhotonKernel = "photon-kernel",
    grid: Grid | None = None,
    dose_spacing: Triple | None = None,
    max_iterations: int = 100,
    tolerance: float = 1e-4,
    coarseness: int = 3,
) -> Plan:
    """The plan whose segments' MU and leaf positions together make the objectives least.

    Segments begin as those of ``plan``, such as :func:`dosegrad.sequence` makes them. One bounded
    quasi-Newton method moves all MU and tips at once, by analytic derivatives of a dose that is
    that of the field mode on a coarser raster; leaves keep all limits of the machine. In the end
    jaws are fitted to the leaves, segments without MU left out, and the dose computed anew in
    field mode: dose and objective of the plan are those.

    Parameters
    ----------
    patient
        Whom to irradiate; or an influence, whose patient and grid are taken.
    plan
        With apertures to begin with.
    objectives
        As for :func:`dosegrad.optimise`.
    engine
        ``"photon-kernel"``, or its settings.
    grid, dose_spacing
        Dose grid, or its spacing (z, y, x), mm; by default that of the plan's dose, or the
        patient's.
    max_iterations, tolerance
        Of the moving part: at most so many, and the relative decrease over 10 iterations that is
        too small to go on.
    coarseness
        Raster while leaves move, in rasters of the machine's kernels; odd.

    Returns
    -------
        A plan with fresh ``apertures``, dose and objective. Its ``history`` is that of the moving
        part, on the voxels that it looks at.

    Raises
    ------
    PlanError
        If the plan has no apertures or other beams than the influence, or objectives are missing
        or contradict each other.
    CapabilityError
        If the engine cannot move leaves.
    SettingsError
        If an option is out of its range.

    References
    ----------
    Shepard et al. 2002, Med. Phys. 29, 1007 [Shepard2002]_, for the idea; derivatives by leaf
    positions are this project's.
    """
    if isinstance(patient, Influence):
        _check_same(patient.beams, plan.beams)
        grid = patient.grid if grid is None and dose_spacing is None else grid
        patient = patient.patient
    if plan.apertures is None:
        raise PlanError("the plan has no apertures to move; sequence it first.")
    if grid is None and dose_spacing is None and plan.dose is not None:
        grid = plan.dose.grid
    chosen = leaf_engine(engine)
    check_course(max_iterations, tolerance)
    dose_grid = choose_grid(patient, grid=grid, dose_spacing=dose_spacing)
    machine, leaves = leaves_of(plan.beams)
    medium: Any = prepare_medium(patient, dose_grid, chosen)  # the kind that the engine wants
    sampled = sample_terms(patient, plan.beams, dose_grid, objectives)
    course = ApertureCourse(max_iterations, tolerance)
    moved = plan.apertures
    for fit, share in ((_roomy, 1.0 - _LAST_SHARE), (fitted_jaws, _LAST_SHARE)):
        fitting = fit(moved, leaves)
        every = [slice(0, leaves.pairs)] * len(fitting)
        dose_map = ApertureDoseMap.of(
            *(medium, plan.beams, obedient(leaves, fitting, every), sampled.voxels),
            engine=chosen,
            coarseness=coarseness,
        )
        moved = course.run(ApertureProblem.of(dose_map, sampled, room=_JAW_ROOM), share)
    delivered = replace(
        plan,
        apertures=moved,
        weights=opened_fluence(plan.beams, moved, leaves) / (machine.mu_per_weight or 1.0),
        dose=None,
    )
    dose = compute_dose(patient, delivered, engine=chosen, grid=dose_grid)
    settings = {"max_iterations": max_iterations, "tolerance": tolerance, "coarseness": coarseness}
    return replace(
        delivered,
        dose=dose,
        objective=objective_of(patient, plan.beams, dose, objectives),
        history=tuple(course.history),
        message=course.message,
        provenance={**plan.provenance, "apertures": settings},
    )


@dataclass(slots=True, eq=False)
class ApertureCourse:
    """Moves MU and tips, and keeps what the objective was."""

    max_iterations: int
    tolerance: float
    history: list[float] = field(default_factory=list)
    n_moves: int = 0

    def run(self, problem: ApertureProblem, share: float) -> Apertures:
        """The best apertures found by a ``share`` of the iterations: MU, then all, then MU."""
        dose_map = problem.dose_map
        at = problem.inner(dose_map.variables(dose_map.apertures))
        box = problem.box()
        if not self.history:
            self.history.append(problem.value_and_gradient(at)[0])
        if not dose_map.collimator.interdigitation:
            unit = self.history[-1] / dose_map.n_tips
            problem = replace(problem, price=_PASSING * unit)
        tips = np.arange(at.size) >= len(dose_map.apertures)
        most = max(1, round(share * self.max_iterations))
        for n, kept in ((_UNIT_ITERATIONS, tips), (most, ~tips & tips), (_UNIT_ITERATIONS, tips)):
            bounds = box.frozen(at, kept)
            at = minimise_between(
                *(problem.value_and_gradient, at),
                low=bounds.low,
                high=bounds.high,
                scale=bounds.scale,
                max_iterations=n,
                tolerance=self.tolerance,
                tell=self._tell if kept.any() else self._tell_move,
            )
            if not kept.any():  # the last word is that of the MU
                at = problem.inner(dose_map.variables(_allowed(dose_map, at, problem)))
        return _heavy(_allowed(dose_map, at, problem))

    @property
    def message(self) -> str:
        """How it ended, in words."""
        if self.n_moves >= self.max_iterations:
            return f"leaves moved for {self.max_iterations} iterations, as many as allowed"
        return f"leaves settled after {self.n_moves} iterations"

    def _tell_move(self, value: float) -> None:
        self.n_moves += 1
        self._tell(value)

    def _tell(self, value: float) -> None:
        self.history.append(value)
        report("moving leaves", self.n_moves / self.max_iterations, f"objective {value:.5g}")


def leaf_engine(engine: str | PhotonKernel) -> PhotonKernel:
    """Settings of the photon kernels, the one engine whose dose is smooth in leaf positions."""
    chosen = resolve_engine(engine)
    if not isinstance(chosen, PhotonKernel):
        raise CapabilityError(
            f"engine {type(chosen).__name__} gives no derivative by leaf positions; engines that "
            "do: photon-kernel."
        )
    return chosen


def leaves_of(beams: Beams) -> tuple[PhotonMachine, MultileafCollimator]:
    """The photon machine of beams, and its leaves."""
    machine = beams.machine
    if not isinstance(machine, PhotonMachine):
        raise CapabilityError(
            f"machine {machine.name!r} delivers {machine.modality}, which no leaves shape; choose "
            "a photon machine."
        )
    return machine, collimator_of(machine)


def _check_same(beams: Beams, others: Beams) -> None:
    """Raise a ``PlanError`` unless an influence was computed for the beams of a plan."""
    alike = beams.machine.name == others.machine.name and len(beams) == len(others)
    if not alike or any(repr(a) != repr(b) for a, b in zip(beams, others, strict=True)):
        raise PlanError(
            f"the influence is that of {beams!r}, but the plan has {others!r}; give the influence "
            "that it was optimised with, or the patient."
        )


def check_course(max_iterations: int, tolerance: float) -> None:
    """Raise a ``SettingsError`` if the course of an optimisation cannot be."""
    if max_iterations < 1 or not 0 <= tolerance < 1:
        raise SettingsError(
            f"max_iterations {max_iterations} must be at least 1 and tolerance {tolerance} from 0 "
            "to below 1; leave them out to take the defaults."
        )


def _roomy(apertures: Apertures, leaves: MultileafCollimator) -> Apertures:
    """The same with jaws of each beam that enclose all its segments, with room for leaves.

    Strips of a field that leaves cannot deliver at once keep jaws of their own, and these give no
    way where leaves cannot make the edge instead.
    """
    jaws = apertures.jaws.copy()
    offset, over = leaves.leaf_end_offset, leaves.over_travel
    for mine in _strips(apertures):
        low, high = jaws[mine].min(axis=0), jaws[mine].max(axis=0)
        x1, x2 = max(low[0] - _JAW_ROOM, -leaves.reach), min(high[1] + _JAW_ROOM, leaves.reach)
        jaws[mine] = (
            low[0] if low[0] + offset > over else x1,
            high[1] if high[1] - offset < -over else x2,
            low[2],
            high[3],
        )
    return replace(apertures, jaws=jaws)


def _strips(apertures: Apertures) -> Iterator[IntArray]:
    """Segments of each beam whose jaws overlap by half of their width along x or more."""
    for beam in np.unique(apertures.beam):
        rest = np.flatnonzero(apertures.beam == beam)
        while rest.size:
            x1, x2 = apertures.jaws[rest[0], :2]
            low, high = apertures.jaws[rest, 0], apertures.jaws[rest, 1]
            common = np.minimum(x2, high) - np.maximum(x1, low)
            near = common >= 0.5 * np.minimum(x2 - x1, high - low)
            yield rest[near]
            rest = rest[~near]


def _same_jaws(apertures: Apertures) -> Iterator[IntArray]:
    """Segments of each beam with the same jaws."""
    keys = np.column_stack([apertures.beam, apertures.jaws])
    _, which = np.unique(keys, axis=0, return_inverse=True)
    for number in range(int(which.max()) + 1):
        yield np.flatnonzero(which.reshape(-1) == number)


def _allowed(dose_map: ApertureDoseMap, at: Array, problem: ApertureProblem) -> Apertures:
    """Apertures of the variables found, within what leaves may do."""
    found = dose_map.moved(problem.outer(at))
    return obedient(dose_map.collimator, found, moving_pairs(dose_map))


def _heavy(apertures: Apertures) -> Apertures:
    """Those of the segments that have MU worth delivering."""
    units = apertures.monitor_units
    kept = np.flatnonzero(units > _LIGHT * units.mean())
    if kept.size == 0:
        raise PlanError("no segment keeps any MU; check the objectives.")
    return apertures.chosen(kept)


def fitted_jaws(apertures: Apertures, leaves: MultileafCollimator) -> Apertures:
    """The same with jaws as narrow as the openings behind them, closed pairs in their shade.

    Pairs wait behind a jaw only where leaves may pass opposing neighbours.
    """
    jaws = apertures.jaws.copy()
    left, right = apertures.left.copy(), apertures.right.copy()
    offset = leaves.leaf_end_offset
    for mine in _same_jaws(apertures):
        low = np.maximum(left[mine] - offset, jaws[mine, :1])
        high = np.minimum(right[mine] + offset, jaws[mine, 1:2])
        between = (leaves.boundaries[1:] > jaws[mine, 2:3]) & (
            leaves.boundaries[:-1] < jaws[mine, 3:]
        )
        slit = leaves.minimum_gap + 2.0 * offset
        opened = between & (high - low > slit + _CLOSED)
        if not opened.any():
            continue
        x1, x2 = float(low[opened].min()), float(high[opened].max())
        pairs = np.flatnonzero(opened.any(axis=0))
        jaws[mine] = (
            *(x1, x2),
            max(float(leaves.boundaries[pairs[0]]), jaws[mine, 2].min()),
            min(float(leaves.boundaries[pairs[-1] + 1]), jaws[mine, 3].max()),
        )
        if leaves.interdigitation:
            for k, is_open in zip(mine, opened, strict=True):
                left[k], right[k] = leaves.waiting(left[k], right[k], ~is_open, (x1, x2))
    return replace(apertures, jaws=jaws, left=left, right=right)


def opened_fluence(beams: Beams, apertures: Apertures, leaves: MultileafCollimator) -> Array:
    """MU (n_columns,) that openings let through each bixel, averaged over it; without leakage."""
    columns = beams.columns
    found = np.zeros(columns.size)
    offset = leaves.leaf_end_offset
    for beam in np.unique(apertures.beam):
        part, mine = beams.columns_of(int(beam)), apertures.of_beam(int(beam))
        x, y, half = columns["x"][part], columns["y"][part], 0.5 * columns["size"][part]
        for k in range(len(mine)):
            x1, x2, y1, y2 = mine.jaws[k]
            low, high = (
                np.maximum(mine.left[k] - offset, x1),
                np.minimum(mine.right[k] + offset, x2),
            )
            across = np.minimum((x + half)[:, None], high) - np.maximum((x - half)[:, None], low)
            bottom = np.maximum(leaves.boundaries[:-1], y1)
            top = np.minimum(leaves.boundaries[1:], y2)
            along = np.minimum((y + half)[:, None], top) - np.maximum((y - half)[:, None], bottom)
            area = (np.maximum(across, 0.0) * np.maximum(along, 0.0)).sum(axis=1)
            found[part] += mine.monitor_units[k] * area / (4.0 * half**2)
    return found
