"""Pictures that compare two doses: on slices, and as histograms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from dosegrad.beams.beam import Beam
from dosegrad.dose import Dose
from dosegrad.evaluation.dose_volume import dvh as histograms
from dosegrad.patient.patient import Patient
from dosegrad.plot.dvh_curves import axis_label
from dosegrad.plot.patient_views import patient_planes, row_height, slice_row
from dosegrad.plot.plan_views import dose_bar
from dosegrad.plot.planes import Plane
from dosegrad.plot.slices import (
    dose_reference,
    draw_beams,
    draw_ct,
    draw_dose,
    draw_isodoses,
    draw_structures,
    isodose_levels,
    structure_handles,
)
from dosegrad.plot.style import frame, new_figure, structure_colours

__all__ = ["compare_dvh", "difference_slices", "dose_slices"]

_WIDTH: Final = 11.0
_TALLEST: Final = 4.6
_STEPS: Final = 401
_DIFFERENCE_COLOURS: Final = "RdBu_r"
#: Share of the colours' full scale below which a difference is clear.
_CLEAR: Final = 0.08


def dose_slices(patient: Patient, dose: Dose, *, beams: Iterable[Beam] = ()) -> Figure:
    """Three slices through the target: CT, structures, dose with isodose lines, beams."""
    structures = list(patient.structures.values())
    levels = isodose_levels(dose_reference(dose, structures))
    maximum = max(float(np.nanmax(dose.array)), 1e-9)
    figure, planes, row = _row(patient)
    colours = structure_colours(structures)
    handles: list[Line2D] = []
    for ax, plane in zip(row, planes, strict=True):
        draw_ct(ax, plane, patient)
        image = draw_dose(ax, plane, dose, maximum=maximum)
        lines = draw_isodoses(ax, plane, dose, levels, maximum=maximum)
        handles = max(handles, lines, key=len)
        draw_structures(ax, plane, structures, colours)
        draw_beams(ax, plane, beams)
    dose_bar(figure, image, row, levels, label=axis_label(dose))
    _legend(figure, [*structure_handles(structures, colours), *handles])
    return figure


def difference_slices(patient: Patient, difference: Dose, *, limit: float) -> Figure:
    """Three slices through the target with a difference of doses, red where it is positive.

    Colours reach ``limit``, Gy, either way, and are clear near zero.
    """
    structures = list(patient.structures.values())
    colours = structure_colours(structures)
    figure, planes, row = _row(patient)
    for ax, plane in zip(row, planes, strict=True):
        draw_ct(ax, plane, patient)
        image = _draw_difference(ax, plane, difference, limit)
        draw_structures(ax, plane, structures, colours)
    bar = figure.colorbar(image, ax=row, shrink=0.9, pad=0.012)
    bar.set_label(f"difference ({difference.unit})", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    _legend(figure, structure_handles(structures, colours))
    return figure


def compare_dvh(
    patient: Patient, first: Dose, second: Dose, *, labels: tuple[str, str],
    later: Patient | None = None,
) -> Figure:  # fmt: skip
    """Histograms of all structures by two doses: the first dashed, the second solid.

    ``later`` has the structures of the second, where they moved.
    """
    figure = new_figure(9.0, 4.6)
    ax = figure.subplots()
    colours = structure_colours(patient.structures.values())
    curves = histograms(first, patient), histograms(second, patient if later is None else later)
    highest = 0.0
    for by_name, style in zip(curves, ("--", "-"), strict=True):
        for name, curve in by_name.items():
            if curve.doses.size:
                doses = np.linspace(0.0, max(curve.maximum, 1e-9), _STEPS)
                volumes = 100.0 * np.asarray(curve.volume_at(doses))
                ax.plot(doses, volumes, style, color=colours[name], linewidth=1.5)
                highest = max(highest, curve.maximum)
    frame(ax, x=axis_label(second), y="volume (%)", grid=True)
    ax.set(xlim=(0.0, 1.05 * highest or 1.0), ylim=(0.0, 102.0))
    kinds = [
        Line2D([], [], color="0.2", linestyle="--", label=labels[0]),
        Line2D([], [], color="0.2", linestyle="-", label=labels[1]),
    ]
    handles = [*structure_handles(patient.structures.values(), colours), *kinds]
    ax.legend(
        handles=handles, fontsize=9, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0)
    )
    return figure


def _row(patient: Patient) -> tuple[Figure, tuple[Plane, Plane, Plane], list[Axes]]:
    planes = patient_planes(patient)
    figure = new_figure(_WIDTH, min(row_height(planes, _WIDTH - 2.5), _TALLEST) + 1.1)
    return figure, planes, slice_row(figure, planes)


def _legend(figure: Figure, handles: list[Line2D]) -> None:
    if handles:
        figure.legend(
            handles=handles, loc="outside lower center", ncols=min(len(handles), 7), fontsize=9,
            frameon=False,
        )  # fmt: skip


def _draw_difference(ax: Axes, plane: Plane, difference: Dose, limit: float) -> AxesImage:
    values = plane.dose(difference)
    left, right, bottom, top = plane.limits
    return ax.imshow(
        values, cmap=_DIFFERENCE_COLOURS, norm=TwoSlopeNorm(0.0, -limit, limit),
        alpha=np.clip(np.abs(values) / limit / 0.5 - _CLEAR, 0.0, 0.85),
        origin="upper" if bottom > top else "lower", extent=(left, right, bottom, top),
        interpolation="nearest", zorder=1,
    )  # fmt: skip
