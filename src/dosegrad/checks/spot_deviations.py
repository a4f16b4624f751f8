"""Delivered against planned spots: where they went, what they got, and the plan that makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.beams.beam import COLUMN_DTYPE, Beams
from dosegrad.beams.deliveries import (
    DELIVERED_DTYPE,
    Delivery,
    match_spots,
    nearest_energies,
)
from dosegrad.errors import EnergyError, PlanError, SettingsError
from dosegrad.machine.particle import ParticleMachine
from dosegrad.plan import Plan
from dosegrad.units import PARTICLES_PER_WEIGHT

__all__ = [
    "DeliveryTolerances",
    "SpotDeviations",
    "beam_numbers",
    "compare_spots",
    "delivered_plan",
    "delivered_weights",
    "not_in_plan",
    "planned_spots",
    "range_difference",
    "range_flags",
]

#: A spot that was not planned has the machine's energy within this, MeV or MeV/u.
_ENERGY_REACH: Final = 0.05


@dataclass(frozen=True, slots=True)
class DeliveryTolerances:
    """Deviations from which a delivery is flagged.

    Parameters
    ----------
    mean_position, any_position
        Of spots of a layer on average, and of any spot, mm.
    mu_percent, mu
        Of a spot's meterset: a spot is flagged if it is off by more than both.
    range
        Of the depth of a layer, mm.
    gamma_percent, gamma_distance, pass_rate
        Criteria of the dose comparison, and the share of voxels that must meet them.
    excess_percent
        Of a dose beyond what was planned around it, % of the planned maximum.

    Raises
    ------
    SettingsError
        If one is negative or not finite, or the share of voxels is above 1.
    """

    mean_position: float = 1.0
    any_position: float = 2.0
    mu_percent: float = 1.0
    mu: float = 0.01
    range: float = 1.0
    gamma_percent: float = 2.0
    gamma_distance: float = 2.0
    pass_rate: float = 0.95
    excess_percent: float = 5.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not (np.isfinite(value) and value >= 0):
                raise SettingsError(
                    f"tolerance {each.name} is {value}; give a number that is not negative."
                )
        if self.pass_rate > 1:
            raise SettingsError(
                f"pass rate {self.pass_rate:g} must be a share from 0 to 1; for 95 % give 0.95."
            )


@dataclass(frozen=True, slots=True, eq=False)
class SpotDeviations:
    """Delivered against planned spots.

    Parameters
    ----------
    planned, delivered
        Structured arrays of :data:`~dosegrad.beams.deliveries.DELIVERED_DTYPE`.
    planned_of
        Index of the planned spot of each delivered one (n_delivered,), -1 for none.
    missing
        Indices of planned spots that nothing was delivered for.
    shifts
        Delivered minus planned (n_delivered, 2), x and y, mm; NaN without a planned spot.
    mu_delivered
        Meterset that each planned spot got (n_planned,).
    """

    planned: NDArray[Any]
    delivered: NDArray[Any]
    planned_of: IntArray
    missing: IntArray
    shifts: Array
    mu_delivered: Array

    def __repr__(self) -> str:
        return f"SpotDeviations({self.delivered.size} of {self.planned.size} spots)"

    @property
    def distances(self) -> Array:
        """Distance of each delivered spot from its place (n_delivered,), mm."""
        found: Array = np.hypot(self.shifts[:, 0], self.shifts[:, 1])
        return found

    @property
    def mean_distance(self) -> float:
        """Mean of :attr:`distances`, mm; NaN if no spot was planned."""
        return float(np.nanmean(self.distances)) if (self.planned_of >= 0).any() else float("nan")

    @property
    def largest_distance(self) -> float:
        """Largest of :attr:`distances`, mm; NaN if no spot was planned."""
        return float(np.nanmax(self.distances)) if (self.planned_of >= 0).any() else float("nan")

    @property
    def mu_differences(self) -> Array:
        """Delivered minus planned meterset of each planned spot (n_planned,)."""
        found: Array = self.mu_delivered - self.planned["mu"]
        return found

    @property
    def mean_shifts(self) -> Array:
        """Mean shift by meterset of each planned spot (n_planned, 2), mm; 0 if it got nothing."""
        known = self.planned_of >= 0
        place, mu = self.planned_of[known], self.delivered["mu"][known]
        found = np.zeros((self.planned.size, 2))
        given = self.mu_delivered > 0
        for axis in range(2):
            moved = np.bincount(
                place, weights=mu * self.shifts[known, axis], minlength=self.planned.size
            )
            found[given, axis] = moved[given] / self.mu_delivered[given]
        return found

    def layer_means(self) -> dict[tuple[int, float], float]:
        """Mean distance of the spots of each layer, mm, by beam and recorded energy."""
        keys = np.column_stack([self.delivered["beam"], self.delivered["energy"]])
        known = np.isfinite(self.distances)
        found = {}
        for beam, energy in np.unique(keys[known], axis=0):
            mine = known & (keys == (beam, energy)).all(axis=1)
            found[int(beam), float(energy)] = float(self.distances[mine].mean())
        return found

    def out_of_meterset(self, tolerances: DeliveryTolerances) -> BoolArray:
        """Planned spots (n_planned,) that were delivered with a meterset out of tolerance."""
        off = np.abs(self.mu_differences)
        wrong = (off > tolerances.mu) & (off > tolerances.mu_percent / 100 * self.planned["mu"])
        wrong[self.missing] = False
        return wrong

    def flags(self, tolerances: DeliveryTolerances) -> tuple[str, ...]:
        """Sentences on what is out of tolerance; none if all is within."""
        return (
            *_count_flags(self),
            *_position_flags(self, tolerances),
            *_mu_flags(self, tolerances),
        )


def range_difference(plan: Plan, spots: SpotDeviations) -> float:
    """Largest difference of the ranges of recorded and planned energies, mm."""
    machine = plan.beams.particles
    known = spots.planned_of >= 0
    if machine.energies.size < 2 or not known.any():
        return 0.0
    of_plan = spots.planned["energy"][spots.planned_of[known]]
    of_record = spots.delivered["energy"][known]
    nominal = [machine.monitor.nominal_energy(float(e)) for e in machine.energies]
    ranges = np.interp(of_record, nominal, machine.ranges)
    return float(np.abs(ranges - np.interp(of_plan, nominal, machine.ranges)).max())


def range_flags(plan: Plan, spots: SpotDeviations, tolerances: DeliveryTolerances) -> list[str]:
    """Layers whose recorded energy has another range than the planned one."""
    off = range_difference(plan, spots)
    if not off > tolerances.range:
        return []
    return [f"ranges are up to {off:.2f} mm off, more than {tolerances.range:g} mm"]


def planned_spots(plan: Plan) -> NDArray[Any]:
    """The spots of one fraction of a plan, (n_columns,) of the type of delivered ones.

    Beams have the numbers that the plan's file gave them, or 1, 2, ...; layers count from the
    highest energy down; ``mu`` follows from weight and the machine's particles per MU.
    """
    machine, columns = plan.beams.particles, plan.beams.columns
    spots = np.zeros(columns.size, dtype=DELIVERED_DTYPE)
    numbers = np.asarray(beam_numbers(plan))
    spots["beam"] = numbers[columns["beam"]]
    spots["x"], spots["y"], spots["time"] = columns["x"], columns["y"], np.nan
    for energy in np.unique(columns["energy"]):
        mine = columns["energy"] == energy
        nominal = machine.monitor.nominal_energy(float(energy))
        per_mu = machine.monitor.particles_per_mu(nominal) / PARTICLES_PER_WEIGHT
        spots["energy"][mine] = nominal
        spots["mu"][mine] = plan.weights[mine] / plan.fractions / per_mu
    for beam in np.unique(spots["beam"]):
        mine = spots["beam"] == beam
        rising = np.unique(spots["energy"][mine])
        spots["layer"][mine] = rising.size - 1 - np.searchsorted(rising, spots["energy"][mine])
    return spots


def compare_spots(plan: Plan, delivery: Delivery) -> SpotDeviations:
    """Which planned spot each delivered one is, and how far off.

    Raises
    ------
    PlanError
        If no delivered spot belongs to the plan.
    """
    planned = planned_spots(plan)
    delivered = delivery.spots
    found, missing = match_spots(planned, delivered)
    if (found < 0).all():
        raise PlanError(
            "no delivered spot belongs to the plan: beam numbers, energies or positions differ. "
            "Give the record of a fraction of this plan, and the machine that it was read with."
        )
    shifts = np.full((delivered.size, 2), np.nan)
    known = found >= 0
    for axis, name in enumerate(("x", "y")):
        shifts[known, axis] = delivered[name][known] - planned[name][found[known]]
    got: Array = np.bincount(
        found[known], weights=delivered["mu"][known], minlength=planned.size
    ).astype(float)
    return SpotDeviations(planned, delivered, found, missing, shifts, got)


def delivered_plan(plan: Plan, spots: SpotDeviations) -> Plan:
    """The plan with its spots where they went and with what they got, times its fractions.

    A planned spot that was delivered in several parts goes to their mean place by meterset. Spots
    that were not planned are added, with the planned energy of their beam if that is within 2 MeV,
    else with the machine's if that is within 0.05 MeV; :func:`not_in_plan` tells the others.
    """
    columns = np.array(plan.beams.columns)
    for axis, name in enumerate(("x", "y")):
        columns[name] += spots.mean_shifts[:, axis]
    weights = delivered_weights(plan, spots)
    extra, more = _extra_columns(plan, spots)
    table = np.concatenate([columns, extra])
    order = np.argsort(table["beam"], kind="stable")
    beams = Beams(plan.beams.machine, plan.beams.fields, table[order])
    return Plan(
        beams,
        np.concatenate([weights, more])[order],
        fractions=plan.fractions,
        provenance={**plan.provenance, "source": "delivered spots of one fraction"},
    )


def delivered_weights(plan: Plan, spots: SpotDeviations) -> Array:
    """Weight of each planned spot (n_columns,), 10^6 particles, whole course, as delivered."""
    found: Array = (
        spots.mu_delivered * _weights_per_mu(plan, plan.beams.columns["energy"]) * plan.fractions
    )
    return found


def not_in_plan(plan: Plan, spots: SpotDeviations) -> NDArray[Any]:
    """Delivered spots that :func:`delivered_plan` lacks, for want of their beam or energy."""
    extra = spots.delivered[spots.planned_of < 0]
    return extra[~np.isfinite(_extra_energies(plan, spots.planned, extra))]


def _extra_energies(plan: Plan, planned: NDArray[Any], extra: NDArray[Any]) -> Array:
    """Energy of the machine for each spot that was not planned (n,), NaN if it has none."""
    machine, numbers = plan.beams.particles, set(beam_numbers(plan))
    nominal = nearest_energies(planned, extra)
    found = np.full(extra.size, np.nan)
    for k, spot in enumerate(extra):
        if int(spot["beam"]) not in numbers:
            continue
        if np.isfinite(nominal[k]):
            found[k] = plan.beams.columns["energy"][
                np.argmin(np.abs(planned["energy"] - nominal[k]))
            ]
        else:
            found[k] = _machine_energy(machine, float(spot["energy"]))
    return found


def _machine_energy(machine: ParticleMachine, nominal: float) -> float:
    """Energy of which the machine has data, NaN if it has none of this name."""
    try:
        energy = machine.monitor.energy(nominal)
        nearest = float(machine.energies[np.argmin(np.abs(machine.energies - energy))])
        chosen = energy if machine.ideal is not None else nearest
        machine.at_energy(chosen)
    except EnergyError:
        return float("nan")
    return chosen if abs(chosen - energy) <= _ENERGY_REACH else float("nan")


def _extra_columns(plan: Plan, spots: SpotDeviations) -> tuple[NDArray[Any], Array]:
    """Columns and weights of delivered spots that were not planned."""
    extra = spots.delivered[spots.planned_of < 0]
    energies = _extra_energies(plan, spots.planned, extra)
    known = np.isfinite(energies)
    extra, energies = extra[known], energies[known]
    rows = np.zeros(extra.size, dtype=COLUMN_DTYPE)
    if not extra.size:
        return rows, np.empty(0)
    numbers = list(beam_numbers(plan))
    rows["beam"] = [numbers.index(int(beam)) for beam in extra["beam"]]
    rows["energy"], rows["x"], rows["y"] = energies, extra["x"], extra["y"]
    rows["ray"] = int(plan.beams.columns["ray"].max()) + 1 + np.arange(extra.size)
    return rows, extra["mu"] * _weights_per_mu(plan, energies) * plan.fractions


def beam_numbers(plan: Plan) -> Sequence[int]:
    """Number of each beam: that of the plan's file, or 1, 2, ..."""
    given = plan.provenance.get("beam_numbers")
    if isinstance(given, Sequence) and len(given) == len(plan.beams):
        return [int(number) for number in given]
    return range(1, len(plan.beams) + 1)


def _weights_per_mu(plan: Plan, energies: Array) -> Array:
    monitor = plan.beams.particles.monitor
    unique, place = np.unique(energies, return_inverse=True)
    factors = [
        monitor.particles_per_mu(monitor.nominal_energy(float(e))) / PARTICLES_PER_WEIGHT
        for e in unique
    ]
    per_mu: Array = np.array(factors)[place.reshape(-1)]
    return per_mu


def _count_flags(spots: SpotDeviations) -> list[str]:
    flags = []
    n_missing = int(np.count_nonzero(spots.planned["mu"][spots.missing] > 0))
    if n_missing:
        flags.append(f"{n_missing} planned spots were not delivered")
    n_extra = int(np.count_nonzero(spots.planned_of < 0))
    if n_extra:
        flags.append(f"{n_extra} delivered spots were not planned")
    return flags


def _position_flags(spots: SpotDeviations, tolerances: DeliveryTolerances) -> list[str]:
    flags = []
    distances = spots.distances
    n_far = int(np.count_nonzero(distances > tolerances.any_position))
    if n_far:
        flags.append(
            f"{n_far} spots lie more than {tolerances.any_position:g} mm off, the farthest "
            f"{spots.largest_distance:.2f} mm"
        )
    for (beam, energy), mean in spots.layer_means().items():
        if mean > tolerances.mean_position:
            flags.append(
                f"beam {beam:g}, {energy:g} MeV: spots lie {mean:.2f} mm off on average, more than "
                f"{tolerances.mean_position:g} mm"
            )
    return flags


def _mu_flags(spots: SpotDeviations, tolerances: DeliveryTolerances) -> list[str]:
    wrong = spots.out_of_meterset(tolerances)
    if not wrong.any():
        return []
    return [
        f"{np.count_nonzero(wrong)} spots got a meterset more than {tolerances.mu_percent:g} % and "
        f"{tolerances.mu:g} MU off, at most {np.abs(spots.mu_differences[wrong]).max():.4g} MU"
    ]
