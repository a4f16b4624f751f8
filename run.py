"""Set up dosegrad in this checkout and run it: Python 3.11 to 3.13 is all that must be there.

    python run.py demo            plan the built-in case: goals table, picture in this folder
    python run.py test            lint, types, layers, documentation, tests (--slow: all of them)
    python run.py dosegrad ...    any command of dosegrad, for example: dosegrad plan plan.toml
    python run.py docs            build the documentation site into docs/_build/html
    python run.py setup           only make the environment that the tests need
    python run.py lock            make the lock files in requirements/ anew (for developers)

Everything installed lives in .venv beside this file. What is there and fits the lock files is left
alone, so a second run starts at once.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LOCKS = ROOT / "requirements"
OLDEST, NEWEST = (3, 11), (3, 13)


class SetupError(Exception):
    """The environment cannot be made; says what to do."""


# --- environment ---------------------------------------------------------------------------


def scripts_folder(environment: Path) -> Path:
    return environment / ("Scripts" if os.name == "nt" else "bin")


def program(environment: Path, name: str) -> str:
    return str(scripts_folder(environment) / (name + (".exe" if os.name == "nt" else "")))


def use_supported_python() -> None:
    """Start again with a Python that dosegrad supports, if this one is too old or too new."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        other = shutil.which("python3.%d" % minor)  # noqa: UP031 - reads on any Python 3
        if other and subprocess.run([other, "-c", ""], check=False).returncode == 0:
            raise SystemExit(subprocess.call([other, *sys.argv]))
    raise SetupError(
        "this is Python %d.%d; dosegrad needs 3.11, 3.12 or 3.13. Install one of them "  # noqa: UP031
        "(python.org) and start this again with it." % sys.version_info[:2]
    )


def make_environment(environment: Path) -> None:
    """An empty virtual environment with pip, unless a working one is there."""
    python = program(environment, "python")
    if (environment / "pyvenv.cfg").exists():
        for trial in (["-c", "import pip"], ["-m", "ensurepip"]):
            if subprocess.run([python, *trial], check=False, capture_output=True).returncode == 0:
                return
        shutil.rmtree(environment)  # half made, or its Python has gone
    say(f"making {environment.name} with Python {sys.version.split()[0]}")
    import venv  # absent on some systems; the message below says what to do

    try:
        venv.create(environment, with_pip=True, symlinks=os.name != "nt")
    except (subprocess.CalledProcessError, OSError) as error:
        shutil.rmtree(environment, ignore_errors=True)
        raise SetupError(
            f"this Python cannot make a virtual environment ({error}). On Debian and Ubuntu "
            "install python3-venv; elsewhere use the Python of python.org."
        ) from error


def install(environment: Path, lock: str) -> None:
    """The packages of a lock file, and this checkout itself, unless they are there already."""
    stamp = environment / f"dosegrad-{lock}.stamp"
    wanted = fingerprint(LOCKS / f"{lock}.txt", ROOT / "pyproject.toml")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    say(f"installing the packages of requirements/{lock}.txt")
    packages = ["install", "--require-hashes", "-r", str(LOCKS / f"{lock}.txt")]
    itself = ["install", "--no-deps", "--no-build-isolation", "-e", str(ROOT)]
    for arguments in (packages, itself):
        if not (
            install_with_uv(environment, arguments) or install_with_pip(environment, arguments)
        ):
            raise SetupError(
                "the packages could not be installed; the lines above say why. Check the "
                "connection to the package index, then start this again: it takes up where it was."
            )
    stamp.write_text(wanted, encoding="utf-8")


def install_with_uv(environment: Path, arguments: list[str]) -> bool:
    """Whether uv, much the faster installer, could do it."""
    python, uv = program(environment, "python"), program(environment, "uv")
    if not Path(uv).exists():
        locked = ["install", "--quiet", "--require-hashes", "-r", str(LOCKS / "uv.txt")]
        if subprocess.run([python, "-m", "pip", *locked], check=False).returncode:
            say("uv could not be installed; pip takes over")
            return False
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    settings = {**os.environ, "UV_LINK_MODE": os.environ.get("UV_LINK_MODE", "copy")}
    command = [uv, "pip", *arguments, *quiet, "--python", python]
    return subprocess.run(command, check=False, env=settings).returncode == 0


def install_with_pip(environment: Path, arguments: list[str]) -> bool:
    """Whether pip could do it."""
    command = [program(environment, "python"), "-m", "pip", *arguments, "--quiet"]
    return subprocess.run(command, check=False).returncode == 0


def fingerprint(*files: Path) -> str:
    """What an environment depends on: these files, the Python, and where this checkout is."""
    digest = hashlib.sha256(f"{sys.version}|{ROOT}".encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def ready(lock: str) -> Path:
    """The environment in which the packages of ``lock`` are installed."""
    environment = ROOT / ".venv"
    make_environment(environment)
    install(environment, lock)
    return environment


# --- commands ------------------------------------------------------------------------------


def run_dosegrad(arguments: list[str]) -> int:
    """Exit code of a dosegrad command, run in the user's own folder."""
    return subprocess.call([program(ready("run"), "dosegrad"), *arguments])


def run_tests(arguments: list[str]) -> int:
    """0 if every check passes. Each runs whatever the others say; pytest comes last."""
    parser = argparse.ArgumentParser(prog="run.py test")
    parser.add_argument("--slow", action="store_true", help="the slow tests as well")
    parser.add_argument("--workers", default="2", help="processes for pytest (default 2)")
    parser.add_argument("rest", nargs="*", help="more arguments for pytest, after --")
    options = parser.parse_args(arguments)
    environment = ready("test")
    marks = [] if options.slow else ["-m", "not slow"]
    workers = ["-n", options.workers, "--dist", "worksteal"] if options.workers != "0" else []
    checks = {
        "format": ["ruff", "format", "--check", "."],
        "lint": ["ruff", "check", "."],
        "types": ["mypy"],
        "layers": ["lint-imports", "--no-cache"],
        "documentation": site_command(),
        "tests": ["pytest", "-q", *marks, *workers, *options.rest],
    }
    failed = [name for name, command in checks.items() if not passes(environment, name, command)]
    say(f"FAILED: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


def passes(environment: Path, name: str, command: list[str]) -> bool:
    """Whether a check of the test environment succeeds; says how long it took."""
    say(name)
    start = time.monotonic()
    tool, *arguments = command
    settings = {**os.environ, "MPLBACKEND": "agg"}
    settings["PATH"] = os.pathsep.join([str(scripts_folder(environment)), os.environ["PATH"]])
    code = subprocess.call([program(environment, tool), *arguments], cwd=ROOT, env=settings)
    say(f"{name}: {'passed' if code == 0 else 'FAILED'} in {time.monotonic() - start:.0f} s")
    return code == 0


def site_command() -> list[str]:
    """Builds the documentation; a warning is an error."""
    return ["sphinx-build", "-q", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html"]


def build_docs(arguments: list[str]) -> int:
    """Exit code of the documentation build."""
    return 0 if passes(ready("test"), "documentation", [*site_command(), *arguments]) else 1


def set_up(arguments: list[str]) -> int:
    """0 once the environment for the tests is there."""
    ready("test")
    return 0


def make_locks(arguments: list[str]) -> int:
    """0 once the lock files are made anew; extra arguments go to uv, such as ``--upgrade``."""
    environment = ready("test")
    header = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate"]
    header += ["--no-header", "--no-emit-index-url", "--fork-strategy", "fewest", "--quiet"]
    itself = ["pyproject.toml", "requirements/build.in"]
    extras = ["-c", "requirements/run.txt"]
    for extra in ("dev", "docs", "web", "dask", "zarr", "deid", "ipopt"):
        extras += ["--extra", extra]
    locks = {
        "run": ["--extra", "web", *itself],
        "test": [*extras, *itself],
        "uv": ["requirements/uv.in"],
    }
    for name, sources in locks.items():
        target = ["-o", f"requirements/{name}.txt"]
        command = [program(environment, "uv"), "pip", "compile", *header, *sources, *target]
        if code := subprocess.call([*command, *arguments], cwd=ROOT):
            return code
    return 0


def say(text: str) -> None:
    print(f"[run.py] {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Exit code of the command named on the command line."""
    commands = {
        "demo": lambda rest: run_dosegrad(["demo", *rest]),
        "dosegrad": run_dosegrad,
        "test": run_tests,
        "docs": build_docs,
        "setup": set_up,
        "lock": make_locks,
    }
    name, rest = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("", [])
    if name not in commands:
        print(__doc__)
        return 0 if name in ("", "-h", "--help") else 2
    try:
        use_supported_python()
        return commands[name](rest)
    except SetupError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
