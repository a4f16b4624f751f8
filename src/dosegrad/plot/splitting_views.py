"""How a spot is split into beamlets, and how well their sum stands for it."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from dosegrad.arrays import Array
from dosegrad.engines.yoda.splitting import Splitting
from dosegrad.plot.style import LINE_COLOURS, frame, new_figure

__all__ = ["splitting"]

_REACH: Final = 3.0  # of what is drawn, in the spot's standard deviation
_POINTS: Final = 181


def splitting(scheme: Splitting) -> Figure:
    """Places, weights and widths of beamlets, and the error of their sum.

    Left: a disc for each beamlet with an area in proportion to its share of the protons, and a
    circle of its standard deviation. Right: sum of the beamlets minus the spot, in percent of the
    spot's maximum.
    """
    figure = new_figure(9.6, 4.6)
    left, right = figure.subplots(1, 2)
    _draw_places(left, scheme)
    line = np.linspace(-_REACH, _REACH, _POINTS)
    error = 100.0 * _error(scheme, line)
    limit = float(np.abs(error).max()) or 1.0
    image = right.imshow(
        error, origin="lower", extent=(-_REACH, _REACH, -_REACH, _REACH), cmap="RdBu_r",
        norm=TwoSlopeNorm(0.0, -limit, limit),
    )  # fmt: skip
    bar = figure.colorbar(image, ax=right, shrink=0.9)
    bar.set_label("sum minus spot (% of the spot's maximum)", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    frame(right, title=f"at most {limit:.2g} %, J = {scheme.mismatch:.1e}", x="x / σ", y="y / σ")
    return figure


def _draw_places(ax: Axes, scheme: Splitting) -> None:
    for x, y, spread in zip(scheme.x, scheme.y, scheme.spread, strict=True):
        ax.add_patch(
            Circle((float(x), float(y)), float(spread), fill=False, color="0.8", linewidth=0.4)
        )
    area = 350.0 * scheme.weight / scheme.weight.max() / max(scheme.n_beamlets / 25.0, 1.0)
    ax.scatter(scheme.x, scheme.y, s=area, color=LINE_COLOURS[0], zorder=3)
    ax.add_patch(Circle((0.0, 0.0), 1.0, fill=False, color=LINE_COLOURS[1], linewidth=1.4))
    ax.set(xlim=(-_REACH, _REACH), ylim=(-_REACH, _REACH), aspect="equal")
    frame(ax, title=f"{scheme.n_beamlets} beamlets; the spot's σ in red", x="x / σ", y="y / σ")


def _error(scheme: Splitting, line: Array) -> Array:
    """Sum of the beamlets minus the spot over the spot's maximum, (points, points)."""
    x, y = np.meshgrid(line, line)
    total = -np.exp(-0.5 * (x**2 + y**2))
    rows = zip(scheme.x, scheme.y, scheme.weight, scheme.spread, strict=True)
    for at_x, at_y, weight, spread in rows:
        squared = ((x - at_x) ** 2 + (y - at_y) ** 2) / spread**2
        total += weight / spread**2 * np.exp(-0.5 * squared)
    return np.asarray(total)
