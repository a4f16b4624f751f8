"""A convex front between plans and planes, and how far the two are apart.

Values of plans and all their mixtures, made worse or not, are the inner approximation; the outer
one is what lies above supporting planes. The front is in between. Distances count in units of the
range that each objective has over the front.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import linprog
from scipy.spatial import HalfspaceIntersection, QhullError

from dosegrad.arrays import Array

__all__ = ["Corner", "corners", "distance_below"]

#: The front may go on beyond its ends by this share of the ranges, so that there is room between
#: planes and ends.
_ROOM: Final = 1e-4
#: Corners are looked for so many ranges below the plans.
_AROUND: Final = 10.0
#: Weights are kept above this share, so that none leaves an objective without any.
_LEAST: Final = 0.005


@dataclass(frozen=True, slots=True, eq=False)
class Corner:
    """A corner of the outer approximation.

    Parameters
    ----------
    point
        Values (n_objectives,).
    distance
        How far it is below the inner approximation, in ranges.
    weights
        Of the objectives (n_objectives,), in the direction in which it is; they sum to one in
        units of the ranges.
    """

    point: Array
    distance: float
    weights: Array


def corners(
    values: Array,
    normals: Array,
    offsets: Array,
    top: Array,
    ranges: Array,
    ends: Array | None = None,
) -> list[Corner]:
    """Corners of the outer approximation, the farthest below the inner one first.

    Parameters
    ----------
    values
        Of the plans (n_plans, n_objectives).
    normals, offsets
        Planes: ``normals @ z >= offsets`` (n_planes, n_objectives) and (n_planes,) for all that
        can be attained.
    top
        Worst values (n_objectives,) that count: the ends of the front.
    ranges
        Of the objectives (n_objectives,).
    ends
        Weights (n_ends, n_objectives) at the ends of the front; only mixtures of them count. By
        default all do.
    """
    if ranges.size == 1:
        return [_only_corner(values, normals, offsets, ranges)]
    low, high = values.min(axis=0) / ranges - _AROUND, top / ranges + _ROOM
    scaled = np.concatenate([-normals * ranges, np.eye(ranges.size), -np.eye(ranges.size)])
    sizes = np.linalg.norm(scaled, axis=1)
    half = np.column_stack([scaled, np.concatenate([offsets, -high, low])]) / sizes[:, None]
    found = _intersections(half)
    points = np.unique(np.round(found[np.isfinite(found).all(axis=1)], 9), axis=0) * ranges
    measured = [Corner(p, *distance_below(p, values, ranges, ends)) for p in points]
    return sorted(measured, key=lambda corner: -corner.distance)


def _only_corner(values: Array, normals: Array, offsets: Array, ranges: Array) -> Corner:
    """The corner where only one objective is left."""
    used = normals[:, 0] > 0
    lowest = float((offsets[used] / normals[used, 0]).max())
    return Corner(np.array([lowest]), *distance_below(np.array([lowest]), values, ranges))


def _intersections(half: Array) -> Array:
    """Corners (n, n_objectives) of what is within all planes."""
    inside = _inside(half)
    try:
        return np.asarray(HalfspaceIntersection(half, inside).intersections)
    except QhullError:  # planes that meet almost in one point: move them slightly
        return np.asarray(HalfspaceIntersection(half, inside, qhull_options="QJ").intersections)


def _inside(half: Array) -> Array:
    """The point farthest from all planes."""
    n = half.shape[1] - 1
    solved = linprog(
        np.append(np.zeros(n), -1.0),
        A_ub=np.column_stack([half[:, :n], np.ones(len(half))]),
        b_ub=-half[:, n],
        bounds=[(None, None)] * n + [(0, None)],
        method="highs",
    )
    if solved.status != 0 or not solved.x[-1] > 0:
        raise QhullError("the planes leave no room")
    inside: Array = solved.x[:n]
    return inside


def distance_below(
    point: Array, values: Array, ranges: Array, ends: Array | None = None
) -> tuple[float, Array]:
    """How far a point is below mixtures of ``values`` (n_plans, n_objectives), and the weights.

    In units of ``ranges`` (n_objectives,); not negative. It is the least amount by which the point
    has to be worse in every objective to be no better than one of the mixtures, whatever the
    weights of the objectives; or whatever mixture they are of ``ends`` (n_ends, n_objectives).
    """
    n_plans = len(values)
    prices = np.diag(1.0 / ranges) if ends is None else ends / (ends @ ranges)[:, None]
    solved = linprog(
        np.append(np.zeros(n_plans), 1.0),
        A_ub=np.column_stack([prices @ values.T, -np.ones(len(prices))]),
        b_ub=prices @ point,
        A_eq=np.append(np.ones(n_plans), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * n_plans + [(0, None)],
        method="highs",
    )
    dual = np.maximum(-solved.ineqlin.marginals, 0.0)
    if not dual.sum() > 0:
        dual = np.ones(len(prices))
    shares = np.maximum((dual / dual.sum()) @ prices * ranges, _LEAST if ends is None else 0.0)
    return float(solved.fun), np.asarray(shares / shares.sum() / ranges)
