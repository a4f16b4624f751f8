"""Lock files, versions and layers are in order."""

import re
import tomllib
from pathlib import Path

import pytest

from dosegrad import __version__

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def names(text):
    found = re.findall(r"^([A-Za-z0-9._-]+)\s*(?:==|>=)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in found}


def locked(name):
    return (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_file_names_no_package_index_and_has_a_hash_for_everything(lock):
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert entries
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)


@pytest.mark.parametrize(("lock", "extras"), [("run", []), ("test", ["dev", "docs"])])
def test_a_lock_file_holds_what_the_project_asks_for(lock, extras):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"]]
    for extra in extras:
        asked += project["optional-dependencies"][extra]
    assert names("\n".join(asked)) <= names(locked(lock))


def test_tests_run_with_the_versions_that_users_get():
    pins = [set(re.findall(r"^(\S+==\S+)", locked(lock), re.MULTILINE)) for lock in ("run", "test")]
    assert pins[0] <= pins[1]


def test_the_citation_states_this_version():
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
