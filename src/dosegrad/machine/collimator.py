"""What shapes a photon field: leaves and jaws, and how fast leaves, gantry and dose rate may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dosegrad.arrays import Array, BoolArray, readonly
from dosegrad.errors import MachineError

__all__ = ["ArcLimits", "MultileafCollimator"]

#: Positions may miss a limit by this much, mm: rounding.
_ROUNDING = 1e-6
#: How far behind a jaw closed pairs wait, mm.
_BEHIND = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class MultileafCollimator:
    """Leaf pairs that move along x of the collimator, and the jaws behind them.

    All lengths are mm in the isocentre plane.

    Parameters
    ----------
    boundaries
        Sides of the leaf pairs along y, ascending, (pairs + 1,).
    transmission
        Share of the fluence that passes a leaf.
    jaw_transmission
        Share that passes a jaw; what passes both, their product.
    leaf_end_offset
        By how much the radiation edge of a rounded leaf end lies behind its tip; a field between
        two tips is wider by twice this.
    minimum_gap
        Least distance of two opposing tips.
    interdigitation
        Whether a leaf may pass the opposing leaves of the neighbouring pairs.
    reach
        Furthest position of a tip from the axis, on its own side.
    over_travel
        Furthest position of a tip beyond the axis.
    span
        Largest distance between tips of one bank.
    leaf_speed
        mm/s.

    Raises
    ------
    MachineError
        If a number is out of its range.
    """

    boundaries: Array
    transmission: float = 0.015
    jaw_transmission: float = 0.005
    leaf_end_offset: float = 0.0
    minimum_gap: float = 0.0
    interdigitation: bool = True
    reach: float = 200.0
    over_travel: float = 150.0
    span: float = 150.0
    leaf_speed: float = 25.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "boundaries", readonly(self.boundaries))
        edges = self.boundaries
        if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
            raise MachineError("sides of leaf pairs must ascend; give at least two, mm.")
        for name in ("transmission", "jaw_transmission"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise MachineError(f"{name} {getattr(self, name)} must be from 0 to below 1.")
        for name in ("leaf_end_offset", "minimum_gap"):
            if not 0.0 <= getattr(self, name) < np.inf:
                raise MachineError(f"{name} {getattr(self, name)} mm must not be negative.")
        for name in ("reach", "over_travel", "span", "leaf_speed"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise MachineError(f"{name} {getattr(self, name)} must be positive.")

    def __repr__(self) -> str:
        widths = np.unique(np.diff(self.boundaries).round(6))
        sizes = " and ".join(f"{w:g}" for w in widths)
        return f"MultileafCollimator({self.pairs} pairs of {sizes} mm)"

    @classmethod
    def sixty_pairs(cls) -> MultileafCollimator:
        """40 inner pairs of 5 mm between 10 outer ones of 10 mm on either side: a common layout.

        Transmission, rounded ends and speed are typical figures, not those of one machine.
        """
        outer = np.arange(110.0, 200.1, 10.0)
        boundaries = np.concatenate([-outer[::-1], np.arange(-100.0, 100.1, 5.0), outer])
        return cls(boundaries, leaf_end_offset=0.7, minimum_gap=0.5)

    @property
    def pairs(self) -> int:
        """Number of leaf pairs."""
        return self.boundaries.size - 1

    @property
    def centres(self) -> Array:
        """Middle of each pair along y (pairs,), mm."""
        middle: Array = 0.5 * (self.boundaries[1:] + self.boundaries[:-1])
        return middle

    def broken_limits(self, left: Array, right: Array) -> tuple[str, ...]:
        """What tips at ``left`` and ``right`` (n, pairs), mm, ask beyond the limits, in words."""
        return tuple(self._broken(np.atleast_2d(left), np.atleast_2d(right)))

    def waiting(
        self, left: Array, right: Array, closed: BoolArray, jaws: tuple[float, float]
    ) -> tuple[Array, Array]:
        """Tips (pairs,) of which those that are ``closed`` wait behind one of both ``jaws``, mm.

        On the side, and as far behind, as no limit minds; 5 mm behind the left one where that is
        so, or where none is.
        """
        half = 0.5 * self.minimum_gap
        least = half + self.leaf_end_offset
        far = max(_BEHIND, least)
        found = []
        low, high = half - self.over_travel, self.over_travel - half
        for middle in (
            min(jaws[0] - far, high),
            max(jaws[1] + far, low),
            min(jaws[0] - least, high),
            max(jaws[1] + least, low),
        ):
            tips = np.where(closed, middle - half, left), np.where(closed, middle + half, right)
            if not self.broken_limits(*tips):
                return tips
            found.append(tips)
        return found[0]

    def _broken(self, left: Array, right: Array) -> Iterator[str]:
        gap = float((right - left).min(initial=np.inf))
        if gap < self.minimum_gap - _ROUNDING:
            yield f"opposing leaves come within {gap:.2f} mm (least {self.minimum_gap:g} mm)"
        if not self.interdigitation and self.pairs > 1:
            passed = max(
                float((left[:, 1:] - right[:, :-1]).max(initial=-np.inf)),
                float((left[:, :-1] - right[:, 1:]).max(initial=-np.inf)),
            )
            if passed > _ROUNDING:
                yield f"leaves pass opposing neighbours by {passed:.2f} mm, which they may not"
        outside = max(float(-left.min(initial=0.0)), float(right.max(initial=0.0)))
        if outside > self.reach + _ROUNDING:
            yield f"a leaf is {outside:.1f} mm from the axis (at most {self.reach:g} mm)"
        beyond = max(float(left.max(initial=0.0)), float(-right.min(initial=0.0)))
        if beyond > self.over_travel + _ROUNDING:
            yield f"a leaf is {beyond:.1f} mm beyond the axis (at most {self.over_travel:g} mm)"
        if left.size:
            wide = max(float(np.ptp(left, axis=1).max()), float(np.ptp(right, axis=1).max()))
            if wide > self.span + _ROUNDING:
                yield f"leaves of one bank are {wide:.1f} mm apart (at most {self.span:g} mm)"


@dataclass(frozen=True, slots=True)
class ArcLimits:
    """How fast gantry and dose rate may be while a machine delivers an arc.

    Parameters
    ----------
    gantry_speed, least_gantry_speed
        Degree/s.
    dose_rate, least_dose_rate
        MU/min; below the least one the beam must be off.

    Raises
    ------
    MachineError
        If a limit is not positive or a least value is above the largest.
    """

    gantry_speed: float = 6.0
    least_gantry_speed: float = 0.1
    dose_rate: float = 600.0
    least_dose_rate: float = 5.0

    def __post_init__(self) -> None:
        if not (
            0 <= self.least_gantry_speed < self.gantry_speed < np.inf
            and 0 <= self.least_dose_rate < self.dose_rate < np.inf
        ):
            raise MachineError(
                "limits of an arc must be positive, and least values below the largest; give "
                "degree/s and MU/min, such as 6 and 600."
            )
