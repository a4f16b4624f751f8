"""Clinical goals as sentences."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from dosegrad.errors import PlanError
from dosegrad.evaluation.metrics import Metric, Unit

__all__ = ["Comparator", "Goal"]

Comparator: TypeAlias = Literal[">=", "<=", ">", "<"]

_SPELLINGS: Final = {"≥": ">=", "≤": "<=", "=>": ">=", "=<": "<="}
_COMPARISON: Final = re.compile(r"(.*?)(>=|<=|=>|=<|≥|≤|>|<)(.*)")
_LIMIT: Final = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*(.*)")
_UNITS: Final[dict[str, Unit]] = {
    "gy": "Gy",
    "gy(rbe)": "Gy",
    "%": "%",
    "cc": "cc",
    "cm3": "cc",
    "cm³": "cc",
    "": "",
}
_EXAMPLE: Final = "'PTV: D95% >= 57 Gy'"

#: Relative rounding that does not miss a goal.
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Goal:
    """One clinical goal.

    Parameters
    ----------
    structure
        Name of the structure.
    metric
        Which figure of its dose.
    comparator
        ``">="``, ``"<="``, ``">"`` or ``"<"``.
    limit
        What the figure is compared with.
    unit
        Of the figure and the limit: ``"Gy"``, ``"%"``, ``"cc"`` or ``""``.
    """

    structure: str
    metric: Metric
    comparator: Comparator
    limit: float
    unit: Unit

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.structure}: {self.metric.name} {self.comparator} {self.limit:g}{unit}"

    @classmethod
    def parse(cls, sentence: str) -> Goal:
        """The goal that a sentence states.

        The last colon ends the structure's name, which may hold spaces and colons itself.

        Raises
        ------
        PlanError
            If the sentence cannot be understood; the message shows which part.

        Examples
        --------
        >>> goal = Goal.parse("Spinal cord: D0.03cc <= 45 Gy")
        >>> goal.structure, goal.metric.name, goal.limit, goal.unit
        ('Spinal cord', 'D0.03cc', 45.0, 'Gy')
        >>> Goal.parse("PTV: D95% >= 57 cc")
        Traceback (most recent call last):
        ...
        dosegrad.errors.PlanError: goal 'PTV: D95% >= 57 cc': 'cc' is no unit of D95% (have: Gy). \
Write it like 'PTV: D95% >= 57 Gy'.
        """
        name, colon, rest = sentence.rpartition(":")
        if not colon or not name.strip():
            raise _not_understood(sentence, "there is no structure before a colon")
        match = _COMPARISON.fullmatch(rest)
        if match is None:
            raise _not_understood(sentence, f"{rest.strip()!r} compares nothing (>=, <=, > or <)")
        left, sign, right = match.groups()
        try:
            metric = Metric.parse(left)
        except PlanError as error:
            raise _not_understood(sentence, str(error)) from None
        limit = _LIMIT.fullmatch(right.strip())
        if limit is None:
            raise _not_understood(sentence, f"{right.strip()!r} is no number with a unit")
        unit = _UNITS.get(limit.group(2).replace(" ", "").lower())
        if unit is None or unit not in metric.units:
            have = ", ".join(u or "none" for u in metric.units)
            written = limit.group(2) or "nothing"
            raise _not_understood(
                sentence, f"{written!r} is no unit of {metric.name} (have: {have})"
            )
        comparator = cast(Comparator, _SPELLINGS.get(sign, sign))
        return cls(name.strip(), metric, comparator, float(limit.group(1)), unit)

    def is_met_by(self, value: float) -> bool:
        """Whether ``value`` meets the limit, rounding aside; NaN never does."""
        margin = self.margin(value)
        slack = _ROUNDING * max(abs(self.limit), 1e-12)
        return margin > slack if self.comparator in "<>" else margin >= -slack

    def margin(self, value: float) -> float:
        """By how much ``value`` is better than the limit, in its unit; negative if worse."""
        return value - self.limit if ">" in self.comparator else self.limit - value


def _not_understood(sentence: str, what: str) -> PlanError:
    return PlanError(f"goal {sentence!r}: {what}. Write it like {_EXAMPLE}.")
