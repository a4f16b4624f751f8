"""What each candidate beam angle is worth, around the patient."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dosegrad.optimisation.beam_angles import AngleChoice
from dosegrad.plot.style import LINE_COLOURS, new_figure

__all__ = ["angles"]


def angles(choice: AngleChoice) -> Figure:
    """Polar figure of what each candidate is worth; one dial for each couch angle.

    The length of a bar is the lowest objective that was found, divided by the lowest with this
    beam, both after the few iterations of the search: less the more a plan would lose by having to
    use the candidate. Chosen beams are dark. Gantry 0° is at the top and 90° to the right.
    """
    couches = sorted({couch for _, couch in choice.candidates})
    figure = new_figure(4.2 * len(couches), 4.6)
    dials = figure.subplots(1, len(couches), squeeze=False, subplot_kw={"projection": "polar"})[0]
    best = min(choice.worth.values())
    for dial, couch in zip(dials, couches, strict=True):
        here = [angle for angle in choice.candidates if angle[1] == couch]
        _draw(dial, choice, here, best)
        title = "Worth of gantry angles" + (f", couch {couch:g}°" if len(couches) > 1 else "")
        dial.set_title(title, fontsize=10.5)
    return figure


def _draw(dial: Any, choice: AngleChoice, here: list[tuple[float, float]], best: float) -> None:
    gantry = np.deg2rad([angle[0] for angle in here])
    length = np.array([best / choice.worth[angle] for angle in here])
    colours = [LINE_COLOURS[0] if angle in choice.chosen else "0.78" for angle in here]
    gaps = np.diff(np.sort(np.append(gantry, gantry.min() + 2.0 * np.pi)))
    width = 0.8 * float(min(gaps.min(), np.pi / 6))
    dial.set_theta_zero_location("N")
    dial.set_theta_direction(-1)
    dial.bar(gantry, length, width=width, color=colours, linewidth=0)
    dial.set_ylim(0.0, 1.0)
    dial.set_yticks([0.5, 1.0])
    dial.set_thetagrids(np.arange(0, 360, 45))
    dial.tick_params(labelsize=8)
    dial.set_axisbelow(True)
    for angle, at, size in zip(here, gantry, length, strict=True):
        if angle in choice.chosen:
            dial.annotate(
                f"{angle[0]:g}°", (at, 0.62 * size), ha="center", va="center", fontsize=8, color="w"
            )
