"""Pictures of a machine's base data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dosegrad.arrays import Array
from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.machine.kinds import Machine
from dosegrad.machine.particle import ParticleMachine
from dosegrad.machine.photon import PhotonMachine
from dosegrad.physics.bortfeld import bragg_curve
from dosegrad.plot.ion_curves import draw_alpha, draw_fragment_share
from dosegrad.plot.photon_curves import photon_machine
from dosegrad.plot.style import LINE_COLOURS, Colour, frame, new_figure

__all__ = ["analytic_twin", "machine"]

#: How many energies are drawn.
_SHOWN: Final = 5
_TWIN_LABEL: Final = "Bortfeld 1997, same R₀ and width"
#: Shares of the peak whose depths behind it tell range and width.
_DISTAL: Final = (0.8, 0.2)
#: Rounds of fitting Bortfeld's curve; each leaves a small part of the error of the one before.
_FIT_STEPS: Final = 8


def machine(machine: Machine) -> Figure:
    """Base data of a machine: depth dose, lateral spread, LET, spot size against energy.

    With tables of alpha and beta also alpha in three tissues and the share of the wide Gaussian.
    Of a photon machine: depth doses, profiles, output factors and depth components.

    For protons each depth dose stands beside Bortfeld's analytic curve of the same range R0 and
    width: those with which its distal 80 % and 20 % points are where the machine's are. Its height
    is its own, nothing is scaled.
    """
    if isinstance(machine, PhotonMachine):
        return photon_machine(machine)
    chosen = _representative(machine.data)
    colours = [LINE_COLOURS[k % len(LINE_COLOURS)] for k in range(len(chosen))]
    columns = 3 if machine.has_biology else 2
    figure = new_figure(6.0 * columns, 8.0)
    panels = figure.subplots(2, columns)
    _depth_doses(panels[0, 0], machine, chosen, colours)
    _lateral_spread(panels[0, 1], chosen, colours)
    _let(panels[1, 0], chosen, colours)
    _spot_size(panels[1, 1], machine)
    if machine.has_biology:
        draw_alpha(panels[0, 2], machine, chosen, colours)
        draw_fragment_share(panels[1, 2], chosen, colours)
    unit = "MeV" if machine.modality == "protons" else "MeV/u"
    figure.suptitle(f"{machine.name} ({machine.modality})", fontsize=12)
    handles = [
        Line2D([], [], color=c, linewidth=2, label=f"{d.energy:.0f} {unit}")
        for d, c in zip(chosen, colours, strict=True)
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=_SHOWN, fontsize=9, frameon=False
    )
    return figure


def _representative(data: Sequence[PencilBeamData]) -> list[PencilBeamData]:
    """Up to five energies whose ranges are evenly spread."""
    ranges = np.array([d.range for d in data])
    wanted = np.linspace(ranges[0], ranges[-1], _SHOWN)
    numbers = sorted({int(np.argmin(np.abs(ranges - r))) for r in wanted})
    return [data[k] for k in numbers]


def _depth_doses(
    ax: Axes, machine: ParticleMachine, data: Sequence[PencilBeamData], colours: Sequence[Colour]
) -> None:
    for entry, colour in zip(data, colours, strict=True):
        ax.plot(entry.depths, entry.dose, color=colour, linewidth=1.6)
        if machine.modality == "protons":
            twin = analytic_twin(entry)
            if twin.any():
                ax.plot(entry.depths, twin, color="black", linewidth=0.9, linestyle=(0, (4, 2)))
    frame(
        ax, title="Depth dose of one proton" if machine.modality == "protons" else "Depth dose",
        x="depth in water (mm)", y="integral dose (MeV cm²/g)", grid=True,
    )  # fmt: skip
    if machine.modality == "protons":
        ax.plot([], [], "-", color="0.4", linewidth=1.6, label="this machine")
        ax.plot([], [], color="black", linewidth=0.9, linestyle=(0, (4, 2)), label=_TWIN_LABEL)
        ax.legend(fontsize=8, frameon=False, loc="upper center")
    longest = max(d.range for d in data)
    ax.set_xlim(0, longest * (1.08 if machine.modality == "protons" else 1.35))
    ax.set_ylim(bottom=0)


def analytic_twin(entry: PencilBeamData) -> Array:
    """Bortfeld's curve with the distal 80 % and 20 % points of ``entry``, on its depths.

    MeV cm2/g, shape (n,). Where the data's own fall-off is not that of a Bragg peak, all zero.
    """
    wanted = _distal_points(entry.depths, entry.dose)
    if wanted is None:
        return np.zeros_like(entry.depths)
    mean_range, width = wanted[0], (wanted[1] - wanted[0]) / 1.3
    for _ in range(_FIT_STEPS):
        near = mean_range + width * np.linspace(-8.0, 6.0, 1401)
        found = _distal_points(near, bragg_curve(near, mean_range=mean_range, range_std=width))
        if found is None:
            return np.zeros_like(entry.depths)
        width *= (wanted[1] - wanted[0]) / (found[1] - found[0])
        mean_range += wanted[0] - found[0]
    return bragg_curve(entry.depths, mean_range=mean_range, range_std=width)


def _distal_points(depths: Array, dose: Array) -> tuple[float, float] | None:
    """Last depths where 80 % and 20 % of the peak are reached; ``None`` if 20 % are at the end."""
    levels = dose / dose.max()
    found = []
    for wanted in _DISTAL:
        last = int(np.flatnonzero(levels >= wanted)[-1])
        if last + 1 == dose.size:
            return None
        here, behind = levels[last : last + 2]
        share = (here - wanted) / (here - behind)
        found.append(float(depths[last] + share * (depths[last + 1] - depths[last])))
    return found[0], found[1]


def _lateral_spread(ax: Axes, data: Sequence[PencilBeamData], colours: Sequence[Colour]) -> None:
    for entry, colour in zip(data, colours, strict=True):
        within = entry.depths <= 1.05 * entry.range
        for number, sigma in enumerate(entry.sigmas):
            style = "-" if number == 0 else ":"
            ax.plot(entry.depths[within], sigma[within], style, color=colour, linewidth=1.6)
    if any(len(d.sigmas) > 1 for d in data):
        ax.plot([], [], "-", color="0.2", label="narrow Gaussian")
        ax.plot([], [], ":", color="0.2", label="wide Gaussian")
        ax.legend(fontsize=8, frameon=False)
    frame(
        ax, title="Lateral spread in water, without the initial spot", x="depth in water (mm)",
        y="standard deviation (mm)", grid=True,
    )  # fmt: skip
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)


def _let(ax: Axes, data: Sequence[PencilBeamData], colours: Sequence[Colour]) -> None:
    frame(
        ax, title="Dose-averaged LET", x="depth in water (mm)", y="LET (keV/µm)",
        grid=True,
    )  # fmt: skip
    drawn = False
    for entry, colour in zip(data, colours, strict=True):
        if entry.let.size:
            within = entry.depths <= 1.03 * entry.range
            ax.plot(entry.depths[within], entry.let[within], color=colour, linewidth=1.6)
            drawn = True
    if drawn:
        ax.set_xlim(left=0)
        ax.set_ylim(bottom=0)
    else:
        ax.text(0.5, 0.5, "no LET in these data", transform=ax.transAxes, ha="center")


def _spot_size(ax: Axes, machine: ParticleMachine) -> None:
    sigma = [d.spot_sigma(machine.nozzle_distance) for d in machine.data]
    ax.plot(machine.energies, sigma, color=LINE_COLOURS[0], linewidth=1.6)
    unit = "MeV" if machine.modality == "protons" else "MeV/u"
    frame(
        ax, title="Spot at the isocentre, in air", x=f"energy ({unit})",
        y="standard deviation (mm)", grid=True,
    )  # fmt: skip
    ax.set_ylim(bottom=0)
