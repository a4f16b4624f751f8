"""Bands of dose-volume histograms over scenarios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dosegrad.dose import Dose
from dosegrad.errors import PlanError
from dosegrad.evaluation.dose_volume import DVH, structure_dvh
from dosegrad.patient.patient import Patient
from dosegrad.plot.dvh_curves import axis_label
from dosegrad.plot.style import Colour, frame, new_figure, structure_colours

__all__ = ["draw_bands", "robust_bands"]

#: Doses at which bands are drawn.
_STEPS: Final = 401


def robust_bands(
    doses: Sequence[Dose],
    patient: Patient,
    *,
    structures: Sequence[str] | None = None,
    nominal: Dose | None = None,
) -> Figure:
    """Dose-volume histograms of all scenarios: the plan's as a line, the rest as a band.

    Parameters
    ----------
    doses
        Of the scenarios, such as ``plan.scenario_doses``.
    patient
        Whose structures are shown.
    structures
        Names of those to show; by default targets and organs.
    nominal
        The dose whose curve is the line; by default that of the scenario named ``"nominal"``, or
        else the first.

    Raises
    ------
    PlanError
        If there is no dose.
    UnknownNameError
        If the patient lacks a structure.
    """
    if not doses:
        raise PlanError(
            "there are no scenario doses to draw; optimise with robust=, or compute them with "
            "influence.scenario_doses.scenario_doses."
        )
    if structures is None:
        roles = ("target", "organ")
        structures = [n for n, s in patient.structures.items() if s.role in roles]
    shown = {name: patient.structure(name) for name in structures}
    line = nominal if nominal is not None else _nominal(doses)
    curves = {
        name: [structure_dvh(dose, structure) for dose in (line, *doses)]
        for name, structure in shown.items()
    }
    figure = new_figure(8.0, 5.0)
    ax = figure.subplots()
    colours = structure_colours(patient.structures.values())
    draw_bands(ax, curves, colours, x=axis_label(line))
    ax.legend(fontsize=9, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def draw_bands(
    ax: Axes,
    curves: Mapping[str, Sequence[DVH]],
    colours: Mapping[str, Colour],
    *,
    title: str = "",
    x: str = "dose (Gy)",
) -> None:
    """Bands on ``ax``, volume in percent against dose.

    The first curve of each structure is drawn as a line, and the band holds all others. A
    structure outside the dose grid is left out.
    """
    shown = {name: found for name, found in curves.items() if found[0].doses.size}
    tops = [curve.maximum for found in shown.values() for curve in found]
    highest = max(tops, default=0.0) or 1.0
    doses = np.linspace(0.0, highest, _STEPS)
    for name, (line, *others) in shown.items():
        volumes = 100.0 * np.array([curve.volume_at(doses) for curve in others or (line,)])
        low, high = volumes.min(axis=0), volumes.max(axis=0)
        ax.fill_between(doses, low, high, color=colours[name], alpha=0.25, linewidth=0, zorder=2)
        ax.plot(
            doses, 100.0 * np.asarray(line.volume_at(doses)), color=colours[name],
            linewidth=1.9, label=name, zorder=3,
        )  # fmt: skip
    frame(ax, title=title, x=x, y="volume (%)", grid=True)
    ax.set(xlim=(0.0, 1.04 * highest), ylim=(0.0, 102.0))


def _nominal(doses: Sequence[Dose]) -> Dose:
    named = [dose for dose in doses if dose.provenance.get("scenario") == "nominal"]
    return named[0] if named else doses[0]
