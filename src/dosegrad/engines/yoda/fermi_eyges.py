r"""Lateral spread of beamlets: Fermi-Eyges moments along steps of constant scattering power.

With :math:`A_0 = \langle\theta^2\rangle`, :math:`A_1 = \langle x\theta\rangle`,
:math:`A_2 = \langle x^2\rangle` at the start of a step of length d with scattering power t
[Gottschalk2010]_:

.. math:: A_2 &\to A_2 + 2 A_1 d + A_0 d^2 + t d^3/3 \\
          A_1 &\to A_1 + A_0 d + t d^2/2 \\
          A_0 &\to A_0 + t d

Each beamlet is a row, so that sums along rows do the recursion; its pullback sums from the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array, readonly
from dosegrad.errors import SettingsError

__all__ = ["LateralMoments", "MomentGradients", "lateral_moments", "propagate"]


@dataclass(frozen=True, slots=True, eq=False)
class LateralMoments:
    """Second moments of projected position and angle along beamlets, per axis.

    Parameters
    ----------
    variance
        Variance of position at the edges of the steps, mm2, shape (beamlets, steps + 1).
    covariance
        Of position and angle there, mm rad.
    angular_variance
        Of the angle there, rad2.
    mid_variance
        Variance of position in the middle of each step, mm2, shape (beamlets, steps).
    """

    variance: Array
    covariance: Array
    angular_variance: Array
    mid_variance: Array

    def __post_init__(self) -> None:
        for name in ("variance", "covariance", "angular_variance", "mid_variance"):
            object.__setattr__(self, name, readonly(getattr(self, name)))


@dataclass(frozen=True, slots=True, eq=False)
class MomentGradients:
    """Gradient of a response by what the moments were made from.

    Parameters
    ----------
    initial
        By variance, covariance and angular variance at the start, shape (beamlets, 3).
    length
        By the length of each step, per mm, shape (beamlets, steps).
    scattering_power
        By the scattering power of each step, per rad2/mm, same shape.
    """

    initial: Array
    length: Array
    scattering_power: Array


def lateral_moments(initial: ArrayLike, length: Array, scattering_power: Array) -> LateralMoments:
    """Moments of beamlets along their paths.

    Parameters
    ----------
    initial
        Variance (mm2), covariance (mm rad) and angular variance (rad2) at the start, shape (3,)
        or (beamlets, 3).
    length
        Of the steps, mm, shape (beamlets, steps).
    scattering_power
        Variance of the projected angle gained per depth, rad2/mm, same shape.

    Raises
    ------
    SettingsError
        If the initial moments are those of no distribution.

    Examples
    --------
    A parallel pencil in 10 mm of constant power: variance t z^3/3.

    >>> moments = lateral_moments([0, 0, 0], np.full((1, 5), 2.0), np.full((1, 5), 3e-4))
    >>> round(float(moments.variance[0, -1]), 12)
    0.1
    """
    start = np.broadcast_to(np.asarray(initial, dtype=float), (len(length), 3))
    variance, covariance, angular = start.T[:, :, None]
    if (
        not np.isfinite(start).all()
        or min(variance.min(initial=0.0), angular.min(initial=0.0)) < 0
        or (covariance**2 > variance * angular * (1 + 1e-9) + 1e-300).any()
    ):
        raise SettingsError(
            "initial moments must be finite with variances >= 0 and covariance^2 at most their "
            f"product, not {start[:1]}...; correct the spot's size, divergence and correlation."
        )
    d, t = length, scattering_power
    a0 = _from_start(angular, t * d)
    a1 = _from_start(covariance, a0[:, :-1] * d + t * d**2 / 2.0)
    gained = 2.0 * a1[:, :-1] * d + a0[:, :-1] * d**2 + t * d**3 / 3.0
    a2 = _from_start(variance, gained)
    half = 0.5 * d
    middle = a2[:, :-1] + 2.0 * a1[:, :-1] * half + a0[:, :-1] * half**2 + t * half**3 / 3.0
    return LateralMoments(a2, a1, a0, middle)


def propagate(
    initial: ArrayLike, length: Array, scattering_power: Array
) -> tuple[LateralMoments, Callable[[Array, Array], MomentGradients]]:
    """Moments as :func:`lateral_moments`, and the pullback of the variances of position.

    The pullback takes the gradient by ``variance`` (beamlets, steps + 1) and by ``mid_variance``
    (beamlets, steps), per mm2.
    """
    moments = lateral_moments(initial, length, scattering_power)

    def pull_back(by_variance: Array, by_mid_variance: Array) -> MomentGradients:
        return _pull_back(moments, length, scattering_power, by_variance, by_mid_variance)

    return moments, pull_back


def _from_start(first: Array, gained: Array) -> Array:
    """Values at the edges from that at the start (beamlets, 1) and the gains of the steps."""
    return np.cumsum(np.concatenate([first, gained], axis=1), axis=1)


def _to_end(gradient: Array) -> Array:
    """Sums from each edge to the last one along the rows."""
    return np.asarray(np.cumsum(gradient[:, ::-1], axis=1)[:, ::-1])


def _pull_back(
    moments: LateralMoments, d: Array, t: Array, by_edges: Array, by_middle: Array
) -> MomentGradients:
    """Gradients by the recursion run backwards."""
    half = 0.5 * d
    # What later edges and middles ask of A2, A1 and A0 after each step, and at the start.
    by2 = by_edges.astype(float)
    by2[:, :-1] += by_middle
    by2 = _to_end(by2)
    by1 = np.zeros_like(by2)
    by1[:, :-1] = 2.0 * d * by2[:, 1:] + 2.0 * half * by_middle
    by1 = _to_end(by1)
    by0 = np.zeros_like(by2)
    by0[:, :-1] = d**2 * by2[:, 1:] + half**2 * by_middle + d * by1[:, 1:]
    by0 = _to_end(by0)
    after2, after1, after0 = by2[:, 1:], by1[:, 1:], by0[:, 1:]
    by_power = after2 * d**3 / 3.0 + after1 * d**2 / 2.0 + after0 * d + by_middle * half**3 / 3.0
    a1, a0 = moments.covariance[:, :-1], moments.angular_variance[:, :-1]
    by_length = after2 * (2.0 * a1 + 2.0 * a0 * d + t * d**2) + after1 * (a0 + t * d) + after0 * t
    by_length += by_middle * 0.5 * (2.0 * a1 + 2.0 * a0 * half + t * half**2)
    return MomentGradients(np.stack([by2, by1, by0], axis=-1)[:, 0], by_length, by_power)
