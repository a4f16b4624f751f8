"""How a machine delivers an arc: time, gantry speed, dose rate and leaf speed of each step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dosegrad.arrays import Array, readonly
from dosegrad.errors import PlanError
from dosegrad.machine.photon import PhotonMachine
from dosegrad.plan import Plan

__all__ = ["ArcDelivery", "arc_delivery"]

#: Speeds may exceed a limit by this part: rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class ArcDelivery:
    """One fraction of an arc, step by step between control points.

    Parameters
    ----------
    times
        Of each step (n - 1,), s.
    gantry_speeds
        Degree/s.
    dose_rates
        MU/min.
    leaf_speeds
        Of the fastest leaf, mm/s.
    ends
        Before the first and after the last step, s (2,): the gantry stands while half of the MU of
        the first and of the last control point are delivered at the highest dose rate.
    broken
        Limits of the machine that are not kept, in words.
    """

    times: Array
    gantry_speeds: Array
    dose_rates: Array
    leaf_speeds: Array
    ends: Array
    broken: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("times", "gantry_speeds", "dose_rates", "leaf_speeds", "ends"):
            object.__setattr__(self, name, readonly(getattr(self, name)))

    def __repr__(self) -> str:
        words = "within all limits" if self.is_possible else f"{len(self.broken)} limits broken"
        return f"ArcDelivery({self.total:.0f} s a fraction, {words})"

    @property
    def total(self) -> float:
        """Time of one fraction, s."""
        return float(self.times.sum() + self.ends.sum())

    @property
    def is_possible(self) -> bool:
        """Whether the machine can deliver it."""
        return not self.broken


def arc_delivery(plan: Plan) -> ArcDelivery:
    """How the machine delivers a plan of one aperture for each beam, in their order, as an arc.

    Each step takes the least time that gantry, dose rate and leaves allow. The MU of a control
    point are delivered half before and half after it, so that the gantry stands for half of those
    of the first and of the last one.

    Raises
    ------
    PlanError
        If the plan has not one aperture for each of at least two beams, or is not for photons.
    """
    machine, apertures = plan.beams.machine, plan.apertures
    one_each = apertures is not None and np.array_equal(apertures.beam, np.arange(len(plan.beams)))
    if not isinstance(machine, PhotonMachine) or apertures is None or not one_each:
        raise PlanError(
            "an arc has one aperture for each beam; make one with optimise_arc(), or deliver the "
            "plan beam by beam."
        )
    if machine.collimator is None or len(plan.beams) < 2:
        raise PlanError("an arc needs leaves and at least two control points.")
    limits, leaves = machine.arc, machine.collimator
    angles = np.array([beam.gantry for beam in plan.beams])
    turned = np.abs((np.diff(angles) + 180.0) % 360.0 - 180.0)
    units = apertures.monitor_units / plan.fractions
    delivered = 0.5 * (units[1:] + units[:-1])
    travelled = np.maximum(
        np.abs(np.diff(apertures.left, axis=0)).max(axis=1),
        np.abs(np.diff(apertures.right, axis=0)).max(axis=1),
    )
    per_second = limits.dose_rate / 60.0
    times = np.maximum(turned / limits.gantry_speed, delivered / per_second)
    times = np.maximum(times, travelled / leaves.leaf_speed)
    speeds, rates = turned / times, 60.0 * delivered / times
    moving = travelled / times
    broken = tuple(_broken(machine, speeds, rates, moving)) + leaves.broken_limits(
        apertures.left, apertures.right
    )
    ends = 0.5 * units[[0, -1]] / per_second
    return ArcDelivery(times, speeds, rates, moving, ends, broken)


def _broken(machine: PhotonMachine, speeds: Array, rates: Array, moving: Array) -> Iterator[str]:
    limits, more = machine.arc, 1.0 + _ROUNDING
    assert machine.collimator is not None
    if speeds.max() > limits.gantry_speed * more:
        yield f"the gantry turns at {speeds.max():.2f} degree/s (at most {limits.gantry_speed:g})"
    if speeds.min() < limits.least_gantry_speed / more:
        least = limits.least_gantry_speed
        yield f"the gantry turns at {speeds.min():.3f} degree/s (at least {least:g})"
    if rates.max() > limits.dose_rate * more:
        yield f"the dose rate is {rates.max():.0f} MU/min (at most {limits.dose_rate:g})"
    on = rates[rates > 0.0]
    if on.size and on.min() < limits.least_dose_rate / more:
        yield f"the dose rate is {on.min():.2f} MU/min (at least {limits.least_dose_rate:g})"
    if moving.max() > machine.collimator.leaf_speed * more:
        fastest = machine.collimator.leaf_speed
        yield f"a leaf moves at {moving.max():.1f} mm/s (at most {fastest:g})"
