r"""From a linear change of dose behind a finite change of anatomy to one that ranges make."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array, BoolArray

__all__ = ["range_aware"]

#: Exponent of the Bragg-Kleeman rule, R ~ E^1.77 [Bortfeld1997]_.
_EXPONENT: Final = 1.77


def range_aware(
    planned: ArrayLike, change: ArrayLike, *, holds_range: ArrayLike = True
) -> tuple[Array, BoolArray]:
    r"""Change of the energy left in a region, from its first-order change, and where it was mapped.

    Energy left at a depth follows the residual range, :math:`E \propto r^{1/p}`, p = 1.77. A region
    that holds the end of range gets all of it, so that a change that is linear in r maps to

    .. math:: J - J_0 = J_0 \left(1 + p\, \Delta J / J_0\right)^{1/p} - J_0

    Parameters
    ----------
    planned
        :math:`J_0`, any shape.
    change
        :math:`\Delta J`, first order or of single steps, same shape.
    holds_range
        Whether the region holds the end of range, before and after.

    Returns
    -------
        Mapped change, and where the map holds; elsewhere the change is as given.

    Examples
    --------
    >>> mapped, used = range_aware(60.0, -6.0)
    >>> round(float(mapped), 3), bool(used)
    (-6.253, True)
    """
    start, step = np.broadcast_arrays(
        np.asarray(planned, dtype=np.float64), np.asarray(change, dtype=np.float64)
    )
    grown = 1.0 + _EXPONENT * step / np.where(start > 0, start, 1.0)
    used = np.asarray(holds_range, dtype=bool) & (start > 0) & (grown > 0)
    mapped = start * (np.where(used, grown, 1.0) ** (1.0 / _EXPONENT) - 1.0)
    return np.where(used, mapped, step), used
