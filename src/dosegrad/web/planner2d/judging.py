"""What a plan's dose is worth: histograms, goals, the curves of one beam."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

import numpy as np

from dosegrad.arrays import Array, BoolArray
from dosegrad.evaluation.dose_volume import DVH
from dosegrad.evaluation.goals import Goal
from dosegrad.web.planner2d.dose import dose_at
from dosegrad.web.planner2d.sections import Canvas, canvas_of
from dosegrad.web.planner2d.state import (
    BODY,
    BeamState,
    EllipseShape,
    PlanState,
    SectionState,
    StructureState,
)

__all__ = ["Verdict", "beam_curves", "curve_points", "histograms", "judge", "pixels_of"]

_N_DOSES: Final = 81


@dataclass(frozen=True, slots=True)
class Verdict:
    """One goal: its sentence, the figure of the dose, and whether it is met."""

    text: str
    value: float
    unit: str
    met: bool


def pixels_of(section: SectionState, structure: StructureState) -> BoolArray:
    """Which pixels in the patient lie in a structure, (n_pixels in the patient,)."""
    shape = structure.shape
    if isinstance(shape, EllipseShape):
        return _in_ellipse(section, shape)
    return _in_polygon(section, tuple(shape.points))


def histograms(state: PlanState, dose: Array) -> dict[str, DVH]:
    """Histograms by structure, the whole section last; ``dose`` (n_pixels in the patient,), Gy."""
    canvas = canvas_of(state.section)
    pitch = canvas.width / round(len(canvas.points) ** 0.5)
    volume = pitch**2 * 1e-2  # cm3 of a layer 10 mm thick
    parts = {s.name: dose[pixels_of(state.section, s)] for s in state.structures}
    return {name: DVH(doses, volume) for name, doses in {**parts, BODY: dose}.items()}


def judge(state: PlanState, curves: dict[str, DVH]) -> list[Verdict]:
    """Each goal of the plan; one about a structure that is not there is not met."""
    verdicts = []
    for sentence in state.goals:
        goal = Goal.parse(sentence)
        curve = curves.get(goal.structure)
        if curve is None or not curve.doses.size:
            verdicts.append(Verdict(sentence, float("nan"), goal.unit, False))
            continue
        nothing = cast(Any, None)  # only CI, which state.py refuses, asks dose and structure
        value = goal.metric.value(nothing, nothing, curve, goal.unit)
        verdicts.append(Verdict(sentence, value, goal.unit, goal.is_met_by(value)))
    return verdicts


def curve_points(curve: DVH, top: float) -> list[float]:
    """Volume, %, at equal steps of dose from 0 to ``top``."""
    return [round(100.0 * float(v), 2) for v in curve.volume_at(np.linspace(0.0, top, _N_DOSES))]


def beam_curves(state: PlanState, beam: BeamState) -> dict[str, list[list[float]]]:
    """Depth dose on the axis and profile at the isocentre of one beam, Gy.

    Depth, mm, is counted from where the axis enters the patient, to a hundredth. Both curves hold
    the isocentre where it lies in the patient.
    """
    canvas = canvas_of(state.section)
    angle = np.deg2rad(beam.gantry)
    axis = np.array([-np.sin(angle), np.cos(angle)])
    across = np.array([axis[1], -axis[0]])
    centre = np.array(state.isocentre)
    entry = _entry(canvas, centre, axis)
    steps = np.arange(0.0, 1.5 * canvas.width, 2.0)
    reach = np.union1d(entry + steps, [max(entry, 0.0)])
    line = centre + reach[:, None] * axis
    within = canvas.photons.inside(line)
    depth = reach[within] - entry
    half = 0.5 * beam.width + 30.0
    offsets = np.linspace(-half, half, 121)
    side = centre + offsets[:, None] * across
    kept = canvas.photons.inside(side)
    return {
        "depth": _curve(depth, beam.mu * dose_at(state, beam, line[within])),
        "profile": _curve(offsets[kept], beam.mu * dose_at(state, beam, side[kept])),
    }


def _entry(canvas: Canvas, centre: Array, axis: Array) -> float:
    """Place on the axis, mm from the isocentre, where the beam enters the patient."""
    reach = np.arange(-1.5 * canvas.width, 1.5 * canvas.width, 2.0)
    within = canvas.photons.inside(centre + reach[:, None] * axis)
    if not within.any():
        return 0.0
    deep = float(reach[np.argmax(within)])
    shallow = deep - 2.0
    while deep - shallow > 0.01:
        middle = 0.5 * (shallow + deep)
        if canvas.photons.inside(centre[None] + middle * axis)[0]:
            deep = middle
        else:
            shallow = middle
    return deep


def _curve(places: Array, dose: Array) -> list[list[float]]:
    return [places.round(2).tolist(), dose.round(5).tolist()]


@lru_cache(maxsize=64)
def _in_ellipse(section: SectionState, shape: EllipseShape) -> BoolArray:
    points = canvas_of(section).body
    inside: BoolArray = (
        np.hypot((points[:, 0] - shape.x) / shape.rx, (points[:, 1] - shape.y) / shape.ry) <= 1.0
    )
    return inside


@lru_cache(maxsize=64)
def _in_polygon(section: SectionState, corners: tuple[tuple[float, float], ...]) -> BoolArray:
    """By the number of edges that a ray to the right crosses."""
    points, outline = canvas_of(section).body, np.array(corners)
    inside = np.zeros(len(points), dtype=bool)
    low, high = outline.min(axis=0), outline.max(axis=0)
    near = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
    x, y = points[near].T
    found = np.zeros(len(near), dtype=bool)
    for (x1, y1), (x2, y2) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if y1 != y2:
            crossed = (y1 > y) != (y2 > y)
            found ^= crossed & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    inside[near] = found
    return inside
