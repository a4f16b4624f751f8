"""Dose per monitor unit as a product of named factors, each with where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, prod
from typing import Final, Literal, TypeAlias

from dosegrad.errors import SettingsError, unknown_name

__all__ = ["FACTORS", "Factor", "MonitorUnits", "Setup", "product_of", "replaced"]

Setup: TypeAlias = Literal["isocentric", "fixed-ssd"]

#: Symbol of each factor and what it is.
FACTORS: Final[Mapping[str, str]] = {
    "D0": "dose per MU under normalisation conditions, cGy/MU",
    "Sc": "collimator scatter factor",
    "Sp": "phantom scatter factor",
    "TPR": "tissue phantom ratio",
    "PDD": "percentage depth dose / 100",
    "WF": "wedge factor",
    "TF": "tray factor",
    "OAR": "off-axis ratio",
    "ISF": "inverse square factor",
}


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor: ``symbol`` is a key of :data:`FACTORS`, ``source`` says how it was found."""

    symbol: str
    value: float
    source: str

    @property
    def meaning(self) -> str:
        """What it is, in words."""
        return FACTORS[self.symbol]


@dataclass(frozen=True, slots=True)
class MonitorUnits:
    """Monitor units for a dose, with every factor.

    Parameters
    ----------
    dose
        Wanted at the point, Gy.
    setup
        ``"isocentric"``: with a tissue phantom ratio; ``"fixed-ssd"``: with a percentage depth
        dose.
    factors
        In the order of the formula; their product is the dose per MU, cGy.
    """

    dose: float
    setup: Setup
    factors: tuple[Factor, ...]

    @property
    def dose_per_mu(self) -> float:
        """At the point, Gy/MU."""
        return 0.01 * product_of(self.factors)

    @property
    def value(self) -> float:
        """Monitor units."""
        return self.dose / self.dose_per_mu

    def __getitem__(self, symbol: str) -> float:
        """Value of the factor of that symbol."""
        for factor in self.factors:
            if factor.symbol == symbol:
                return factor.value
        raise unknown_name("factor", symbol, [factor.symbol for factor in self.factors])

    def __str__(self) -> str:
        """Every factor on a line, and the result."""
        lines = [f"{f.symbol:<4} {f.value:>9.5f}  {f.meaning}; {f.source}" for f in self.factors]
        symbols = " ".join(f.symbol for f in self.factors)
        lines.append(f"MU = {100.0 * self.dose:g} cGy / ({symbols}) = {self.value:.1f}")
        return "\n".join(lines)


def product_of(factors: tuple[Factor, ...]) -> float:
    """Product of the values of factors."""
    return prod(factor.value for factor in factors)


def replaced(factors: tuple[Factor, ...], given: Mapping[str, float]) -> tuple[Factor, ...]:
    """Factors with some of them given by value.

    Raises
    ------
    UnknownNameError
        If a symbol is none of theirs.
    SettingsError
        If a value is not positive.
    """
    symbols = [factor.symbol for factor in factors]
    for symbol, value in given.items():
        if symbol not in symbols:
            raise unknown_name("factor", symbol, symbols)
        if not (isfinite(value) and value > 0):
            raise SettingsError(f"factor {symbol} is {value!r}; give a positive number.")
    return tuple(
        Factor(f.symbol, float(given[f.symbol]), "given") if f.symbol in given else f
        for f in factors
    )
