"""The small study of the checks, for their reports."""

import importlib.util
from pathlib import Path

_PLACE = Path(__file__).parents[1] / "checks" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("checks_conftest", _PLACE)
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
small = _MODULE.small
