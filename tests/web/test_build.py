"""The committed pages are complete, small, and what their source makes."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "src" / "dosegrad" / "web" / "static"


def test_the_build_is_small_and_asks_nobody_else():
    files = [path for path in STATIC.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_500_000
    for path in files:
        for address in re.findall(r"https?://[\w./-]+", path.read_text(encoding="utf-8")):
            assert address.startswith("http://www.w3.org/"), f"{path.name} names {address}"


@pytest.mark.slow
def test_the_build_is_what_the_source_makes():
    if shutil.which("npm") is None:
        pytest.skip("Node is not installed")
    if not (ROOT / "web" / "node_modules").is_dir():
        pytest.skip("web/node_modules is missing; run 'npm ci' in web")
    command = [sys.executable, str(ROOT / "web" / "check_build.py")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.slow
def test_a_wheel_holds_the_pages(tmp_path):
    pytest.importorskip("hatchling", reason="hatchling, which builds wheels, is not installed")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in STATIC.rglob("*"):
        assert f"dosegrad/web/static/{path.name}" in names
    assert not any("node_modules" in name for name in names)
