"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["print_table"]


def print_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int | None = None
) -> None:
    """Print ``rows`` under ``header``; columns from ``numbers_from`` on are right-aligned."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, title in enumerate(header):
        is_number = numbers_from is not None and index >= numbers_from
        table.add_column(title, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console()
    if not console.is_terminal:  # a file or a pipe wants whole lines
        console.width = max(console.width, 160)
    console.print(table)
