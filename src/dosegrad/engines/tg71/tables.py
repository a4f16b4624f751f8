"""The measured or computed tables of a linac that TG-71's formulas look factors up in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosegrad.arrays import Array, readonly
from dosegrad.errors import MachineError, SettingsError

__all__ = ["BeamTables", "Curve", "Sheet"]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A factor over one quantity, linear between its entries and continued in a line beyond them.

    Parameters
    ----------
    what
        The factor, as messages call it.
    places, values
        Where it is tabulated, ascending (n,), and its values (n,).
    """

    what: str
    places: Array
    values: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", readonly(self.places))
        object.__setattr__(self, "values", readonly(self.values))
        if self.places.ndim != 1 or self.places.shape != self.values.shape or not self.places.size:
            raise MachineError(f"the table of {self.what} needs one value for each of its places.")
        _check_numbers(self.what, self.values, self.places)

    def at(self, place: ArrayLike) -> Array:
        """The factor at any places; not below 0."""
        i, s = _between(self.places, np.asarray(place, dtype=float))
        low = self.values[i]
        rise = self.values[np.minimum(i + 1, self.values.size - 1)] - low
        found: Array = np.maximum(low + s * rise, 0.0)
        return found

    def checked(self, place: float) -> float:
        """The factor at a place that the table holds.

        Raises
        ------
        SettingsError
            If it does not.
        """
        _check_reach(self.what, "", place, self.places)
        return float(self.at(place))


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A factor over depth and a second length, bilinear between its entries.

    Beyond its ends it is continued in a line, as the public CBDose class does.

    Parameters
    ----------
    what
        The factor, as messages call it.
    depths
        mm, ascending (n,).
    across
        Field sides or off-axis distances, mm, ascending (m,).
    values
        (n, m).
    """

    what: str
    depths: Array
    across: Array
    values: Array

    def __post_init__(self) -> None:
        for name in ("depths", "across", "values"):
            object.__setattr__(self, name, readonly(getattr(self, name)))
        if self.values.shape != (self.depths.size, self.across.size) or self.values.size == 0:
            raise MachineError(
                f"the table of {self.what} has shape {self.values.shape}; expected a row for each "
                f"of {self.depths.size} depths and a column for each of {self.across.size} lengths."
            )
        _check_numbers(self.what, self.values, self.depths, self.across)

    def at(self, depth: ArrayLike, across: ArrayLike) -> Array:
        """The factor at any places of one shape; not below 0."""
        i, s = _between(self.depths, np.asarray(depth, dtype=float))
        j, t = _between(self.across, np.asarray(across, dtype=float))
        flat, m = self.values.ravel(), self.across.size
        corner = i * m + j
        right, below = min(1, m - 1), m if self.depths.size > 1 else 0
        near = flat[corner] + t * (flat[corner + right] - flat[corner])
        far = flat[corner + below] + t * (flat[corner + below + right] - flat[corner + below])
        found: Array = np.maximum(near + s * (far - near), 0.0)
        return found

    def checked(self, depth: float, across: float, *, any_depth: bool = False) -> float:
        """The factor at a place that the table holds; its depth may be beyond, if so wanted.

        Raises
        ------
        SettingsError
            If it does not.
        """
        if not any_depth:
            _check_reach(self.what, "depth", depth, self.depths)
        _check_reach(self.what, "length", across, self.across)
        return float(self.at(depth, across))


@dataclass(frozen=True, slots=True, eq=False)
class BeamTables:
    r"""All that TG-71 asks of a machine.

    Parameters
    ----------
    name
        What the tables are called.
    dose_per_mu
        :math:`D_0'`: dose under normalisation conditions, Gy/MU.
    depth
        :math:`d_0`: normalisation depth, mm.
    ssd
        :math:`SSD_0`: source to skin under normalisation conditions, mm.
    pdd_ssd
        SSD at which percentage depth doses hold, mm.
    sad
        Source to isocentre, mm.
    collimator_scatter, phantom_scatter
        :math:`S_c` and :math:`S_p` over the side of the equivalent square, mm.
    pdd
        Percentage depth dose, 100 at :math:`d_0`, by depth and side at the surface.
    tpr
        Tissue phantom ratio, 1 at :math:`d_0`, by depth and side at that depth.
    oar
        Off-axis ratio by depth and off-axis distance at that depth, without penumbra.
    """

    name: str
    dose_per_mu: float
    depth: float
    ssd: float
    pdd_ssd: float
    sad: float
    collimator_scatter: Curve
    phantom_scatter: Curve
    pdd: Sheet
    tpr: Sheet
    oar: Sheet

    def __post_init__(self) -> None:
        for name in ("dose_per_mu", "depth", "ssd", "pdd_ssd", "sad"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise MachineError(
                    f"beam tables {self.name!r}: {name} is {value!r}; expected a positive number."
                )

    def __repr__(self) -> str:
        sides = self.tpr.across
        return (
            f"BeamTables({self.name!r}, {sides[0]:g} to {sides[-1]:g} mm, depths "
            f"{self.tpr.depths[0]:g} to {self.tpr.depths[-1]:g} mm)"
        )


def _between(nodes: Array, values: Array) -> tuple[NDArray[np.intp], Array]:
    """Index of the node below each value, and how far it is to the next one, 1 being there."""
    if nodes.size == 1:
        return np.zeros(values.shape, dtype=np.intp), np.zeros(values.shape)
    index: NDArray[np.intp] = np.clip(
        np.searchsorted(nodes, values, side="right") - 1, 0, nodes.size - 2
    )
    low, high = nodes[index], nodes[index + 1]
    share: Array = (values - low) / (high - low)
    return index, share


def _check_numbers(what: str, values: Array, *nodes: Array) -> None:
    if not all(np.isfinite(a).all() for a in (values, *nodes)) or (values < 0).any():
        raise MachineError(f"the table of {what} holds numbers that are negative or not finite.")
    if any((np.diff(a) <= 0).any() for a in nodes):
        raise MachineError(f"depths and lengths of the table of {what} must ascend.")


def _check_reach(what: str, kind: str, value: float, nodes: Array) -> None:
    low, high = float(nodes[0]), float(nodes[-1])
    slack = 1e-9 * high
    if not low - slack <= value <= high + slack:
        noun = f"{kind} {value:g} mm" if kind else f"{value:g} mm"
        raise SettingsError(
            f"{noun} is outside the table of {what} ({low:g} to {high:g} mm). Choose a point and "
            "field that it holds, or pass the factor by value."
        )
