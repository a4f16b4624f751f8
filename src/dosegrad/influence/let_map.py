"""Dose-averaged LET as a function of weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.influence.dose_map import Pullback
from dosegrad.influence.pair_products import PairProducts

__all__ = ["LETMap"]


@dataclass(frozen=True, slots=True, eq=False)
class LETMap:
    r"""Dose-averaged LET, keV/µm, and its derivative; 0 where there is no dose.

    .. math:: L = \frac{\sum_j w_j L_j D_j}{\sqrt{D^2 + \varepsilon^2}}, \qquad
       D = \sum_j w_j D_j

    Without the softening :math:`\varepsilon` this is the LET itself. With it, voxels of hardly any
    dose count less, and do not make the problem stiff: their LET follows every change of weights.

    Parameters
    ----------
    products
        LET times dose and dose, per unit weight.
    softening
        :math:`\varepsilon`, Gy for the whole course.
    """

    products: PairProducts
    softening: float = 0.0

    @property
    def n_variables(self) -> int:
        """Number of columns."""
        return self.products.n_columns

    @property
    def n_voxels(self) -> int:
        """Number of rows."""
        return self.products.n_rows

    @property
    def row_sizes(self) -> IntArray:
        """Number of values (n_voxels,) that each row takes."""
        return 2 * self.products.row_sizes

    def keeping(self, kept: BoolArray) -> LETMap:
        """The map of the rows that are ``kept`` (n_voxels,)."""
        return replace(self, products=self.products.keeping(kept))

    def linearise(self, variables: Array) -> tuple[Array, Pullback]:
        """LET (n_voxels,), keV/µm, at ``variables`` (n_variables,), and the pullback."""
        let, shares = self._shares(variables)
        return let, lambda g: self.products.pullback(g * shares)

    def squares(self, h: Array, variables: Array) -> Array:
        """Sum over voxels of ``h`` (n_voxels,) times the squared slopes at ``variables``."""
        return self.products.mixed(self._shares(variables)[1]).squares(h)

    def _shares(self, variables: Array) -> tuple[Array, Array]:
        """LET, and its derivatives (2, n_voxels) by LET times dose and by dose."""
        let_dose, dose = self.products.forward(variables)
        size = np.hypot(dose, self.softening)
        by_size = np.divide(1.0, size, out=np.zeros_like(dose), where=size > 0)
        let = let_dose * by_size
        return let, np.stack([by_size, -let * dose * by_size**2])
