"""What a machine delivered, spot by spot, beside what was planned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import cKDTree

from dosegrad.arrays import Array, IntArray
from dosegrad.errors import BeamError

__all__ = ["DELIVERED_DTYPE", "Delivery", "check_spots", "match_spots", "nearest_energies"]

#: One row per delivered spot. ``beam`` is the number that plan and record give the field;
#: ``energy`` is nominal, MeV or MeV/u; ``x`` and ``y`` are mm in the isocentre plane of the IEC
#: gantry frame; ``mu`` is the meterset of this fraction; ``time`` is in s from the first spot, NaN
#: where it was not recorded.
DELIVERED_DTYPE: Final = np.dtype(
    [
        ("beam", np.int32),
        ("layer", np.int32),
        ("energy", np.float64),
        ("x", np.float64),
        ("y", np.float64),
        ("mu", np.float64),
        ("time", np.float64),
    ]
)

#: Largest values that any machine delivers: MeV or MeV/u, mm, MU of a spot.
_LIMITS: Final = {"energy": 1000.0, "x": 1000.0, "y": 1000.0, "mu": 1e6}
_UNITS: Final = {"energy": "MeV", "x": "mm", "y": "mm", "mu": "MU"}

#: Planned spots next to a delivered one among which its own is sought, besides that of its order.
_NEIGHBOURS: Final = 16
#: Rows of a layer beyond which least squares would take too long.
_MAX_ROWS: Final = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """The spots of one fraction as they were delivered, in the order of time.

    Parameters
    ----------
    spots
        Structured array (n,) of :data:`DELIVERED_DTYPE`.
    source
        Kind of record, for people and provenance.
    warnings
        What was left out, repaired or guessed.

    Raises
    ------
    BeamError
        If there is no spot, or a value is impossible.
    """

    spots: NDArray[Any]
    source: str = ""
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        spots = np.array(self.spots, dtype=DELIVERED_DTYPE)
        if spots.size == 0:
            raise BeamError("the record holds no delivered spot; check that it is complete.")
        check_spots(spots)
        spots.flags.writeable = False
        object.__setattr__(self, "spots", spots)

    def __repr__(self) -> str:
        beams = np.unique(self.spots["beam"]).size
        total = float(self.spots["mu"].sum())
        return f"Delivery({beams} beams, {self.spots.size} spots, {total:.4g} MU)"


def check_spots(spots: NDArray[Any]) -> None:
    """Refuse spots that no machine delivers.

    Raises
    ------
    BeamError
        If a value is not finite, negative where it must not be, or far too large.
    """
    for name, limit in _LIMITS.items():
        values = spots[name]
        if not np.isfinite(values).all():
            raise BeamError(f"the record holds a spot whose {name} is not a finite number.")
        if (np.abs(values) > limit).any():
            raise BeamError(
                f"the record holds a spot whose {name} is {values[np.argmax(np.abs(values))]:g} "
                f"(at most {limit:g} {_UNITS[name]}); check its unit."
            )
    if (spots["mu"] < 0).any() or (spots["energy"] <= 0).any():
        raise BeamError(
            "the record holds a negative meterset or an energy that is not positive; check the "
            "order of its columns."
        )


def match_spots(
    planned: NDArray[Any],
    delivered: NDArray[Any],
    *,
    reach: float = 10.0,
    energy_reach: float = 2.0,
) -> tuple[IntArray, IntArray]:
    """Which planned spot each delivered one is.

    Spots of one beam and energy belong together; a delivered energy counts as the nearest planned
    one of its beam. Where as many were delivered as planned, or a whole multiple (paintings, spots
    given in parts), each planned spot gets its share of them, so that the sum of squared distances
    is least. A layer that was delivered off its place as a whole is thus told as such, however far
    it is off beside the distance of its spots, and the order of rows does not matter. If nearest
    neighbours are less than half as far at most, or numbers differ, or a spot has none of its own
    within ``reach``, each goes to the nearest planned spot. Layers of more than 1000 rows that are
    off as a whole are matched in order instead.

    Parameters
    ----------
    planned, delivered
        Structured arrays with ``beam``, ``energy``, ``x``, ``y``.
    reach, energy_reach
        Largest distance, mm, and difference in energy, MeV or MeV/u, at which a spot counts as
        the planned one.

    Returns
    -------
        Index into ``planned`` of each delivered spot (n_delivered,), -1 for none; and the indices
        of planned spots that nothing was delivered for.
    """
    found = np.full(delivered.size, -1, dtype=np.int64)
    energies = nearest_energies(planned, delivered, energy_reach)
    for group in _groups(planned):
        mine = planned[group]
        same = (delivered["beam"] == mine["beam"][0]) & (energies == mine["energy"][0])
        theirs = np.flatnonzero(same)
        if theirs.size:
            found[theirs] = _matched(mine, delivered[theirs], group, reach)
    missing = np.setdiff1d(np.arange(planned.size), found)
    return found, missing


def nearest_energies(planned: NDArray[Any], delivered: NDArray[Any], reach: float = 2.0) -> Array:
    """Planned energy of the same beam next to each delivered one (n_delivered,), NaN for none.

    ``reach`` is the largest difference, MeV or MeV/u.
    """
    found = np.full(delivered.size, np.nan)
    for beam in np.unique(planned["beam"]):
        known = np.unique(planned["energy"][planned["beam"] == beam])
        mine = delivered["beam"] == beam
        off = np.abs(delivered["energy"][mine, np.newaxis] - known)
        found[mine] = np.where(off.min(axis=1) <= reach, known[off.argmin(axis=1)], np.nan)
    return found


def _groups(planned: NDArray[Any]) -> list[IntArray]:
    """Indices of the spots of each beam and energy, in their order."""
    keys = np.column_stack([planned["beam"], planned["energy"]])
    _, place = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(place.reshape(-1), kind="stable")
    bounds = np.flatnonzero(np.diff(place.reshape(-1)[order])) + 1
    return [np.asarray(part, dtype=np.int64) for part in np.split(order, bounds)]


def _matched(
    planned: NDArray[Any], delivered: NDArray[Any], group: IntArray, reach: float
) -> IntArray:
    """Index of the planned spot of each delivered one of the same beam and energy, or -1."""
    places = np.column_stack([planned["x"], planned["y"]])
    shot = np.column_stack([delivered["x"], delivered["y"]])
    distance, place = cKDTree(places).query(shot)
    nearest: IntArray = np.asarray(place, dtype=np.int64)
    if delivered.size % planned.size == 0:
        in_order = np.tile(np.arange(planned.size), delivered.size // planned.size)
        off = np.hypot(*(shot - places[in_order]).T)
        counts = np.bincount(nearest, minlength=len(places))
        shared_out = (counts * len(places) == len(shot)).all()
        if shared_out and distance.max() <= reach:  # nothing can be nearer
            return group[nearest]
        too_many = len(shot) > _MAX_ROWS
        if (too_many or (off <= distance + 1e-9).all()) and off.max() <= reach:
            return group[in_order]
        own = None if too_many else _least_squares(places, shot, in_order, reach)
        if own is not None and distance.max() >= 0.5 * np.hypot(*(shot - places[own]).T).max():
            return group[own]
    return np.where(distance <= reach, group[nearest], -1)


def _least_squares(places: Array, shot: Array, in_order: IntArray, reach: float) -> IntArray | None:
    """Place of each shot, each place as often as in ``in_order``; ``None`` if that is impossible.

    Of all ways within ``reach`` to share out the nearest places, that of the least sum of squared
    distances; for shots that are all off by the same, these are their own places.
    """
    count = min(_NEIGHBOURS, len(places))
    _, nearest = cKDTree(places).query(shot, k=count)
    choices = np.column_stack([nearest.reshape(len(shot), count), in_order])
    rows = np.repeat(np.arange(len(shot)), count + 1)
    squared = ((shot[rows] - places[choices.ravel()]) ** 2).sum(axis=1)
    kept = squared <= reach**2
    pairs = np.unique(np.column_stack([rows[kept], choices.ravel()[kept]]), axis=0)
    shares = len(shot) // len(places)
    shooters, targets = np.repeat(pairs, shares, axis=0).T
    squared = ((shot[shooters] - places[targets]) ** 2).sum(axis=1)
    columns = targets * shares + np.tile(np.arange(shares), len(pairs))
    costs = csr_array((1.0 + squared, (shooters, columns)), shape=(len(shot), len(shot)))
    try:
        _, chosen = min_weight_full_bipartite_matching(costs)
    except ValueError:  # some shot or place has no partner
        return None
    found: IntArray = chosen.astype(np.int64) // shares
    return found
