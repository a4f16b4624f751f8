"""RBE-weighted dose as a function of weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.influence.dose_map import Pullback
from dosegrad.influence.pair_products import PairProducts
from dosegrad.rbe.formulas import effect, rbe_weighted_dose

__all__ = ["RBEDoseMap"]


@dataclass(frozen=True, slots=True, eq=False)
class RBEDoseMap:
    r"""RBE-weighted dose of the linear-quadratic model, and its exact derivative.

    .. math:: \frac{\partial D}{\partial w_j} = \frac{\alpha_j D_j + 2 (B/n) \sqrt{\beta_j} D_j}
       {2 \beta_x \left(D/n + \alpha_x / 2 \beta_x\right)}

    with the sums of :mod:`dosegrad.rbe.formulas`.

    Parameters
    ----------
    products
        Alpha times dose and root of beta times dose, per unit weight.
    alpha, beta
        Of photons (n_voxels,), 1/Gy and 1/Gy2.
    fractions
        n, that the weights are spread over.
    """

    products: PairProducts
    alpha: Array
    beta: Array
    fractions: int

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

    def keeping(self, kept: BoolArray) -> RBEDoseMap:
        """The map of the rows that are ``kept`` (n_voxels,)."""
        products = self.products.keeping(kept)
        return replace(self, products=products, alpha=self.alpha[kept], beta=self.beta[kept])

    def linearise(self, variables: Array) -> tuple[Array, Pullback]:
        """Dose (n_voxels,), Gy (RBE), at ``variables`` (n_variables,), and the pullback."""
        dose, shares = self._shares(variables)
        return dose, lambda g: self.products.pullback(g * shares)

    def squares(self, h: Array, variables: Array) -> Array:
        """Sum over voxels of ``h`` (n_voxels,) times the squared slopes at ``variables``."""
        return self.products.mixed(self._shares(variables)[1]).squares(h)

    def _shares(self, variables: Array) -> tuple[Array, Array]:
        """Dose, and its derivatives (2, n_voxels) by A and B."""
        a, b = self.products.forward(variables)
        dose, slope = rbe_weighted_dose(
            effect(a, b, self.fractions), self.alpha, self.beta, self.fractions
        )
        return dose, np.stack([slope, slope * 2.0 * b / self.fractions])
