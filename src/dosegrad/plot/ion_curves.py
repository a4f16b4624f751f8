"""Pictures of ion base data: alpha, share of fragments, and own curves beside other machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dosegrad.commissioning.ion_matching import MatchedCurves, match_ion_curves
from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.machine.particle import ParticleMachine
from dosegrad.plot.style import LINE_COLOURS, Colour, frame, new_figure

__all__ = ["draw_alpha", "draw_fragment_share", "ion_comparison"]

_LINES: Final = ("-", (0, (5, 2)), ":")
_THEIRS: Final = (0, (4, 2))


def draw_alpha(
    ax: Axes, machine: ParticleMachine, data: Sequence[PencilBeamData], colours: Sequence[Colour]
) -> None:
    """Alpha against depth of each energy, in up to three tissues."""
    shown = range(min(len(machine.tissues), len(_LINES)))
    for tissue, style in zip(shown, _LINES, strict=False):
        for entry, colour in zip(data, colours, strict=True):
            ax.plot(entry.depths, entry.alpha[tissue], color=colour, ls=style, linewidth=1.4)
        alpha_x, beta_x = machine.tissues[tissue]
        ax.plot([], [], color="0.2", ls=style, label=f"αₓ {alpha_x:g}/Gy, βₓ {beta_x:g}/Gy²")
    ax.legend(fontsize=8, frameon=False)
    frame(ax, title="Alpha", x="depth in water (mm)", y="alpha (1/Gy)", grid=True)
    ax.set_xlim(0, 1.3 * max(d.range for d in data))
    highest = max(d.alpha[k].max() for d in data for k in shown)
    ax.set_ylim(0, 1.35 * highest)  # room for the legend


def draw_fragment_share(
    ax: Axes, data: Sequence[PencilBeamData], colours: Sequence[Colour]
) -> None:
    """Share of the wide Gaussian in the dose against depth: fragments, in ion machines."""
    for entry, colour in zip(data, colours, strict=True):
        ax.plot(entry.depths, 100.0 * entry.weights[1:].sum(axis=0), color=colour, linewidth=1.6)
    frame(ax, title="Share of the wide Gaussian", x="depth in water (mm)", y="dose (%)", grid=True)
    ax.set_xlim(0, 1.3 * max(d.range for d in data))
    ax.set_ylim(0, 100)


def ion_comparison(machine: ParticleMachine, energies: Sequence[float]) -> Figure:
    """Depth dose, the tail, spread and biology of another ion machine beside our own physics.

    Own curves have the range and the width of the peak of the other's at each energy; see
    :func:`~dosegrad.commissioning.ion_matching.match_ion_curves`.

    Parameters
    ----------
    machine
        A machine of helium or carbon, such as one read from a matRad file.
    energies
        Energies of it to draw, MeV/u; the nearest are taken.
    """
    listed = machine.energies
    chosen = [float(listed[np.abs(listed - e).argmin()]) for e in energies]
    pairs = [(machine.at_energy(e), match_ion_curves(machine, e)) for e in chosen]
    figure = new_figure(12.0, 8.0)
    top_left, top_right, low_left, low_right = figure.subplots(2, 2).ravel()
    for number, (theirs, ours) in enumerate(pairs):
        colour = LINE_COLOURS[number % len(LINE_COLOURS)]
        _dose(top_left, theirs, ours, colour)
        _dose(top_right, theirs, ours, colour)
        _spread(low_left, theirs, ours, colour)
        _quality(low_right, theirs, ours, colour)
    end = 1.25 * max(d.range for d, _ in pairs)
    frame(
        top_left, title="Depth dose over the peak", x="depth in water (mm)",
        y="share of the peak", grid=True,
    )  # fmt: skip
    frame(
        top_right, title="The same, logarithmic: the tail of fragments", x="depth in water (mm)",
        y="share of the peak", grid=True,
    )  # fmt: skip
    top_right.set_yscale("log")
    top_right.set_ylim(3e-3, 1.2)
    frame(
        low_left, title="Lateral spread in water, primaries", x="depth in water (mm)",
        y="standard deviation (mm)", grid=True,
    )  # fmt: skip
    low_left.set_ylim(bottom=0)
    has_alpha = bool(len(machine.tissues))
    frame(
        low_right, title=_quality_title(machine), x="depth in water (mm)",
        y="alpha (1/Gy)" if has_alpha else "LET (keV/µm)", grid=True,
    )  # fmt: skip
    low_right.set_ylim(bottom=0)
    for ax in (top_left, top_right, low_left, low_right):
        ax.set_xlim(0, end)
    top_left.plot([], [], color="0.2", label="dosegrad")
    top_left.plot([], [], color="0.2", ls=_THEIRS, label=machine.name)
    top_left.legend(fontsize=8, frameon=False, loc="upper left")
    figure.suptitle(f"Own ion physics beside {machine.name}, equal range and width", fontsize=12)
    return figure


def _quality_title(machine: ParticleMachine) -> str:
    if not len(machine.tissues):
        return "Dose-averaged LET"
    alpha_x, beta_x = machine.tissues[0]
    return f"Alpha, αₓ {alpha_x:g}/Gy, βₓ {beta_x:g}/Gy²: kinetic model and the file's"


def _dose(ax: Axes, theirs: PencilBeamData, ours: MatchedCurves, colour: Colour) -> None:
    ax.plot(ours.curves.depths, ours.dose / ours.dose.max(), color=colour, linewidth=1.6)
    level = theirs.dose / theirs.dose.max()
    ax.plot(theirs.depths, level, color=colour, ls=_THEIRS, linewidth=1.2)


def _spread(ax: Axes, theirs: PencilBeamData, ours: MatchedCurves, colour: Colour) -> None:
    own = ours.curves.depths <= 1.02 * theirs.range
    ax.plot(ours.curves.depths[own], ours.curves.sigmas[0][own], color=colour, linewidth=1.6)
    inside = theirs.depths <= 1.02 * theirs.range
    ax.plot(
        theirs.depths[inside], theirs.sigmas[0][inside], color=colour, ls=_THEIRS, linewidth=1.2
    )


def _quality(ax: Axes, theirs: PencilBeamData, ours: MatchedCurves, colour: Colour) -> None:
    depths = ours.curves.depths
    if len(theirs.alpha):
        ax.plot(depths, ours.alpha(0), color=colour, linewidth=1.6)
        ax.plot(theirs.depths, theirs.alpha[0], color=colour, ls=_THEIRS, linewidth=1.2)
    elif theirs.let.size:
        ax.plot(depths, ours.let, color=colour, linewidth=1.6)
        ax.plot(theirs.depths, theirs.let, color=colour, ls=_THEIRS, linewidth=1.2)
