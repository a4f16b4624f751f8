r"""Derivatives of a response by what spots are: position, energy, size, angles, isocentre, weight.

A parameter p moves the beamlets' lines and vectors u, their moments m, and what they cross. The
pullback of the scoring gives the gradients by u and m, so that

.. math:: \frac{dR}{dp} = \frac{\partial R}{\partial u} \frac{du}{dp}
          + \frac{\partial R}{\partial m} \frac{dm}{dp}
          + \frac{R(\text{paths}_+) - R(\text{paths}_-)}{2\,\delta p}

The first two are exact up to the smooth dependence of u and m on p. What is crossed jumps where
lines pass voxel faces, so the third is a difference over a step as long as set-up errors are, with
responses that cost inner products. Energies change the solves, which are made again, one for each
class of paths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.beams.beam import Beams
from dosegrad.engines.yoda._response_arrays import Bank, Lateral
from dosegrad.engines.yoda._scoring_arrays import FINE, Pencils
from dosegrad.engines.yoda.beamlets import SpotAxes, prepare_spots
from dosegrad.engines.yoda.pulled_scoring import (
    Axes,
    Window,
    box_of,
    cut_off,
    on_axis,
    pull_scoring,
    pulled_at_nodes,
    scale_of,
    window_of,
)
from dosegrad.engines.yoda.response import trace_lines
from dosegrad.engines.yoda.response_builder import Builder, Split, make_builder
from dosegrad.engines.yoda.scoring import voxels_of
from dosegrad.machine.phase_space import PhaseSpace
from dosegrad.patient.medium import Medium

if TYPE_CHECKING:
    from dosegrad.engines.yoda.engine import Yoda

__all__ = ["PARAMETERS", "Parameter", "differentiate_spots"]

#: What a response can be differentiated by, apart from weights.
Parameter = Literal[
    "x", "y", "energy", "energy_std", "size", "angle", "patient_x", "patient_y", "patient_z"
]

#: Half the difference that each is taken over: mm, MeV, MeV, mm, rad, and mm.
PARAMETERS: Final[dict[Parameter, float]] = {
    "x": 0.5,
    "y": 0.5,
    "energy": 0.1,
    "energy_std": 0.05,
    "size": 0.05,
    "angle": 1e-4,
    "patient_x": 0.5,
    "patient_y": 0.5,
    "patient_z": 0.5,
}
_NEEDS_SOLVES: Final = ("energy", "energy_std")


@dataclass(frozen=True, slots=True, eq=False)
class _Pulled:
    """Gradients by one split's vectors (n, 4, 3) and moments (n, 2, 3), and by what it crosses."""

    by_place: Array
    by_moments: Array
    lateral: Lateral


def differentiate_spots(
    engine: Yoda,
    medium: Medium,
    beams: Beams,
    index: int,
    weights: Array,
    gradient: Array,
    parameters: tuple[Parameter, ...],
) -> dict[Parameter, Array]:
    """Derivatives (spots,) of the response with ``gradient`` (n_voxels,) by each parameter.

    ``weights`` (spots,) of beam ``index``; spots without weight have none.
    """
    builder = make_builder(engine, medium, beams, index, weights, gradient[None])
    found = {name: np.zeros(weights.size) for name in parameters}
    chosen = np.flatnonzero(weights > 0)
    if chosen.size == 0:
        return found
    bank, splits, lasts = builder.solve(chosen)
    for name in parameters:
        sides = [
            _Side(builder, beams, index, name, sign * PARAMETERS[name], chosen, bank)
            for sign in (1.0, -1.0)
        ]
        moved = [side.splits() for side in sides]
        for number, (split, last) in enumerate(zip(splits, lasts, strict=True)):
            axes = builder.axes(split, bank, last)
            pulled = _pull(axes, gradient, medium)
            values = [
                side.value(other[number], split, axes, pulled)
                for side, other in zip(sides, moved, strict=True)
            ]
            found[name][split.spots] = (values[0] - values[1]) / (2.0 * PARAMETERS[name])
    return found


def _pull(axes: Axes, gradient: Array, medium: Medium) -> _Pulled:
    """Gradient by the pencils' vectors and moments."""
    from dosegrad.engines.yoda._pull_kernels import pull_geometry

    grid = medium.grid
    window = window_of(axes, gradient[None], grid)
    dose = on_axis(axes, window.places) * scale_of(window.variance)
    derivatives = pulled_at_nodes(window, gradient, grid)
    values = window.profiles.values.copy()
    values[:, :, 0] = dose
    by_place = np.zeros((len(dose), 4, 3))
    profiles = window.profiles._replace(values=values)
    box = box_of(gradient, grid)
    pull_geometry(voxels_of(grid), window.pencils, profiles, box, gradient, by_place)
    # The pencils of the window begin further along: moving the vector along moves their origin.
    begun = (window.places[:, :1] * axes.step / FINE) * by_place[:, 0]
    by_place[:, 1] += begun
    lateral = pull_scoring(axes, gradient[None], grid)
    return _Pulled(by_place, _by_moments(axes, window, dose, derivatives), lateral)


def _by_moments(axes: Axes, window: Window, dose: Array, derivatives: Array) -> Array:
    """Gradient by the moments (n, 2, 3) at the start."""
    place = window.places * axes.step / FINE
    powers = np.stack([np.ones_like(place), 2.0 * place, place**2], axis=2)
    found = []
    for axis, (own, mixed) in enumerate(((1, 2), (3, 4))):
        variance = window.variance[:, axis]
        by_factor = derivatives[:, :, own] * dose
        by_factor[:, 1:] += derivatives[:, :-1, mixed] * dose[:, :-1]
        by_factor[:, :-1] += derivatives[:, :-1, mixed] * dose[:, 1:]
        kept = 0.5 * (1.0 - cut_off()) * derivatives[:, :, 0] * dose
        by_variance = 0.5 * by_factor / variance**2 - kept / variance
        found.append(np.einsum("pn,pnm->pm", by_variance, powers))
    return np.stack(found, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """One beam with one of its parameters changed by ``change``."""

    builder: Builder
    beams: Beams
    index: int
    name: Parameter
    change: float
    chosen: NDArray[np.intp]
    bank: Bank

    def splits(self) -> list[tuple[Builder, Split, Bank]]:
        """The changed beam's beamlets in the splits of the planned one, and their solves."""
        transport = self.builder.transport
        axes = self._axes()
        moved = replace(self.builder, transport=replace(transport, spots=axes))
        if self.name in _NEEDS_SOLVES:
            bank, splits, _ = moved.solve(self.chosen)
            return [(moved, split, bank) for split in splits]
        return [(moved, split, self.bank) for split in moved.split(self.chosen)]

    def value(
        self,
        moved: tuple[Builder, Split, Bank],
        planned: Split,
        axes: Axes,
        pulled: _Pulled,
    ) -> Array:
        """Responses (spots,) of one split up to what is the same on both sides."""
        from dosegrad.engines.yoda._response_kernels import respond

        builder, split, bank = moved
        pencils, moments = builder.pencils(split.spots, split.beamlets)
        by_pencil = _dot(pulled.by_place, pencils) + np.einsum(
            "pam,pam->p", pulled.by_moments, moments
        )
        every, count = np.arange(split.spots.size), np.diff(split.rays.first)
        wide = (by_pencil.size - split.rays.family.size) // every.size
        owner = np.concatenate([np.repeat(every, count), np.repeat(every, wide)])
        found = np.bincount(owner, by_pencil, minlength=every.size)
        entries = trace_lines(builder.anatomy.scene, split.lines)
        rays = split.rays
        if self.name not in _NEEDS_SOLVES:
            rays = rays._replace(solve=planned.rays.solve)
        out = np.zeros((split.spots.size, 1))
        respond(
            *(builder.anatomy.course, builder.anatomy.media, bank, rays, entries, pulled.lateral),
            *(axes.mass.shape[1], out),
        )
        return np.asarray(found + out[:, 0])

    def _axes(self) -> SpotAxes:
        """Axes of the changed beam's spots."""
        beams, transport = self.beams, self.builder.transport
        adjust: Callable[[PhaseSpace], PhaseSpace] | None = None
        if self.name in ("x", "y"):
            columns = beams.columns.copy()
            columns[self.name] += self.change
            beams = replace(beams, columns=columns)
        elif self.name.startswith("patient_"):
            shift = np.zeros(3)
            shift["xyz".index(self.name[-1])] = -self.change
            moved = [
                replace(b, isocentre=tuple((np.asarray(b.isocentre) + shift).tolist()))
                for b in beams
            ]
            beams = replace(beams, fields=tuple(moved))
        else:
            adjust = self._adjusted
        return prepare_spots(
            *(beams, self.index, transport.grid, transport.scattering), adjust=adjust
        )

    def _adjusted(self, space: PhaseSpace) -> PhaseSpace:
        """A phase space with energy, spread, size or angular spread changed.

        Sizes and angles keep their correlation.
        """
        if self.name == "energy":
            return replace(space, energy=space.energy + self.change)
        if self.name == "energy_std":
            return replace(space, energy_std=space.energy_std + self.change)
        field = "variance" if self.name == "size" else "angular"
        before = np.sqrt(getattr(space, field))
        ratio = (before + self.change) / np.where(before > 0, before, 1.0)
        values = {field: (before + self.change) ** 2, "covariance": space.covariance * ratio}
        return replace(space, **values)


def _dot(by_place: Array, pencils: Pencils) -> Array:
    """Sum over the vectors of each pencil of gradient times vector, (n,)."""
    vectors = (pencils.origin, pencils.axis, pencils.across_x, pencils.across_y)
    return np.asarray(sum((by_place[:, i] * v).sum(axis=1) for i, v in enumerate(vectors)))
