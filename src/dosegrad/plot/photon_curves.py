"""Pictures of a photon machine's commissioning table."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dosegrad.commissioning.photon_tables import (
    output_factor,
    percentage_depth_dose,
    tissue_phantom_ratio,
    water_profile,
)
from dosegrad.engines.photon_kernel.model import depth_components
from dosegrad.machine.photon import PhotonMachine
from dosegrad.plot.style import LINE_COLOURS, frame, new_figure

__all__ = ["photon_machine"]

#: Sides of the square fields that are drawn, mm.
_FIELDS: Final = (30.0, 50.0, 100.0, 200.0)
#: Sides for the curve of output factors, mm.
_SIDES: Final = (10.0, 15.0, 20.0, 30.0, 40.0, 60.0, 80.0, 100.0, 150.0, 200.0, 250.0)


def photon_machine(machine: PhotonMachine) -> Figure:
    """Depth doses, profiles, output factors and depth components of a photon machine in water."""
    figure = new_figure(12.0, 8.0)
    top_left, top_right, low_left, low_right = figure.subplots(2, 2).ravel()
    _depth_doses(top_left, machine)
    _profiles(top_right, machine)
    _output(low_left, machine)
    _components(low_right, machine)
    quality = tissue_phantom_ratio(machine)
    figure.suptitle(f"{machine.name} (photons, TPR20,10 = {quality:.3f})", fontsize=12)
    return figure


def _depth_doses(ax: Axes, machine: PhotonMachine) -> None:
    depth = np.concatenate([np.arange(0.0, 40.0, 0.5), np.arange(40.0, 301.0, 5.0)])
    for field, colour in zip(_FIELDS, LINE_COLOURS, strict=False):
        percent = percentage_depth_dose(machine, field=field, ssd=900.0, depth=depth)
        ax.plot(depth, percent, color=colour, linewidth=1.6, label=f"{field:.0f} mm")
    frame(
        ax, title="Depth dose on the axis, SSD 900 mm", x="depth in water (mm)",
        y="dose (% of maximum)", grid=True,
    )  # fmt: skip
    ax.set_xlim(0, 300)
    ax.set_ylim(bottom=0)
    ax.legend(fontsize=8, frameon=False, title="square field", title_fontsize=8)


def _profiles(ax: Axes, machine: PhotonMachine) -> None:
    across = np.arange(-150.0, 150.5, 0.5)
    for field, colour in zip(_FIELDS, LINE_COLOURS, strict=False):
        dose = water_profile(machine, field=field, ssd=900.0, depth=100.0, off_axis=across)
        ax.plot(across, 100.0 * dose / dose.max(), color=colour, linewidth=1.6)
    frame(
        ax, title="Profiles 100 mm deep, uniform fluence", x="distance from the axis (mm)",
        y="dose (% of maximum)", grid=True,
    )  # fmt: skip
    ax.set_xlim(-150, 150)
    ax.set_ylim(bottom=0)


def _output(ax: Axes, machine: PhotonMachine) -> None:
    factors = [output_factor(machine, field=side) for side in _SIDES]
    ax.plot(_SIDES, factors, "-o", color=LINE_COLOURS[0], linewidth=1.6, markersize=4)
    frame(
        ax, title="Output at the isocentre, 100 mm deep", x="side of the field (mm)",
        y="dose relative to 100 mm", grid=True,
    )  # fmt: skip


def _components(ax: Axes, machine: PhotonMachine) -> None:
    depth = np.linspace(0.0, 300.0, 601)
    values = depth_components(machine, depth)
    for k, colour in zip(range(3), LINE_COLOURS, strict=False):
        label = f"β = {machine.betas[k]:.4f} / mm"
        ax.plot(depth, values[:, k], color=colour, linewidth=1.6, label=label)
    frame(
        ax, title="Depth components", x="depth in water (mm)", y="relative dose", grid=True,
    )  # fmt: skip
    ax.set_xlim(0, 300)
    ax.set_ylim(bottom=0)
    ax.legend(fontsize=8, frameon=False)
