"""Pictures of a patient without a plan."""

from __future__ import annotations

from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from dosegrad.patient.patient import Patient
from dosegrad.plot.planes import AXIAL, CORONAL, SAGITTAL, Plane, focus_point
from dosegrad.plot.slices import draw_ct, draw_structures, structure_handles
from dosegrad.plot.style import new_figure, structure_colours

__all__ = ["patient_planes", "phantom", "row_height", "slice_row"]

_WIDTH: Final = 13.0
#: Of a row of slices, inch.
_TALLEST: Final = 6.0


def phantom(patient: Patient) -> Figure:
    """Three orthogonal CT slices through the target with all structures.

    Slices are seen from the feet, the front and the left: R and L, A and P, S and I mark the
    patient's sides.
    """
    planes = patient_planes(patient)
    figure = new_figure(_WIDTH, min(row_height(planes, _WIDTH - 2.5), _TALLEST) + 1.5)
    row = slice_row(figure, planes)
    colours = structure_colours(patient.structures.values())
    for ax, plane in zip(row, planes, strict=True):
        draw_ct(ax, plane, patient)
        draw_structures(ax, plane, patient.structures.values(), colours)
    figure.suptitle(patient.name or "Patient", fontsize=12)
    figure.legend(
        handles=structure_handles(patient.structures.values(), colours),
        loc="outside lower center", ncols=min(len(patient.structures), 8) or 1, fontsize=9,
        frameon=False,
    )  # fmt: skip
    return figure


def patient_planes(patient: Patient) -> tuple[Plane, Plane, Plane]:
    """Axial, coronal and sagittal plane through the target, two pixels a voxel."""
    point = focus_point(patient)
    axial, coronal, sagittal = (
        Plane.through(patient.ct.grid, point, axis, refine=2) for axis in (AXIAL, CORONAL, SAGITTAL)
    )
    return axial, coronal, sagittal


def slice_row(figure: FigureBase, planes: tuple[Plane, Plane, Plane]) -> list[Axes]:
    """Three axes side by side, all in the same scale."""
    ratios = [right - left for left, right, _, _ in (plane.limits for plane in planes)]
    grid = figure.add_gridspec(1, 3, width_ratios=ratios)
    return [figure.add_subplot(grid[0, k]) for k in range(3)]


def row_height(planes: tuple[Plane, Plane, Plane], width: float) -> float:
    """Height, inch, of a row of planes in one scale that is ``width`` inch wide."""
    limits = [plane.limits for plane in planes]
    across = sum(right - left for left, right, _, _ in limits)
    return width * max(abs(top - bottom) for _, _, bottom, top in limits) / across
