"""What a hard limit must offer to be kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from dosegrad.arrays import Array

__all__ = ["Excess", "Limit", "LimitBase", "StructureLimit"]

#: Excesses (m,), and what turns df/d excess (m,) into df/d dose (n,).
Excess: TypeAlias = tuple[Array, Callable[[Array], Array]]


class Limit(Protocol):
    """Something that a plan has to keep."""

    @property
    def is_convex(self) -> bool:
        """Whether the doses that keep it are a convex set."""
        ...

    @property
    def size(self) -> float:
        """What an excess is compared with, in its own unit."""
        ...

    def excess(self, dose: Array, share: Array) -> Excess:
        """By how much ``dose`` (n,) is beyond the limit, smooth, and its pullback.

        One number for the structure, or one for each voxel.
        """
        ...

    def miss(self, dose: Array, share: Array) -> float:
        """By how much ``dose`` (n,) is beyond the limit at worst, exactly; not above 0 if kept."""
        ...


@dataclass(frozen=True, slots=True)
class StructureLimit:
    """A limit on one structure.

    Parameters
    ----------
    structure
        Name of a structure of the patient.
    limit
        What is to be kept.
    """

    structure: str
    limit: Limit

    def __repr__(self) -> str:
        return f"{self.limit!r}.on({self.structure!r})"


class LimitBase:
    """Gives limits their common verb; holds no data."""

    __slots__ = ()

    def on(self: Limit, structure: str) -> StructureLimit:
        """The same limit, on the structure of that name."""
        return StructureLimit(structure, self)
