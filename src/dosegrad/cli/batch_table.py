"""Which plans of a batch met their goals: rows on the terminal and in files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from dosegrad.cli.console import ExitCode
from dosegrad.cli.output import MARKER

__all__ = ["Row", "as_table", "earlier_row", "exit_code", "row_of", "write_table"]


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one plan file.

    Parameters
    ----------
    plan
        Name of the plan file, without ending.
    state
        ``"done"``, ``"kept"`` from an earlier run, or ``"failed"``.
    passed
        Whether every goal is met.
    goals_met, n_goals
        How many of how many.
    objective, n_spots, seconds
        Of the plan, and how long it took.
    error
        Why it failed.
    """

    plan: str
    state: str
    passed: bool = False
    goals_met: int = 0
    n_goals: int = 0
    objective: float | None = None
    n_spots: int | None = None
    seconds: float | None = None
    error: str = ""

    def content(self) -> dict[str, Any]:
        """The row for programs."""
        return asdict(self)


def row_of(name: str, content: Mapping[str, Any], state: str, seconds: float | None) -> Row:
    """The row of a plan from the content of its ``report.json``."""
    goals = content["report"]["goals"]
    return Row(
        name,
        state,
        bool(content["goals_met"]),
        sum(bool(goal["met"]) for goal in goals),
        len(goals),
        content["objective"],
        content["n_spots"],
        None if seconds is None else round(seconds, 1),
    )


def earlier_row(name: str, plan_file: Path, folder: Path) -> Row | None:
    """The row of a plan that an earlier run finished from the same plan file, if there is one."""
    try:
        if not (folder / MARKER).is_file():
            return None
        if (folder / "plan.toml").read_bytes() != plan_file.read_bytes():
            return None
        content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        return row_of(name, content, "kept", None)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # what is there is not whole: it is planned anew


def as_table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and cells for people."""
    header = ["plan", "state", "passed", "goals met", "objective", "spots", "seconds"]
    cells = [
        [
            row.plan,
            row.state,
            "-" if row.state == "failed" else "yes" if row.passed else "NO",
            "-" if row.state == "failed" else f"{row.goals_met} of {row.n_goals}",
            "-" if row.objective is None else f"{row.objective:.5g}",
            "-" if row.n_spots is None else str(row.n_spots),
            "-" if row.seconds is None else f"{row.seconds:.0f}",
        ]
        for row in rows
    ]
    return header, cells


def write_table(rows: Sequence[Row], out: Path) -> None:
    """``batch.json`` and ``batch.csv`` in ``out``, each replaced once its new form is complete."""
    content = json.dumps({"plans": [row.content() for row in rows]}, indent=2, ensure_ascii=False)
    _replace(out / "batch.json", content + "\n")
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.content() for row in rows)
    _replace(out / "batch.csv", text.getvalue())


def exit_code(rows: Sequence[Row]) -> int:
    """2 if a plan failed, 3 if one does not meet its goals, else 0."""
    if any(row.state == "failed" for row in rows):
        return ExitCode.WRONG_INPUT
    return ExitCode.DONE if all(row.passed for row in rows) else ExitCode.GOALS_NOT_MET


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
