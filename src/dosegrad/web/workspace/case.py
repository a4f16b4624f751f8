"""What a work process holds of one workspace: a case, and what was made of it so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dosegrad.dose import Dose
from dosegrad.errors import PlanError
from dosegrad.patient.patient import Patient
from dosegrad.patient.structures import Structure
from dosegrad.web.security import confined
from dosegrad.web.workspace.schemas import (
    FileSource,
    ObjectiveState,
    PhantomSource,
    PlanSettings,
    Source,
)

if TYPE_CHECKING:
    from dosegrad.beams.beam import Beams
    from dosegrad.influence.matrix import Influence
    from dosegrad.optimisation.pareto_front import ParetoFront
    from dosegrad.plan import Plan

__all__ = ["Case", "open_source", "structure_content"]

#: Colours of structures by role, told apart by all kinds of colour vision.
_TARGETS: Final = ("#ff5c5c", "#ff9f1c", "#f032c8")
_ORGANS: Final = ("#2fd0ff", "#f0e442", "#3ddc97", "#b79bff", "#ffb6a3", "#9ad0c2", "#c9a227")
_OUTLINE: Final = "#cfd8e3"

#: What beams depend on, and what dose per weight depends on besides.
_STEERING: Final = (
    "machine", "target", "gantry", "couch", "spot_spacing", "layer_spacing", "bixel", "margin"
)  # fmt: skip
_INFLUENCE: Final = ("dose_spacing", "robust")

#: Which settings a plan is of, in words of the page.
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "beams": _STEERING,
    "objectives": ("objectives",),
    "fractions": ("fractions",),
    "dose grid": ("dose_spacing",),
    "robustness": ("robust",),
    "spots": ("spots",),
}


@dataclass(slots=True, eq=False)
class Case:
    """A patient, what is wanted, and how far planning has come.

    ``planned_for`` are the settings that the plan was made with, and ``front_for`` those of the
    front; ``None`` where that is not known, as of a plan that was made elsewhere. ``saved`` is the
    plan that lies in a file.
    """

    source: Source
    patient: Patient
    settings: PlanSettings
    beams: Beams | None = None
    influence: Influence | None = None
    plan: Plan | None = None
    front: ParetoFront | None = None
    comparison: Dose | None = None
    planned_for: PlanSettings | None = None
    front_for: PlanSettings | None = None
    saved: Plan | None = None
    made_with: dict[str, Any] = field(default_factory=dict)

    @property
    def dose(self) -> Dose | None:
        """Dose of the plan, RBE-weighted if it has that."""
        if self.plan is None:
            return None
        return self.plan.dose if self.plan.rbe_dose is None else self.plan.rbe_dose

    def needs(self, part: str) -> bool:
        """Whether ``"beams"`` or ``"influence"`` must be made, or made again."""
        if part == "beams":
            return self.beams is None or self.made_with.get("beams") != self._key(_STEERING)
        return self.influence is None or self.made_with.get("influence") != self._influence_key()

    @property
    def is_unsaved(self) -> bool:
        """Whether there is a plan that lies in no file."""
        return self.plan is not None and self.plan is not self.saved

    def changes(self) -> list[str]:
        """What is wanted otherwise than the plan has it, in words of the page."""
        if self.plan is None:
            return []
        made = self.planned_for
        if made is None:
            return ["settings"]
        return [
            word
            for word, names in _PARTS.items()
            if any(getattr(made, name) != getattr(self.settings, name) for name in names)
        ]

    def keep_beams(self, beams: Beams, *, made_for: PlanSettings | None) -> None:
        """New beams, and the settings they were made for; what was made with old ones is dropped.

        Beams of which that is not known must be made again before the next plan.
        """
        self.beams = beams
        self.made_with = {} if made_for is None else {"beams": self._key(_STEERING, made_for)}
        self.influence = self.plan = self.front = self.comparison = None
        self.planned_for = self.front_for = None

    def keep_plan(self, plan: Plan, *, planned_for: PlanSettings | None) -> None:
        """A plan of the beams, and the settings it was made for."""
        self.plan, self.planned_for, self.comparison = plan, planned_for, None

    def keep_influence(self, influence: Influence) -> None:
        """Dose per weight of the beams."""
        self.influence = influence
        self.made_with["influence"] = self._influence_key()
        self.front = None

    def remember(self) -> Callable[[], bool]:
        """A function that takes beams and plan back to those of now; says whether they differed.

        Influence of other beams is given up: keeping it would take twice its memory.
        """
        beams, plan, made_with = self.beams, self.plan, dict(self.made_with)
        front, comparison = self.front, self.comparison
        planned_for, front_for = self.planned_for, self.front_for

        def recall() -> bool:
            if self.beams is beams and self.plan is plan:
                return False
            if self.beams is not beams:
                self.influence, self.front = None, None
                made_with.pop("influence", None)
            else:
                self.front = front
            self.beams, self.plan, self.made_with = beams, plan, made_with
            self.comparison = comparison
            self.planned_for, self.front_for = planned_for, front_for
            return True

        return recall

    def prescription(self) -> float:
        """Highest dose that an objective asks for in the target, Gy; 0 if none does."""
        asked = [
            float(w.settings.get("dose", 0.0))
            for w in self.settings.objectives
            if w.structure == self.settings.target and w.kind.startswith("squared")
        ]
        return max(asked, default=0.0)

    def is_ceiling(self, wish: ObjectiveState) -> bool:
        """Whether an objective only asks that nothing gets more than the target."""
        dose = float(wish.settings.get("dose", 0.0))
        return wish.kind == "squared-overdose" and 0.0 < self.prescription() <= dose

    def _key(
        self, names: tuple[str, ...], settings: PlanSettings | None = None
    ) -> Mapping[str, Any]:
        return {name: getattr(settings or self.settings, name) for name in names}

    def _influence_key(self) -> Mapping[str, Any]:
        return {**self._key(_STEERING), **self._key(_INFLUENCE)}


def open_source(source: Source, folder: Path) -> tuple[Source, Patient, Plan | None]:
    """Patient, and plan if it is a saved one, of a source below ``folder``.

    Raises
    ------
    PlanError
        If a saved plan does not tell its patient.
    """
    if isinstance(source, PhantomSource):
        from dosegrad.patient.phantoms import phantom

        return source, phantom(source.name), None
    place = confined(folder, source.path)
    if place.is_dir() and (place / "plan.npz").is_file():
        return _open_plan(place / "plan.npz", folder, place / "plan.toml")
    if place.suffix.lower() == ".npz":
        return _open_plan(place, folder, place.parent / "plan.toml")
    from dosegrad.io.patients import read_patient

    patient = read_patient(place, series=source.series, structure_set=source.structure_set)
    return source, patient, None


def _open_plan(place: Path, folder: Path, beside: Path) -> tuple[Source, Patient, Plan]:
    from dosegrad.io.archive import load_plan

    plan = load_plan(place)
    told = plan.provenance.get("case")
    if isinstance(told, Mapping):
        name, path = told.get("phantom"), told.get("path")
        if isinstance(name, str):
            source, patient, _ = open_source(PhantomSource(kind="phantom", name=name), folder)
            return source, patient, plan
        if isinstance(path, str):
            chosen = {k: str(told[k]) for k in ("series", "structure_set") if told.get(k)}
            file = FileSource.model_validate({"kind": "file", "path": path, **chosen})
            source, patient, _ = open_source(file, folder)
            return source, patient, plan
    if beside.is_file():
        from tomllib import loads

        part = loads(beside.read_text(encoding="utf-8")).get("patient", {})
        name, path = part.get("phantom"), part.get("path")
        if isinstance(name, str):
            source, patient, _ = open_source(PhantomSource(kind="phantom", name=name), folder)
            return source, patient, plan
        if isinstance(path, str):
            inside = str((beside.parent / path).resolve())
            source, patient, _ = open_source(FileSource(kind="file", path=inside), folder)
            return source, patient, plan
    raise PlanError(
        f"plan {place.name!r} does not tell its patient; open the patient first, then the plan by "
        "'Compare with a plan', or save it again from a workspace."
    )


def with_case(plan: Plan, source: Source) -> Plan:
    """The plan, which now tells whose it is."""
    told = (
        {"phantom": source.name}
        if isinstance(source, PhantomSource)
        else source.model_dump(exclude={"kind"}, exclude_none=True)
    )
    return replace(plan, provenance={**plan.provenance, "case": told})


def structure_content(patient: Patient) -> list[dict[str, Any]]:
    """Name, role, volume and colour of each structure."""
    counts = {"target": 0, "organ": 0, "external": 0}
    found = []
    for structure in patient.structures.values():
        found.append(
            {
                "name": structure.name,
                "role": structure.role,
                "volume": round(structure.volume_cc, 2),
                "colour": _colour(structure, counts[structure.role]),
            }
        )
        counts[structure.role] += 1
    return found


def _colour(structure: Structure, number: int) -> str:
    if structure.role == "external":
        return _OUTLINE
    palette = _TARGETS if structure.role == "target" else _ORGANS
    return palette[number % len(palette)]
