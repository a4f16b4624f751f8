"""Dose engines: frozen settings that turn beams in a medium into dose.

The classes below load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dosegrad.engines.pencil_beam.engine import PencilBeam
    from dosegrad.engines.photon_kernel.engine import PhotonKernel
    from dosegrad.engines.tg71.engine import TG71
    from dosegrad.engines.yoda.engine import Yoda

__all__ = ["TG71", "PencilBeam", "PhotonKernel", "Yoda"]

_PLACES: Final[dict[str, str]] = {
    "TG71": "dosegrad.engines.tg71.engine",
    "PencilBeam": "dosegrad.engines.pencil_beam.engine",
    "PhotonKernel": "dosegrad.engines.photon_kernel.engine",
    "Yoda": "dosegrad.engines.yoda.engine",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'dosegrad.engines' has no attribute {name!r}")
    value = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
