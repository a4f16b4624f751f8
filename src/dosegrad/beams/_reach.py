"""Where rays meet a grown target, in water-equivalent depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from dosegrad.arrays import Array, Mask, Points
from dosegrad.beams.air import SKIN_STOPPING_POWER_RATIO
from dosegrad.beams.beam import Beam
from dosegrad.geometry.grid import Grid, Triple
from dosegrad.geometry.rays import Crossings, crossings, path_integrals
from dosegrad.patient.patient import OutsideBody, Patient

__all__ = [
    "GrownTarget",
    "Intervals",
    "TargetDepths",
    "grown_target",
    "ray_ends",
    "target_depths",
]


@dataclass(frozen=True, slots=True, eq=False)
class GrownTarget:
    """A target with its margin.

    ``mask`` (z, y, x) with and ``bare`` without margin on the part ``grid`` of the CT's grid;
    ``corners`` (8, 3) of the box around the grown target's voxels, and ``centre`` of mass of the
    bare one, (x, y, z) mm.
    """

    grid: Grid
    mask: Mask
    bare: Mask
    corners: Points
    centre: Triple


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Where rays lie in a region: ``rays`` (m,), and depths at both ends (m,), mm of water."""

    rays: NDArray[np.int64]
    entries: Array
    exits: Array


@dataclass(frozen=True, slots=True, eq=False)
class TargetDepths:
    """Where a beam's rays lie in the target with (``grown``) and without (``bare``) its margin.

    ``skin`` (n_rays,): height of the skin above the isocentre plane along each ray, mm.
    """

    grown: Intervals
    bare: Intervals
    skin: Array


def grown_target(patient: Patient, name: str, growth: float) -> GrownTarget:
    """A target and the voxels of the CT whose centre is at most ``growth`` mm from one of its."""
    grid = patient.ct.grid
    target = patient.mask(name)
    pad = np.ceil(growth / np.asarray(grid.spacing) + 1e-9).astype(int)
    first, last = _box_of(target)
    first = np.maximum(first - pad, 0)
    last = np.minimum(last + pad, np.asarray(grid.shape))
    part, inside = grid.part(first, last), target[_slices(first, last)]
    bare = np.ascontiguousarray(inside)
    centre = part.to_point(np.argwhere(inside).mean(axis=0))
    if growth > 0:
        inside = distance_transform_edt(~inside, sampling=grid.spacing) <= growth + 1e-6
    low, high = _box_of(inside)
    corners = part.to_point(list(product(*zip(low - 0.5, high - 0.5, strict=True))))
    x, y, z = (float(v) for v in centre)
    return GrownTarget(part, np.ascontiguousarray(inside), bare, corners, (x, y, z))


def target_depths(
    patient: Patient,
    target: GrownTarget,
    beams: Sequence[Beam],
    rays: Sequence[Array],
    outside_body: OutsideBody,
) -> list[TargetDepths]:
    """Intervals in the target of each beam's rays, which pass ``rays`` (n, 2) in its plane.

    Tissue is looked up only in the box around all rays from their entry to the target's end.
    """
    ends = [ray_ends(beam, spots, patient.ct.grid) for beam, spots in zip(beams, rays, strict=True)]
    found = [crossings(target.grid, target.mask, *pair) for pair in ends]
    hits = [
        (starts[c.rays()], finish[c.rays()], c.alpha_out)
        for (starts, finish), c in zip(ends, found, strict=True)
    ]
    box = _corridor(patient.ct.grid, hits)
    if box is None:
        return [_no_depths(spots) for spots in rays]
    grid, ratio = _tissue(patient, *box, outside_body)
    dense = ratio > SKIN_STOPPING_POWER_RATIO
    results = []
    for beam, spots, pair, inside in zip(beams, rays, ends, found, strict=True):
        bare = crossings(target.grid, target.bare, *pair)
        skin = _skin_heights(grid, dense, beam, spots, *pair, inside.rays())
        results.append(
            TargetDepths(
                _intervals(grid, ratio, *pair, inside), _intervals(grid, ratio, *pair, bare), skin
            )
        )
    return results


def _intervals(
    grid: Grid, ratio: Array, starts: Points, ends: Points, inside: Crossings
) -> Intervals:
    """Water-equivalent depths where rays cross the border of a region."""
    rays = inside.rays()
    first, steps = starts[rays], (ends - starts)[rays]
    depths = [
        path_integrals(grid, ratio, first, first + alpha[:, None] * steps)
        for alpha in (inside.alpha_in, inside.alpha_out)
    ]
    return Intervals(rays, depths[0], depths[1])


def _tissue(
    patient: Patient,
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    outside_body: OutsideBody,
) -> tuple[Grid, Array]:
    """Stopping power ratio on a part of the CT."""
    window = _slices(first, last)
    ratio = patient.calibration.stopping_power_ratio(patient.ct.hu[window])
    if outside_body == "air" and patient.external is not None:
        ratio = np.where(patient.body_mask()[window], ratio, 0.0)
    return patient.ct.grid.part(first, last), np.ascontiguousarray(ratio)


def ray_ends(beam: Beam, spots: Array, grid: Grid) -> tuple[Points, Points]:
    """Starts and ends (n, 3) of rays: the source, or upstream of the grid, and behind it."""
    corners = grid.to_point(list(product(*((-0.5, n - 0.5) for n in grid.shape))))
    reach = float(np.linalg.norm(corners - np.asarray(beam.isocentre), axis=1).max()) + 1.0
    at_plane = beam.to_patient(np.column_stack([spots, np.zeros(len(spots))]))
    source = beam.source
    if source is None:
        return at_plane - reach * beam.direction, at_plane + reach * beam.direction
    starts = np.broadcast_to(source, at_plane.shape)
    unit = (at_plane - starts) / np.linalg.norm(at_plane - starts, axis=1, keepdims=True)
    return np.ascontiguousarray(starts), at_plane + reach * unit


def _corridor(
    grid: Grid, rays: Sequence[tuple[Points, Points, Array]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Box of voxels around rays from their entry into the grid to a point on each."""
    low = np.full(3, np.inf)
    high = np.full(3, -np.inf)
    for starts, ends, alpha in rays:
        if alpha.size == 0:
            continue
        a = grid.to_index(starts)
        step = grid.to_index(ends) - a
        with np.errstate(divide="ignore", invalid="ignore"):
            faces = np.stack([(-0.5 - a) / step, (np.asarray(grid.shape) - 0.5 - a) / step])
        enter = np.nanmax(np.where(np.isfinite(faces), faces, np.nan).min(axis=0), axis=1)
        for share in (np.clip(enter, 0.0, alpha), alpha):
            points = a + share[:, None] * step
            low, high = np.minimum(low, points.min(axis=0)), np.maximum(high, points.max(axis=0))
    if not np.isfinite(low).all():
        return None
    first = np.clip(np.floor(low + 0.5).astype(np.int64) - 1, 0, np.asarray(grid.shape) - 1)
    last = np.clip(np.floor(high + 0.5).astype(np.int64) + 2, first + 1, grid.shape)
    return first, last


def _skin_heights(
    grid: Grid,
    dense: Mask,
    beam: Beam,
    spots: Array,
    starts: Points,
    ends: Points,
    chosen: NDArray[np.int64],
) -> Array:
    """Height of the skin above the isocentre plane along each ray that is ``chosen``, mm."""
    heights = np.zeros(len(spots))
    unique = np.unique(chosen)
    found = crossings(grid, dense, starts[unique], ends[unique])
    hit = np.diff(found.offsets) > 0
    alpha = np.zeros(unique.size)
    alpha[hit] = found.alpha_in[found.offsets[:-1][hit]]
    travelled = alpha * np.linalg.norm((ends - starts)[unique], axis=1)
    if beam.sad is None:
        plane = beam.to_patient(np.column_stack([spots, np.zeros(len(spots))]))[unique]
        above = np.linalg.norm(plane - starts[unique], axis=1)
    else:
        above = np.full(unique.size, beam.sad)
    heights[unique[hit]] = (above - travelled)[hit]
    return heights


def _no_depths(spots: Array) -> TargetDepths:
    none = Intervals(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0))
    return TargetDepths(none, none, np.zeros(len(spots)))


def _box_of(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last-plus-one voxel (3,), (z, y, x), of what is inside a mask."""
    spans = [np.flatnonzero(mask.any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
    return np.array([s[0] for s in spans]), np.array([s[-1] + 1 for s in spans])


def _slices(first: NDArray[np.int64], last: NDArray[np.int64]) -> tuple[slice, slice, slice]:
    z, y, x = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return z, y, x
