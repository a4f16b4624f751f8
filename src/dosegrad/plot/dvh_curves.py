"""Dose-volume histograms as curves, with the limits of clinical goals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dosegrad.dose import Dose
from dosegrad.evaluation.dose_volume import DVH
from dosegrad.evaluation.dose_volume import dvh as histograms
from dosegrad.evaluation.goals import Goal
from dosegrad.evaluation.report import Row
from dosegrad.patient.patient import Patient
from dosegrad.plot.style import Colour, frame, new_figure, structure_colours

__all__ = ["axis_label", "draw_dvh", "draw_goals", "dvh"]

#: Doses at which a curve is drawn.
_STEPS: Final = 801


def dvh(dose: Dose, patient: Patient) -> Figure:
    """Cumulative dose-volume histograms of all structures of a patient."""
    figure = new_figure(8.0, 5.0)
    ax = figure.subplots()
    colours = structure_colours(patient.structures.values())
    draw_dvh(ax, histograms(dose, patient), colours, x=axis_label(dose))
    ax.legend(fontsize=9, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def draw_dvh(
    ax: Axes,
    curves: Mapping[str, DVH],
    colours: Mapping[str, Colour],
    *,
    title: str = "",
    x: str = "dose (Gy)",
) -> None:
    """Curves on ``ax``, volume in percent against dose; structures without dose are left out."""
    shown = {name: curve for name, curve in curves.items() if curve.doses.size}
    highest = max((curve.maximum for curve in shown.values()), default=0.0) or 1.0
    for name, curve in shown.items():
        doses = np.linspace(0.0, curve.maximum, _STEPS)
        volumes = 100.0 * np.asarray(curve.volume_at(doses))
        ax.plot(
            np.append(doses, curve.maximum), np.append(volumes, 0.0), color=colours[name],
            linewidth=1.9, label=name, zorder=3,
        )  # fmt: skip
    frame(ax, title=title, x=x, y="volume (%)", grid=True)
    ax.set(xlim=(0.0, 1.08 * highest), ylim=(0.0, 102.0))


def axis_label(dose: Dose) -> str:
    """What a dose is, with its unit."""
    if "(" in dose.unit:  # two brackets would not read well
        return f"{dose.label}, {dose.unit}"
    return f"{dose.label} ({dose.unit})" if dose.unit else dose.label


def draw_goals(
    ax: Axes, report: Iterable[Row], curves: Mapping[str, DVH], colours: Mapping[str, Colour]
) -> None:
    """A triangle at the limit of each goal that is a point of the histogram, with its value.

    It points to the side on which the curve has to pass. Goals on means and indices are no points.
    """
    left, right = ax.get_xlim()
    for row in report:
        goal = row.goal
        curve = curves.get(goal.structure)
        point = _point(goal, curve) if curve is not None else None
        if point is None:
            continue
        ax.plot(
            *point, marker=_marker(goal), markersize=9, color=colours[goal.structure],
            markeredgecolor="black", markeredgewidth=0.9, linestyle="none", zorder=6,
            clip_on=False, label=_in_words(row),
        )  # fmt: skip
        right = max(right, 1.04 * point[0])
    ax.set_xlim(left, right)


def _point(goal: Goal, curve: DVH) -> tuple[float, float] | None:
    """Dose, Gy, and volume, percent, of a goal's limit."""
    metric, number = goal.metric, goal.metric.number or 0.0
    if metric.kind == "maximum":
        return goal.limit, 0.0
    if metric.kind == "minimum":
        return goal.limit, 100.0
    if metric.kind == "dose-at-percent":
        return goal.limit, number
    if metric.kind == "dose-at-cc" and curve.volume_cc > 0:
        return goal.limit, min(100.0 * number / curve.volume_cc, 100.0)
    if metric.kind == "volume-at-dose" and goal.unit == "%":
        return number, goal.limit
    if metric.kind == "volume-at-dose" and curve.volume_cc > 0:
        return number, min(100.0 * goal.limit / curve.volume_cc, 100.0)
    return None


def _in_words(row: Row) -> str:
    wanted = str(row.goal).replace(">=", "≥").replace("<=", "≤")
    unit = f" {row.goal.unit}" if row.goal.unit else ""
    return f"{wanted}   ({row.value:.1f}{unit}{'' if row.met else ', not met'})"


def _marker(goal: Goal) -> str:
    at_least = goal.comparator in (">=", ">")
    if goal.metric.kind == "volume-at-dose":
        return "^" if at_least else "v"
    return ">" if at_least else "<"
