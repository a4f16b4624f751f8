"""Fixtures that tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of sample data that is not part of the project; skips where it is missing."""
    places = [Path(__file__).parents[2] / "shared" / "data"]
    if "DOSEGRAD_DATA" in os.environ:
        places.insert(0, Path(os.environ["DOSEGRAD_DATA"]))
    for place in places:
        if place.is_dir():
            return place
    pytest.skip("sample data not found; set DOSEGRAD_DATA to its folder")
