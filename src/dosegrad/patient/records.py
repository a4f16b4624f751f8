"""Planning wishes that arrive with a patient or plan file, before they become objectives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["ObjectiveRecord"]


@dataclass(frozen=True, slots=True)
class ObjectiveRecord:
    """One objective as a file states it.

    Parameters
    ----------
    kind
        Name of the objective: ``"squared-deviation"``, ``"mean-dose"``...
    weight
        Factor in the sum of objectives.
    settings
        Its other numbers by name: ``{"dose": 50.0}`` (Gy, whole course), ``{"a": 8.0}``...
    """

    kind: str
    weight: float = 1.0
    settings: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))
