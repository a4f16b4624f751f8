"""The documentation names every public module, and every citation has its entry."""

import re
from pathlib import Path

import pytest

from dosegrad import registry

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "dosegrad"
BIBLIOGRAPHY = (ROOT / "docs" / "bibliography.md").read_text(encoding="utf-8")


def public_modules():
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        if not any(part.startswith("_") for part in parts):
            yield ".".join(("dosegrad", *parts))


def test_every_public_module_is_on_a_reference_page():
    pages = [p.read_text(encoding="utf-8") for p in (ROOT / "docs" / "reference").glob("*.md")]
    listed = {name for page in pages for name in re.findall(r"automodule:: (\S+)", page)}
    assert listed == set(public_modules())


def test_every_citation_has_an_entry_and_every_entry_is_cited():
    entries = re.findall(r"^\.\. \[(\w+)\]", BIBLIOGRAPHY, re.MULTILINE)
    assert entries == sorted(entries, key=str.lower)
    sources = [path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")]
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md")]
    cited = {key for text in sources for key in re.findall(r"\[(\w+)\]_", text)}
    cited |= {key for text in pages for key in re.findall(r"\[\[(\w+)\]\]\(", text)}
    assert cited == set(entries)


TABLES = {
    "ENGINES": registry.ENGINES,
    "MACHINE_READERS": registry.MACHINE_READERS,
    "PLAN_WRITERS": registry.PLAN_WRITERS,
}


@pytest.mark.parametrize(("table", "name"), [(t, n) for t, names in TABLES.items() for n in names])
def test_every_registered_name_leads_to_something(table, name):
    assert callable(registry.load_object(table, TABLES[table], name))
