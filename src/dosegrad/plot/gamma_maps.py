"""Pictures of the gamma index: where two doses agree and where they do not."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from dosegrad.arrays import Array
from dosegrad.dose import Dose
from dosegrad.errors import GeometryError
from dosegrad.evaluation.gamma_index import GammaMap
from dosegrad.geometry.grid import Grid
from dosegrad.plot.style import DOSE_COLOURS, LINE_COLOURS, frame, new_figure

__all__ = ["gamma"]

#: Blue where gamma passes, white at 1, red where it fails; safe for colour blindness.
_GAMMA_COLOURS: Final = "RdBu_r"
_NOT_EVALUATED: Final = "0.85"


def gamma(
    result: GammaMap, *, reference: Dose | None = None, evaluated: Dose | None = None,
    index: int | None = None,
) -> Figure:  # fmt: skip
    """Gamma on one plane of the reference grid, both doses there if given, and the histogram.

    Parameters
    ----------
    result
        What to draw. Voxels that were not evaluated are grey.
    reference, evaluated
        Doses to draw beside it, the first on the grid of ``result``.
    index
        Voxel layer along the axis with one voxel, else along z; None: the one in which most
        voxels fail, or are evaluated if none fails. Doses along a line are drawn as curves.

    Raises
    ------
    GeometryError
        If the layer or the reference does not lie on the grid of ``result``.
    """
    if reference is not None and reference.grid != result.grid:
        raise GeometryError(
            f"the reference on {reference.grid} is not the one of a gamma on {result.grid}; give "
            "the dose that was compared."
        )
    doses = {"reference": reference, "evaluated": evaluated}
    given = {name: dose for name, dose in doses.items() if dose is not None}
    if sum(n > 1 for n in result.grid.shape) < 2:
        return _profile(result, given)
    axis = _normal(result.grid)
    layer = _layer(result, axis) if index is None else index
    if not 0 <= layer < result.grid.shape[axis]:
        raise GeometryError(
            f"layer {layer} is not on {result.grid}; give 0 to {result.grid.shape[axis] - 1}."
        )
    figure = new_figure(4.0 * (len(given) + 2), 3.6)
    axes = np.atleast_1d(figure.subplots(1, len(given) + 2))
    _draw_doses(figure, axes, result.grid, given, axis, layer)
    _draw_gamma(figure, axes[-2], result, axis, layer)
    _draw_histogram(axes[-1], result)
    titles = [*given, f"gamma {_criteria(result)}", _summary(result)]
    for ax, letter, title in zip(axes, "abcd", titles, strict=False):
        ax.set_title(f"({letter}) {title}", fontsize=9.5, loc="left", color="black")
    return figure


def _criteria(result: GammaMap) -> str:
    s = result.settings
    return f"{s.percent:g} %/{s.distance:g} mm, {'local' if s.local else 'global'}"


def _summary(result: GammaMap) -> str:
    return f"{result.pass_rate:.2%} of {result.n_evaluated} pass"


def _normal(grid: Grid) -> int:
    """Array axis that stands on the plane to draw: one with a single voxel, else z."""
    return int(np.argmin(grid.shape)) if 1 in grid.shape else 0


def _layer(result: GammaMap, axis: int) -> int:
    """Layer in which most voxels fail, or are evaluated if none fails."""
    others = tuple({0, 1, 2} - {axis})
    failing = np.count_nonzero(result.map > 1, axis=others)
    if failing.any():
        return int(failing.argmax())
    return int(np.count_nonzero(~np.isnan(result.map), axis=others).argmax())


def _extent(grid: Grid, axis: int) -> tuple[tuple[float, float, float, float], str, str, str]:
    """Edges of the plane, mm, which corner comes first, and the names of its axes."""
    rows, columns = (k for k in range(3) if k != axis)
    coordinates = grid.axis_coordinates()
    half = np.asarray(grid.spacing) / 2
    left, right = coordinates[columns][[0, -1]] + np.array([-half[columns], half[columns]])
    low, high = coordinates[rows][[0, -1]] + np.array([-half[rows], half[rows]])
    edges = float(left), float(right), float(low), float(high)
    if axis == 0:  # seen from the feet: y points down
        return (edges[0], edges[1], edges[3], edges[2]), "upper", "x (mm)", "y (mm)"
    return edges, "lower", f"{'zyx'[columns]} (mm)", "z (mm)"


def _draw_doses(
    figure: Figure, axes: Array, grid: Grid, doses: dict[str, Dose], axis: int, layer: int
) -> None:
    planes = [_on_layer(dose, grid, axis, layer) for dose in doses.values()]
    extent, origin, across, along = _extent(grid, axis)
    for ax, plane in zip(axes, planes, strict=False):
        image = ax.imshow(
            plane, cmap=DOSE_COLOURS, vmin=0.0, vmax=max(float(np.nanmax(p)) for p in planes),
            extent=extent, origin=origin, interpolation="nearest",
        )  # fmt: skip
        frame(ax, x=across, y=along, size=8.0)
        figure.colorbar(image, ax=ax, shrink=0.8, label="dose (Gy)")


def _on_layer(dose: Dose, grid: Grid, axis: int, layer: int) -> Array:
    """Dose on a layer of a grid, Gy."""
    if dose.grid == grid:
        return np.asarray(np.take(dose.array, layer, axis=axis))
    indices = np.moveaxis(np.indices(grid.shape), 0, -1)
    return dose.at(grid.to_point(np.take(indices, layer, axis=axis)))


def _draw_gamma(figure: Figure, ax: Axes, result: GammaMap, axis: int, layer: int) -> None:
    extent, origin, across, along = _extent(result.grid, axis)
    colours = colormaps[_GAMMA_COLOURS].with_extremes(bad=_NOT_EVALUATED)
    highest = max(result.settings.max_gamma, 1.01)
    image = ax.imshow(
        np.take(result.map, layer, axis=axis), cmap=colours,
        norm=TwoSlopeNorm(1.0, 0.0, highest), extent=extent,
        origin="upper" if origin == "upper" else "lower", interpolation="nearest",
    )  # fmt: skip
    frame(ax, x=across, y=along, size=8.0)
    bar = figure.colorbar(image, ax=ax, shrink=0.8, label="gamma (grey: not evaluated)")
    bar.set_ticks([0.0, 0.5, 1.0, *([highest] if highest > 1.01 else [])])


def _draw_histogram(ax: Axes, result: GammaMap) -> None:
    histogram = result.histogram(40)
    width = float(histogram.edges[1])
    centres = histogram.edges[:-1] + width / 2
    passing = centres < 1
    blue, vermilion = LINE_COLOURS[0], LINE_COLOURS[1]
    ax.bar(centres[passing], histogram.counts[passing], width, color=blue, label="pass")
    ax.bar(centres[~passing], histogram.counts[~passing], width, color=vermilion, label="fail")
    ax.axvline(1.0, color="black", linewidth=0.8, linestyle="--")
    ax.set(xlim=(0.0, result.settings.max_gamma), yscale="log")
    frame(ax, x="gamma", y="voxels", size=8.0, grid=True)
    ax.legend(fontsize=7.5, frameon=False, loc="upper right")


def _profile(result: GammaMap, doses: dict[str, Dose]) -> Figure:
    """Doses and gamma along a line."""
    grid = result.grid
    axis = int(np.argmax(grid.shape))
    places = grid.axis_coordinates()[axis]
    figure = new_figure(6.4, 4.4)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    points = grid.voxel_points(np.arange(grid.n_voxels))
    for (name, dose), colour in zip(doses.items(), LINE_COLOURS, strict=False):
        values = dose.array.ravel() if dose.grid == grid else dose.at(points)
        above.plot(places, values, color=colour, label=name, marker=".", markersize=3)
    if doses:
        above.legend(fontsize=8, frameon=False)
    below.plot(places, result.map.ravel(), color="black", marker=".", markersize=3)
    below.axhline(1.0, color=LINE_COLOURS[1], linewidth=0.8, linestyle="--")
    below.set_ylim(0.0, result.settings.max_gamma)
    frame(above, title=f"{_criteria(result)}: {_summary(result)}", y="dose (Gy)", grid=True)
    frame(below, x=f"{'zyx'[axis]} (mm)", y="gamma", grid=True)
    return figure
