r"""Formulas of AAPM TG-71 [Gibbons2014]_: pure functions of lengths in mm and factors.

Sides of fields are full sides; a prime in the report's :math:`D_0'` is the dose per monitor unit
under normalisation conditions.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erf

from dosegrad.arrays import Array
from dosegrad.units import CM_PER_MM

__all__ = [
    "equivalent_square",
    "inverse_square",
    "mayneord_factor",
    "pdd_from_tpr",
    "penumbra",
    "tpr_from_pdd",
]

#: Edge of a field as Planner 2D's CBDose class models it: share and steepness, 1/cm, of two error
#: functions, and transmission.
PENUMBRA_SHARE: Final = 0.173
PENUMBRA_SLOPES: Final = (0.456, 2.892)
TRANSMISSION: Final = 0.01


def equivalent_square(a: float, b: float) -> float:
    r"""Side of the square that scatters like a rectangle: :math:`2ab/(a + b)`.

    Examples
    --------
    >>> equivalent_square(50.0, 200.0)
    80.0
    """
    return 2.0 * a * b / (a + b)


def inverse_square(reference: ArrayLike, distance: ArrayLike) -> Array:
    """(reference/distance)^2, both from the source."""
    ratio = np.asarray(reference, dtype=float) / np.asarray(distance, dtype=float)
    return np.asarray(ratio**2)


def mayneord_factor(
    *, depth: float, reference_depth: float, from_ssd: float, to_ssd: float
) -> float:
    r"""Ratio of percentage depth doses at two SSDs by inverse squares alone.

    .. math:: F = \left(\frac{SSD_2 + d_0}{SSD_1 + d_0}\right)^2
              \left(\frac{SSD_1 + d}{SSD_2 + d}\right)^2

    Examples
    --------
    >>> round(mayneord_factor(depth=53.0, reference_depth=15.0, from_ssd=1000.0, to_ssd=1010.0), 5)
    1.0007
    """
    surface = inverse_square(to_ssd + reference_depth, from_ssd + reference_depth)
    deep = inverse_square(from_ssd + depth, to_ssd + depth)
    return float(surface * deep)


def tpr_from_pdd(
    pdd: float, *, depth: float, reference_depth: float, ssd: float, scatter_ratio: float
) -> float:
    r"""Tissue phantom ratio of a percentage depth dose.

    .. math:: TPR(d, r_d) = \frac{PDD_N(d, r, SSD)}{100}
              \left(\frac{SSD + d}{SSD + d_0}\right)^2 \frac{S_p(r_{d_0})}{S_p(r_d)}

    ``scatter_ratio`` is the last fraction.
    """
    return pdd / 100.0 * float(inverse_square(ssd + depth, ssd + reference_depth)) * scatter_ratio


def pdd_from_tpr(
    tpr: float, *, depth: float, reference_depth: float, ssd: float, scatter_ratio: float
) -> float:
    """Percentage depth dose of a tissue phantom ratio: the inverse of :func:`tpr_from_pdd`."""
    return 100.0 * tpr * float(inverse_square(ssd + reference_depth, ssd + depth)) / scatter_ratio


def penumbra(half_side: ArrayLike, off_axis: ArrayLike) -> Array:
    r"""Fall of the dose across a field's edge, both lengths at the depth of the point, mm.

    .. math:: T + (1 - T)\left[A\,\frac{\operatorname{erf}(B_1 (s - o)) + 1}{2}
              + (1 - A)\,\frac{\operatorname{erf}(B_2 (s - o)) + 1}{2}\right]

    with A = 0.173, B_1 = 0.456/cm, B_2 = 2.892/cm, T = 0.01: the model of the CBDose class.

    Examples
    --------
    >>> round(float(penumbra(50.0, 50.0)), 3)
    0.505
    """
    inside = (np.asarray(half_side, dtype=float) - np.asarray(off_axis, dtype=float)) * CM_PER_MM
    slow, fast = (0.5 * (erf(slope * inside) + 1.0) for slope in PENUMBRA_SLOPES)
    open_share = PENUMBRA_SHARE * slow + (1.0 - PENUMBRA_SHARE) * fast
    return np.asarray(TRANSMISSION + (1.0 - TRANSMISSION) * open_share)
