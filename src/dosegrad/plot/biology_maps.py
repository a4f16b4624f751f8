"""Maps of what biology adds to a plan: RBE-weighted dose, RBE and LET beside the dose."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, FigureBase

from dosegrad.dose import Dose
from dosegrad.errors import PlanError
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan
from dosegrad.plot.dvh_curves import axis_label
from dosegrad.plot.planes import AXIAL, Plane, focus_point
from dosegrad.plot.slices import draw_beams, draw_ct, draw_structures, structure_handles
from dosegrad.plot.style import dose_wash, new_figure, structure_colours

__all__ = ["biology"]

#: RBE and LET are shown where the dose is at least this share of its maximum.
_SHOWN: Final = 0.03
#: Share of the values shown that colours end at: a few voxels at the edge would stretch them.
_TOP: Final = 0.999
_PANEL: Final = 4.6


def biology(patient: Patient, plan: Plan, *, axis: int = AXIAL) -> Figure:
    """Dose, RBE-weighted dose, RBE and LET of a plan, as far as it has them, on one plane each.

    RBE and LET are shown where the dose is at least 3 % of its maximum: elsewhere they say little.

    Parameters
    ----------
    patient, plan
        What to show.
    axis
        Array axis that stands on the plane through the target: 0 axial, 1 coronal, 2 sagittal.

    Raises
    ------
    PlanError
        If the plan has neither RBE-weighted dose nor LET.
    """
    shown = _maps(plan)
    plane = Plane.through(patient.ct.grid, focus_point(patient), axis, refine=2)
    left, right, bottom, top = plane.limits
    height = _PANEL * abs(top - bottom) / (right - left)
    n_rows = (len(shown) + 1) // 2
    figure = new_figure(2 * (_PANEL + 1.0), n_rows * (height + 0.7) + 0.5)
    panels = figure.subplots(n_rows, 2, squeeze=False).ravel()
    for ax, dose in zip(panels, shown, strict=False):
        _draw(figure, ax, plane, patient, plan, dose)
    for ax in panels[len(shown) :]:
        ax.set_axis_off()
    structures = list(patient.structures.values())
    figure.legend(
        handles=structure_handles(structures, structure_colours(structures)),
        loc="outside lower center", ncols=min(len(structures), 8) or 1, fontsize=9, frameon=False,
    )  # fmt: skip
    return figure


def _maps(plan: Plan) -> list[Dose]:
    """What there is to show, in the order of the panels."""
    if plan.dose is None or not plan.quantities:
        raise PlanError(
            f"{plan!r} has no biology to draw; compute its influence with rbe=, or with "
            'quantities=("let_dose",), and optimise it.'
        )
    dose, found = plan.dose, [plan.dose]
    faint = ~(dose.array >= _SHOWN * np.nanmax(dose.array))
    if plan.rbe_dose is not None:
        found.append(plan.rbe_dose)
        ratio = np.divide(
            plan.rbe_dose.array, dose.array, out=np.full(dose.array.shape, np.nan), where=~faint
        )
        found.append(Dose(dose.grid, ratio, "rbe", dose.provenance))
    if plan.let is not None:
        let = np.where(faint, np.nan, plan.let.array)
        found.append(Dose(dose.grid, let, "let", dose.provenance))
    return found


def _draw(
    figure: FigureBase, ax: Axes, plane: Plane, patient: Patient, plan: Plan, dose: Dose
) -> None:
    label = axis_label(dose)
    name = f"{label[:1].upper()}{label[1:]}"
    draw_ct(ax, plane, patient, title=f"{name}, {plane.normal_letter} = {plane.position:.0f} mm")
    left, right, bottom, top = plane.limits
    lowest, highest = _range(dose)
    image = ax.imshow(
        plane.dose(dose), cmap=_colours(dose), vmin=lowest, vmax=highest, zorder=1,
        origin="upper" if bottom > top else "lower", extent=(left, right, bottom, top),
        interpolation="nearest" if dose.quantity in ("rbe", "let") else "bilinear",
    )  # fmt: skip
    structures = list(patient.structures.values())
    draw_structures(ax, plane, structures, structure_colours(structures))
    draw_beams(ax, plane, plan.beams)
    bar = figure.colorbar(image, ax=ax, shrink=0.85, pad=0.015)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)


def _range(dose: Dose) -> tuple[float, float]:
    """Values at the ends of the colours."""
    known = dose.array[np.isfinite(dose.array)]
    highest = max(float(np.quantile(known, _TOP)) if known.size else 1.0, 1e-9)
    if dose.quantity == "rbe":
        return min(1.0, float(known.min(initial=1.0))), max(highest, 1.05)
    if dose.quantity == "let":
        return 0.0, highest
    return 0.0, max(float(known.max(initial=0.0)), 1e-9)


def _colours(dose: Dose) -> str | Colormap:
    """Clear where there is hardly any dose; RBE and LET on another scale of colours."""
    return "plasma" if dose.quantity in ("rbe", "let") else dose_wash()
