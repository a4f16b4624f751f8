"""Records of photon beams cut into the segments of their plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from dosegrad.arrays import Array, IntArray
from dosegrad.beams.apertures import Apertures
from dosegrad.beams.beam import Beams
from dosegrad.beams.photon_deliveries import MachineMotion, PhotonRecord
from dosegrad.checks.spot_deviations import beam_numbers
from dosegrad.errors import PlanError
from dosegrad.machine.collimator import MultileafCollimator
from dosegrad.optimisation.apertures import leaves_of, opened_fluence
from dosegrad.plan import Plan

__all__ = [
    "apertures_of",
    "delivered_apertures",
    "delivered_photon_plan",
    "leaf_distance",
    "match_records",
    "segments_of",
    "turned",
]

#: A record belongs to a beam whose MU and gantry it was told within these: share, degree.
_SAME_MU: Final = 0.02
_SAME_ANGLE: Final = 2.0


def match_records(plan: Plan, records: Sequence[PhotonRecord]) -> dict[int, PhotonRecord]:
    """The record of each beam, by the beam's number: same MU, gantry and leaves.

    Raises
    ------
    PlanError
        If a beam has no record, or a record no beam.
    """
    apertures = apertures_of(plan)
    _, leaves = leaves_of(plan.beams)
    left = dict(enumerate(records))
    found: dict[int, PhotonRecord] = {}
    for number in dict.fromkeys(beam_numbers(plan)):
        mine = segments_of(plan, number)
        fits = [k for k, each in left.items() if _fits(plan, leaves, mine, each)]
        if not fits:
            units = float(apertures.monitor_units[mine].sum()) / plan.fractions
            gantry = plan.beams[int(apertures.beam[mine[0]])].gantry
            raise PlanError(
                f"no record fits beam {number} ({units:.5g} MU from gantry {gantry:g}°); give the "
                "logs of one fraction of this plan, one for each beam."
            )
        found[number] = left.pop(min(fits, key=lambda k: leaf_distance(plan, mine, left[k])))
    if left:
        raise PlanError(
            f"{len(left)} of {len(records)} records belong to no beam of the plan, or to one that "
            "has its record already; give those of one fraction alone."
        )
    return found


def _fits(plan: Plan, leaves: MultileafCollimator, mine: IntArray, record: PhotonRecord) -> bool:
    """Whether the machine was told this beam."""
    apertures = apertures_of(plan)
    units = apertures.monitor_units[mine] / plan.fractions
    same_leaves = record.boundaries.shape == leaves.boundaries.shape and np.allclose(
        record.boundaries, leaves.boundaries, atol=0.05
    )
    if not same_leaves or abs(record.planned.total - units.sum()) > _SAME_MU * units.sum():
        return False
    gantry = np.array([plan.beams[int(k)].gantry for k in apertures.beam[mine]])
    off = turned(_segment_means(record, units, "planned")["gantry"] - gantry)
    return bool(np.abs(off).max() < _SAME_ANGLE)


def leaf_distance(plan: Plan, mine: IntArray, record: PhotonRecord) -> float:
    """Mean distance of the leaves that the machine was told from the plan's, in the field, mm."""
    apertures = apertures_of(plan)
    units = apertures.monitor_units[mine] / plan.fractions
    means = _segment_means(record, units, "planned")
    jaws = apertures.jaws[mine]
    middle = 0.5 * (record.boundaries[1:] + record.boundaries[:-1])
    inside = (middle > jaws[:, 2:3]) & (middle < jaws[:, 3:4])
    off = np.abs(means["left"] - apertures.left[mine])
    off += np.abs(means["right"] - apertures.right[mine])
    return float(0.5 * off[inside].mean()) if inside.any() else 0.0


def segments_of(plan: Plan, number: int) -> IntArray:
    """Numbers of the apertures of a beam."""
    numbers = np.asarray(beam_numbers(plan))
    return np.flatnonzero(numbers[apertures_of(plan).beam] == number)


def apertures_of(plan: Plan) -> Apertures:
    """The plan's apertures.

    Raises
    ------
    PlanError
        If it has none.
    """
    if plan.apertures is None:
        raise PlanError(
            "the plan has no apertures, so no log can be compared with it; sequence it."
        )
    return plan.apertures


def delivered_apertures(plan: Plan, matched: Mapping[int, PhotonRecord]) -> tuple[Apertures, Array]:
    """The plan's segments as they were delivered, MU of the whole course, and each one's gantry.

    A segment gets the MU that were delivered during it, and mean positions by these.
    """
    old = apertures_of(plan)
    new = {name: np.array(getattr(old, name)) for name in
           ("monitor_units", "jaws", "left", "right", "rotation")}  # fmt: skip
    gantry = np.zeros(len(old))
    for number, record in matched.items():
        mine = segments_of(plan, number)
        means = _segment_means(record, old.monitor_units[mine] / plan.fractions, "delivered")
        new["monitor_units"][mine] = means["units"] * plan.fractions
        new["jaws"][mine], new["rotation"][mine] = means["jaws"], means["collimator"]
        new["left"][mine] = means["left"]
        new["right"][mine] = np.maximum(means["right"], means["left"])
        gantry[mine] = means["gantry"]
    return Apertures(old.beam, **new), gantry


def _segment_means(record: PhotonRecord, units: Array, what: str) -> dict[str, Array]:
    """MU during each segment, and means by these MU of all positions.

    A segment lasts while the planned meterset of the record passes its share of the plan's.
    """
    motion: MachineMotion = getattr(record, what)
    told = record.planned.monitor_units / max(record.planned.total, 1e-12) * units.sum()
    ends = np.cumsum(units)
    ends[-1] = np.inf
    starts = np.concatenate([[-np.inf], ends[:-1]])
    low, high = told[:-1], told[1:]
    steps = high - low
    overlap = np.minimum(high, ends[:, None]) - np.maximum(low, starts[:, None])
    share = np.divide(np.maximum(overlap, 0.0), steps, out=np.zeros_like(overlap), where=steps > 0)
    share = np.where(steps > 0, share, (low >= starts[:, None]) & (low < ends[:, None]))
    weights = share * np.diff(motion.monitor_units)
    total = weights.sum(axis=1)
    bare = total <= 0  # nothing delivered: where the machine stood then
    weights[bare] = share[bare]
    weights[weights.sum(axis=1) <= 0, 0] = 1.0
    weights /= weights.sum(axis=1, keepdims=True)

    def mean(values: Array) -> Array:
        found: Array = weights @ (0.5 * (values[1:] + values[:-1]))
        return found

    return {
        "units": total,
        "gantry": mean(np.rad2deg(np.unwrap(np.deg2rad(motion.gantry)))) % 360.0,
        "collimator": mean(np.rad2deg(np.unwrap(np.deg2rad(motion.collimator)))) % 360.0,
        "jaws": mean(motion.jaws),
        "left": mean(motion.left),
        "right": mean(motion.right),
    }


def delivered_photon_plan(plan: Plan, matched: Mapping[int, PhotonRecord]) -> Plan:
    """The plan with its segments as they were delivered, times its fractions."""
    apertures, gantry = delivered_apertures(plan, matched)
    machine, leaves = leaves_of(plan.beams)
    fields = []
    for index, field in enumerate(plan.beams):
        mine = np.flatnonzero(apertures.beam == index)
        if not mine.size:
            fields.append(field)
            continue
        off = turned(gantry[mine] - field.gantry)
        share = apertures.monitor_units[mine]
        share = share / share.sum() if share.sum() > 0 else np.full(mine.size, 1.0 / mine.size)
        fields.append(replace(field, gantry=float(field.gantry + share @ off) % 360.0))
    beams = Beams(plan.beams.machine, tuple(fields), plan.beams.columns)
    weights = opened_fluence(beams, apertures, leaves) / (machine.mu_per_weight or 1.0)
    return Plan(
        beams,
        weights,
        fractions=plan.fractions,
        provenance={**plan.provenance, "source": "logs of one fraction"},
        apertures=apertures,
    )


def turned(angles: Array) -> Array:
    """The same angles between -180 and 180 degree."""
    found: Array = (angles + 180.0) % 360.0 - 180.0
    return found
