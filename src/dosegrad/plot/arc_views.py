"""What gantry, beam and leaves do along an arc."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from dosegrad.evaluation.arc_delivery import arc_delivery
from dosegrad.machine.photon import PhotonMachine
from dosegrad.plan import Plan
from dosegrad.plot.style import LINE_COLOURS, frame, new_figure

__all__ = ["arc"]

#: Degree between ticks, the least of them that needs no more ticks than so many.
_PITCHES = (1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 45.0, 60.0, 90.0)
_TICKS = 9


def arc(plan: Plan) -> Figure:
    """Gantry speed, dose rate, leaf speed and MU along an arc, with the machine's limits dashed.

    Raises
    ------
    PlanError
        If the plan is no arc.
    """
    delivery = arc_delivery(plan)
    machine, apertures = plan.beams.machine, plan.apertures
    assert isinstance(machine, PhotonMachine) and apertures is not None
    assert machine.collimator is not None
    turned = np.unwrap([beam.gantry for beam in plan.beams], period=360.0)
    middle = 0.5 * (turned[1:] + turned[:-1])
    curves = (
        ("gantry / (°/s)", middle, delivery.gantry_speeds, machine.arc.gantry_speed),
        ("dose rate / (MU/min)", middle, delivery.dose_rates, machine.arc.dose_rate),
        ("fastest leaf / (mm/s)", middle, delivery.leaf_speeds, machine.collimator.leaf_speed),
        ("MU a fraction", turned, apertures.monitor_units / plan.fractions, None),
    )
    figure = new_figure(7.0, 6.4)
    axes = figure.subplots(len(curves), 1, sharex=True)
    for ax, (label, where, values, limit) in zip(axes, curves, strict=True):
        ax.step(where, values, where="mid", color=LINE_COLOURS[0], linewidth=1.2)
        if limit is not None:
            ax.axhline(limit, color="0.4", linewidth=0.9, linestyle="--")
        ax.set_ylim(0.0, 1.15 * max(float(values.max()), limit or 0.0))
        frame(ax)
        ax.set_ylabel(label, fontsize=9)
    low, high = float(turned.min()), float(turned.max())
    pitch = next((p for p in _PITCHES if high - low <= _TICKS * p), _PITCHES[-1])
    ticks = pitch * np.arange(np.ceil(low / pitch), np.floor(high / pitch) + 1)
    axes[-1].set_xticks(ticks, [f"{t % 360.0:.0f}°" for t in ticks])
    axes[-1].set_xlabel("gantry", fontsize=9)
    figure.suptitle(
        f"{len(plan.beams)} control points, {delivery.total:.0f} s and "
        f"{apertures.monitor_units.sum() / plan.fractions:.0f} MU a fraction"
    )
    return figure
