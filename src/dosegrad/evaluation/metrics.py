"""The figures that clinical goals are about, by the names that clinicians write."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from dosegrad.dose import Dose
from dosegrad.errors import PlanError
from dosegrad.evaluation.dose_volume import DVH
from dosegrad.evaluation.indices import homogeneity, paddick_conformity
from dosegrad.patient.structures import Structure

__all__ = ["Metric", "Unit"]

Unit: TypeAlias = Literal["Gy", "%", "cc", ""]

_Kind: TypeAlias = Literal[
    "dose-at-percent", "dose-at-cc", "volume-at-dose", "maximum", "minimum", "mean", "CI", "HI"
]

_NUMBER: Final = r"(\d+(?:\.\d*)?|\.\d+)"
_PATTERNS: Final[tuple[tuple[str, _Kind, tuple[Unit, ...]], ...]] = (
    (rf"D\s*{_NUMBER}\s*%", "dose-at-percent", ("Gy",)),
    (rf"D\s*{_NUMBER}\s*(?:cc|cm3|cm³)", "dose-at-cc", ("Gy",)),
    (rf"V\s*{_NUMBER}\s*Gy", "volume-at-dose", ("%", "cc")),
    (r"D\s*max", "maximum", ("Gy",)),
    (r"D\s*min", "minimum", ("Gy",)),
    (r"D\s*mean", "mean", ("Gy",)),
    (rf"CI(?:\s*{_NUMBER}\s*Gy)?", "CI", ("",)),
    (r"HI", "HI", ("",)),
)

_SIMPLE: Final[Mapping[str, Callable[[DVH], float]]] = MappingProxyType(
    {
        "maximum": lambda curve: curve.maximum,
        "minimum": lambda curve: curve.minimum,
        "mean": lambda curve: curve.mean,
        "HI": homogeneity,
    }
)


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a structure's dose.

    ``D95%``, ``D0.03cc``: dose that the hottest part of the volume gets at least. ``V20Gy``:
    volume that gets at least a dose. ``Dmax``, ``Dmin``, ``Dmean``. ``CI60Gy``: Paddick's
    conformity of that isodose; ``CI`` alone: of the isodose that covers 95 % of the structure.
    ``HI``: (D2% - D98%) / D50%.

    Parameters
    ----------
    name
        As it was written.
    kind
        Which of them.
    number
        Percent, cc or Gy in its name; ``None`` where there is none.
    units
        Units that its value may have.
    """

    name: str
    kind: _Kind
    number: float | None
    units: tuple[Unit, ...]

    @classmethod
    def parse(cls, text: str) -> Metric:
        """The metric of that name.

        Raises
        ------
        PlanError
            If there is none; the message lists the forms.
        """
        name = text.strip()
        for pattern, kind, units in _PATTERNS:
            match = re.fullmatch(pattern, name, re.IGNORECASE)
            if match:
                digits = match.group(1) if match.groups() else None
                number = None if digits is None else float(digits)
                if kind == "dose-at-percent" and number is not None and number > 100:
                    raise PlanError(f"{name!r} asks for more than 100 % of the volume")
                return cls(name, kind, number, units)
        raise PlanError(
            f"{name!r} is no metric (have: D95%, D0.03cc, V20Gy, Dmean, Dmax, Dmin, CI60Gy, HI)"
        )

    def value(self, dose: Dose, structure: Structure, curve: DVH, unit: Unit) -> float:
        """The figure in ``unit``, from a dose, a structure and its histogram."""
        if self.kind in _SIMPLE:
            return _SIMPLE[self.kind](curve)
        if self.kind == "CI":
            reference = curve.dose_at(0.95) if self.number is None else self.number
            return paddick_conformity(dose, structure, reference) if reference > 0 else 0.0
        assert self.number is not None  # all other kinds have one, by their form
        if self.kind == "dose-at-percent":
            return curve.dose_at(self.number / 100.0)
        if self.kind == "dose-at-cc":
            return curve.dose_at_cc(self.number)
        if unit == "cc":
            return curve.volume_cc_at(self.number)
        return 100.0 * float(curve.volume_at(self.number))
