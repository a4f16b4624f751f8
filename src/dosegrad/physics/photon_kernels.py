"""Pencil kernels of photon beams in water, from their beam quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array
from dosegrad.errors import SettingsError
from dosegrad.units import CM_PER_MM

__all__ = ["PencilKernel", "pencil_kernel"]

#: Coefficients c_0 to c_5 of each parameter as a polynomial in TPR20,10 [Nyholm2006]_.
_COEFFICIENTS: Final = {
    "A1": (0.0128018, -0.0577391, 0.1790839, -0.2467955, 0.1328192, -0.0194684),
    "A2": (16.7815028, -279.4672663, 839.0016549, -978.4915013, 470.5317337, -69.2485573),
    "A3": (-0.0889669, -0.2587584, 0.7069203, -0.3654033, 0.002976, -0.0003786),
    "A4": (0.0017089, -0.016915, 0.051465, -0.063953, 0.032449, -0.0049121),
    "A5": (0.1431447, -0.2134626, 0.5825546, -0.2969273, -0.0011436, 0.0002219),
    "B1": (-42.7607523, 264.342472, -633.4540368, 731.5311577, -402.5280374, 82.4936551),
    "B2": (0.2428359, -2.5029336, 7.6128101, -9.5273454, 4.824984, -0.7097852),
    "B3": (-0.091042, -0.2621605, 0.7157244, -0.3664126, 9.3e-05, -2.32e-05),
    "B4": (0.0017284, -0.0172146, 0.0522109, -0.0643946, 0.0322177, -0.0047015),
    "B5": (-30.4609625, 354.2866078, -1073.2952368, 1315.2670101, -656.3702845, 96.5983711),
    "a1": (-0.0065985, 0.0242136, -0.0647001, 0.0265272, 0.0072169, -0.0020479),
    "a2": (-26.3337419, 435.6865552, -1359.8342546, 1724.6602381, -972.7565415, 200.3468023),
    "b1": (-80.7027159, 668.1710175, -2173.2445309, 3494.239349, -2784.4670834, 881.227651),
    "b2": (3.4685991, -41.2468479, 124.9729952, -153.2610078, 76.5242757, -11.2624113),
    "b3": (-39.6550497, 277.7202038, -777.0749505, 1081.5724508, -747.1056558, 204.5432666),
    "b4": (0.6514859, -4.7179961, 13.6742202, -19.7521659, 14.1873606, -4.0478845),
    "b5": (0.4695047, -3.6644336, 10.0039321, -5.1195905, -0.0007387, 0.000236),
}


@dataclass(frozen=True, slots=True, eq=False)
class PencilKernel:
    r"""Dose per energy fluence about a pencil beam at some depths.

    .. math:: p(r) = \left(A e^{-a r} + B e^{-b r}\right) / r

    All four (n,), one for each depth: ``big_a``, ``big_b`` in 1/mm, ``a``, ``b`` in 1/mm.
    """

    big_a: Array
    big_b: Array
    a: Array
    b: Array

    def at(self, radius: ArrayLike) -> Array:
        """Values (n, m) at radii (m,) above 0, mm; 1/mm2."""
        r = np.asarray(radius, dtype=float)[None, :]
        near = self.big_a[:, None] * np.exp(-self.a[:, None] * r)
        values: Array = (near + self.big_b[:, None] * np.exp(-self.b[:, None] * r)) / r
        return values

    def in_square(self, half: ArrayLike) -> Array:
        """Integral (n,) over squares of half sides ``half`` (n,) about the pencil, mm."""
        angles = (np.arange(64) + 0.5) * (np.pi / 4.0 / 64)
        edge = np.asarray(half, dtype=float)[:, None] / np.cos(angles)
        parts = [
            (big / small)[:, None] * -np.expm1(-small[:, None] * edge)
            for big, small in ((self.big_a, self.a), (self.big_b, self.b))
        ]
        total: Array = 2.0 * np.pi * (parts[0] + parts[1]).mean(axis=1)
        return total

    def in_circle(self, radius: float) -> Array:
        """Integral (n,) over a circle about the pencil: dose on the axis of a circular field."""
        total: Array = (
            -2.0
            * np.pi
            * (
                self.big_a / self.a * np.expm1(-self.a * radius)
                + self.big_b / self.b * np.expm1(-self.b * radius)
            )
        )
        return total


def pencil_kernel(quality: float, depth: ArrayLike) -> PencilKernel:
    r"""The pencil kernel of a beam quality at depths (n,), mm.

    .. math:: A / a &= A_1 (1 - e^{A_2 \sqrt{d^2 + A_5^2}}) e^{A_3 d + A_4 d^2} \\
       B / b &= B_1 (1 - e^{B_2 \sqrt{d^2 + B_5^2}}) e^{B_3 d + B_4 d^2} \\
       a &= a_1 d + a_2 \\
       b &= b_1 (1 - e^{b_2 \sqrt{d^2 + b_5^2}}) e^{b_3 d + b_4 d^2}

    with d in cm and each parameter a polynomial of fifth order in TPR20,10. There is no build-up
    of electrons in it.

    Parameters
    ----------
    quality
        Nominal TPR20,10, 0.60 to 0.81.
    depth
        Up to 500 mm.

    Raises
    ------
    SettingsError
        If the quality is outside the fit.

    References
    ----------
    Nyholm, Olofsson, Ahnesjö, Karlsson 2006, Radiother. Oncol. 78, 347 [Nyholm2006]_.

    Examples
    --------
    >>> deep, shallow = pencil_kernel(0.73, [200.0, 100.0]).in_circle(56.1)
    >>> round(float(deep / shallow), 3)
    0.728
    """
    if not 0.60 <= quality <= 0.81:
        raise SettingsError(
            f"beam quality TPR20,10 of {quality} is outside the kernels' 0.60 to 0.81; give one "
            "within."
        )
    c = {name: float(np.polyval(values[::-1], quality)) for name, values in _COEFFICIENTS.items()}
    d = np.atleast_1d(np.asarray(depth, dtype=float)) * CM_PER_MM

    def curve(kind: str) -> Array:
        rise = 1.0 - np.exp(c[f"{kind}2"] * np.hypot(d, c[f"{kind}5"]))
        values: Array = c[f"{kind}1"] * rise * np.exp(c[f"{kind}3"] * d + c[f"{kind}4"] * d**2)
        return values

    a = (c["a1"] * d + c["a2"]) * CM_PER_MM
    b = curve("b") * CM_PER_MM
    return PencilKernel(curve("A") * a, curve("B") * b, a, b)
