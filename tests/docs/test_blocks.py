"""Code in README and documentation runs as written, page by page, in an empty folder.

A page's ``python`` blocks share their names, top to bottom; ``toml`` blocks are plan files and are
written to ``plan.toml``; of ``console`` blocks the lines that call ``dosegrad`` are run. A block
under a comment ``<!-- not run: reason -->`` is left out.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"^(?P<skip><!-- not run:[^\n]*-->\n+)?"
    r"```(?P<language>python|console|toml)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A piece of code on a page."""

    language: str
    line: int
    code: str


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        if not found["skip"]:
            line = text.count("\n", 0, found.start("code"))
            yield Block(found["language"], line, found["code"])


def commands(block: Block) -> list[list[str]]:
    lines = [line[2:] for line in block.code.splitlines() if line.startswith("$ dosegrad ")]
    return [shlex.split(line) for line in lines]


PAGES = [
    page.relative_to(ROOT).as_posix()
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "_build" not in page.parts
    and any(b.language == "python" or commands(b) for b in blocks(page))
]


def run_python(block: Block, page: str, names: dict[str, object]) -> None:
    source = "\n" * block.line + block.code  # so that a traceback names the page's line
    exec(compile(source, str(ROOT / page), "exec"), names)


def run_command(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "MPLBACKEND": "agg"}
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode in (0, 3), f"{shlex.join(command)}: {ended.stderr}"


#: Pages that plan at full resolution.
SLOW = {"README.md"}


@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=pytest.mark.slow) if p in SLOW else p for p in PAGES]
)
def test_code_on_the_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    names: dict[str, object] = {"__name__": "__page__"}
    for block in blocks(ROOT / page):
        if block.language == "python":
            run_python(block, page, names)
        elif block.language == "toml":
            Path("plan.toml").write_text(block.code, encoding="utf-8")
        for command in commands(block) if block.language == "console" else ():
            run_command(command, tmp_path)


def test_pages_with_code_were_found():
    assert "README.md" in PAGES
    assert "docs/tutorial.md" in PAGES
