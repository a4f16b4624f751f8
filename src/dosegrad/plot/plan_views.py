"""Pictures of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.image import AxesImage

from dosegrad.dose import Dose
from dosegrad.errors import PlanError
from dosegrad.evaluation.dose_volume import DVH
from dosegrad.evaluation.dose_volume import dvh as histograms
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan
from dosegrad.plot.dvh_curves import axis_label, draw_dvh
from dosegrad.plot.patient_views import patient_planes, row_height, slice_row
from dosegrad.plot.slices import (
    dose_reference,
    draw_beams,
    draw_ct,
    draw_dose,
    draw_isodoses,
    draw_structures,
    isodose_levels,
)
from dosegrad.plot.style import Colour, frame, new_figure, structure_colours

__all__ = ["dose_bar", "known_dose", "overview"]

_COLUMNS: Final = ("structure", "mean", "D95%", "D2%", "max")
#: Gantry angles that are named one by one.
_MOST_ANGLES: Final = 12
#: Rows of the table; more do not fit.
_ROWS: Final = 10
#: Heights of the slices and of what is below them, inch.
_TALLEST: Final = 5.5
_LOWER: Final = 4.2


def overview(patient: Patient, plan: Plan) -> Figure:
    """A plan on one page: three slices through the target, histograms, and key figures.

    Slices show CT, structures, dose as a colour wash with isodose lines, and where beams come from.
    The dose is RBE-weighted if the plan has that.

    Raises
    ------
    PlanError
        If the plan has no dose yet.
    """
    dose = known_dose(plan)
    structures = list(patient.structures.values())
    colours = structure_colours(structures)
    levels = isodose_levels(dose_reference(dose, structures))
    maximum = max(float(np.nanmax(dose.array)), 1e-9)
    planes = patient_planes(patient)

    height = min(row_height(planes, 11.5), _TALLEST) + 1.0
    figure = new_figure(14.0, 0.4 + height + _LOWER)
    heights = [0.4 + height, _LOWER]
    above, below = figure.subfigures(2, 1, height_ratios=heights, squeeze=False).ravel()
    row = slice_row(above, planes)
    for ax, plane in zip(row, planes, strict=True):
        draw_ct(ax, plane, patient)
        image = draw_dose(ax, plane, dose, maximum=maximum)
        handles = draw_isodoses(ax, plane, dose, levels, maximum=maximum)
        draw_structures(ax, plane, structures, colours)
        draw_beams(ax, plane, plan.beams)
    dose_bar(above, image, row, levels, label=axis_label(dose))
    if handles:
        above.legend(
            handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9,
            frameon=False,
        )  # fmt: skip
    left, right = below.subplots(1, 2, width_ratios=[1.25, 1.0])
    curves = histograms(dose, patient)
    draw_dvh(left, curves, colours, title="Dose-volume histogram", x=axis_label(dose))
    left.legend(fontsize=9, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    _figures(right, plan, dose, curves, colours)
    figure.suptitle(_heading(patient, plan), fontsize=12)
    return figure


def known_dose(plan: Plan) -> Dose:
    """The plan's RBE-weighted dose, or its dose if it has no RBE model.

    Raises
    ------
    PlanError
        If it has none.
    """
    if plan.rbe_dose is not None:
        return plan.rbe_dose
    if plan.dose is None:
        raise PlanError(
            f"{plan!r} has no dose to draw; compute it with compute_dose(patient, plan) and put it "
            "into the plan with dataclasses.replace(plan, dose=dose)."
        )
    return plan.dose


def dose_bar(
    figure: FigureBase,
    image: AxesImage,
    axes: list[Axes] | Axes,
    levels: Sequence[float],
    *,
    label: str = "dose (Gy)",
) -> None:
    """Colour bar of a dose wash beside ``axes``, with the isodose ``levels`` marked."""
    bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.012)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.ax.set_facecolor("0.4")
    for level in levels:
        bar.ax.axhline(level, color="white", linewidth=1.0)


def _heading(patient: Patient, plan: Plan) -> str:
    angles = [f"{beam.gantry:g}°" for beam in plan.beams]
    many = f"{angles[0]} to {angles[-1]}, {len(angles)} beams"
    fields = ", ".join(angles) if len(angles) <= _MOST_ANGLES else many
    count = f"{plan.n_spots} {'bixels' if plan.beams.machine.modality == 'photons' else 'spots'}"
    parts = [patient.name or "Patient", plan.beams.machine.name, f"gantry {fields}", count]
    if plan.fractions > 1:
        parts.append(f"{plan.fractions} fractions")
    return "  ·  ".join(parts)


def _figures(
    ax: Axes, plan: Plan, dose: Dose, curves: Mapping[str, DVH], colours: Mapping[str, Colour]
) -> None:
    """Table of dose figures by structure on otherwise empty ``ax``."""
    ax.set_axis_off()
    what = dose.label[:1].upper() + dose.label[1:]
    frame(ax, title=f"{what} in {dose.unit}, whole course")
    shown = {n: c for n, c in curves.items() if c.doses.size}
    cells = [
        [name, *(f"{v:.1f}" for v in (c.mean, c.dose_at(0.95), c.dose_at(0.02), c.maximum))]
        for name, c in list(shown.items())[:_ROWS]
    ]
    if not cells:
        return
    table = ax.table(
        cells, colLabels=list(_COLUMNS), loc="upper center", cellLoc="right", colLoc="right",
        colWidths=[0.4, 0.15, 0.15, 0.15, 0.15], edges="horizontal",
    )  # fmt: skip
    table.auto_set_font_size(False)
    table.set_fontsize(9.5)
    table.scale(1.0, 1.45)
    for (number, column), cell in table.get_celld().items():
        cell.set_edgecolor("0.7")
        cell.set_linewidth(0.6)
        if column == 0:
            cell.set_text_props(ha="left")
        if number == 0:
            cell.set_text_props(fontweight="bold")
        elif column == 0:
            cell.set_text_props(color=colours[cells[number - 1][0]], fontweight="bold")
    if plan.objective is not None:
        words = f"objective {plan.objective:.4g} after {max(len(plan.history) - 1, 0)} iterations"
        ax.text(0.0, 0.0, words, transform=ax.transAxes, fontsize=9, color="0.25")
    left = len(shown) - len(cells)
    if left > 0:
        ax.text(
            1.0, 0.0, f"and {left} more structures", transform=ax.transAxes, fontsize=9,
            color="0.25", ha="right",
        )  # fmt: skip
