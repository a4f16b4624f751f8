r"""Bortfeld's analytical Bragg curve of protons in water.

For a parallel beam whose ranges are normally distributed with standard deviation :math:`\sigma`
around :math:`R_0`, with the range rule :math:`R = \alpha E^p` and a fluence that nuclear events
lower linearly with the depth left [Bortfeld1997]_, Eq. 26 (lengths in cm):

.. math:: \hat D(z) = \Phi_0\,\frac{e^{-\zeta^2/4}\,\sigma^{1/p}\,\Gamma(1/p)}
          {\sqrt{2\pi}\,\rho\,p\,\alpha^{1/p}\,(1 + \beta R_0)}
          \left[\tfrac{1}{\sigma} D_{-1/p}(-\zeta) +
          \left(\tfrac{\beta}{p} + \gamma\beta + \tfrac{\epsilon}{R_0}\right)
          D_{-1/p-1}(-\zeta)\right], \quad \zeta = (R_0 - z)/\sigma

with parabolic cylinder functions D. It ends ten standard deviations in front of :math:`R_0`, where
the same curve without straggling, Eq. 25, takes over.
"""

from __future__ import annotations

from math import gamma, pi, sqrt
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import pbdv

from dosegrad.arrays import Array
from dosegrad.errors import SettingsError
from dosegrad.units import CM_PER_MM

__all__ = ["bragg_curve", "range_straggling"]

_P: Final = 1.77
_ALPHA: Final = 0.0022  # cm MeV^-p
_BETA: Final = 0.012  # 1/cm, fluence lost to nuclear events
_GAMMA: Final = 0.6  # share of its energy that stays
_FAR: Final = 10.0  # standard deviations in front of the range, where straggling is not seen


def range_straggling(mean_range: ArrayLike) -> Array:
    """Standard deviation of the range of mono-energetic protons, mm, for ranges in mm.

    0.012 R^0.935 in cm [Bortfeld1997]_, Eq. 18.
    """
    return np.asarray(0.12 * (np.asarray(mean_range, dtype=float) * CM_PER_MM) ** 0.935)


def bragg_curve(
    depths: ArrayLike, *, mean_range: float, range_std: float, tail: float = 0.0
) -> Array:
    """Integral depth dose per primary, MeV cm2/g, at ``depths``.

    Parameters
    ----------
    depths
        Depths in water, mm, any shape.
    mean_range
        R_0, mm.
    range_std
        Standard deviation of the range, mm, straggling and energy spread together.
    tail
        Share of the fluence in the low-energy tail of the beam, epsilon.

    Raises
    ------
    SettingsError
        If range or spread are not positive.

    Examples
    --------
    >>> curve = bragg_curve([0.0, 157.0], mean_range=158.0, range_std=1.6)
    >>> [round(float(value), 1) for value in curve]
    [6.3, 31.7]
    """
    if not (mean_range > 0 and range_std > 0):
        raise SettingsError(
            f"Bortfeld's curve needs a positive range and spread, not {mean_range!r} and "
            f"{range_std!r}; give both in mm."
        )
    far_range, sigma = mean_range * CM_PER_MM, range_std * CM_PER_MM
    left = far_range - np.asarray(depths, dtype=float) * CM_PER_MM
    zeta = left / sigma
    slope = _BETA / _P + _GAMMA * _BETA + tail / far_range
    scale = 1.0 / (_P * _ALPHA ** (1.0 / _P) * (1.0 + _BETA * far_range))
    near = np.clip(zeta, -_FAR, _FAR)
    first, second = pbdv(-1.0 / _P, -near)[0], pbdv(-1.0 / _P - 1.0, -near)[0]
    smooth = np.exp(-0.25 * near**2) * sigma ** (1.0 / _P) * gamma(1.0 / _P) / sqrt(2.0 * pi)
    peak = smooth * (first / sigma + slope * second)
    rest = np.maximum(left, _FAR * sigma)
    plateau = rest ** (1.0 / _P - 1.0) + slope * _P * rest ** (1.0 / _P)
    values = np.where(zeta > _FAR, plateau, peak) * scale
    return np.asarray(np.where(zeta < -_FAR, 0.0, values))
