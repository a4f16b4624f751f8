"""Where the values come from that objectives act on: one quantity of an influence, or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csc_array

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.dose import Dose
from dosegrad.errors import PlanError, unknown_name
from dosegrad.influence.dose_map import InfluenceDoseMap, RowMap
from dosegrad.influence.effect_map import EffectMap
from dosegrad.influence.let_map import LETMap
from dosegrad.influence.matrix import Influence
from dosegrad.influence.pair_products import PairProducts
from dosegrad.influence.products import RowProducts, in_kernel_types, multiply, multiply_transposed
from dosegrad.influence.rbe_map import RBEDoseMap
from dosegrad.influence.stacked_map import StackedMap
from dosegrad.rbe.constant import ConstantRBE
from dosegrad.rbe.formulas import effect, rbe_weighted_dose
from dosegrad.units import QUANTITIES

__all__ = ["MatrixSource", "QuantitySource", "ValueSource", "quantity_dose"]

#: Reference dose per fraction of EQD2, Gy.
_TWO_GY: Final = 2.0


class ValueSource(Protocol):
    """Values, row by row, for one or several quantities one after another."""

    @property
    def n_values(self) -> int:
        """Number of values of all quantities."""
        ...

    def offset(self, quantity: str) -> int:
        """Place of a quantity's first value."""
        ...

    def is_linear(self, quantity: str) -> bool:
        """Whether its values are linear in the weights."""
        ...

    def values(self, weights: Array) -> Array:
        """All values (n_values,) of ``weights`` (n_columns,), without preparation."""
        ...

    def column_sums(self, share: Array) -> Array:
        """Sum (n_columns,) of values per unit weight times ``share`` (n_values,), where linear."""
        ...

    def following(self, places: IntArray) -> RowMap:
        """The map of some of the values, by their ``places``, ascending."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class MatrixSource:
    """The rows of one matrix, whatever quantity is asked for.

    Parameters
    ----------
    matrix
        Value per unit weight, csc (n_rows, n_columns).
    """

    matrix: csc_array

    @property
    def n_values(self) -> int:
        """Number of rows."""
        return int(self.matrix.shape[0])

    def offset(self, quantity: str) -> int:
        """0: there is one quantity."""
        del quantity
        return 0

    def is_linear(self, quantity: str) -> bool:
        """True."""
        del quantity
        return True

    def values(self, weights: Array) -> Array:
        """Values (n_rows,) of ``weights`` (n_columns,)."""
        return multiply(self.matrix, weights)

    def column_sums(self, share: Array) -> Array:
        """Transposed matrix times ``share`` (n_rows,), shape (n_columns,)."""
        return multiply_transposed(self.matrix, share)

    def following(self, places: IntArray) -> InfluenceDoseMap:
        """The map of some rows."""
        return InfluenceDoseMap.of(self.matrix, places)


@dataclass(frozen=True, slots=True, eq=False)
class QuantitySource:
    """Quantities of an influence, one after another, each on all its rows.

    Parameters
    ----------
    influence
        With the columns that the quantities need.
    quantities
        Their names.
    fractions
        Number of fractions that the weights are spread over.
    let_softening
        Dose, Gy, below which the LET of a voxel counts ever less; see
        :class:`~dosegrad.influence.let_map.LETMap`.

    Raises
    ------
    PlanError
        If the influence lacks columns or tissues that a quantity needs.
    """

    influence: Influence
    quantities: tuple[str, ...]
    fractions: int = 1
    let_softening: float = 0.0
    _n_rows: int = field(init=False)

    def __post_init__(self) -> None:
        for name in self.quantities:
            _check_quantity(self.influence, name)
        object.__setattr__(self, "_n_rows", int(self.influence.matrix.shape[0]))

    @property
    def n_values(self) -> int:
        """Number of rows times number of quantities."""
        return len(self.quantities) * self._n_rows

    def offset(self, quantity: str) -> int:
        """Place of a quantity's first value."""
        return self.quantities.index(quantity) * self._n_rows

    def is_linear(self, quantity: str) -> bool:
        """Whether its values are linear in the weights."""
        if quantity == "rbe_dose":
            return isinstance(self.influence.rbe, ConstantRBE)
        return quantity in ("dose", "let_dose")

    def values(self, weights: Array) -> Array:
        """All values (n_values,) of ``weights`` (n_columns,), without preparation."""
        sums: dict[str, Array] = {}

        def total(name: str) -> Array:
            if name not in sums:
                sums[name] = multiply(self._matrix(name), weights)
            return sums[name]

        parts = []
        for name in self.quantities:
            if self.is_linear(name):
                parts.append(self._factor(name) * total(_column(name)))
            elif name == "let":
                dose = np.hypot(total("dose"), self.let_softening)
                zero = np.zeros_like(dose)
                parts.append(np.divide(total("let_dose"), dose, out=zero, where=dose > 0))
            else:
                a, b = self._sums(total)
                parts.append(self._of_effect(name, effect(a, b, self.fractions)))
        return np.concatenate(parts)

    def column_sums(self, share: Array) -> Array:
        """Sum (n_columns,) of values per unit weight times ``share`` (n_values,), where linear."""
        found = np.zeros(self.influence.matrix.shape[1])
        for name, part in zip(self.quantities, np.split(share, len(self.quantities)), strict=True):
            if part.any():
                found += multiply_transposed(self._matrix(_column(name)), self._factor(name) * part)
        return found

    def following(self, places: IntArray) -> RowMap:
        """The map of some of the values, by their ``places``, ascending."""
        maps = []
        for number, name in enumerate(self.quantities):
            first = number * self._n_rows
            mine = places[(places >= first) & (places < first + self._n_rows)] - first
            maps.append(self._map(name, mine))
        return maps[0] if len(maps) == 1 else StackedMap(tuple(maps))

    def _matrix(self, name: str) -> csc_array:
        return in_kernel_types(self.influence.quantity(name))

    def _factor(self, name: str) -> float:
        model = self.influence.rbe
        return model.factor if name == "rbe_dose" and isinstance(model, ConstantRBE) else 1.0

    def _map(self, name: str, rows: IntArray) -> RowMap:
        if self.is_linear(name):
            products = RowProducts.of(self._matrix(_column(name)), rows)
            factor = np.float32(self._factor(name))
            scaled = products.values if factor == 1 else products.values * factor
            return InfluenceDoseMap(replace(products, values=scaled))
        if name == "let":
            pair = PairProducts.of(self._matrix("let_dose"), self._matrix("dose"), rows)
            return LETMap(pair, self.let_softening)
        alpha, beta = self._photons(rows)
        both = self._pair(rows, alpha, beta)
        if name == "rbe_dose":
            return RBEDoseMap(both, alpha, beta, self.fractions)
        return EffectMap(both, _scale(name, alpha, beta), self.fractions)

    def _pair(self, rows: IntArray, alpha: Array, beta: Array) -> PairProducts:
        """Alpha times dose and root of beta times dose on some rows."""
        model = self.influence.rbe
        if not isinstance(model, ConstantRBE):
            matrices = (self._matrix("alpha_dose"), self._matrix("sqrt_beta_dose"))
            return PairProducts.of(*matrices, rows)
        dose = RowProducts.of(self._matrix("dose"), rows)
        photon_dose = np.float32(model.factor) * dose.values
        first, second = (
            np.repeat(p, dose.row_sizes).astype(np.float32) * photon_dose
            for p in (alpha, np.sqrt(beta))
        )
        return PairProducts(dose.indptr, dose.columns, first, second, dose.n_columns)

    def _sums(self, total: _Total) -> tuple[Array, Array]:
        """A and B (n_rows,) of weights."""
        model = self.influence.rbe
        if not isinstance(model, ConstantRBE):
            return total("alpha_dose"), total("sqrt_beta_dose")
        alpha, beta = self._photons()
        photon_dose = model.factor * total("dose")
        return alpha * photon_dose, np.sqrt(beta) * photon_dose

    def _photons(self, rows: IntArray | BoolArray | None = None) -> tuple[Array, Array]:
        """Alpha and beta of photons on some rows."""
        tissue = self.influence.tissue
        assert tissue is not None  # found by _check_quantity
        if rows is None:
            return tissue.alpha, tissue.beta
        return tissue.alpha[rows], tissue.beta[rows]

    def _of_effect(self, name: str, effects: Array) -> Array:
        alpha, beta = self._photons()
        if name == "rbe_dose":
            return rbe_weighted_dose(effects, alpha, beta, self.fractions)[0]
        return _scale(name, alpha, beta) * effects


class _Total(Protocol):
    def __call__(self, name: str, /) -> Array: ...


def quantity_dose(influence: Influence, weights: ArrayLike, name: str, fractions: int = 1) -> Dose:
    """A quantity of the whole course for ``weights`` (n_columns,), spread over fractions.

    ``"rbe"`` is RBE-weighted dose over dose, and 1 where there is no dose.

    Raises
    ------
    PlanError
        If the influence lacks what the quantity needs.
    """
    factors = np.asarray(weights, dtype=float)
    if name not in QUANTITIES:
        raise unknown_name("quantity", name, QUANTITIES)
    if name == "rbe":
        both = _stacked(influence, ("rbe_dose", "dose"), fractions, factors)
        ones = np.ones_like(both[0])
        rows = np.divide(both[0], both[1], out=ones, where=both[1] > 0)
    else:
        (rows,) = _stacked(influence, (name,), fractions, factors)
    return influence.on_grid(rows, quantity=name)


def _stacked(
    influence: Influence, names: Sequence[str], fractions: int, weights: Array
) -> list[Array]:
    source = QuantitySource(influence, tuple(names), fractions)
    return np.split(source.values(weights), len(names))


def _column(name: str) -> str:
    """Column that a linear quantity is in proportion to."""
    return "dose" if name == "rbe_dose" else name


def _scale(name: str, alpha: Array, beta: Array) -> Array:
    """Factor (n_rows,) of the effect that makes a quantity of it."""
    if name == "bed":
        return 1.0 / alpha
    if name == "eqd2":
        return 1.0 / (alpha + _TWO_GY * beta)
    return np.ones_like(alpha)


def _check_quantity(influence: Influence, name: str) -> None:
    if name in ("let", "let_dose") and "let_dose" not in influence.quantities:
        raise PlanError(
            f"{name!r} needs columns of LET times dose, which this influence lacks; compute it "
            'with quantities=("let_dose",).'
        )
    if name in ("rbe_dose", "effect", "bed", "eqd2") and influence.rbe is None:
        raise PlanError(
            f"{name!r} needs an RBE model, and this influence has none; compute it with "
            "compute_influence(..., rbe=rbe.ConstantRBE(1.1)), or another model."
        )
    if name in ("effect", "bed", "eqd2") and influence.tissue is None:
        raise PlanError(
            f"{name!r} needs tissues, and the RBE model of this influence has none; give it "
            "other=rbe.Tissue(alpha=..., beta=...)."
        )
