"""Colours, fonts and figure frames that all pictures share.

Figures are made without pyplot: nothing here keeps global state or picks a screen backend.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, Stroke
from matplotlib.patheffects import Normal as NormalStroke

from dosegrad.patient.structures import Structure

__all__ = [
    "DOSE_COLOURS",
    "LINE_COLOURS",
    "Colour",
    "dose_wash",
    "frame",
    "halo",
    "new_figure",
    "structure_colours",
]

Colour: TypeAlias = tuple[float, float, float]

#: Perceptually uniform map for dose, safe for the common kinds of colour blindness.
DOSE_COLOURS: Final = "viridis"

#: Okabe and Ito's colour-blind safe palette (Color Universal Design, 2008) without its black and
#: yellow, which vanish on a CT or on white paper.
_VERMILION: Final[Colour] = (0.835, 0.369, 0.0)
_PURPLE: Final[Colour] = (0.8, 0.475, 0.655)
_ORANGE: Final[Colour] = (0.902, 0.624, 0.0)
_SKY: Final[Colour] = (0.337, 0.706, 0.914)
_GREEN: Final[Colour] = (0.0, 0.62, 0.451)
_BLUE: Final[Colour] = (0.0, 0.447, 0.698)
_TARGETS: Final = (_VERMILION, _PURPLE, _ORANGE)
_ORGANS: Final = (_SKY, _ORANGE, _GREEN, _BLUE, _PURPLE)
_EXTERNAL: Final[Colour] = (0.45, 0.45, 0.45)

#: For curves that belong to no structure.
LINE_COLOURS: Final[tuple[Colour, ...]] = (_BLUE, _VERMILION, _GREEN, _PURPLE, _ORANGE, _SKY)

#: A colour lighter than this (relative luminance) cannot be read on white.
_LIGHTEST: Final = 0.62


def new_figure(width: float, height: float) -> Figure:
    """Empty white figure of this size, inch, whose layout keeps labels from colliding."""
    figure = Figure(figsize=(width, height), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def frame(
    ax: Axes, *, title: str = "", x: str = "", y: str = "", size: float = 9.0, grid: bool = False
) -> None:
    """Title, axis labels and quiet ticks in one font size (points) for ``ax``."""
    ax.set_title(title, fontsize=size + 1.5, loc="left", color="black")
    ax.set_xlabel(x, fontsize=size, color="black")
    ax.set_ylabel(y, fontsize=size, color="black")
    ax.tick_params(labelsize=size - 1, colors="black")
    if grid:
        ax.grid(visible=True, color="0.88", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)


def halo(
    width: float = 1.2, colour: str = "black", *, line: float = 0.0
) -> list[AbstractPathEffect]:
    """Path effects that put a rim of ``width`` points around text, or a ``line`` so wide."""
    return [Stroke(linewidth=line + width * 2, foreground=colour), NormalStroke()]


def dose_wash(*, threshold: float = 0.05, full: float = 0.3, opacity: float = 0.7) -> Colormap:
    """Dose colours that are clear below ``threshold`` of full scale and reach ``opacity``."""
    level = np.linspace(0.0, 1.0, 256)
    rgba = np.array(colormaps[DOSE_COLOURS](level))
    rgba[:, 3] = opacity * np.clip((level - threshold) / (full - threshold), 0.0, 1.0)
    return ListedColormap(rgba, name="dose wash")


def structure_colours(structures: Iterable[Structure]) -> dict[str, Colour]:
    """A colour by structure name: its own, or one of a palette safe for colour blindness.

    Colours too light for white paper are darkened. Palettes start again when they run out.
    """
    chosen: dict[str, Colour] = {}
    n_targets = n_organs = 0
    for structure in structures:
        if structure.role == "external":
            colour = _EXTERNAL
        elif structure.role == "target":
            colour = _cycle(_TARGETS, n_targets)
            n_targets += 1
        else:
            colour = _cycle(_ORGANS, n_organs)
            n_organs += 1
        chosen[structure.name] = _readable(structure.colour or colour)
    return chosen


def _cycle(palette: Sequence[Colour], number: int) -> Colour:
    """Entry of ``palette``; each time round it is darker, so that two structures differ."""
    turn, place = divmod(number, len(palette))
    red, green, blue = (c * 0.7**turn for c in palette[place])
    return red, green, blue


def _readable(colour: Colour) -> Colour:
    """``colour``, darkened as far as white paper asks (luminance after ITU-R BT.709)."""
    red, green, blue = (float(c) for c in colour)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    factor = min(1.0, _LIGHTEST / luminance) if luminance > 0 else 1.0
    return red * factor, green * factor, blue * factor
