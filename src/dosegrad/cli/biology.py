"""The table ``[biology]`` of a plan file: a model of the RBE and tissues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dosegrad.cli.toml_values import at, choices, number, numbers
from dosegrad.errors import PlanError

if TYPE_CHECKING:
    from dosegrad.rbe.protocols import RBEModel

__all__ = ["BiologyPart"]

#: Name in files -> class in :mod:`dosegrad.rbe`.
_MODELS: Final[Mapping[str, str]] = {
    "constant": "ConstantRBE",
    "linear-quadratic": "LinearQuadratic",
    "mcnamara": "McNamara",
    "wedenberg": "Wedenberg",
    "carabe": "Carabe",
    "linear-scaling": "LinearScaling",
    "mairani": "Mairani",
}

_Pair = tuple[float, float]


def _pair(value: object, where: str, example: str) -> _Pair:
    """Alpha and beta."""
    found = numbers(value, where, example)
    if len(found) != 2:
        raise PlanError(f"{where} is {value!r}; expected alpha and beta, such as {example}.")
    return found[0], found[1]


def _pairs(value: object, where: str, example: str) -> Mapping[str, _Pair]:
    """A table of structures with alpha and beta."""
    if not isinstance(value, dict):
        raise PlanError(f"{where} is {value!r}; expected a table of structures, such as {example}.")
    return {name: _pair(given, f"{where} {name}", "[0.1, 0.05]") for name, given in value.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class BiologyPart:
    """``[biology]``: model of the RBE, its factor, and tissues as alpha (1/Gy) and beta (1/Gy2)."""

    model: str | None = field(default=None, metadata=at(choices(*_MODELS), '"linear-quadratic"'))
    factor: float | None = field(default=None, metadata=at(number, "1.1"))
    other: _Pair | None = field(default=None, metadata=at(_pair, "[0.1, 0.05]"))
    tissues: Mapping[str, _Pair] = field(
        default_factory=dict, metadata=at(_pairs, "{ CTV = [0.1, 0.05] }")
    )

    def __post_init__(self) -> None:
        if self.model is None and (self.factor is not None or self.other or self.tissues):
            raise PlanError('[biology] names no model. Add a line such as model = "constant".')
        if self.factor is not None and self.model != "constant":
            raise PlanError("[biology] has a 'factor', which only the model \"constant\" takes.")
        if self.model not in (None, "constant") and self.other is None:
            raise PlanError(
                "[biology] lacks 'other', the tissue of voxels in none of the structures. Add a "
                "line such as other = [0.1, 0.05], alpha in 1/Gy and beta in 1/Gy2."
            )

    def make(self) -> RBEModel | None:
        """The model, or ``None`` if the file names none."""
        if self.model is None:
            return None
        from dosegrad import rbe

        tissues = {name: rbe.Tissue(*pair) for name, pair in self.tissues.items()}
        other = None if self.other is None else rbe.Tissue(*self.other)
        if self.model == "constant":
            return rbe.ConstantRBE(1.1 if self.factor is None else self.factor, tissues, other)
        cls: Any = getattr(rbe, _MODELS[self.model])
        made: RBEModel = cls(tissues, other=other)
        return made
