r"""Splitting of a spot into narrow beamlets, which see lateral heterogeneity one by one.

A Gaussian spot is written as a sum of Gaussian beamlets: on concentric rings, whose radii,
weights and spreads make the squared difference least [Burlacu2024]_, or on a square lattice with
Gaussian weights. Both keep the number of protons and the second moment. All is in standard
deviations of the spot, so that a scheme is solved once; the usual ones come with the package.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
from scipy.optimize import brentq

from dosegrad.arrays import Array, readonly
from dosegrad.engines.yoda._splitting_objective import Rings, mismatch
from dosegrad.engines.yoda._splitting_solver import SMALLEST_SPREAD, solve_rings
from dosegrad.errors import SettingsError

__all__ = ["RINGS_25", "RINGS_61", "Splitting", "split_on_lattice", "split_on_rings"]

#: 25 beamlets: centre and three rings.
RINGS_25: Final = (1, 6, 6, 12)
#: 61 beamlets: centre and five rings.
RINGS_61: Final = (1, 6, 6, 12, 12, 24)

_LARGEST_SPREAD: Final = 0.8
_LARGEST_RADIUS: Final = 2.0
_REACH: Final = 4.2


@dataclass(frozen=True, slots=True, eq=False)
class Splitting:
    """Beamlets of a spot, lengths in its standard deviation.

    Parameters
    ----------
    x, y
        Offsets from the spot's axis, shape (beamlets,).
    weight
        Share of the spot's protons, shape (beamlets,); they sum to one.
    spread
        Standard deviation of each beamlet, shape (beamlets,).
    """

    x: Array
    y: Array
    weight: Array
    spread: Array

    def __post_init__(self) -> None:
        for name in ("x", "y", "weight", "spread"):
            object.__setattr__(self, name, readonly(getattr(self, name)))

    def __repr__(self) -> str:
        low, high = self.spread.min(), self.spread.max()
        return f"Splitting({self.n_beamlets} beamlets, spread {low:.2f} to {high:.2f})"

    @property
    def n_beamlets(self) -> int:
        """Number of beamlets."""
        return self.x.size

    @property
    def mismatch(self) -> float:
        """Integral of the squared difference from the spot over that of the spot squared."""
        return mismatch(self.x, self.y, self.weight, self.spread)

    @property
    def second_moments(self) -> tuple[float, float]:
        """Variances along x and y; (1, 1) where they are the spot's."""
        along_x, along_y = (self.weight @ (self.spread**2 + p**2) for p in (self.x, self.y))
        return float(along_x), float(along_y)

    def turned(self, angle: float) -> Splitting:
        """The same beamlets turned about the spot's axis, degrees."""
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        x, y = cos * self.x - sin * self.y, sin * self.x + cos * self.y
        return Splitting(x, y, self.weight, self.spread)


def split_on_rings(
    counts: Sequence[int] = RINGS_61,
    *,
    largest_spread: float = _LARGEST_SPREAD,
    largest_radius: float = _LARGEST_RADIUS,
) -> Splitting:
    """Beamlets on concentric rings that differ least from the spot.

    Parameters
    ----------
    counts
        Number of beamlets on each ring from the centre outwards; (1,) leaves the spot whole.
    largest_spread
        Of a beamlet, in the spot's standard deviation, from 0.3 up to below 1; a smaller one
        sees heterogeneity more sharply at the price of a worse sum.
    largest_radius
        Of a ring, likewise.

    Raises
    ------
    SettingsError
        If counts or limits are out of range, or no rings within them keep the second moment.

    Examples
    --------
    >>> split_on_rings(RINGS_25)
    Splitting(25 beamlets, spread 0.80 to 0.80)
    """
    key = tuple(int(count) for count in counts)
    if key == (1,):
        return Splitting(*(np.array([v]) for v in (0.0, 0.0, 1.0, 1.0)))
    limits = SMALLEST_SPREAD <= largest_spread < 1.0 and largest_radius > 0
    if not (key and min(key) >= 1 and all(n >= 3 for n in key[1:]) and limits):
        raise SettingsError(
            f"rings of {key} beamlets with spreads up to {largest_spread:g} and radii up to "
            f"{largest_radius:g} make no scheme; give at least 3 on each ring around the centre, "
            f"a spread from {SMALLEST_SPREAD:g} to below 1 and a radius above 0."
        )
    return _on_rings(key, float(largest_spread), float(largest_radius))


def split_on_lattice(
    pitch: float, *, spread: float | None = None, centred: bool = False, reach: float = _REACH
) -> Splitting:
    r"""Beamlets on a square lattice with Gaussian weights.

    Weights follow :math:`\exp(-r^2/2v)`, v such that with the beamlets' own variance the second
    moment is the spot's; the lattice ends at ``reach`` times :math:`\sqrt{1 - s^2}`.

    Parameters
    ----------
    pitch
        Distance of neighbours, in the spot's standard deviation.
    spread
        Standard deviation of each beamlet, likewise, below 1; the pitch where not given. Below
        0.6 pitches the sum shows ripples of some per mille.
    centred
        Whether a beamlet sits on the axis, or four around it.
    reach
        Radius of the lattice in standard deviations of the weights, at least 2.5.

    Raises
    ------
    SettingsError
        If pitch, spread or reach are out of range.

    Examples
    --------
    >>> split_on_lattice(0.5)
    Splitting(164 beamlets, spread 0.50 to 0.50)
    """
    width = pitch if spread is None else spread
    if not (pitch >= 0.02 and 0 < width < 1.0 and 2.5 <= reach < np.inf):
        raise SettingsError(
            f"a lattice of pitch {pitch:g}, spread {width:g} and reach {reach:g} makes no "
            f"scheme; give a pitch from 0.02, a spread below 1 and a reach of at least 2.5."
        )
    return _on_lattice(float(pitch), float(width), bool(centred), float(reach))


@lru_cache(maxsize=256)
def _on_rings(counts: tuple[int, ...], largest_spread: float, largest_radius: float) -> Splitting:
    """Rings as shipped, or solved now."""
    shipped = _shipped().get((counts, largest_spread, largest_radius))
    if shipped is None:
        shipped, _ = solve_rings(counts, largest_spread, largest_radius)
    rings = Rings(counts)
    radius, weight, spread = shipped[:, rings.ring]
    return Splitting(radius * np.cos(rings.angles), radius * np.sin(rings.angles), weight, spread)


@lru_cache(maxsize=1)
def _shipped() -> dict[tuple[tuple[int, ...], float, float], Array]:
    """Radii, weights and spreads (3, rings) of the schemes that come with the package."""
    text = (files("dosegrad.engines.yoda") / "data" / "ring_schemes.json").read_text("utf-8")
    schemes: list[dict[str, Any]] = json.loads(text)["schemes"]
    return {
        (tuple(s["counts"]), s["largest_spread"], s["largest_radius"]): np.array(
            [s["radius"], s["weight"], s["spread"]]
        )
        for s in schemes
    }


@lru_cache(maxsize=256)
def _on_lattice(pitch: float, spread: float, centred: bool, reach: float) -> Splitting:
    variance = 1.0 - spread**2  # what the places of the beamlets must add
    radius = reach * np.sqrt(variance)
    half = int(radius / pitch) + 1
    line = pitch * (np.arange(-half, half + 1) + (0.0 if centred else 0.5))
    x, y = (axis.ravel() for axis in np.meshgrid(line, line))
    squared = x**2 + y**2
    inside = squared <= radius**2
    x, y, squared = x[inside], y[inside], squared[inside]

    def weights(v: float) -> Array:
        shares = np.exp(-0.5 * squared / v)
        return np.asarray(shares / shares.sum())

    def excess(v: float) -> float:
        return float(0.5 * weights(v) @ squared - variance)

    if x.size < 4 or excess(10.0 * variance) < 0:
        raise SettingsError(
            f"a lattice of pitch {pitch:g} and spread {spread:g} is too coarse for the spot's "
            f"second moment; give a smaller pitch or a larger reach."
        )
    best = brentq(excess, 0.3 * variance, 10.0 * variance, xtol=1e-15, rtol=1e-14)
    return Splitting(x, y, weights(float(best)), np.full(x.size, spread))
