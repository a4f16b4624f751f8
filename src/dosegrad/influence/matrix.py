"""The influence matrix: dose per unit weight, voxels by columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csc_array

from dosegrad.arrays import Array, Float32Array, IntArray, readonly
from dosegrad.beams.beam import Beams
from dosegrad.dose import Dose
from dosegrad.errors import PlanError, unknown_name
from dosegrad.geometry.grid import Grid
from dosegrad.influence.products import in_kernel_types, multiply
from dosegrad.influence.shards import HeldScenarios
from dosegrad.patient.patient import Patient
from dosegrad.rbe.protocols import RBEModel
from dosegrad.rbe.tissue import TissueMap
from dosegrad.units import whole_fractions

__all__ = ["Influence"]


@dataclass(frozen=True, slots=True, eq=False)
class Influence:
    """Dose per unit weight of every column on the voxels that matter.

    Parameters
    ----------
    patient
        Whose structures objectives will act on.
    beams
        What the columns are.
    grid
        The dose grid.
    voxels
        Flat indices into ``grid`` of the matrix rows, ascending, shape (n_voxels,).
    matrix
        Dose, Gy per unit weight, csc float32 with int32 rows, shape (n_voxels, n_columns).
    extra
        Values, float32, of further quantities (``"let_dose"``, ...) that share the sparsity of
        ``matrix``, each of the length of ``matrix.data``.
    provenance
        Engine, settings, version.
    covers_body
        Whether the rows are the whole body, so that voxels without a row have no dose.
    scenarios
        Matrices of scenarios, if it was computed with some; on a cluster if that was asked for.
    rbe
        Model of the biological effect, if it was computed for one.
    tissue
        Tissue of each row, if the model has tissues.
    """

    patient: Patient
    beams: Beams
    grid: Grid
    voxels: IntArray
    matrix: csc_array
    extra: Mapping[str, Float32Array] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)
    covers_body: bool = True
    scenarios: HeldScenarios | None = None
    rbe: RBEModel | None = None
    tissue: TissueMap | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "voxels", readonly(self.voxels, np.int64))
        object.__setattr__(self, "extra", MappingProxyType(dict(self.extra)))
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))
        expected = (self.voxels.size, self.beams.n_columns)
        if self.matrix.shape != expected:
            raise PlanError(f"influence matrix {self.matrix.shape} should be {expected}.")

    def __repr__(self) -> str:
        rows, columns = self.matrix.shape
        more = f", {len(self.scenarios.scenarios)} scenarios" if self.scenarios else ""
        return f"Influence({rows} voxels × {columns} columns, {self.matrix.nnz} non-zeros{more})"

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the quantities that :meth:`quantity` gives."""
        return ("dose", *self.extra)

    def quantity(self, name: str) -> csc_array:
        """Matrix (n_voxels, n_columns) of a quantity: ``"dose"``, ``"let_dose"``...

        Raises
        ------
        UnknownNameError
            If the influence was computed without it.
        """
        if name == "dose":
            return self.matrix
        if name not in self.extra:
            raise unknown_name("quantity of this influence", name, self.quantities)
        parts = (self.extra[name], self.matrix.indices, self.matrix.indptr)
        return csc_array(parts, shape=self.matrix.shape)

    def dose(self, weights: ArrayLike, *, quantity: str = "dose", fractions: int = 1) -> Dose:
        """Dose of the whole course for ``weights`` (n_columns,); see :meth:`on_grid`.

        Parameters
        ----------
        weights
            Of the columns, whole course.
        quantity
            What of it: a key of :data:`dosegrad.units.QUANTITIES`, such as ``"rbe_dose"``,
            ``"eqd2"`` or ``"let"``, where the influence has what that needs.
        fractions
            Equal parts in which it is given; they count in biology.

        Raises
        ------
        PlanError
            If weights are of a wrong number, negative or not finite, or fractions are no whole
            number from 1.
        """
        factors = np.asarray(weights, dtype=float)
        if factors.shape != (self.beams.n_columns,):
            raise PlanError(
                f"{factors.size} weights do not fit {self.beams.n_columns} columns of the beams."
            )
        if not np.isfinite(factors).all() or factors.min(initial=0.0) < 0:
            raise PlanError("weights must be finite and not negative; check where they came from.")
        course = whole_fractions(fractions)
        if quantity == "dose":
            return self.on_grid(multiply(in_kernel_types(self.matrix), factors))
        from dosegrad.influence.sources import quantity_dose

        return quantity_dose(self, factors, quantity, course)

    def on_grid(self, row_values: Array, *, quantity: str = "dose", **provenance: object) -> Dose:
        """A dose, or another quantity, from its values in the rows (n_voxels,).

        Voxels without a row have dose 0 where the rows are the whole body; otherwise their dose is
        not known, and NaN, so that nobody takes it for none.
        """
        array = np.full(self.grid.n_voxels, 0.0 if self.covers_body else np.nan)
        array[self.voxels] = row_values
        return Dose(
            self.grid,
            array.reshape(self.grid.shape),
            quantity,
            provenance={**self.provenance, **provenance},
        )
