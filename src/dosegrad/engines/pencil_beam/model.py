"""Physics of the particle pencil beam that is not in the tables: range shifter and cut-off."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array
from dosegrad.errors import BeamError

__all__ = ["range_shifter_variance", "squared_reach"]

#: Radiation length of water, mm: 36.08 g/cm2 [PDG2022]_.
_RADIATION_LENGTH: Final = 360.8
#: Bragg-Kleeman rule for protons in water, R = alpha E^p, mm and MeV [Bortfeld1997]_.
_ALPHA, _P = 0.022, 1.77
#: Rest energy per nucleon, MeV; charge; nucleons.
_PARTICLES: Final = {
    "protons": (938.272, 1, 1),
    "helium": (931.852, 2, 4),
    "carbon": (931.494, 6, 12),
}


def range_shifter_variance(
    energy: float, *, modality: str, thickness: float, gap: ArrayLike
) -> Array:
    r"""Variance of a spot, mm2, that a range shifter adds at the skin.

    .. math:: \sigma^2 = \theta_0^2 (g^2 + g t + t^2 / 3), \quad
       \theta_0 = \frac{14.1\,\mathrm{MeV}\,z}{pv} \sqrt{t / X_0}
       \left(1 + \tfrac{1}{9} \log_{10} (t / X_0)\right)

    Highland's angle with pv at the geometric mean of the values before and behind the slab, and
    scattering spread evenly over a slab of water of thickness t. Energy lost in the slab follows
    the Bragg-Kleeman rule.

    Parameters
    ----------
    energy
        Before the range shifter, MeV or MeV/u.
    modality
        ``"protons"``, ``"helium"`` or ``"carbon"``.
    thickness
        Water-equivalent, mm.
    gap
        From the downstream face of the slab to the skin, mm, any shape.

    Raises
    ------
    BeamError
        If the gap is negative: the slab would lie in the patient.

    References
    ----------
    Gottschalk et al. 1993, Nucl. Instrum. Meth. B 74, 467 [Gottschalk1993]_.
    """
    distance = np.asarray(gap, dtype=float)
    if (distance < 0).any():
        raise BeamError(
            f"the range shifter reaches {-distance.min():.0f} mm into the patient; "
            "increase its distance from the isocentre."
        )
    rest, charge, nucleons = _PARTICLES[modality]
    scale = _ALPHA * nucleons / charge**2
    left = scale * energy**_P - thickness
    if thickness <= 0 or left <= 0:
        return np.zeros_like(distance)
    energies = np.array([energy, (left / scale) ** (1.0 / _P)])
    pv = nucleons * energies * (energies + 2.0 * rest) / (energies + rest)
    lengths = thickness / _RADIATION_LENGTH
    angle = 14.1 * charge / np.sqrt(pv.prod()) * np.sqrt(lengths) * (1 + np.log10(lengths) / 9)
    variance: Array = angle**2 * (distance**2 + distance * thickness + thickness**2 / 3)
    return variance


def squared_reach(variances: Array, weights: Array, cutoff: float) -> Array:
    r"""Squared radius (n,), mm2, of the circle that holds ``cutoff`` of a sum of Gaussians.

    .. math:: \sum_k w_k \exp(-R^2 / 2 s_k^2) = 1 - c

    solved by Newton's method on the logarithm, which is convex, from R = 0.

    Parameters
    ----------
    variances, weights
        Of each Gaussian, (k, n); weights add up to one.
    cutoff
        Share c inside, above 0 and below 1.

    Examples
    --------
    >>> one = squared_reach(np.array([[25.0]]), np.array([[1.0]]), 0.995)
    >>> round(float(np.sqrt(one[0])), 3)
    16.276
    """
    outside = np.log1p(-cutoff)
    largest = -2.0 * outside * variances.max(axis=0)
    r2 = np.zeros(variances.shape[1])
    for _ in range(50):
        parts = weights * np.exp(-0.5 * r2 / variances)
        total = np.maximum(parts.sum(axis=0), 1e-300)
        slope = np.maximum(0.5 * (parts / variances).sum(axis=0) / total, 1e-300)
        step = (np.log(total) - outside) / slope
        r2 = np.clip(r2 + step, 0.0, largest)
        if (np.abs(step) <= 1e-12 * largest).all():
            break
    return r2
