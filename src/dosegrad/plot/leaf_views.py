"""Fluence and the apertures that deliver it, seen from the source."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dosegrad.arrays import Array
from dosegrad.beams.apertures import Aperture
from dosegrad.beams.beam import Beams
from dosegrad.errors import PlanError
from dosegrad.machine.collimator import MultileafCollimator
from dosegrad.plan import Plan
from dosegrad.plot.style import LINE_COLOURS, frame, new_figure

__all__ = ["fluence", "leaf_sequence"]

#: Panels in a row.
_ACROSS: Final = 6
#: Segments that are drawn.
_SHOWN: Final = 17
#: What is shown around the jaws, mm.
_MARGIN: Final = 12.0


def fluence(plan: Plan) -> Figure:
    """Fluence of every beam of a photon plan in the isocentre plane, seen from the source.

    The scale ends at the 99th percentile of bixels that are used: single ones may be far above it.

    Raises
    ------
    PlanError
        If the plan is not one of bixels.
    """
    _check_bixels(plan)
    n = len(plan.beams)
    n_rows = -(-n // _ACROSS)
    figure = new_figure(1.9 * min(n, _ACROSS) + 1.3, 2.2 * n_rows + 0.5)
    axes = figure.subplots(n_rows, min(n, _ACROSS), squeeze=False, sharex=True, sharey=True)
    highest = _scale_end(plan.weights)
    image: PatchCollection | None = None
    for index, ax in enumerate(axes.ravel()):
        if index >= n:
            ax.set_axis_off()
            continue
        image = _draw_fluence(ax, plan.beams, plan.weights, index, highest)
        frame(ax, title=f"{plan.beams[index].gantry:g}°")
    for ax in axes[-1]:
        ax.set_xlabel("x / mm", fontsize=8)
    for ax in axes[:, 0]:
        ax.set_ylabel("y / mm", fontsize=8)
    assert image is not None
    figure.colorbar(image, ax=axes, label=_unit(plan), shrink=0.8, extend="max")
    return figure


def leaf_sequence(plan: Plan, *, beam: int = 0) -> Figure:
    """Fluence that a beam opens, and its segments: leaves grey, jaws a frame, with their MU.

    At most 17 segments are drawn, the first ones.

    Parameters
    ----------
    plan
        With apertures.
    beam
        Number of the field.

    Raises
    ------
    PlanError
        If the plan has no apertures, or no such field with some.
    """
    _check_bixels(plan)
    collimator = getattr(plan.beams.machine, "collimator", None)
    if plan.apertures is None or collimator is None:
        raise PlanError("the plan has no apertures to draw; sequence it first.")
    if not 0 <= beam < len(plan.beams) or not (plan.apertures.beam == beam).any():
        raise PlanError(
            f"there is no beam {beam} with segments; the plan has {len(plan.beams)} beams, counted "
            "from 0."
        )
    segments = plan.apertures.of_beam(beam)
    shown = min(len(segments), _SHOWN)
    n_rows = -(-(shown + 1) // _ACROSS)
    figure = new_figure(1.9 * min(shown + 1, _ACROSS) + 0.6, 2.3 * n_rows + 0.6)
    axes = figure.subplots(n_rows, min(shown + 1, _ACROSS), squeeze=False, sharex=True, sharey=True)
    part = plan.beams.columns_of(beam)
    highest = _scale_end(plan.weights[part])
    for index, ax in enumerate(axes.ravel()):
        if index == 0:
            _draw_fluence(ax, plan.beams, plan.weights, beam, highest)
            frame(ax, title="fluence opened")
        elif index <= shown:
            _draw_leaves(ax, collimator, segments[index - 1])
            frame(ax, title=f"{segments.monitor_units[index - 1]:.4g} MU")
        else:
            ax.set_axis_off()
        ax.set_aspect("equal")
    jaws = segments.jaws
    axes[0, 0].set_xlim(jaws[:, 0].min() - _MARGIN, jaws[:, 1].max() + _MARGIN)
    axes[0, 0].set_ylim(jaws[:, 2].min() - _MARGIN, jaws[:, 3].max() + _MARGIN)
    for ax in axes[-1]:
        ax.set_xlabel("x / mm", fontsize=8)
    for ax in axes[:, 0]:
        ax.set_ylabel("y / mm", fontsize=8)
    more = f", {shown} of {len(segments)} segments" if shown < len(segments) else ""
    figure.suptitle(f"Gantry {plan.beams[beam].gantry:g}°, seen from the source{more}")
    return figure


def _check_bixels(plan: Plan) -> None:
    if plan.beams.machine.modality != "photons":
        raise PlanError(
            f"machine {plan.beams.machine.name!r} delivers spots, not fluence of bixels; draw "
            "plot.spot_moves or plot.overview instead."
        )


def _scale_end(weights: Array) -> float:
    used = weights[weights > 0]
    return float(np.quantile(used, 0.99)) if used.size else 1.0


def _unit(plan: Plan) -> str:
    calibrated = getattr(plan.beams.machine, "mu_per_weight", None) is not None
    return "fluence / MU" if calibrated else "fluence"


def _draw_fluence(
    ax: Axes, beams: Beams, weights: Array, index: int, highest: float
) -> PatchCollection:
    """Bixels of one beam as squares of their true size."""
    part = beams.columns_of(index)
    columns = beams.columns[part]
    squares = [
        Rectangle((x - 0.5 * size, y - 0.5 * size), size, size)
        for x, y, size in zip(columns["x"], columns["y"], columns["size"], strict=True)
    ]
    drawn = PatchCollection(squares, cmap="viridis", linewidths=0)
    drawn.set_array(weights[part])
    drawn.set_clim(0.0, highest)
    ax.add_collection(drawn)
    ax.set_aspect("equal")
    ax.autoscale_view()
    return drawn


def _draw_leaves(ax: Axes, collimator: MultileafCollimator, aperture: Aperture) -> None:
    """Both banks, from the tips outwards, and the jaws' frame."""
    x1, x2, y1, y2 = aperture.jaws
    far = 2.0 * collimator.reach
    leaves = []
    sides = zip(collimator.boundaries[:-1], collimator.boundaries[1:], strict=True)
    for (low, high), left, right in zip(sides, aperture.left, aperture.right, strict=True):
        if high < y1 - _MARGIN or low > y2 + _MARGIN:
            continue
        leaves.append(Rectangle((-far, low), far + left, high - low))
        leaves.append(Rectangle((right, low), far - right, high - low))
    ax.add_collection(PatchCollection(leaves, facecolor="0.72", edgecolor="white", linewidths=0.4))
    outline = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=LINE_COLOURS[1])
    ax.add_patch(outline)
    ax.plot(0.0, 0.0, marker="+", color="0.2", markersize=5)
