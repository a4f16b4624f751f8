r"""Responses of one beam: what doses do to a few numbers, carried back to the beamlets' axes.

A response is :math:`R = \sum_i g_i D_i` over voxels. Scoring is linear in the laterally integrated
dose d along the axis of a pencil, and depends smoothly on its variances v, so that

.. math:: R = \sum_p \sum_n d_{pn} \left(L_{pn} + \sum_m H_{pnm}\,(v_{pm} - v^0_{pm})\right)

to first order in v, with L and H from one pass over the voxels where g is not 0: the adjoint of
the scoring. d and v follow from what the beamlet crosses, through the slowing down of the mean
proton and the solve that belongs to its path, so that a new anatomy costs no new transport:
water-equivalent depths shift what was solved, without any linearisation, and inner products with L
and H give the responses. The gradient by every mass on the way is their exact derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.engines.yoda._march_arrays import Media
from dosegrad.engines.yoda._response_arrays import Bank, Course, Lateral, Rays
from dosegrad.engines.yoda._tracing_arrays import Entries, Lines, Scene
from dosegrad.geometry.grid import Grid
from dosegrad.patient.medium import Medium

__all__ = ["Anatomy", "BeamResponse", "Part", "trace_lines"]


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """A medium as the kernels of responses want it."""

    scene: Scene
    course: Course
    media: Media


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some spots of a beam: their beamlets' lines, and what their doses do.

    ``spots`` (n,): columns of the beam; ``lines``: of the beamlets; ``most`` steps, with that
    before the grid, that matter.
    """

    spots: NDArray[np.intp]
    rays: Rays
    lines: Lines
    lateral: Lateral
    most: int

    @property
    def n_bytes(self) -> int:
        """Memory in use."""
        held = (*self.rays, self.lines.start, self.lines.direction, *self.lateral)
        return sum(array.nbytes for array in held)


@dataclass(frozen=True, slots=True, eq=False)
class BeamResponse:
    """Responses of the spots of one beam in any anatomy on the grid.

    ``observe`` turns a medium into the anatomy that this beam sees.
    """

    bank: Bank
    parts: tuple[Part, ...]
    n_spots: int
    n_responses: int
    observe: Callable[[Medium], Anatomy]

    @property
    def n_bytes(self) -> int:
        """Memory in use."""
        return sum(p.n_bytes for p in self.parts) + sum(a.nbytes for a in self.bank)

    def respond(self, medium: Medium, *, shift: Array | None = None) -> Array:
        """Responses (spots of the beam, responses) in ``medium``.

        ``shift`` (3,), mm, moves the anatomy, but not the responding voxels, along the patient's
        axes (x, y, z).
        """
        from dosegrad.engines.yoda._response_kernels import respond

        anatomy = self.observe(medium)
        total = np.zeros((self.n_spots, self.n_responses))
        for part in self.parts:
            entries = trace_lines(anatomy.scene, _moved(part.lines, medium.grid, shift))
            found = np.zeros((part.spots.size, self.n_responses))
            respond(
                *(anatomy.course, anatomy.media, self.bank, part.rays, entries, part.lateral),
                *(part.most, found),
            )
            total[part.spots] = found
        return total

    def by_density(self, medium: Medium, goal: Array) -> Array:
        """Gradient (n_voxels,) of ``goal`` (responses,) times the responses by density.

        Per g/cm3, at the materials of ``medium``.
        """
        from dosegrad.compiled import thread_count
        from dosegrad.engines.yoda._response_kernels import pull_back
        from dosegrad.engines.yoda._tracing_kernels import spread

        anatomy = self.observe(medium)
        maps = np.zeros((thread_count(), medium.grid.n_voxels))
        for part in self.parts:
            entries = trace_lines(anatomy.scene, part.lines)
            by_mass = np.zeros(entries.mass.shape)
            pull_back(
                *(anatomy.course, anatomy.media, self.bank, part.rays, entries, part.lateral),
                *(part.most, np.asarray(goal, dtype=np.float64), by_mass),
            )
            spread(anatomy.scene, part.lines, entries, by_mass, maps)
        return np.asarray(maps.sum(axis=0))


def _moved(lines: Lines, grid: Grid, shift: Array | None) -> Lines:
    """``lines`` as they run through an anatomy that moved by ``shift`` (3,) mm."""
    if shift is None:
        return lines
    local = (np.asarray(shift) @ np.asarray(grid.direction))[::-1] / np.asarray(grid.spacing)
    return lines._replace(start=lines.start - local)


def trace_lines(scene: Scene, lines: Lines) -> Entries:
    """What lines cross."""
    from dosegrad.engines.yoda._tracing_kernels import trace

    length = lines.step * lines.n_steps
    faces = np.minimum(np.ceil(np.abs(lines.direction) * length) + 1.0, scene.shape)
    shape = (len(lines.start), lines.n_steps + int(faces.sum(axis=1).max(initial=0.0)) + 4)
    entries = Entries(
        np.zeros(shape, np.int32),
        np.zeros(shape, np.int32),
        np.zeros(shape),
        np.zeros(shape[0], np.int64),
    )
    trace(scene, lines, entries)
    return entries
