"""Importing dosegrad is quick and loads nothing heavy."""

import json
import subprocess
import sys

HEAVY = ("numba", "llvmlite", "matplotlib", "pydicom", "SimpleITK", "typer", "rich", "scipy")
PROBE = """
import json, sys, time
start = time.perf_counter()
import dosegrad
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "modules": sorted(sys.modules)}))
"""


def probe() -> dict:
    answer = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True
    )
    return json.loads(answer.stdout)


def test_importing_takes_less_than_half_a_second():
    fastest = min(probe()["seconds"] for _ in range(3))  # of three: another program may be busy
    assert fastest < 0.5


def test_importing_loads_no_compiler_plotting_dicom_or_command_line_library():
    loaded = {name.partition(".")[0] for name in probe()["modules"]}
    assert loaded.isdisjoint(HEAVY)


def test_every_public_name_is_there():
    import dosegrad

    for name in dosegrad.__all__:
        assert getattr(dosegrad, name) is not None
    assert set(dir(dosegrad)) == set(dosegrad.__all__)


def test_an_unknown_name_is_an_attribute_error():
    import pytest

    import dosegrad

    with pytest.raises(AttributeError, match="no attribute 'optimize'"):
        _ = dosegrad.optimize
