"""Effect, BED and EQD2 as functions of weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.influence.dose_map import Pullback
from dosegrad.influence.pair_products import PairProducts
from dosegrad.rbe.formulas import effect

__all__ = ["EffectMap"]


@dataclass(frozen=True, slots=True, eq=False)
class EffectMap:
    r"""Effect of the linear-quadratic model times a scale, and its derivative.

    .. math:: \frac{\partial E}{\partial w_j} = \alpha_j D_j + 2 \frac{B}{n} \sqrt{\beta_j} D_j

    The scale is 1 for the effect, :math:`1/\alpha_x` for BED (Gy), and
    :math:`1/(\alpha_x + 2\,\mathrm{Gy}\,\beta_x)` for EQD2 (Gy), the dose of photons in
    fractions of 2 Gy that has the same effect.

    Parameters
    ----------
    products
        Alpha times dose and root of beta times dose, per unit weight.
    scale
        Of each voxel (n_voxels,).
    fractions
        n, that the weights are spread over.
    """

    products: PairProducts
    scale: Array
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

    def keeping(self, kept: BoolArray) -> EffectMap:
        """The map of the rows that are ``kept`` (n_voxels,)."""
        return replace(self, products=self.products.keeping(kept), scale=self.scale[kept])

    def linearise(self, variables: Array) -> tuple[Array, Pullback]:
        """Scaled effect (n_voxels,) at ``variables`` (n_variables,), and the pullback."""
        a, b = self.products.forward(variables)
        shares = self._shares(b)
        values = self.scale * effect(a, b, self.fractions)
        return values, lambda g: self.products.pullback(g * shares)

    def squares(self, h: Array, variables: Array) -> Array:
        """Sum over voxels of ``h`` (n_voxels,) times the squared slopes at ``variables``."""
        shares = self._shares(self.products.forward(variables)[1])
        return self.products.mixed(shares).squares(h)

    def _shares(self, sqrt_beta_dose: Array) -> Array:
        """Derivatives (2, n_voxels) by A and B."""
        return np.stack([self.scale, self.scale * 2.0 * sqrt_beta_dose / self.fractions])
