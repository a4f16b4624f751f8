"""A predicted change of a response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["DoseChange"]


@dataclass(frozen=True, slots=True)
class DoseChange:
    """Change of a response, by how much it may be wrong, and its parts.

    Parameters
    ----------
    value
        Change of the response, Gy for a mean dose.
    uncertainty
        Standard error of the value, in the same unit. For an objective that is not linear in dose
        at least the change to first order, since nothing is known of its curvature.
    by_beam
        Part of each beam in the value.
    by_structure
        Change of the mean dose of each structure that was asked for, Gy.
    uncertainty_by_structure
        Standard error of each of these, Gy.
    planned
        The response in the planning CT.
    linear
        The change to first order in density alone: the adjoint's inner product with it.
    method
        How the value was found.
    cross_check
        The change recomputed with the engine's fast mode, where that was asked for.
    """

    value: float
    uncertainty: float
    by_beam: tuple[float, ...]
    by_structure: Mapping[str, float] = field(default_factory=dict)
    uncertainty_by_structure: Mapping[str, float] = field(default_factory=dict)
    planned: float = 0.0
    linear: float = 0.0
    method: str = ""
    cross_check: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_beam", tuple(float(v) for v in self.by_beam))
        for name in ("by_structure", "uncertainty_by_structure"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __repr__(self) -> str:
        return f"DoseChange({self.value:+.4g} ± {self.uncertainty:.2g})"
