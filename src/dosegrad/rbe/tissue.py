"""Tissues: how they answer to photons, and which voxel is of which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, readonly
from dosegrad.errors import SettingsError

__all__ = ["Tissue", "TissueMap", "checked_tissues", "is_positive"]


def is_positive(value: object) -> bool:
    """Whether a value is a finite number above 0."""
    return isinstance(value, (int, float, np.number)) and 0.0 < float(value) < np.inf


@dataclass(frozen=True, slots=True)
class Tissue:
    """A tissue by its linear-quadratic parameters for photons.

    Parameters
    ----------
    alpha
        1/Gy.
    beta
        1/Gy2.

    Examples
    --------
    >>> Tissue(alpha=0.1, beta=0.05).ratio
    2.0
    """

    alpha: float
    beta: float

    def __post_init__(self) -> None:
        if not (is_positive(self.alpha) and is_positive(self.beta)):
            raise SettingsError(
                f"a tissue of alpha {self.alpha!r}/Gy and beta {self.beta!r}/Gy2 is not possible; "
                "give positive numbers, such as alpha=0.1, beta=0.05."
            )

    @property
    def ratio(self) -> float:
        """Alpha over beta, Gy."""
        return self.alpha / self.beta


@dataclass(frozen=True, slots=True, eq=False)
class TissueMap:
    """The tissue of every voxel.

    Parameters
    ----------
    tissues
        Those there are.
    classes
        Number of each voxel's among them, int32, shape (n_voxels,).
    """

    tissues: tuple[Tissue, ...]
    classes: NDArray[np.int32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tissues", tuple(self.tissues))
        object.__setattr__(self, "classes", readonly(self.classes, np.int32))

    def __repr__(self) -> str:
        names = ", ".join(f"{t.alpha:g}/{t.beta:g}" for t in self.tissues)
        return f"TissueMap({self.classes.size} voxels of {names})"

    @property
    def alpha(self) -> Array:
        """Alpha for photons (n_voxels,), 1/Gy."""
        return np.array([t.alpha for t in self.tissues])[self.classes]

    @property
    def beta(self) -> Array:
        """Beta for photons (n_voxels,), 1/Gy2."""
        return np.array([t.beta for t in self.tissues])[self.classes]


def checked_tissues(tissues: Mapping[str, Tissue], other: object) -> Mapping[str, Tissue]:
    """A frozen copy of tissues by structure, after a look at what was given.

    Raises
    ------
    SettingsError
        If something else than tissues was given.
    """
    if not isinstance(tissues, Mapping):
        raise SettingsError(
            f"{tissues!r} does not say which structure is of which tissue; give a mapping, such "
            'as {"CTV": Tissue(alpha=0.1, beta=0.05)}.'
        )
    for name, tissue in [*tissues.items(), ("other", other)]:
        if not isinstance(tissue, Tissue):
            raise SettingsError(
                f"{name!r} is given as {tissue!r}; give a tissue, such as "
                "Tissue(alpha=0.1, beta=0.05)."
            )
    return MappingProxyType(dict(tissues))
