"""Where spots went when they were free to move."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.spatial import cKDTree

from dosegrad.arrays import Array
from dosegrad.beams.beam import Beams
from dosegrad.errors import PlanError
from dosegrad.plan import Plan
from dosegrad.plot.style import LINE_COLOURS, frame, new_figure

__all__ = ["spot_moves"]

#: Area of the heaviest spot's disc, points squared.
_LARGEST: Final = 90.0
#: Layers that are drawn.
_SHOWN: Final = 4


def spot_moves(before: Beams, plan: Plan, *, beam: int = 0) -> Figure:
    """Spots of one beam where they began and where they ended, layer by layer.

    Crosses are the spots of ``before``, discs those of ``plan`` with an area in proportion to their
    weight; a line leads from each disc to the nearest cross of its layer. The four layers are
    spread evenly over those that the plan has.

    Parameters
    ----------
    before
        As they were steered.
    plan
        With moved spots; of the same fields.
    beam
        Number of the field.

    Raises
    ------
    PlanError
        If the plan has no such field with spots, or no common layer with ``before``.
    """
    if not 0 <= beam < min(len(before), len(plan.beams)):
        raise PlanError(f"there is no beam {beam}; the plan has {len(plan.beams)}, counted from 0.")
    old = before.columns[before.columns_of(beam)]
    part = plan.beams.columns_of(beam)
    new, weights = plan.beams.columns[part], plan.weights[part]
    layers = np.intersect1d(old["energy"], new["energy"][weights > 0])
    if layers.size == 0:
        raise PlanError(
            f"beam {beam} has no layer in common before and after; give the beams that the plan's "
            "spots began as."
        )
    shown = layers[np.unique(np.linspace(0, layers.size - 1, _SHOWN).round().astype(int))]
    figure = new_figure(3.6 * shown.size + 0.6, 4.4)
    axes = figure.subplots(1, shown.size, squeeze=False, sharex=True, sharey=True)[0]
    heaviest = float(weights.max())
    for ax, energy in zip(axes, shown, strict=True):
        here = (new["energy"] == energy) & (weights > 0)
        began, ended = _places(old[old["energy"] == energy]), _places(new[here])
        _draw(ax, began, ended, weights[here] / heaviest)
        frame(ax, title=f"{energy:.1f} MeV: {len(began)} → {len(ended)} spots", x="x / mm")
    axes[0].set_ylabel("y / mm", fontsize=9)
    figure.suptitle(f"Spots at gantry {plan.beams[beam].gantry:g}° in the isocentre plane")
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
        fontsize=9,
        frameon=False,
    )
    return figure


def _places(columns: np.ndarray) -> Array:
    return np.column_stack([columns["x"], columns["y"]])


def _draw(ax: Axes, began: Array, ended: Array, share: Array) -> None:
    """One layer: crosses, discs, and lines between them."""
    nearest = began[cKDTree(began).query(ended)[1]]
    for a, b in zip(nearest, ended, strict=True):
        ax.plot([a[0], b[0]], [a[1], b[1]], color="0.6", linewidth=0.7, zorder=1)
    ax.scatter(
        began[:, 0],
        began[:, 1],
        marker="+",
        s=22,
        color="0.45",
        linewidths=0.8,
        label="before",
        zorder=2,
    )
    sizes = np.maximum(_LARGEST * share, 2.0)
    ax.scatter(
        ended[:, 0],
        ended[:, 1],
        s=sizes,
        color=LINE_COLOURS[0],
        alpha=0.75,
        linewidths=0,
        label="after",
        zorder=3,
    )
    ax.set_aspect("equal")
