"""``dosegrad info``: versions, threads, caches and folders, for bug reports."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Final

from dosegrad import __version__
from dosegrad.cli.console import Json, say_json
from dosegrad.cli.tables import print_table

__all__ = ["info"]

_LIBRARIES: Final = (
    "numpy",
    "scipy",
    "numba",
    "pydicom",
    "SimpleITK",
    "matplotlib",
    "typer",
    "rich",
)


def info(as_json: Json = False) -> None:
    """Say versions, threads, caches and folders."""
    facts = {
        "dosegrad": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        **{name: metadata.version(name) for name in _LIBRARIES},
        **_threads_and_caches(),
        "sample data": os.environ.get("DOSEGRAD_DATA", "DOSEGRAD_DATA is not set"),
    }
    if as_json:
        say_json(facts)
    else:
        print_table(("what", "value"), [(name, str(value)) for name, value in facts.items()])


def _threads_and_caches() -> dict[str, object]:
    import matplotlib
    from numba import config

    import dosegrad
    from dosegrad.compiled import thread_count

    package = Path(dosegrad.__file__).parent
    return {
        "processors": os.cpu_count(),
        "threads": thread_count(),
        "compiled kernels": config.CACHE_DIR or f"{package}/**/__pycache__",
        "kernels compiled": sum(1 for _ in package.rglob("*.nbc")),
        "package": str(package),
        "matplotlib cache": matplotlib.get_cachedir(),
    }
