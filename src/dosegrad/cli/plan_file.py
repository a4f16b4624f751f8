"""Plan files: what a TOML file asks to be planned, checked before any work starts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from dosegrad.cli.biology import BiologyPart
from dosegrad.cli.robust import RobustPart, SpotsPart
from dosegrad.cli.toml_values import (
    at,
    choices,
    number,
    numbers,
    settings,
    text,
    texts,
    triple,
    whole,
)
from dosegrad.errors import DosegradError, FileFormatError, PlanError, unknown_name

if TYPE_CHECKING:
    from dosegrad.objectives.structure_objective import StructureObjective
    from dosegrad.patient.patient import OutsideBody

__all__ = [
    "BeamsPart",
    "CheckPart",
    "DosePart",
    "OptimisationPart",
    "PatientPart",
    "PlanFile",
    "SequencePart",
    "read_plan_file",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientPart:
    """``[patient]``: a built-in phantom by name, or a file or folder; neither if given later."""

    phantom: str | None = field(default=None, metadata=at(text, '"c-shape"'))
    path: str | None = field(default=None, metadata=at(text, '"TG119.mat"'))
    options: Mapping[str, float] = field(
        default_factory=dict, metadata=at(settings, "{ swelling = 5.0 }")
    )

    def __post_init__(self) -> None:
        if self.phantom is not None and self.path is not None:
            raise PlanError("[patient] has both 'phantom' and 'path'; keep the one that is meant.")
        if self.options and self.phantom is None:
            raise PlanError("[patient] has 'options', which only a phantom takes; remove them.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamsPart:
    """``[beams]``: the machine, where the beams come from, and how they are steered.

    What is ``None`` is left to the default of :func:`dosegrad.steer`.
    """

    machine: str = field(metadata=at(text, '"generic-protons"'))
    target: str = field(metadata=at(text, '"PTV"'))
    gantry: tuple[float, ...] = field(metadata=at(numbers, "[45, 315]"))
    couch: tuple[float, ...] | None = field(default=None, metadata=at(numbers, "[0, 0]"))
    isocentre: tuple[float, float, float] | None = field(
        default=None, metadata=at(triple, "[0.0, 10.0, -5.0]")
    )
    bixel: float | None = field(default=None, metadata=at(number, "5.0"))
    spot_spacing: float | None = field(default=None, metadata=at(number, "5.0"))
    lattice: str | None = field(
        default=None, metadata=at(choices("square", "hexagonal"), '"hexagonal"')
    )
    layer_spacing: float | None = field(default=None, metadata=at(number, "5.0"))
    layer_spacing_peak_widths: float | None = field(default=None, metadata=at(number, "0.8"))
    margin: float | None = field(default=None, metadata=at(number, "5.0"))
    setup_margin: float | None = field(default=None, metadata=at(number, "3.0"))
    range_margin_percent: float | None = field(default=None, metadata=at(number, "3.5"))
    range_shifter: str | None = field(default=None, metadata=at(choices("auto", "none"), '"auto"'))

    def steering_options(self) -> dict[str, Any]:
        """Keyword arguments for :func:`dosegrad.steer`: those that the file states."""
        stated: dict[str, Any] = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name not in ("machine", "range_shifter") and getattr(self, f.name) is not None
        }
        if self.couch is not None and len(self.couch) == 1:
            stated["couch"] = self.couch[0]
        if self.range_shifter is not None:
            stated["range_shifter"] = None if self.range_shifter == "none" else self.range_shifter
        return stated


@dataclass(frozen=True, slots=True, kw_only=True)
class DosePart:
    """``[dose]``: engine, spacing (z, y, x), mm, of its grid, and what lies outside the body.

    Without an engine it is the usual one for the machine's kind.
    """

    engine: str | None = field(default=None, metadata=at(text, '"pencil-beam"'))
    spacing: tuple[float, float, float] | None = field(
        default=None, metadata=at(triple, "[3.0, 3.0, 3.0]")
    )
    outside_body: OutsideBody = field(default="air", metadata=at(choices("air", "ct"), '"air"'))


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimisationPart:
    """``[optimisation]``: number of fractions, when to stop, and how fields share the dose."""

    fractions: int = field(default=1, metadata=at(whole, "30"))
    max_iterations: int | None = field(default=None, metadata=at(whole, "500"))
    mode: str = field(default="together", metadata=at(choices("together", "sfud"), '"sfud"'))


@dataclass(frozen=True, slots=True, kw_only=True)
class SequencePart:
    """``[sequence]``: how photon fluence becomes apertures; without the table it stays fluence.

    ``move_leaves`` counts iterations in which leaves and MU are optimised afterwards.
    """

    levels: int = field(default=10, metadata=at(whole, "10"))
    algorithm: str = field(
        default="engel", metadata=at(choices("engel", "siochi", "xia-verhey"), '"engel"')
    )
    tongue_and_groove: str = field(
        default="ignore", metadata=at(choices("ignore", "avoid"), '"ignore"')
    )
    move_leaves: int | None = field(default=None, metadata=at(whole, "100"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPart:
    """``[check]``: clinical goals."""

    goals: tuple[str, ...] = field(default=(), metadata=at(texts, '["PTV: D95% >= 57 Gy"]'))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFile:
    """All that a plan file states."""

    patient: PatientPart
    beams: BeamsPart
    dose: DosePart
    biology: BiologyPart
    optimisation: OptimisationPart
    objectives: tuple[StructureObjective, ...]
    check: CheckPart
    sequence: SequencePart | None = None
    robust: RobustPart | None = None
    spots: SpotsPart | None = None


_TABLES: Final[Mapping[str, type]] = {
    "patient": PatientPart,
    "beams": BeamsPart,
    "dose": DosePart,
    "biology": BiologyPart,
    "optimisation": OptimisationPart,
    "sequence": SequencePart,
    "robust": RobustPart,
    "spots": SpotsPart,
    "check": CheckPart,
}
#: Tables without which there is no such step.
_OPTIONAL: Final = (SequencePart, RobustPart, SpotsPart)


def read_plan_file(path: Path) -> PlanFile:
    """What the plan file at ``path`` states.

    Raises
    ------
    FileFormatError
        If there is no such file, or it is not TOML; the message names the line.
    UnknownNameError
        If it holds a table, key or kind of objective that there is not.
    PlanError
        If a value is missing, of a wrong type or out of range.
    """
    content = _parse(path)
    try:
        return _plan_file(content)
    except DosegradError as error:
        raise type(error)(f"{path}: {error}") from None


def _parse(path: Path) -> dict[str, Any]:
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise FileFormatError(
            f"cannot read plan file '{path}': {reason}. Give the path of a TOML file; the "
            "documentation shows one."
        ) from None
    try:
        return tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise FileFormatError(
            f"plan file '{path}' is not valid TOML: {error}. Texts stand in quotes, lists in "
            "[brackets], and each key appears once in its table."
        ) from None


def _plan_file(content: dict[str, Any]) -> PlanFile:
    for name in content:
        if name not in (*_TABLES, "objective"):
            raise unknown_name("table", name, [*_TABLES, "objective"])
    parts: dict[str, Any] = {
        name: _part(name, cls, content.get(name, {}))
        for name, cls in _TABLES.items()
        if name in content or cls not in _OPTIONAL
    }
    return PlanFile(**parts, objectives=_objectives(content.get("objective", [])))


def _part(name: str, cls: type[T], table: object) -> T:
    """One table of the file as its class."""
    where = f"[{name}]"
    if not isinstance(table, dict):
        raise PlanError(f"'{name}' is {table!r}; expected a table. Write {where} on its own line.")
    known = {f.name: f for f in fields(cast(Any, cls))}
    for key in table:
        if key not in known:
            raise unknown_name(f"key in {where}", key, known)
    for key in ("machine", "target", "gantry") if cls is BeamsPart else ():
        if key not in table:
            example = known[key].metadata["example"]
            raise PlanError(f"{where} lacks '{key}'. Add a line such as {key} = {example}.")
    values = {}
    for key, value in table.items():
        read, example = known[key].metadata["read"], known[key].metadata["example"]
        values[key] = read(value, f"{where} {key}", example)
    return cls(**values)


#: Settings of objectives that are texts, with an example.
_TEXTS: Final[Mapping[str, str]] = {"side": '"above"', "quantity": '"let"'}


def _objectives(tables: object) -> tuple[StructureObjective, ...]:
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise PlanError("objectives are a list of tables; write [[objective]] above each one.")
    return tuple(_objective(table, f"[[objective]] {n}") for n, table in enumerate(tables, 1))


def _objective(table: dict[str, Any], where: str) -> StructureObjective:
    from dosegrad.objectives.records import from_record
    from dosegrad.objectives.structure_objective import QuantityObjective, StructureObjective
    from dosegrad.patient.records import ObjectiveRecord

    for key, example in (("structure", '"PTV"'), ("kind", '"squared-deviation"')):
        if key not in table:
            raise PlanError(f"{where} lacks '{key}'. Add a line such as {key} = {example}.")
    structure = text(table["structure"], f"{where} structure", '"PTV"')
    kind = text(table["kind"], f"{where} kind", '"squared-deviation"')
    rest = {key: value for key, value in table.items() if key not in ("structure", "kind")}
    values: dict[str, Any] = {
        key: text(value, f"{where} {key}", _TEXTS[key])
        if key in _TEXTS
        else number(value, f"{where} {key}", "50.0")
        for key, value in rest.items()
    }
    weight = values.pop("weight", 1.0)
    quantity = values.pop("quantity", None)
    try:
        objective = from_record(ObjectiveRecord(kind, weight, values))
        if quantity is not None:
            objective = QuantityObjective(objective, quantity)
    except DosegradError as error:
        raise type(error)(f"{where}: {error}") from None
    return StructureObjective(structure, objective)
