"""Pictures of what a machine delivered: where spots went, and what they got."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.plot.style import LINE_COLOURS, frame, new_figure

__all__ = ["leaf_deviations", "meterset_deviations", "spot_deviations"]

#: Beams that get a map of their own.
_MAPS: Final = 3
_DISTANCE_COLOURS: Final = "viridis_r"
_BINS: Final = 40


def spot_deviations(
    delivered: NDArray[Any], shifts: Array, *, mean: float = 1.0, largest: float = 2.0
) -> Figure:
    """How far spots lie from their places: a histogram, and a map for each of the first beams.

    Parameters
    ----------
    delivered
        Structured array (n,) with ``beam``, ``x``, ``y``.
    shifts
        Delivered minus planned place (n, 2), mm; NaN where nothing was planned.
    mean, largest
        Tolerances, mm, to be drawn as lines.
    """
    distances = np.hypot(shifts[:, 0], shifts[:, 1])
    known = np.isfinite(distances)
    beams = np.unique(delivered["beam"][known])[:_MAPS]
    figure = new_figure(4.4 + 3.1 * max(beams.size, 1), 3.6)
    widths = [1.35, *(1.0 for _ in beams)]
    axes = figure.subplots(1, 1 + beams.size, squeeze=False, width_ratios=widths)[0]
    _draw_histogram(axes[0], distances[known], mean, largest)
    top = max(float(distances[known].max(initial=0.0)), largest)
    for ax, beam, letter in zip(axes[1:], beams, "bcd", strict=False):
        mine = known & (delivered["beam"] == beam)
        points = _draw_map(ax, delivered[mine], shifts[mine], distances[mine], top)
        frame(ax, title=f"({letter}) beam {beam}", x="x (mm)", y="y (mm)", size=8.0)
    if beams.size:
        bar = figure.colorbar(points, ax=list(axes[1:]), shrink=0.9, pad=0.015)
        bar.set_label("distance (mm)", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    return figure


def meterset_deviations(
    planned: NDArray[Any], delivered: Array, *, percent: float = 1.0, least: float = 0.01
) -> Figure:
    """What spots got beside what they should have got, by meterset, and as a histogram.

    Parameters
    ----------
    planned
        Structured array (n,) with ``beam`` and ``mu``.
    delivered
        Meterset that each planned spot got (n,).
    percent, least
        A spot is out of tolerance if it is off by more than both: of its meterset, and MU.
    """
    off = delivered - planned["mu"]
    figure = new_figure(9.0, 3.4)
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1.0])
    for colour, beam in zip(_cycled(planned["beam"]), np.unique(planned["beam"]), strict=False):
        mine = planned["beam"] == beam
        left.plot(
            planned["mu"][mine], off[mine], ".", color=colour, markersize=4, label=f"beam {beam}"
        )
    places = np.linspace(0.0, float(planned["mu"].max(initial=1e-9)), 101)
    limit = np.maximum(percent / 100.0 * places, least)
    for sign in (-1.0, 1.0):
        left.plot(places, sign * limit, color="0.35", linewidth=0.9, linestyle="--")
    left.axhline(0.0, color="0.6", linewidth=0.6)
    left.legend(fontsize=7.5, frameon=False, ncols=2)
    frame(
        left, title="(a) each spot; tolerance dashed", x="planned (MU)",
        y="delivered minus planned (MU)", size=8.0, grid=True,
    )  # fmt: skip
    part = np.flatnonzero(planned["mu"] > 0)
    share = 100.0 * off[part] / planned["mu"][part]
    edge = max(float(np.abs(share).max(initial=0.0)), 1.2 * percent)
    right.hist(share, bins=np.linspace(-edge, edge, _BINS + 1), color=LINE_COLOURS[0])
    for sign in (-1.0, 1.0):
        right.axvline(sign * percent, color="0.35", linewidth=0.9, linestyle="--")
    right.set_yscale("log")
    frame(right, title="(b) all spots", x="deviation (%)", y="spots", size=8.0, grid=True)
    return figure


def leaf_deviations(
    deviations: Sequence[Array], labels: Sequence[str], *, largest: float = 2.0
) -> Figure:
    """How far leaf tips are from where they should be: a histogram, and each leaf's mean square.

    Parameters
    ----------
    deviations
        Of each beam: delivered minus planned tips (samples, pairs, 2), mm.
    labels
        Of the beams.
    largest
        Tolerance, mm, to be drawn as a line.
    """
    figure = new_figure(10.0, 3.4)
    left, right = figure.subplots(1, 2, width_ratios=[1.2, 1.0])
    top = max([largest, *(float(np.abs(d).max(initial=0.0)) for d in deviations)])
    edges = np.linspace(-1.1 * top, 1.1 * top, 2 * _BINS + 1)
    for k, (values, label) in enumerate(zip(deviations, labels, strict=True)):
        colour = LINE_COLOURS[k % len(LINE_COLOURS)]
        left.hist(values.ravel(), bins=edges, color=colour, histtype="step", label=label)
        if values.size:
            spread = np.sqrt((values**2).mean(axis=0))
            pairs = np.arange(1, len(spread) + 1)
            right.plot(pairs, spread[:, 0], "-", color=colour, linewidth=1.0)
            right.plot(pairs, spread[:, 1], "--", color=colour, linewidth=1.0)
    for sign in (-1.0, 1.0):
        left.axvline(sign * largest, color="0.35", linewidth=0.9, linestyle="--")
    left.set_yscale("log")
    left.legend(fontsize=7.5, frameon=False)
    frame(left, title="(a) all samples", x="deviation (mm)", y="leaf tips", size=8.0, grid=True)
    frame(
        right, title="(b) left bank solid, right dashed", x="leaf pair in the field",
        y="root mean square (mm)", size=8.0, grid=True,
    )  # fmt: skip
    right.set_ylim(bottom=0.0)
    return figure


def _cycled(beams: NDArray[Any]) -> list[tuple[float, float, float]]:
    n = np.unique(beams).size
    return [LINE_COLOURS[k % len(LINE_COLOURS)] for k in range(n)]


def _draw_histogram(ax: Axes, distances: Array, mean: float, largest: float) -> None:
    top = 1.1 * max(float(distances.max(initial=0.0)), largest)
    counts, edges = np.histogram(distances, bins=_BINS, range=(0.0, top))
    centres, width = 0.5 * (edges[1:] + edges[:-1]), edges[1]
    within = centres <= largest
    ax.bar(centres[within], counts[within], width, color=LINE_COLOURS[0])
    ax.bar(centres[~within], counts[~within], width, color=LINE_COLOURS[1])
    for place, label in ((mean, "mean of a layer"), (largest, "any spot")):
        ax.axvline(place, color="0.35", linewidth=0.9, linestyle="--")
        ax.text(
            place, 0.98, f" {label}", transform=ax.get_xaxis_transform(), fontsize=7.5,
            va="top", rotation=90, ha="right", color="0.25",
        )  # fmt: skip
    ax.set_yscale("log")
    title = f"(a) {distances.size} spots, tolerances dashed"
    frame(ax, title=title, x="distance from the planned place (mm)", y="spots", size=8.0, grid=True)


def _draw_map(
    ax: Axes, spots: NDArray[Any], shifts: Array, distances: Array, top: float
) -> PathCollection:
    """Planned places in the isocentre plane, the farthest spot of a place on top."""
    order = np.argsort(distances, kind="stable")
    points = ax.scatter(
        (spots["x"] - shifts[:, 0])[order], (spots["y"] - shifts[:, 1])[order],
        c=distances[order], s=14, cmap=_DISTANCE_COLOURS, vmin=0.0, vmax=top, linewidths=0,
    )  # fmt: skip
    ax.set_aspect("equal", adjustable="datalim")
    return points
