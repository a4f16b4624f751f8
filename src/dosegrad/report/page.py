"""What a page of a report is made of, and its HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["Page", "Picture", "Section", "Standing", "Table", "render"]

#: How a verdict or a row of a table stands; colours and words follow from it.
Standing: TypeAlias = Literal["good", "doubtful", "bad", "plain"]

_TEMPLATE: Final = "page.html.j2"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture inside the page.

    Parameters
    ----------
    source
        ``data:`` URI.
    alt
        What it shows, for people who do not see it.
    caption
        What stands below it.
    """

    source: str
    alt: str
    caption: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a header.

    Parameters
    ----------
    caption
        What it holds.
    header
        One title for each column; the first column names the row.
    rows
        Cells, as many as the header has.
    standings
        How each row stands; empty if no row is judged.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    standings: Sequence[Standing] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of a page: words, tables, pictures, in this order."""

    title: str
    words: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A report on one page.

    Parameters
    ----------
    title
        What kind of report it is.
    verdict, standing
        The result in a few words, and how good that is.
    facts
        Pairs of what and value that head the page.
    sections
        Its parts.
    reasons, warnings
        Why the verdict is not better; what was repaired or guessed.
    footer
        Where the figures come from.
    """

    title: str
    verdict: str
    standing: Standing
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    reasons: Sequence[str] = ()
    warnings: Sequence[str] = ()
    footer: Sequence[str] = field(default_factory=tuple)


def render(page: Page) -> str:
    """The page as HTML that needs no other file."""
    return _environment().get_template(_TEMPLATE).render(page=page)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("dosegrad.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
