"""Names of engines, readers and writers and where their code lives, as text.

Nothing loads early, and lower layers can hand over to upper ones without importing them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from dosegrad.errors import unknown_name

__all__ = [
    "BEAM_TABULATORS",
    "DEFAULT_ENGINES",
    "ENGINES",
    "EXECUTORS",
    "MACHINE_READERS",
    "PLAN_WRITERS",
    "load_object",
]

#: Engine name -> "module:attribute" of its settings class.
ENGINES: Final[dict[str, str]] = {
    "pencil-beam": "dosegrad.engines.pencil_beam.engine:PencilBeam",
    "photon-kernel": "dosegrad.engines.photon_kernel.engine:PhotonKernel",
    "yoda": "dosegrad.engines.yoda.engine:Yoda",
}

#: Modality of a machine -> engine that is used where none is named.
DEFAULT_ENGINES: Final[dict[str, str]] = {
    "carbon": "pencil-beam",
    "helium": "pencil-beam",
    "photons": "photon-kernel",
    "protons": "pencil-beam",
}

#: Kind of cluster -> what makes an executor of a client or an address.
EXECUTORS: Final[dict[str, str]] = {
    "dask": "dosegrad.cluster.dask_executor:connect",
}

#: Modality of a machine -> what computes its beam tables for factor-based dose.
BEAM_TABULATORS: Final[dict[str, str]] = {
    "photons": "dosegrad.commissioning.beam_tables:tabulate",
}

#: File ending -> reader of a machine file.
MACHINE_READERS: Final[dict[str, str]] = {
    ".csv": "dosegrad.io.beam_model:read_beam_model",
    ".mat": "dosegrad.io.matrad_machine:read_matrad_machine",
    ".npz": "dosegrad.machine.archive:read_machine_archive",
}

#: File ending -> writer of a plan.
PLAN_WRITERS: Final[dict[str, str]] = {
    "": "dosegrad.io.archive:save_plan",
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
