"""Reports on clinical goals, as table and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dosegrad.evaluation.goals import Goal

__all__ = ["Report", "Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """One goal, the value reached, and whether it is met.

    Parameters
    ----------
    goal
        What is wanted.
    value
        What there is, in the unit of the goal; NaN if the structure has no dose.
    met
        Whether that is good enough.
    scenario
        Number of the dose among those evaluated.
    """

    goal: Goal
    value: float
    met: bool
    scenario: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """Goals and what became of them; a sequence of :class:`Row`, printed as a table.

    Parameters
    ----------
    rows
        One for each goal, and each scenario if there are several.
    warnings
        What stands between a value and the whole structure, printed below the table.
    """

    rows: tuple[Row, ...]
    warnings: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]

    def __repr__(self) -> str:
        return f"Report({sum(row.met for row in self.rows)} of {len(self.rows)} goals met)"

    def __str__(self) -> str:
        several = len({row.scenario for row in self.rows}) > 1
        cells = [_cells(row, several) for row in self.rows]
        heads = _heads(several)
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        lines = [_line(heads, widths), "  ".join("-" * width for width in widths)]
        lines += [_line(row, widths) for row in cells]
        n_met = sum(row.met for row in self.rows)
        lines.append(f"{n_met} of {len(self.rows)} goals met")
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])

    @property
    def all_met(self) -> bool:
        """Whether every goal is met in every scenario."""
        return all(row.met for row in self.rows)

    def worst(self) -> Report:
        """The report of each goal's worst scenario."""
        worst: dict[Goal, Row] = {}
        for row in self.rows:
            kept = worst.get(row.goal)
            if kept is None or _badness(row) > _badness(kept):
                worst[row.goal] = row
        return Report(tuple(worst.values()), self.warnings)

    def by_scenario(self, names: Sequence[str] = ()) -> str:
        """A table of scenarios by goals; ``!`` marks a value that misses its goal.

        Parameters
        ----------
        names
            Of the scenarios; by default their numbers.
        """
        goals = list(dict.fromkeys(row.goal for row in self.rows))
        found = {(row.scenario, row.goal): row for row in self.rows}
        heads = ["scenario", *(str(goal) for goal in goals)]
        cells = []
        for number in dict.fromkeys(row.scenario for row in self.rows):
            name = names[number] if number < len(names) else str(number)
            cells.append([name, *(_marked(found[number, goal]) for goal in goals)])
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        lines = [heads, ["-" * width for width in widths], *cells]
        return "\n".join(
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
            for line in lines
        )

    def to_json(self) -> str:
        """The report as JSON: ``all_met``, ``warnings``, each goal with its value (or ``null``)."""
        goals = [
            {
                "goal": str(row.goal),
                "structure": row.goal.structure,
                "metric": row.goal.metric.name,
                "comparator": row.goal.comparator,
                "limit": row.goal.limit,
                "unit": row.goal.unit,
                "value": None if math.isnan(row.value) else row.value,
                "met": row.met,
                "scenario": row.scenario,
            }
            for row in self.rows
        ]
        content = {"all_met": self.all_met, "goals": goals, "warnings": list(self.warnings)}
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def _badness(row: Row) -> float:
    margin = row.goal.margin(row.value)
    return math.inf if math.isnan(margin) else -margin


def _heads(several: bool) -> list[str]:
    heads = ["structure", "metric", "goal", "value", "met"]
    return [*heads, "scenario"] if several else heads


def _cells(row: Row, several: bool) -> list[str]:
    goal = row.goal
    unit = f" {goal.unit}" if goal.unit else ""
    value = _value(row)
    wanted = f"{goal.comparator} {goal.limit:g}{unit}"
    cells = [goal.structure, goal.metric.name, wanted, value, "yes" if row.met else "NO"]
    return [*cells, str(row.scenario)] if several else cells


def _value(row: Row) -> str:
    unit = f" {row.goal.unit}" if row.goal.unit else ""
    digits = _digits(row.goal.unit)
    return "no dose" if math.isnan(row.value) else f"{row.value:.{digits}f}{unit}"


def _marked(row: Row) -> str:
    return _value(row) + ("  " if row.met else " !")


def _digits(unit: str) -> int:
    return 2 if unit else 3


def _line(cells: list[str], widths: list[int]) -> str:
    """Cells in columns; the value (fourth) to the right."""
    padded = [
        cell.rjust(width) if k == 3 else cell.ljust(width)
        for k, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()
