"""The hinge: maps from plan variables to dose, each with its pullback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from scipy.sparse import csc_array

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.influence.products import RowProducts

__all__ = ["DoseMap", "InfluenceDoseMap", "Pullback", "RowMap", "dot_test"]

#: Turns df/d dose (n_voxels,) into df/d variables (n_variables,).
Pullback: TypeAlias = Callable[[Array], Array]


class DoseMap(Protocol):
    """Anything that turns plan variables into dose and dose gradients into variable gradients."""

    @property
    def n_variables(self) -> int:
        """Number of plan variables."""
        ...

    @property
    def n_voxels(self) -> int:
        """Number of dose values."""
        ...

    def linearise(self, variables: Array) -> tuple[Array, Pullback]:
        """Dose (n_voxels,) at ``variables`` (n_variables,), and the pullback there."""
        ...


class RowMap(DoseMap, Protocol):
    """A dose map made of matrix rows, of which some may be left out."""

    @property
    def row_sizes(self) -> IntArray:
        """Number of matrix values (n_voxels,) that each value takes."""
        ...

    def keeping(self, kept: BoolArray) -> RowMap:
        """The map of the values that are ``kept`` (n_voxels,)."""
        ...

    def squares(self, h: Array, variables: Array) -> Array:
        """Sum (n_variables,) over values of ``h`` (n_voxels,) times the squared slopes there."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class InfluenceDoseMap:
    r"""The linear map :math:`d = D w` of an influence matrix; its pullback is :math:`D^T g`.

    Parameters
    ----------
    products
        The rows of the matrix, ready to be multiplied.
    """

    products: RowProducts

    @classmethod
    def of(cls, matrix: csc_array, rows: IntArray | None = None) -> InfluenceDoseMap:
        """The map of ``rows`` (ascending) of ``matrix``, Gy per unit weight; all if ``None``."""
        return cls(RowProducts.of(matrix, rows))

    @property
    def n_variables(self) -> int:
        """Number of columns of the matrix."""
        return self.products.n_columns

    @property
    def n_voxels(self) -> int:
        """Number of rows of the matrix."""
        return self.products.n_rows

    @property
    def row_sizes(self) -> IntArray:
        """Number of matrix values (n_voxels,) of each row."""
        return self.products.row_sizes

    def keeping(self, kept: BoolArray) -> InfluenceDoseMap:
        """The map of the rows that are ``kept`` (n_voxels,)."""
        return InfluenceDoseMap(self.products.keeping(kept))

    def linearise(self, variables: Array) -> tuple[Array, Pullback]:
        """Dose (n_voxels,), Gy, at ``variables`` (n_variables,), and the pullback."""
        return self.products.forward(variables), self.products.pullback

    def squares(self, h: Array, variables: Array) -> Array:
        """Sum over rows of ``h`` (n_voxels,) times the squared matrix values, (n_variables,)."""
        del variables  # a linear map has the same slopes everywhere
        return self.products.squares(h)


def dot_test(dose_map: DoseMap, variables: Array, *, seed: int = 0, step: float = 1e-6) -> float:
    r"""Relative error between :math:`\langle J u, g \rangle` and :math:`\langle u, J^T g \rangle`.

    J is the derivative of the map at ``variables``, by central difference along a random
    direction of relative length ``step``; g is random. Near 1e-10 or less for linear maps.
    """
    rng = np.random.default_rng(seed)
    direction = rng.standard_normal(dose_map.n_variables)
    gradient = rng.standard_normal(dose_map.n_voxels)
    reach = step * max(1.0, float(np.linalg.norm(variables)))
    above, _ = dose_map.linearise(variables + reach * direction)
    below, _ = dose_map.linearise(variables - reach * direction)
    _, pullback = dose_map.linearise(variables)
    forward = float((above - below) @ gradient) / (2.0 * reach)
    back = float(direction @ pullback(gradient))
    return abs(forward - back) / max(abs(forward), abs(back), 1e-300)
