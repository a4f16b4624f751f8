"""What a page sends: a plan in a section, checked."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from dosegrad.errors import PlanError
from dosegrad.evaluation.goals import Goal
from dosegrad.web.schemas import Length, Model, Name, Position

__all__ = [
    "BODY",
    "ENERGIES",
    "MAX_BEAMS",
    "WEDGES",
    "BeamState",
    "EllipseShape",
    "Energy",
    "PlanState",
    "PolygonShape",
    "SectionState",
    "StructureState",
]

MAX_BEAMS: Final = 12
#: What goals call the whole section.
BODY: Final = "Body"
Energy: TypeAlias = Literal["6 MV", "10 MV", "protons"]
ENERGIES: Final[tuple[Energy, ...]] = ("6 MV", "10 MV", "protons")
#: Wedge angles, degrees; negative ones have their thick end on the other side.
WEDGES: Final = (-60, -45, -30, -15, 0, 15, 30, 45, 60)

_Semi: TypeAlias = Annotated[float, Field(ge=50.0, le=250.0)]


_Sentence: TypeAlias = Annotated[str, Field(min_length=3, max_length=80)]


class SectionState(Model):
    """The patient's section: ``"water"``, an ellipse with these semi-axes, or a phantom's name."""

    kind: Literal["water", "thorax", "head", "prostate"] = "water"
    semi_x: _Semi = 150.0
    semi_y: _Semi = 150.0


class EllipseShape(Model):
    """An ellipse about (x, y) with radii along x and y, mm."""

    kind: Literal["ellipse"] = "ellipse"
    x: Position
    y: Position
    rx: Length
    ry: Length


class PolygonShape(Model):
    """A drawn outline; corners (x, y), mm."""

    kind: Literal["polygon"] = "polygon"
    points: Annotated[list[tuple[Position, Position]], Field(min_length=3, max_length=200)]


class StructureState(Model):
    """A target or an organ."""

    name: Name
    role: Literal["target", "organ"]
    shape: Annotated[EllipseShape | PolygonShape, Field(discriminator="kind")]


class BeamState(Model):
    """One beam; sides in the isocentre plane, mm.

    ``range`` and ``modulation``, mm of water, are those of protons.
    """

    gantry: Annotated[float, Field(ge=-360.0, le=360.0)]
    width: Annotated[float, Field(ge=10.0, le=300.0)] = 80.0
    length: Annotated[float, Field(ge=10.0, le=300.0)] = 80.0
    mu: Annotated[float, Field(ge=0.0, le=2000.0)] = 100.0
    energy: Energy = "6 MV"
    wedge: int = 0
    range: Annotated[float, Field(ge=30.0, le=350.0)] = 180.0
    modulation: Annotated[float, Field(ge=5.0, le=250.0)] = 60.0

    @field_validator("wedge")
    @classmethod
    def _known_wedge(cls, value: int) -> int:
        if value not in WEDGES:
            raise ValueError(f"wedge {value} is none of {WEDGES}")
        return value


class PlanState(Model):
    """All that the dose depends on, and what is wanted of it."""

    section: SectionState = SectionState()
    structures: Annotated[list[StructureState], Field(max_length=6)] = Field(default_factory=list)
    beams: Annotated[list[BeamState], Field(max_length=MAX_BEAMS)] = Field(default_factory=list)
    goals: Annotated[list[_Sentence], Field(max_length=12)] = Field(default_factory=list)
    prescription: Annotated[float, Field(gt=0.0, le=100.0)] = 2.0
    isocentre: tuple[Position, Position] = (0.0, 0.0)
    depth: Literal["ray", "axis"] = "ray"
    lesson: Annotated[str, Field(max_length=40)] | None = None

    @model_validator(mode="after")
    def _names_differ(self) -> PlanState:
        names = [structure.name for structure in self.structures]
        if BODY in names:
            raise ValueError(f"{BODY!r} is the whole section; choose another name")
        if len(set(names)) < len(names):
            raise ValueError("two structures have the same name")
        return self

    @field_validator("goals")
    @classmethod
    def _goals_make_sense(cls, goals: list[str]) -> list[str]:
        for sentence in goals:
            try:
                goal = Goal.parse(sentence)
            except PlanError as error:
                raise ValueError(str(error)) from None
            if goal.unit == "cc" or goal.metric.kind in ("dose-at-cc", "CI"):
                raise ValueError(f"a section has no volume in cc, and no CI: {sentence!r}")
        return goals
