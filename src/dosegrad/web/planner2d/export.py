"""A page's plan as a plan file for ``dosegrad plan``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dosegrad.errors import PlanError
from dosegrad.web.planner2d.dose import MACHINES
from dosegrad.web.planner2d.sections import SLICES
from dosegrad.web.planner2d.state import BODY, PlanState

__all__ = ["plan_toml"]

#: Structures of the phantoms that stand for those of the page.
_NAMES: Final = {
    "head": {"Target": "CTV"},
    "prostate": {"Target": "PTV", "Left hip": "FemoralHeadL"},
    "water": {},
    "thorax": {},
}
_KNOWN: Final = {
    "head": {"CTV", "Brainstem", BODY},
    "prostate": {"PTV", "Rectum", "FemoralHeadL", BODY},
    "water": {"Target", "Organ", BODY},
    "thorax": {"Target", "Heart", "Cord", BODY},
}


def plan_toml(state: PlanState) -> str:
    """A plan file in three dimensions with the page's angles, energy and prescription.

    The patient is the phantom of the section, or for water ``disc-2d``; shapes drawn on the page,
    field sizes, weights and wedges are not taken over: ``dosegrad plan`` steers and optimises.

    Raises
    ------
    PlanError
        If there is no beam, or beams have several energies.
    """
    energies = {beam.energy for beam in state.beams}
    if len(energies) != 1:
        raise PlanError(
            "a plan file is for one machine, but the plan has "
            f"{' and '.join(sorted(energies)) or 'no beam'}; give all beams the same energy."
        )
    return "\n".join(_lines(state, MACHINES[energies.pop()])) + "\n"


def _lines(state: PlanState, machine: str) -> Iterator[str]:
    kind = state.section.kind
    target = _NAMES[kind].get("Target", "Target")
    yield "# From Planner 2D. Run it by: dosegrad plan plan.toml"
    yield "# The patient is a built-in phantom; shapes drawn on the page are not part of it."
    yield from ("", "[patient]", f'phantom = "{kind if kind in SLICES else "disc-2d"}"')
    yield from ("", "[beams]", f'machine = "{machine}"', f'target = "{target}"')
    yield f"gantry = [{', '.join(f'{beam.gantry % 360.0:g}' for beam in state.beams)}]"
    engine = "pencil-beam" if machine == MACHINES["protons"] else "photon-kernel"
    yield from ("", "[dose]", f'engine = "{engine}"')
    yield from ("", "[[objective]]", f'structure = "{target}"', 'kind = "squared-deviation"')
    yield from (f"dose = {state.prescription:g}", "weight = 100")
    yield from ("", "[[objective]]", f'structure = "{BODY}"', 'kind = "mean-dose"', "weight = 1")
    goals = [goal for goal in (_renamed(state, g) for g in state.goals) if goal]
    if goals:
        yield from (
            "",
            "# Set for the shapes of the page; those of the phantom give other figures.",
        )
        yield from ("[check]", "goals = [", *(f'  "{goal}",' for goal in goals), "]")


def _renamed(state: PlanState, sentence: str) -> str | None:
    """A goal with the phantom's name of its structure; ``None`` where there is none."""
    kind = state.section.kind
    name, _, rest = sentence.rpartition(":")
    known = _NAMES[kind].get(name.strip(), name.strip())
    return f"{known}:{rest}" if known in _KNOWN[kind] else None
