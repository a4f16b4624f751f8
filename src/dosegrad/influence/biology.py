"""Tissues of voxels, and alpha and beta columns from those of dose and LET."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from dosegrad.arrays import Array, Float32Array, IntArray, Mask
from dosegrad.beams.beam import Beams
from dosegrad.engines.protocols import BeamColumns
from dosegrad.errors import CapabilityError, PlanError
from dosegrad.geometry.grid import Grid
from dosegrad.machine.kinds import Machine
from dosegrad.machine.particle import ParticleMachine
from dosegrad.patient.patient import Patient
from dosegrad.rbe.protocols import LETModel, RBEModel
from dosegrad.rbe.tissue import Tissue, TissueMap

__all__ = ["TissueEngine", "check_model", "columns_from_let", "machine_classes", "map_tissues"]

#: Alpha and beta of a tissue equal those of a table to this relative difference.
_SAME_TISSUE: Final = 1e-3
#: The RBE of protons by convention, and the default of a constant one.
_PROTON_FACTOR: Final = 1.1
#: Values that are worked on at a time.
_CHUNK: Final = 1 << 21


@dataclass(frozen=True, slots=True, eq=False)
class TissueEngine:
    """An engine that is told the tissue of every voxel.

    Parameters
    ----------
    engine
        One that looks up tables of alpha and beta.
    classes
        Row of ``machine.tissues`` of each voxel of the matrix, (n_voxels,).
    """

    engine: Any
    classes: NDArray[np.int32]

    def quantities(self, machine: Any) -> tuple[str, ...]:
        """Those of the engine."""
        names: tuple[str, ...] = self.engine.quantities(machine)
        return names

    def prepare(self, medium: Any, beams: Beams, beam_index: int, voxels: IntArray) -> BeamColumns:
        """Columns of one beam, alpha and beta among them."""
        made: BeamColumns = self.engine.prepare(
            medium, beams, beam_index, voxels, tissue=self.classes
        )
        return made


def check_model(model: object, machine: Machine, offered: tuple[str, ...]) -> None:
    """Raise unless a model suits a machine, and an engine offers the quantities it needs.

    Raises
    ------
    CapabilityError
        If it is no model, was made for other particles, also where it is the RBE of protons by
        convention and the machine delivers photons, or quantities are missing.
    """
    if isinstance(model, type) or not isinstance(model, RBEModel):
        raise CapabilityError(
            f"{model!r} is no RBE model; give one such as rbe.ConstantRBE(1.1) or "
            "rbe.LinearQuadratic(tissues, other=rbe.Tissue(alpha=0.1, beta=0.05))."
        )
    name = type(model).__name__
    if machine.modality not in model.modalities:
        instead = "ConstantRBE(1.0, ...)" if machine.modality == "photons" else "LinearQuadratic"
        raise CapabilityError(
            f"rbe.{name} was made for {' and '.join(model.modalities)}, but machine "
            f"{machine.name!r} delivers {machine.modality}. Use rbe.{instead}."
        )
    if machine.modality == "photons" and getattr(model, "factor", None) == _PROTON_FACTOR:
        raise CapabilityError(
            f"rbe.ConstantRBE({_PROTON_FACTOR:g}) is the convention for protons, but machine "
            f"{machine.name!r} delivers photons, whose doses it would lower. Photons are the "
            "reference: use rbe.ConstantRBE(1.0)."
        )
    missing = [need for need in model.needs if need not in offered]
    if missing:
        raise CapabilityError(
            f"rbe.{name} needs {' and '.join(missing)}, which machine {machine.name!r} has no "
            "tables for. Use a machine that has, or another model: from LET tables, or "
            "rbe.ConstantRBE."
        )


def map_tissues(
    patient: Patient, grid: Grid, voxels: IntArray, model: RBEModel
) -> TissueMap | None:
    """The tissue of each voxel; ``None`` for a model that was given no tissues.

    Only structures with a tissue compete for a voxel, by priority: that of lower number wins.
    Voxels in none of them are of the other tissue.

    Parameters
    ----------
    patient, grid
        Whose structures, and the dose grid.
    voxels
        Flat indices (n,) into ``grid``.
    model
        With its tissues.

    Raises
    ------
    UnknownNameError
        If the patient lacks a structure.
    PlanError
        If structures of different tissues and equal priority overlap.
    """
    if model.other is None:
        return None
    kinds = tuple(dict.fromkeys([model.other, *model.tissues.values()]))
    classes = np.zeros(len(voxels), dtype=np.int32)
    structures = [patient.structure(name) for name in model.tissues]
    masks = {s.name: s.mask(grid).ravel()[voxels] for s in structures}
    for one, other in combinations(structures, 2):
        if one.priority == other.priority and model.tissues[one.name] != model.tissues[other.name]:
            _check_apart(one.name, other.name, masks)
    # the lowest number comes last and overwrites
    for s in sorted(structures, key=lambda s: -_number(s.priority)):
        classes[masks[s.name]] = kinds.index(model.tissues[s.name])
    return TissueMap(kinds, classes)


def machine_classes(machine: ParticleMachine, tissue: TissueMap) -> NDArray[np.int32]:
    """Row of ``machine.tissues`` for each voxel (n_voxels,).

    Raises
    ------
    CapabilityError
        If the machine has no tables for a tissue; the message lists those it has.
    """
    rows = [_row_of(machine, kind) for kind in tissue.tissues]
    return np.array(rows, dtype=np.int32)[tissue.classes]


def columns_from_let(
    model: LETModel, tissue: TissueMap, matrix: csc_array, let_dose: Float32Array
) -> Mapping[str, Float32Array]:
    """Alpha times dose and root of beta times dose, entry by entry of the dose matrix.

    Each entry has the LET of its own spot in its voxel, so that spots are mixed by dose as a
    table of alpha would be; for models linear in LET that is the same as the voxel's LET.
    """
    dose, rows = matrix.data, matrix.indices
    found = {name: np.empty_like(dose) for name in ("alpha_dose", "sqrt_beta_dose")}
    alpha, beta = tissue.alpha, tissue.beta
    for first in range(0, dose.size, _CHUNK):
        part = slice(first, first + _CHUNK)
        d = dose[part].astype(np.float64)
        let = np.divide(let_dose[part], d, out=np.zeros_like(d), where=d > 0)
        values: tuple[Array, Array] = model.parameters(let, alpha[rows[part]], beta[rows[part]])
        for name, value in zip(found, values, strict=True):
            found[name][part] = value * d
    return found


def _row_of(machine: ParticleMachine, kind: Tissue) -> int:
    wanted = np.array([kind.alpha, kind.beta])
    near = np.isclose(machine.tissues, wanted, rtol=_SAME_TISSUE, atol=0.0).all(axis=1)
    if near.any():
        return int(np.flatnonzero(near)[0])
    have = "; ".join(f"alpha={a:g}, beta={b:g}" for a, b in machine.tissues.tolist())
    raise CapabilityError(
        f"machine {machine.name!r} has no table for a tissue of alpha={kind.alpha:g}/Gy, "
        f"beta={kind.beta:g}/Gy2 (have: {have or 'none'}). Use one of these: between tissues a "
        "table cannot be interpolated without its model."
    )


def _check_apart(one: str, other: str, masks: Mapping[str, Mask]) -> None:
    n_shared = int(np.count_nonzero(masks[one] & masks[other]))
    if n_shared:
        raise PlanError(
            f"structures {one!r} and {other!r} have different tissues and the same priority, but "
            f"share {n_shared} voxels. Give one a lower priority number, so that it owns them."
        )


def _number(priority: int | None) -> int:
    assert priority is not None  # set by the constructor of a structure
    return priority
