"""Names of engines and where their code lives, as text, so that nothing loads early."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from dosegrad.errors import unknown_name

__all__ = ["ENGINES", "load_object"]

#: Engine name -> "module:attribute" of its settings class.
ENGINES: Final[dict[str, str]] = {
    "pencil-beam": "dosegrad.engines.pencil_beam.engine:PencilBeam",
}


def load_object(kind: str, table: dict[str, str], name: str) -> Any:
    """The object that ``table`` registers under ``name``.

    Raises
    ------
    UnknownNameError
        If the table lacks ``name``; the message lists what there is.
    """
    if name not in table:
        raise unknown_name(kind, name, table)
    module, _, attribute = table[name].partition(":")
    return getattr(import_module(module), attribute)
