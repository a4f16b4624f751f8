"""Sections of patients: water of any elliptical shape, and slices of phantoms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import numpy as np

from dosegrad.arrays import Array, BoolArray
from dosegrad.engines.tg71.planar import Ellipse, pixel_centres
from dosegrad.geometry.depth import water_equivalent_depth
from dosegrad.geometry.grid import Grid
from dosegrad.patient.phantoms import phantom
from dosegrad.web.planner2d.state import EllipseShape, SectionState, StructureState

__all__ = ["N_PIXELS", "SLICES", "Canvas", "Slice", "canvas_of", "section_image"]

#: Pixels along each side of the dose.
N_PIXELS: Final = 200

Radiation: TypeAlias = Literal["photons", "protons"]


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """An axial slice of a phantom.

    Parameters
    ----------
    grid
        One layer of voxels at z = 0.
    values
        Relative electron density, or stopping power relative to water, (1, y, x).
    body
        Voxels of the patient, (y, x).
    """

    grid: Grid
    values: Array
    body: BoolArray

    def inside(self, points: Array) -> BoolArray:
        """Whether points (n, 2) lie in voxels of the patient."""
        index = np.rint(self.grid.to_index(self._in_space(points))[:, 1:]).astype(np.intp)
        shape = np.array(self.body.shape)
        known = ((index >= 0) & (index < shape)).all(axis=1)
        rows, columns = np.clip(index, 0, shape - 1).T
        inside: BoolArray = known & self.body[rows, columns]
        return inside

    def ray_depth(self, source: Array, points: Array) -> Array:
        """Water-equivalent length (n,), mm, from the source to points, exactly."""
        start = np.array([source[0], source[1], 0.0])
        return water_equivalent_depth(self.grid, self.values, self._in_space(points), source=start)

    def axis_depth(self, source: Array, direction: Array, distances: Array) -> Array:
        """Water-equivalent depth (n,), mm, of points of the axis at distances (n,)."""
        reach = np.arange(float(distances.min()) - 1.0, float(distances.max()) + 1.0, 1.0)
        nodes = self.ray_depth(source, source + reach[:, None] * direction)
        depth: Array = np.interp(distances, reach, nodes)
        return depth

    @staticmethod
    def _in_space(points: Array) -> Array:
        return np.column_stack([points, np.zeros(len(points))])


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """A section with the pixels of its dose.

    Parameters
    ----------
    width
        Side of the square that pixels fill, mm.
    points
        Pixel centres (n, 2), rows from the top.
    inside
        Whether they lie in the patient, (n,).
    body
        Those that do, (m, 2).
    photons, protons
        The section as the two see it.
    """

    width: float
    points: Array
    inside: BoolArray
    body: Array
    photons: Ellipse | Slice
    protons: Ellipse | Slice


@dataclass(frozen=True, slots=True)
class SliceRecipe:
    """Which slice of which phantom, and what is in it."""

    title: str
    height: float
    structures: tuple[StructureState, ...]


def _ellipse(
    name: str, role: Literal["target", "organ"], x: float, y: float, rx: float, ry: float
) -> StructureState:
    return StructureState(name=name, role=role, shape=EllipseShape(x=x, y=y, rx=rx, ry=ry))


#: Slices by name.
SLICES: Final[Mapping[str, SliceRecipe]] = {
    "thorax": SliceRecipe(
        "Thorax with lungs and spine",
        0.0,
        (
            _ellipse("Target", "target", 78.0, -8.0, 24.0, 24.0),
            _ellipse("Cord", "organ", 0.0, 66.0, 8.0, 8.0),
            _ellipse("Heart", "organ", 22.0, -46.0, 42.0, 34.0),
        ),
    ),
    "head": SliceRecipe(
        "Head with skull and air",
        -20.0,
        (
            _ellipse("Target", "target", 34.5, 12.0, 20.0, 22.0),
            _ellipse("Brainstem", "organ", 0.0, 15.0, 12.0, 13.0),
            _ellipse("Left eye", "organ", 32.0, -74.0, 12.0, 12.0),
        ),
    ),
    "prostate": SliceRecipe(
        "Pelvis with femoral heads",
        6.0,
        (
            _ellipse("Target", "target", 0.0, -1.5, 32.0, 25.0),
            _ellipse("Rectum", "organ", 0.0, 40.0, 16.0, 15.0),
            _ellipse("Left hip", "organ", 96.0, -8.0, 25.0, 25.0),
        ),
    ),
}


@lru_cache(maxsize=16)
def canvas_of(section: SectionState) -> Canvas:
    """The section with its pixels: a square as wide as the section is at its widest."""
    if section.kind == "water":
        shape = Ellipse(section.semi_x, section.semi_y)
        return _canvas(2.0 * max(section.semi_x, section.semi_y), shape, shape)
    photons, protons = _slices(section.kind)
    ny, nx = photons.body.shape
    _, dy, dx = photons.grid.spacing
    return _canvas(max(ny * dy, nx * dx), photons, protons)


def section_image(section: SectionState) -> bytes:
    """Relative electron density of the pixels, row by row, a byte each: 100 for water."""
    canvas = canvas_of(section)
    if isinstance(canvas.photons, Ellipse):
        shade = np.where(canvas.inside, 100, 0)
    else:
        grid, values = canvas.photons.grid, canvas.photons.values[0]
        index = grid.to_index(np.column_stack([canvas.points, np.zeros(len(canvas.points))]))
        rows, columns = (
            np.clip(np.rint(index[:, k]).astype(np.intp), 0, values.shape[k - 1] - 1)
            for k in (1, 2)
        )
        shade = np.where(canvas.inside, np.clip(100.0 * values[rows, columns], 0, 255), 0)
    return shade.astype(np.uint8).tobytes()


def _canvas(width: float, photons: Ellipse | Slice, protons: Ellipse | Slice) -> Canvas:
    axis = pixel_centres(N_PIXELS, width)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    inside = photons.inside(points)
    return Canvas(width, points, inside, points[inside], photons, protons)


@lru_cache(maxsize=4)
def _slices(name: str) -> tuple[Slice, Slice]:
    patient = phantom(name)
    grid = patient.ct.grid
    layer = round(float(grid.to_index([0.0, 0.0, SLICES[name].height])[0]))
    medium = patient.medium(grid)
    body = patient.body_mask(grid)[layer]
    flat = Grid(
        (1, *grid.shape[1:]), grid.spacing, (float(grid.origin[0]), float(grid.origin[1]), 0.0)
    )
    photons, protons = (
        Slice(flat, np.ascontiguousarray(np.where(body, values[layer], 0.0)[None]), body)
        for values in (medium.electron_density, medium.stopping_power_ratio)
    )
    return photons, protons
