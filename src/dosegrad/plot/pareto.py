"""Fronts of plans: what one objective costs in another, and where a choice lies."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dosegrad.arrays import Array
from dosegrad.dose import Dose
from dosegrad.evaluation.dose_volume import structure_dvh
from dosegrad.optimisation.pareto_front import Choice, ParetoFront
from dosegrad.patient.patient import Patient
from dosegrad.plot.style import LINE_COLOURS, frame, new_figure, structure_colours

__all__ = ["draw_trade", "pareto"]


def pareto(
    front: ParetoFront, *, choice: Choice | None = None, patient: Patient | None = None
) -> Figure:
    """A panel for each pair of objectives, with the plans, the planes below, and a choice.

    Parameters
    ----------
    front
        What :func:`dosegrad.pareto_front` found.
    choice
        A point that :meth:`ParetoFront.navigate` chose; by default none is shown.
    patient
        Whose histograms of the choice are drawn in one more panel.
    """
    pairs = list(combinations(range(len(front.shape.names)), 2))
    with_dose = choice is not None and patient is not None
    n = len(pairs) + with_dose
    figure = new_figure(4.6 * n, 4.2)
    axes = figure.subplots(1, n, squeeze=False)[0]
    for ax, pair in zip(axes, pairs, strict=False):
        draw_trade(ax, front, pair, choice=choice)
    axes[0].legend(fontsize=8, frameon=False)
    if choice is not None and patient is not None:
        dose = choice.plan.dose
        assert dose is not None
        _draw_histograms(axes[-1], dose, patient)
    return figure


def draw_trade(
    ax: Axes, front: ParetoFront, pair: tuple[int, int] = (0, 1), *, choice: Choice | None = None
) -> None:
    """Two objectives, by number, against each other on ``ax``.

    The band between the plans' lower hull and the planes holds the true front where there are two
    objectives; with more, the plans alone are drawn.
    """
    values = front.shape.values[:, pair]
    names = [front.shape.names[k] for k in pair]
    if len(front.shape.names) == 2:
        hull = values[np.argsort(values[:, 0])]
        near = np.geomspace(max(hull[0, 0], 1e-6 * hull[-1, 0]), hull[-1, 0], 400)
        x = np.union1d(near, np.append(hull[:, 0], np.linspace(hull[0, 0], hull[-1, 0], 400)))
        mixed = np.interp(x, hull[:, 0], hull[:, 1])  # as it is on any scale of the axes
        ax.plot(x, mixed, color=LINE_COLOURS[0], linewidth=1.6, label="mixtures")
        low = np.minimum(_below(front, x), mixed)
        ax.fill_between(
            x,
            low,
            mixed,
            color=LINE_COLOURS[0],
            alpha=0.2,
            linewidth=0,
            label="where the front is",
        )
    ax.scatter(values[:, 0], values[:, 1], s=26, color=LINE_COLOURS[0], label="plans", zorder=3)
    if choice is not None:
        point = [choice.values[name] for name in names]
        ax.scatter(
            point[0], point[1], s=110, marker="*", color=LINE_COLOURS[1], label="choice", zorder=4
        )
    frame(ax, title=f"gap {100 * front.gap:.2g} %", x=names[0], y=names[1], grid=True)


def _below(front: ParetoFront, x: Array) -> Array:
    """The highest plane below the front at values ``x`` of the first of two objectives."""
    shape = front.shape
    known = np.isfinite(shape.bounds)
    normals, bounds = shape.normals[known], shape.bounds[known]
    heights = (bounds[:, None] - normals[:, :1] * x) / normals[:, 1:]
    highest: Array = np.maximum(heights.max(axis=0, initial=0.0), 0.0)
    return highest


def _draw_histograms(ax: Axes, dose: Dose, patient: Patient) -> None:
    shown = [s for s in patient.structures.values() if s.role != "external"]
    colours = structure_colours(shown)
    for structure in shown:
        curve = structure_dvh(dose, structure)
        doses = np.linspace(0.0, 1.02 * curve.maximum, 300)
        volume = 100.0 * np.asarray(curve.volume_at(doses))
        ax.plot(doses, volume, color=colours[structure.name], label=structure.name)
    frame(ax, title="choice", x="dose (Gy)", y="volume (%)", grid=True)
    ax.legend(fontsize=8, frameon=False)
