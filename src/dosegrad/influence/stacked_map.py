"""Several maps of the same weights, their values one after another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.influence.dose_map import Pullback, RowMap

__all__ = ["StackedMap"]


@dataclass(frozen=True, slots=True, eq=False)
class StackedMap:
    """Values of several maps one after another; the pullback adds up theirs.

    Parameters
    ----------
    maps
        At least one, all of the same variables.
    """

    maps: tuple[RowMap, ...]

    @property
    def n_variables(self) -> int:
        """Number of variables of each map."""
        return self.maps[0].n_variables

    @property
    def n_voxels(self) -> int:
        """Number of values of all maps."""
        return sum(m.n_voxels for m in self.maps)

    @property
    def row_sizes(self) -> IntArray:
        """Number of matrix values (n_voxels,) that each value takes."""
        return np.concatenate([m.row_sizes for m in self.maps])

    def keeping(self, kept: BoolArray) -> StackedMap:
        """The map of the values that are ``kept`` (n_voxels,)."""
        pairs = zip(self.maps, np.split(kept, self._ends()), strict=True)
        return StackedMap(tuple(m.keeping(part) for m, part in pairs))

    def linearise(self, variables: Array) -> tuple[Array, Pullback]:
        """All values (n_voxels,) at ``variables`` (n_variables,), and the pullback."""
        lines = [m.linearise(variables) for m in self.maps]

        def pullback(g: Array) -> Array:
            parts = np.split(g, self._ends())
            return sum(
                (back(part) for (_, back), part in zip(lines, parts, strict=True)),
                start=np.zeros(self.n_variables),
            )

        return np.concatenate([values for values, _ in lines]), pullback

    def squares(self, h: Array, variables: Array) -> Array:
        """Sum over values of ``h`` (n_voxels,) times the squared slopes at ``variables``."""
        pairs = zip(self.maps, np.split(h, self._ends()), strict=True)
        return sum(
            (m.squares(part, variables) for m, part in pairs), start=np.zeros(self.n_variables)
        )

    def _ends(self) -> IntArray:
        """Where the values of one map end and those of the next begin."""
        ends: IntArray = np.cumsum([m.n_voxels for m in self.maps])[:-1]
        return ends
