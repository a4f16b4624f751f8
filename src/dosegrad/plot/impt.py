"""The teaching case of intensity modulated proton therapy on one page of six panels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from mpl_toolkits.mplot3d.axes3d import Axes3D  # type: ignore[import-untyped]

from dosegrad.arrays import Array
from dosegrad.dose import Dose
from dosegrad.errors import PlanError
from dosegrad.evaluation.dose_volume import dvh
from dosegrad.evaluation.report import Report
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan
from dosegrad.plot.dvh_curves import axis_label, draw_dvh, draw_goals
from dosegrad.plot.layers import axis_doses, layer_weights
from dosegrad.plot.patient_views import patient_planes
from dosegrad.plot.plan_views import dose_bar, known_dose
from dosegrad.plot.planes import Plane
from dosegrad.plot.slices import (
    dose_reference,
    draw_beams,
    draw_corridors,
    draw_ct,
    draw_dose,
    draw_isodoses,
    draw_structures,
    isodose_levels,
    structure_handles,
)
from dosegrad.plot.style import (
    DOSE_COLOURS,
    LINE_COLOURS,
    Colour,
    frame,
    new_figure,
    structure_colours,
)

__all__ = ["impt_summary"]

_TITLE: Final = 11.0
#: Colours of layers, from the lowest energy to the highest.
_LAYER_COLOURS: Final = "cividis"
#: Where its scale ends; beyond it is too bright for lines on white.
_BRIGHTEST: Final = 0.88


@dataclass(frozen=True, slots=True, eq=False)
class _Page:
    """What all panels draw from."""

    patient: Patient
    plan: Plan
    dose: Dose
    report: Report
    plane: Plane
    colours: dict[str, Colour]
    target: str

    @property
    def maximum(self) -> float:
        return max(float(np.nanmax(self.dose.array)), 1e-9)

    @property
    def levels(self) -> list[float]:
        structures = self.patient.structures.values()
        return isodose_levels(dose_reference(self.dose, structures))


def impt_summary(patient: Patient, plan: Plan, report: Report) -> Figure:
    """A plan of several proton fields in six panels, for a lecture.

    The phantom with its beams; the dose with isodose lines, and as a surface; dose-volume
    histograms with the limits of the goals; the weights by field and energy layer; and the depth
    dose of the first field along its axis as the sum of its layers, each computed for this picture
    with the weights of the plan.

    Parameters
    ----------
    patient, plan
        What is shown, in the axial plane through the target.
    report
        Goals that were evaluated on the plan.

    Raises
    ------
    PlanError
        If the plan has no dose, or the patient no target.
    """
    structures = list(patient.structures.values())
    targets = [s.name for s in structures if s.role == "target"]
    if not targets:
        raise PlanError("the patient has no target; give one of its structures the role 'target'.")
    page = _Page(
        patient,
        plan,
        known_dose(plan),
        report,
        patient_planes(patient)[0],
        structure_colours(structures),
        targets[0],
    )
    figure = new_figure(16.5, 10.2)
    parts = figure.subfigures(2, 3, width_ratios=[1.0, 1.12, 1.05], squeeze=False).ravel()
    panels = (_phantom, _isodoses, _histograms, _surface, _weights, _spread_out_peak)
    for part, draw in zip(parts, panels, strict=True):
        draw(part, page)
    return figure


def _phantom(part: SubFigure, page: _Page) -> None:
    ax = part.subplots()
    structures = page.patient.structures.values()
    title = f"(a) Phantom and fields, z = {page.plane.position:.0f} mm"
    draw_ct(ax, page.plane, page.patient, title=title)
    draw_corridors(ax, page.plane, page.plan.beams)
    draw_structures(ax, page.plane, structures, page.colours)
    draw_beams(ax, page.plane, page.plan.beams, size=9.0)
    ax.title.set_fontsize(_TITLE)
    part.legend(
        handles=structure_handles(structures, page.colours), loc="outside lower center",
        ncols=len(page.colours), fontsize=9, frameon=False, columnspacing=1.2, handlelength=1.4,
    )  # fmt: skip


def _isodoses(part: SubFigure, page: _Page) -> None:
    ax = part.subplots()
    draw_ct(ax, page.plane, page.patient, title="(b) Dose with isodose lines")
    image = draw_dose(ax, page.plane, page.dose, maximum=page.maximum)
    handles = draw_isodoses(ax, page.plane, page.dose, page.levels, maximum=page.maximum)
    draw_structures(ax, page.plane, page.patient.structures.values(), page.colours)
    ax.title.set_fontsize(_TITLE)
    dose_bar(part, image, ax, page.levels, label=axis_label(page.dose))
    part.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9, frameon=False,
        columnspacing=1.2, handlelength=1.4,
    )  # fmt: skip


def _histograms(part: SubFigure, page: _Page) -> None:
    ax = part.subplots()
    curves = dvh(page.dose, page.patient)
    draw_dvh(
        ax,
        curves,
        page.colours,
        title="(c) Dose-volume histogram and goals",
        x=axis_label(page.dose),
    )
    draw_goals(ax, page.report, curves, page.colours)
    ax.title.set_fontsize(_TITLE)
    ax.legend(loc="upper center", fontsize=9, frameon=False, bbox_to_anchor=(0.52, 0.98))


def _surface(part: SubFigure, page: _Page) -> None:
    ax = part.add_axes((0.0, 0.03, 0.88, 0.88), projection="3d")
    assert isinstance(ax, Axes3D)
    across, along = page.plane.pixel_centres()
    values = page.plane.dose(page.dose)
    x, y = np.meshgrid(across[::2], along[::2])
    ax.plot_surface(
        x, y, values[::2, ::2], cmap=DOSE_COLOURS, norm=Normalize(0.0, page.maximum), rcount=100,
        ccount=100, linewidth=0.0, antialiased=False,
    )  # fmt: skip
    ax.view_init(elev=34.0, azim=-58.0)
    ax.invert_yaxis()
    ax.set_box_aspect((1.0, 1.0, 0.62), zoom=1.0)
    part.suptitle("(d) The same dose as a surface", fontsize=_TITLE, x=0.03, ha="left")
    ax.set_xlabel("x (mm), R to L", fontsize=9)
    ax.set_ylabel("y (mm), A to P", fontsize=9)
    ax.set_zlabel("dose (Gy)", fontsize=9)
    ax.tick_params(labelsize=8)


def _weights(part: SubFigure, page: _Page) -> None:
    plan = page.plan
    found = [layer_weights(plan, number) for number in range(len(plan.beams))]
    top = max(weights.max() for _, weights in found) / 1000.0
    axes = part.subplots(len(found), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for ax, beam, (energies, weights) in zip(axes, plan.beams, found, strict=True):
        ax.bar(
            energies, weights / 1000.0, width=_bar_width(found),
            color=_layer_colours(energies.size), edgecolor="0.2", linewidth=0.4, zorder=3,
        )  # fmt: skip
        frame(ax, grid=True)
        ax.set_ylim(0.0, 1.4 * top)
        share = weights.sum() / plan.weights.sum()
        label = f"gantry {beam.gantry:g}°: {share:.0%} of protons"
        ax.text(0.99, 0.93, label, transform=ax.transAxes, ha="right", va="top", fontsize=9)
    axes[0].set_title("(e) Optimised weights by field and layer", fontsize=_TITLE, loc="left")
    axes[-1].set_xlabel("energy of the layer (MeV)", fontsize=9)
    part.supylabel("protons per layer, whole course (10⁹)", fontsize=9)


def _bar_width(found: list[tuple[Array, Array]]) -> float:
    steps = np.concatenate([np.diff(energies) for energies, _ in found] + [np.array([10.0])])
    return 0.8 * float(steps.min())


def _layer_colours(n: int) -> Array:
    """Colours (n, 4) of a field's layers, from the lowest energy to the highest."""
    return np.asarray(colormaps[_LAYER_COLOURS](np.linspace(0.0, _BRIGHTEST, n)))


def _spread_out_peak(part: SubFigure, page: _Page) -> None:
    ax = part.subplots()
    beam = page.plan.beams[0]
    doses = axis_doses(page.patient, page.plan, page.dose, beam=0, target=page.target)
    peaks = doses.flat_weights()[:, None] * doses.layers
    total = peaks.sum(axis=0)
    full = float(total[doses.in_target].mean()) / 100.0
    shades = _layer_colours(doses.energies.size)
    for peak, shade in zip(peaks, shades, strict=True):
        ax.plot(doses.depths, peak / full, color=shade, linewidth=1.6, zorder=3)
    low, high = doses.energies[[0, -1]]
    label = f"pristine peaks of {doses.energies.size} layers, {low:.0f} to {high:.0f} MeV"
    ax.plot([], [], color=shades[len(shades) // 2], linewidth=1.6, label=label)
    ax.plot(
        doses.depths, total / full, color="black", linewidth=2.4, zorder=4,
        label=f"their sum, weighted to be flat in the {page.target}",
    )  # fmt: skip
    share = 100.0 * doses.in_plan / doses.all_fields[doses.in_target].mean()
    ax.plot(
        doses.depths, share, color=LINE_COLOURS[1], linewidth=1.6, linestyle=(0, (4, 2)), zorder=4,
        label="the field in the plan, in % of all fields",
    )  # fmt: skip
    within = doses.depths[doses.in_target]
    ax.axvspan(
        within[0], within[-1], color=page.colours[page.target], alpha=0.16, linewidth=0,
        label=page.target,
    )  # fmt: skip
    frame(
        ax, title=f"(f) Spread-out Bragg peak of the field at {beam.gantry:g}°",
        x="depth along the central axis (mm)", y="dose (% of the mean in the PTV)", grid=True,
    )  # fmt: skip
    ax.title.set_fontsize(_TITLE)
    ax.set(xlim=(0.0, 1.2 * within[-1]), ylim=(0.0, 150.0))
    ax.legend(fontsize=9, frameon=False, loc="upper left")
