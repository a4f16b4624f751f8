"""RBE-weighted dose in a scenario, as a function of weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dosegrad.arrays import Array, IntArray
from dosegrad.influence.dose_map import Pullback
from dosegrad.influence.scenario_storage import RunLengthMatrix
from dosegrad.rbe.formulas import effect, rbe_weighted_dose

__all__ = ["EffectMatrices", "ScenarioRBEMap"]


@dataclass(frozen=True, slots=True, eq=False)
class EffectMatrices:
    """Alpha times dose and root of beta times dose in one scenario, per unit weight."""

    alpha_dose: RunLengthMatrix
    sqrt_beta_dose: RunLengthMatrix

    @property
    def n_bytes(self) -> int:
        """Bytes of both."""
        return self.alpha_dose.n_bytes + self.sqrt_beta_dose.n_bytes

    def rows(self, places: IntArray) -> EffectMatrices:
        """Both on some of their rows (n,), ascending."""
        return EffectMatrices(self.alpha_dose.rows(places), self.sqrt_beta_dose.rows(places))


@dataclass(frozen=True, slots=True, eq=False)
class ScenarioRBEMap:
    """RBE-weighted dose of one scenario and its exact derivative.

    As :class:`~dosegrad.influence.rbe_map.RBEDoseMap`, on matrices of 16 bits.

    Parameters
    ----------
    matrices
        Of the scenario.
    alpha, beta
        Of photons (n_voxels,), 1/Gy and 1/Gy2.
    fractions
        That the weights are spread over.
    """

    matrices: EffectMatrices
    alpha: Array
    beta: Array
    fractions: int

    @property
    def n_variables(self) -> int:
        """Number of columns."""
        return self.matrices.alpha_dose.shape[1]

    @property
    def n_voxels(self) -> int:
        """Number of rows."""
        return self.matrices.alpha_dose.n_rows

    def linearise(self, variables: Array) -> tuple[Array, Pullback]:
        """Dose (n_voxels,), Gy (RBE), at ``variables`` (n_variables,), and the pullback."""
        one, other = self.matrices.alpha_dose, self.matrices.sqrt_beta_dose
        a, b = one.forward(variables), other.forward(variables)
        dose, slope = rbe_weighted_dose(
            effect(a, b, self.fractions), self.alpha, self.beta, self.fractions
        )

        def pullback(g: Array) -> Array:
            by_effect = np.asarray(g) * slope
            by_root = by_effect * (2.0 / self.fractions) * b
            return one.pullback(by_effect) + other.pullback(by_root)

        return dose, pullback
