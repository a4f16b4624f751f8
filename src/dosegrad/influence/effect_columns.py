"""Columns of alpha and beta where no influence holds them: in scenarios, and for one plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from dosegrad.arrays import Array, Float32Array, IntArray, Weights
from dosegrad.beams.beam import Beams
from dosegrad.errors import PlanError
from dosegrad.geometry.grid import Grid
from dosegrad.influence.biology import (
    TissueEngine,
    check_model,
    columns_from_let,
    machine_classes,
    map_tissues,
)
from dosegrad.influence.products import multiply
from dosegrad.patient.patient import Patient
from dosegrad.progress import report
from dosegrad.rbe.constant import ConstantRBE
from dosegrad.rbe.formulas import effect, rbe_weighted_dose
from dosegrad.rbe.protocols import LETModel, RBEModel
from dosegrad.rbe.tissue import TissueMap

__all__ = ["EffectColumns", "is_variable", "weighted_dose"]

#: What the effect of a dose is made of.
_PAIR = ("alpha_dose", "sqrt_beta_dose")


def is_variable(model: RBEModel | None) -> bool:
    """Whether RBE-weighted dose by this model is no multiple of the dose."""
    return model is not None and not isinstance(model, ConstantRBE)


@dataclass(frozen=True, slots=True, eq=False)
class EffectColumns:
    """Makes columns of dose, of alpha times dose, and of root of beta times dose.

    Parameters
    ----------
    model
        A variable RBE.
    tissue
        Of all voxels that may be asked for.
    """

    model: RBEModel
    tissue: TissueMap

    def at(self, rows: IntArray) -> EffectColumns:
        """The same for some of the voxels, by their ``rows`` (n,)."""
        return EffectColumns(
            self.model, TissueMap(self.tissue.tissues, self.tissue.classes[np.asarray(rows)])
        )

    def of_beam(
        self, engine: Any, medium: Any, beams: Beams, index: int, voxels: IntArray
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], Mapping[str, Float32Array]]:
        """Starts of columns, rows, and values by quantity, of one beam.

        ``voxels`` (n,) are those of the tissue, flat indices into the medium's grid.
        """
        maker = engine
        if "alpha_dose" in self.model.needs:
            maker = TissueEngine(engine, machine_classes(beams.particles, self.tissue))
        columns = maker.prepare(medium, beams, index, voxels)
        starts: NDArray[np.int64] = np.concatenate([[0], np.cumsum(columns.count())])
        rows = np.empty(int(starts[-1]), dtype=np.int32)
        names = dict.fromkeys(("dose", *self.model.needs))
        values = {name: np.empty(rows.size, dtype=np.float32) for name in names}
        columns.fill(starts[:-1], rows, values)
        if isinstance(self.model, LETModel):
            matrix = csc_array((values["dose"], rows, starts), shape=(voxels.size, starts.size - 1))
            values.update(columns_from_let(self.model, self.tissue, matrix, values["let_dose"]))
        return starts, rows, {name: values[name] for name in ("dose", *_PAIR)}

    def forward(
        self,
        engine: Any,
        medium: Any,
        beams: Beams,
        weights: Weights,
        voxels: IntArray,
        fractions: int,
    ) -> Array:
        """RBE-weighted dose (n_voxels,), Gy (RBE), whole course, beam by beam."""
        sums = np.zeros((2, len(voxels)))
        for index in range(len(beams)):
            part = np.asarray(weights[beams.columns_of(index)], dtype=np.float64)
            if not part.any():
                continue
            starts, rows, values = self.of_beam(engine, medium, beams, index, voxels)
            shape = (len(voxels), part.size)
            for k, name in enumerate(_PAIR):
                sums[k] += multiply(csc_array((values[name], rows, starts), shape=shape), part)
            report("dose", (index + 1) / len(beams), f"beam {index + 1} of {len(beams)}")
        total = effect(sums[0], sums[1], fractions)
        return rbe_weighted_dose(total, self.tissue.alpha, self.tissue.beta, fractions)[0]


def weighted_dose(
    patient: Patient,
    grid: Grid,
    engine: Any,
    medium: Any,
    beams: Beams,
    weights: Weights,
    voxels: IntArray,
    *,
    model: RBEModel,
    fractions: int,
) -> Array:
    """RBE-weighted dose (n_voxels,), Gy (RBE), whole course, holding the columns of one beam.

    Parameters
    ----------
    patient, grid
        Whose tissues, and the dose grid.
    engine, medium, beams, weights, voxels
        As :meth:`~dosegrad.engines.protocols.ForwardEngine.forward` takes them; the engine gives
        columns of what the model needs.
    model
        A variable RBE.
    fractions
        Equal parts in which the course is given.

    Raises
    ------
    CapabilityError
        If engine or machine cannot give what the model needs.
    """
    check_model(model, beams.machine, tuple(engine.quantities(beams.machine)))
    tissue = map_tissues(patient, grid, voxels, model)
    if tissue is None:
        raise PlanError(
            f"{type(model).__name__} was given no tissues; give it other=rbe.Tissue(...)."
        )
    return EffectColumns(model, tissue).forward(engine, medium, beams, weights, voxels, fractions)
