"""Every test that the table of hazards names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "trust.md"
NAMED = re.compile(r"`(test_\w+\.py)(?:::(test_\w+?)(?:_?\.\.\.)?)?`")
ALONE = re.compile(r"`(test_\d\d)_\.\.\.`")


def test_every_test_that_is_named_exists():
    text = PAGE.read_text(encoding="utf-8")
    places = {
        path.name: path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py")
    }
    found = NAMED.findall(text)
    assert len(found) > 15
    for file, name in found:
        assert file in places, file
        assert f"def {name}" in places[file], f"{file}::{name}"
    known = places["test_known_failures.py"]
    assert all(f"def {name}" in known for name in ALONE.findall(text))


def test_every_hazard_has_a_control_and_a_test():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert len(rows) > 15
    for row in rows[2:]:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 3
        assert all(cells), row
        assert "test" in cells[2], row
