"""Objectives of moving spots: which voxels are looked at, and what each stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.sparse import csc_array

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.beams.beam import Beams
from dosegrad.errors import CapabilityError
from dosegrad.geometry.grid import Grid
from dosegrad.influence.build import choose_voxels
from dosegrad.influence.matrix import Influence
from dosegrad.optimisation.problem import Term
from dosegrad.optimisation.wishes import Wishes, make_terms
from dosegrad.patient.patient import Patient

__all__ = ["SampledTerms", "sample_terms"]

#: Of a large structure one voxel in so many is looked at where dose is smooth.
_ONE_IN: Final = 12
#: Steps along z, y, x of the slanted lattice of these voxels.
_SLANT: Final = (5, 3, 1)
#: A structure with fewer voxels is looked at whole.
_LARGE: Final = 4000
#: Around structures with a prescription one-sided objectives look at every voxel, mm.
_NEAR: Final = 9.0


@dataclass(frozen=True, slots=True, eq=False)
class SampledTerms:
    """Objectives on chosen voxels.

    Parameters
    ----------
    voxels
        Flat indices (n,) into the dose grid, ascending.
    terms
        Objectives; their rows are positions in ``voxels``.
    shares
        Part of the structure's volume that each row of each term stands for.
    """

    voxels: IntArray
    terms: tuple[Term, ...]
    shares: tuple[Array, ...]


def sample_terms(patient: Patient, beams: Beams, grid: Grid, wishes: Wishes) -> SampledTerms:
    """Objectives on as few voxels as describe them well.

    Every voxel counts where a dose is prescribed and in small structures. Of large ones with a
    mean dose or a limit, one voxel in twelve on a slanted lattice stands for its neighbours, and
    for limits every one within 9 mm of a prescription besides.
    """
    voxels = choose_voxels(patient, grid, "body")
    nothing = csc_array((voxels.size, beams.n_columns), dtype=np.float32)
    terms = make_terms(Influence(patient, beams, grid, voxels, nothing), wishes)
    for term in terms:
        if term.quantity != "dose":
            raise CapabilityError(
                f"the objective on {term.structure!r} is about {term.quantity!r}, but spots move "
                "by objectives of dose alone; leave it out, or optimise weights with optimise()."
            )
    near = _near_prescriptions(terms, grid, voxels)
    lattice = _slanted(grid, voxels)
    chosen = [_chosen(term, near, lattice) for term in terms]

    kept = np.zeros(voxels.size, dtype=bool)
    for term, part in zip(terms, chosen, strict=True):
        kept[term.rows[part]] = True
    place = np.cumsum(kept) - 1
    shares = tuple(_shares(part, near[term.rows]) for term, part in zip(terms, chosen, strict=True))
    moved = tuple(
        term.at(place[term.rows[part]], part) for term, part in zip(terms, chosen, strict=True)
    )
    return SampledTerms(voxels[kept], moved, shares)


def _near_prescriptions(terms: tuple[Term, ...], grid: Grid, voxels: IntArray) -> BoolArray:
    """Which voxels (n,) are near a structure whose dose is bounded from below."""
    far = np.ones(grid.n_voxels, dtype=bool)
    for term in terms:
        if not term.depends_on_mean and np.isneginf(term.idle_below):
            far[voxels[term.rows]] = False
    if far.all():
        return np.zeros(voxels.size, dtype=bool)
    distance = distance_transform_edt(far.reshape(grid.shape), sampling=grid.spacing)
    near: BoolArray = distance.ravel()[voxels] <= _NEAR
    return near


def _slanted(grid: Grid, voxels: IntArray) -> BoolArray:
    """Which voxels (n,) are on a slanted lattice that holds one in so many."""
    indices = np.unravel_index(voxels, grid.shape)
    steps = sum(step * index for step, index in zip(_SLANT, indices, strict=True))
    on: BoolArray = np.asarray(steps) % _ONE_IN == 0
    return on


def _chosen(term: Term, near: BoolArray, lattice: BoolArray) -> BoolArray:
    """Which rows of a term are looked at."""
    whole = np.isneginf(term.idle_below) and not term.depends_on_mean
    if whole or term.rows.size < _LARGE:
        return np.ones(term.rows.size, dtype=bool)
    if term.depends_on_mean:
        return lattice[term.rows]
    return lattice[term.rows] | near[term.rows]


def _shares(chosen: BoolArray, near: BoolArray) -> Array:
    """Part of the volume that each chosen voxel stands for; near and far ones by themselves."""
    shares = np.zeros(chosen.size)
    for part in (near, ~near):
        n = np.count_nonzero(part & chosen)
        if n:
            shares[part] = np.count_nonzero(part) / n
    shares = shares[chosen]
    result: Array = shares / shares.sum()
    return result
