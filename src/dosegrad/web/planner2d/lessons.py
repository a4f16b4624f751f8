"""Six short exercises, each with a start, a goal and a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from dosegrad.web.planner2d.judging import Verdict
from dosegrad.web.planner2d.sections import SLICES
from dosegrad.web.planner2d.state import (
    BeamState,
    EllipseShape,
    PlanState,
    SectionState,
    StructureState,
)

__all__ = ["LESSONS", "Lesson", "Rule", "check"]


@dataclass(frozen=True, slots=True)
class Rule:
    """Something about the beams that an exercise asks for."""

    text: str
    holds: Callable[[PlanState], bool]


@dataclass(frozen=True, slots=True)
class Lesson:
    """One exercise.

    Parameters
    ----------
    title, idea, task, hint
        What the student reads: what it is about, what to do, and what may help.
    start
        The plan it begins with; its goals are those to meet.
    rules
        What is asked of the beams.
    """

    title: str
    idea: str
    task: str
    hint: str
    start: PlanState
    rules: tuple[Rule, ...]


def check(state: PlanState, verdicts: list[Verdict]) -> tuple[list[Verdict], bool]:
    """How the rules of the plan's lesson are kept, and whether the lesson is done."""
    lesson = LESSONS.get(state.lesson or "")
    if lesson is None:
        return [], False
    by_text = {v.text: v.met for v in verdicts}
    same = (state.section, state.structures) == (lesson.start.section, lesson.start.structures)
    kept = [Verdict(rule.text, float("nan"), "", rule.holds(state)) for rule in lesson.rules]
    kept.append(Verdict(_AS_GIVEN, float("nan"), "", same))
    met = all(by_text.get(goal, False) for goal in lesson.start.goals)
    return kept, met and all(rule.met for rule in kept)


#: What every exercise asks for: it is solved by beams.
_AS_GIVEN: Final = "patient and structures as given"


# --- rules about beams -------------------------------------------------------------------------


def _lit(state: PlanState) -> list[BeamState]:
    """Beams that give dose."""
    return [beam for beam in state.beams if beam.mu > 0]


def _number(n: int) -> Callable[[PlanState], bool]:
    return lambda state: len(_lit(state)) == n


def _at_most(n: int) -> Callable[[PlanState], bool]:
    return lambda state: 0 < len(_lit(state)) <= n


def _angles(state: PlanState) -> list[float]:
    """Angles between neighbouring beams, degrees, ascending."""
    gantry = sorted(beam.gantry % 360.0 for beam in _lit(state))
    if len(gantry) < 2:
        return []
    return sorted((b - a) % 360.0 for a, b in zip(gantry, [*gantry[1:], gantry[0]], strict=True))


def _spaced(angle: float, tolerance: float) -> Callable[[PlanState], bool]:
    return lambda state: (
        bool(_angles(state))
        and all(abs(between - angle) <= tolerance for between in _angles(state))
    )


def _hinged(state: PlanState) -> bool:
    angles = _angles(state)
    return len(angles) == 2 and 60.0 <= angles[0] <= 130.0


def _uses(energies: set[str]) -> Callable[[PlanState], bool]:
    return lambda state: {beam.energy for beam in _lit(state)} <= energies


# --- the exercises -----------------------------------------------------------------------------


def _round(name: str, x: float, y: float, rx: float, ry: float | None = None) -> StructureState:
    shape = EllipseShape(x=x, y=y, rx=rx, ry=rx if ry is None else ry)
    return StructureState(name=name, role="target" if name == "Target" else "organ", shape=shape)


def _water(semi_x: float, semi_y: float) -> SectionState:
    return SectionState(kind="water", semi_x=semi_x, semi_y=semi_y)


_OPPOSED: Final = Lesson(
    title="Opposed beams",
    idea="One photon beam gives more dose in front of the target than in it. A second beam from "
    "the other side makes the dose even.",
    task="Give the target 2 Gy, evenly, with two beams that face each other.",
    hint="Add a beam at 180°, make both fields wider than the target, then set equal MU.",
    start=PlanState(
        section=_water(110.0, 110.0),
        structures=[_round("Target", 0.0, 0.0, 32.0)],
        beams=[BeamState(gantry=0.0, width=70.0, length=70.0, mu=250.0)],
        goals=["Target: Dmin >= 1.9 Gy", "Target: Dmax <= 2.15 Gy"],
        lesson="opposed",
    ),
    rules=(
        Rule("exactly two beams", _number(2)),
        Rule("they face each other (180° ± 2°)", _spaced(180.0, 2.0)),
    ),
)

_WEDGES: Final = Lesson(
    title="Wedge pair",
    idea="Two beams from one side overlap near the skin and leave a hot corner. Wedges thin each "
    "beam where the other one adds to it: wedge angle about 90° less half the hinge angle.",
    task="Treat the shallow target with two beams at an angle, evenly.",
    hint="With beams 90° apart, 45° wedges have their thick ends together, towards the skin "
    "between the beams. Then optimise weights.",
    start=PlanState(
        section=_water(120.0, 120.0),
        structures=[_round("Target", 0.0, -55.0, 28.0)],
        beams=[
            BeamState(gantry=315.0, width=80.0, length=80.0, mu=120.0),
            BeamState(gantry=45.0, width=80.0, length=80.0, mu=120.0),
        ],
        goals=["Target: D95% >= 1.9 Gy", "Target: D2% <= 2.14 Gy"],
        isocentre=(0.0, -55.0),
        lesson="wedges",
    ),
    rules=(
        Rule("exactly two beams", _number(2)),
        Rule("60° to 130° between them", _hinged),
    ),
)

_BOX: Final = Lesson(
    title="Four-field box",
    idea="Each of four beams brings a quarter of the dose, so that the way in gets little and only "
    "where all four cross is the dose high.",
    task="Treat the deep target with four beams at right angles: hips below 1.4 Gy, and nothing "
    "hotter than the target.",
    hint="The longer way from the sides needs more MU, or 10 MV. Optimise weights helps.",
    start=PlanState(
        section=_water(170.0, 115.0),
        structures=[
            _round("Target", 0.0, 0.0, 34.0, 28.0),
            _round("Hip left", 105.0, 0.0, 22.0),
            _round("Hip right", -105.0, 0.0, 22.0),
        ],
        beams=[
            BeamState(gantry=0.0, width=90.0, length=90.0, mu=150.0, energy="10 MV"),
            BeamState(gantry=180.0, width=90.0, length=90.0, mu=150.0, energy="10 MV"),
        ],
        goals=[
            "Target: D95% >= 1.9 Gy",
            "Target: Dmax <= 2.15 Gy",
            "Hip left: Dmax <= 1.4 Gy",
            "Hip right: Dmax <= 1.4 Gy",
            "Body: Dmax <= 2.15 Gy",
        ],
        lesson="box",
    ),
    rules=(
        Rule("exactly four beams", _number(4)),
        Rule("90° ± 3° between neighbours", _spaced(90.0, 3.0)),
    ),
)

_CORD: Final = Lesson(
    title="Sparing a cord",
    idea="An organ that one small overdose can harm must lie beside beams, not in them.",
    task="Turn and size the beams so that the cord stays below 1 Gy and the target gets 2 Gy.",
    hint="Beams from both sides, a little from behind, pass in front of the cord; a weaker one "
    "from the front evens the dose. Watch the profile of the selected beam.",
    start=PlanState(
        section=_water(130.0, 105.0),
        structures=[_round("Target", 0.0, -10.0, 30.0, 26.0), _round("Cord", 0.0, 46.0, 9.0)],
        beams=[
            BeamState(gantry=0.0, width=76.0, length=80.0, mu=120.0),
            BeamState(gantry=180.0, width=76.0, length=80.0, mu=120.0),
        ],
        goals=[
            "Target: D95% >= 1.9 Gy",
            "Target: Dmax <= 2.2 Gy",
            "Cord: Dmax <= 1 Gy",
            "Body: Dmax <= 2.2 Gy",
        ],
        isocentre=(0.0, -10.0),
        lesson="cord",
    ),
    rules=(Rule("at most four beams", _at_most(4)), Rule("photons", _uses({"6 MV", "10 MV"}))),
)

_TISSUE: Final = Lesson(
    title="Tissue heterogeneity",
    idea="Lung lets more of a photon beam through than water of the same thickness. Depth in the "
    "formula is the equivalent path length. Point the probe behind the lung and see TPR.",
    task="Treat the target in the lung; keep cord and heart low.",
    hint="Beams from the patient's left reach the target without crossing cord or heart. Try "
    "20°, 100° and 170°, then optimise weights.",
    start=PlanState(
        section=SectionState(kind="thorax"),
        structures=list(SLICES["thorax"].structures),
        beams=[
            BeamState(gantry=0.0, width=75.0, length=80.0, mu=120.0),
            BeamState(gantry=180.0, width=75.0, length=80.0, mu=120.0),
            BeamState(gantry=270.0, width=75.0, length=80.0, mu=120.0),
        ],
        goals=[
            "Target: D95% >= 1.9 Gy",
            "Target: D2% <= 2.2 Gy",
            "Cord: Dmax <= 0.9 Gy",
            "Heart: Dmean <= 0.5 Gy",
        ],
        isocentre=(78.0, -8.0),
        lesson="tissue",
    ),
    rules=(Rule("at most four beams", _at_most(4)), Rule("photons", _uses({"6 MV", "10 MV"}))),
)

_PROTONS: Final = Lesson(
    title="Photons against protons",
    idea="Photons go through; protons stop. A spread-out Bragg peak as long as the target gives "
    "the target its dose and nothing to what lies behind.",
    task="Spare the organ behind the target, and give the whole section little.",
    hint="Change the energy to protons. The range must reach the far side of the target, the "
    "modulation its thickness.",
    start=PlanState(
        section=_water(130.0, 110.0),
        structures=[_round("Target", 0.0, -20.0, 28.0), _round("Organ", 0.0, 48.0, 20.0)],
        beams=[
            BeamState(gantry=0.0, width=76.0, length=80.0, mu=170.0, range=150.0, modulation=40.0),
        ],
        goals=[
            "Target: D95% >= 1.9 Gy",
            "Target: D2% <= 2.2 Gy",
            "Organ: Dmax <= 0.2 Gy",
            "Body: Dmean <= 0.5 Gy",
        ],
        isocentre=(0.0, -20.0),
        lesson="protons",
    ),
    rules=(Rule("at most two beams", _at_most(2)),),
)

#: The exercises in their order, by the name that a plan gives.
LESSONS: Final[Mapping[str, Lesson]] = MappingProxyType(
    {
        "opposed": _OPPOSED,
        "wedges": _WEDGES,
        "box": _BOX,
        "cord": _CORD,
        "tissue": _TISSUE,
        "protons": _PROTONS,
    }
)
