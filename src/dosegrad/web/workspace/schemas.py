"""What the page sends, checked: which case, which plan is wanted, which work is to be done."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, TypeAdapter, field_validator, model_validator

from dosegrad.errors import DosegradError, PlanError
from dosegrad.evaluation.goals import Goal
from dosegrad.objectives.records import from_record
from dosegrad.patient.phantoms import PHANTOMS
from dosegrad.patient.records import ObjectiveRecord
from dosegrad.web.schemas import Model

__all__ = [
    "MACHINES",
    "REQUESTS",
    "CancelRequest",
    "FileSource",
    "JobName",
    "JobRequest",
    "NavigateRequest",
    "ObjectiveState",
    "OpenRequest",
    "PhantomSource",
    "PlanSettings",
    "Request",
    "RobustState",
    "SettingsRequest",
    "Source",
    "StructureName",
]

StructureName: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f]+$")
]
_Angle: TypeAlias = Annotated[float, Field(ge=-360.0, le=360.0)]
_Step: TypeAlias = Annotated[float, Field(ge=1.0, le=20.0)]
_Path: TypeAlias = Annotated[str, Field(min_length=1, max_length=400)]
_Sentence: TypeAlias = Annotated[str, Field(min_length=3, max_length=120)]

#: Dose of a whole course above which there must be a slip, Gy.
MOST_DOSE: Final = 1000.0
#: Settings of objectives that are doses, and those that are words.
_DOSES: Final = frozenset({"dose", "d50", "td50", "start", "end"})
_WORDS: Final = frozenset({"target"})

MachineName: TypeAlias = Literal["generic-protons", "generic-6mv", "generic-10mv"]
MACHINES: Final[tuple[MachineName, ...]] = ("generic-protons", "generic-6mv", "generic-10mv")


class PhantomSource(Model):
    """A built-in phantom."""

    kind: Literal["phantom"]
    name: Annotated[str, Field(max_length=40)]

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in PHANTOMS:
            raise ValueError(f"there is no phantom of that name (have: {', '.join(PHANTOMS)})")
        return name


class FileSource(Model):
    """A file or folder below the folder that the server was started in.

    ``series`` and ``structure_set`` choose among several of a DICOM folder.
    """

    kind: Literal["file"]
    path: _Path
    series: Annotated[str, Field(min_length=1, max_length=80)] | None = None
    structure_set: _Path | None = None


Source: TypeAlias = Annotated[PhantomSource | FileSource, Field(discriminator="kind")]


class ObjectiveState(Model):
    """One objective as files state it; doses in Gy for the whole course."""

    structure: StructureName
    kind: Annotated[str, Field(max_length=40)]
    weight: Annotated[float, Field(ge=0.0, le=1e9)] = 1.0
    settings: Annotated[dict[str, float | str], Field(max_length=8)] = Field(default_factory=dict)

    def record(self) -> ObjectiveRecord:
        """The same as the library knows it."""
        values: dict[str, float] = dict(self.settings)  # type: ignore[arg-type]
        return ObjectiveRecord(self.kind, self.weight, values)

    @model_validator(mode="after")
    def _makes_sense(self) -> ObjectiveState:
        for name, value in self.settings.items():
            if isinstance(value, str) and name not in _WORDS:
                raise ValueError(f"{self.structure}: {name} {value!r} is no number; give one")
            if name in _DOSES and float(value) > MOST_DOSE:
                raise ValueError(
                    f"{self.structure}: {name} {value:g} Gy is no dose of a course; give at most "
                    f"{MOST_DOSE:g} Gy"
                )
        try:
            from_record(self.record())
        except (DosegradError, TypeError) as error:
            raise ValueError(f"{self.structure}: {error}") from None
        return self


class RobustState(Model):
    """Errors that the plan shall stand: shifts of the patient, mm, and range errors, percent."""

    mode: Literal["expected", "minimax", "objective-wise", "voxel-wise", "cvar"] = "minimax"
    setup: Annotated[float, Field(ge=0.0, le=20.0)] = 3.0
    range_percent: Annotated[float, Field(ge=0.0, le=20.0)] = 3.5

    @model_validator(mode="after")
    def _has_errors(self) -> RobustState:
        if self.setup == 0 and self.range_percent == 0:
            raise ValueError("a robust plan needs a shift or a range error above 0")
        return self


class PlanSettings(Model):
    """What is to be planned; lengths mm."""

    machine: MachineName = "generic-protons"
    target: StructureName | None = None
    gantry: Annotated[list[_Angle], Field(min_length=1, max_length=24)] = Field(
        default_factory=lambda: [0.0]
    )
    couch: Annotated[list[_Angle], Field(max_length=24)] = Field(default_factory=list)
    spot_spacing: _Step = 5.0
    layer_spacing: _Step = 5.0
    bixel: _Step = 5.0
    margin: Annotated[float, Field(ge=0.0, le=50.0)] | None = None
    dose_spacing: Annotated[float, Field(ge=1.0, le=10.0)] | None = None
    fractions: Annotated[int, Field(ge=1, le=60)] = 30
    max_iterations: Annotated[int, Field(ge=1, le=5000)] = 300
    spots: Literal["fixed", "moving"] = "fixed"
    robust: RobustState | None = None
    objectives: Annotated[list[ObjectiveState], Field(max_length=60)] = Field(default_factory=list)
    goals: Annotated[list[_Sentence], Field(max_length=60)] = Field(default_factory=list)

    @field_validator("goals")
    @classmethod
    def _goals_make_sense(cls, goals: list[str]) -> list[str]:
        for sentence in goals:
            try:
                goal = Goal.parse(sentence)
            except PlanError as error:
                raise ValueError(str(error)) from None
            if goal.limit < 0.0 or (goal.unit == "Gy" and goal.limit > MOST_DOSE):
                raise ValueError(f"{sentence!r} has no possible limit; give 0 to {MOST_DOSE:g} Gy")
        return goals

    @model_validator(mode="after")
    def _angles_match(self) -> PlanSettings:
        if self.couch and len(self.couch) != len(self.gantry):
            raise ValueError("every beam needs a couch angle, or none has one")
        return self


JobName: TypeAlias = Literal[
    "steer", "influence", "optimise", "front", "compare", "other", "save", "report", "dicom"
]


class OpenRequest(Model):
    """Open a case; ``settings`` instead of those that it suggests, as after a restart."""

    kind: Literal["open"]
    source: Source
    settings: PlanSettings | None = None


class SettingsRequest(Model):
    """Keep what is wanted; goals are judged at once."""

    kind: Literal["settings"]
    settings: PlanSettings


class JobRequest(Model):
    """Do some work; ``path`` says where to save, or what to compare with.

    ``replace`` lets what lies there already be replaced.
    """

    kind: Literal["job"]
    job: JobName
    path: _Path | None = None
    replace: bool = False


class NavigateRequest(Model):
    """Show a mixture of plans of a front: highest values, and what shall be as low as can be."""

    kind: Literal["navigate"]
    limits: Annotated[dict[StructureName, float], Field(max_length=12)]
    prefer: StructureName | None = None


class CancelRequest(Model):
    """End the work that is going on."""

    kind: Literal["cancel"]


Request: TypeAlias = Annotated[
    OpenRequest | SettingsRequest | JobRequest | NavigateRequest | CancelRequest,
    Field(discriminator="kind"),
]
REQUESTS: Final[TypeAdapter[Request]] = TypeAdapter(Request)
