r"""Lateral spread of a proton beam by Fermi-Eyges theory.

With the scattering power :math:`t` constant within a step :math:`d`, the moments grow exactly as

.. math:: \overline{x^2} \mathrel{+}= 2 c d + q d^2 + t d^3/3, \quad
          c \mathrel{+}= q d + t d^2/2, \quad q \mathrel{+}= t d

where :math:`q` is the angular variance and :math:`c` the covariance of place and angle.

Source: Gottschalk 2012 [Gottschalk2012]_ (arXiv 1204.4470), after Eyges 1948.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array, readonly

__all__ = ["Moments", "spread"]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Moments of a beam at each edge of a depth grid, shape (n + 1,) each.

    Parameters
    ----------
    variance
        Of the lateral position, mm2.
    covariance
        Of position and angle, mm.
    angular
        Of the projected angle, rad2.
    """

    variance: Array
    covariance: Array
    angular: Array

    def __post_init__(self) -> None:
        for name in ("variance", "covariance", "angular"):
            object.__setattr__(self, name, readonly(getattr(self, name)))


def spread(
    edges: ArrayLike,
    power: ArrayLike,
    *,
    variance: float = 0.0,
    covariance: float = 0.0,
    angular: float = 0.0,
) -> Moments:
    """Moments at the depths ``edges``, mm, of a beam with the given ones at the first.

    Parameters
    ----------
    edges
        Depths, mm, ascending, shape (n + 1,).
    power
        Scattering power within each interval, rad2/mm, shape (n,).
    variance, covariance, angular
        Moments at the first edge, mm2, mm and rad2.

    Examples
    --------
    >>> round(float(spread([0.0, 30.0], [1e-3]).variance[-1]), 6)
    9.0
    """
    steps = np.diff(np.asarray(edges, dtype=float))
    t = np.asarray(power, dtype=float)
    q = angular + np.concatenate([[0.0], np.cumsum(t * steps)])
    c = covariance + np.concatenate([[0.0], np.cumsum(q[:-1] * steps + 0.5 * t * steps**2)])
    growth = 2.0 * c[:-1] * steps + q[:-1] * steps**2 + t * steps**3 / 3.0
    return Moments(variance + np.concatenate([[0.0], np.cumsum(growth)]), c, q)
