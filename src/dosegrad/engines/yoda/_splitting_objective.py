r"""How well a sum of Gaussian beamlets on rings stands for one Gaussian, and its gradient.

Lengths are in standard deviations of the whole spot. The relative squared difference, integrated
over the plane, of beamlets of weight w at distance d from each other is in closed form

.. math:: J = 1 + 2 \sum_{ab} w_a w_b \frac{e^{-d_{ab}^2 / 2 v_{ab}}}{v_{ab}}
          - 4 \sum_a w_a \frac{e^{-r_a^2 / 2 v_a}}{v_a},
          \quad v_{ab} = s_a^2 + s_b^2,\; v_a = s_a^2 + 1

Source: [Burlacu2024]_, whose integral on a grid this replaces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dosegrad.arrays import Array

__all__ = ["Rings", "mismatch"]


def mismatch(x: Array, y: Array, weights: Array, spreads: Array) -> float:
    """J of any beamlets: places, weights and spreads, all (beamlets,), in spot units."""
    squared = (x[:, None] - x) ** 2 + (y[:, None] - y) ** 2
    pairs = spreads[:, None] ** 2 + spreads**2
    ones = spreads**2 + 1.0
    mutual = weights @ (np.exp(-0.5 * squared / pairs) / pairs) @ weights
    shared = weights @ (np.exp(-0.5 * (x**2 + y**2) / ones) / ones)
    return float(1.0 + 2.0 * mutual - 4.0 * shared)


@dataclass(frozen=True, slots=True)
class Rings:
    """A scheme: number of beamlets on each ring, from the centre outwards.

    A ring with as many beamlets as the one inside is turned by half its spacing.
    """

    counts: tuple[int, ...]

    @property
    def ring(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Ring of each beamlet."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @property
    def angles(self) -> Array:
        """Azimuth of each beamlet, rad."""
        angles, turned = [], False
        for k, count in enumerate(self.counts):
            turned = k > 0 and count == self.counts[k - 1] and not turned
            offset = np.pi / count if turned else 0.0
            angles.append(2.0 * np.pi * np.arange(count) / count + offset)
        return np.concatenate(angles)

    def value_and_gradient(
        self, radius: Array, weight: Array, spread: Array
    ) -> tuple[float, Array]:
        """J and its gradient (3, rings) by radius, weight and spread of the rings, each (rings,).

        ``weight`` is that of one beamlet.
        """
        ring = self.ring
        r, w, s = radius[ring], weight[ring], spread[ring]
        cosines = np.cos(np.subtract.outer(self.angles, self.angles))
        squared = r[:, None] ** 2 + r**2 - 2.0 * np.outer(r, r) * cosines
        v = s[:, None] ** 2 + s**2
        kernel = np.exp(-0.5 * squared / v) / v
        one = s**2 + 1.0
        shared = np.exp(-0.5 * r**2 / one) / one
        value = 1.0 + 2.0 * w @ kernel @ w - 4.0 * w @ shared
        # d kernel/dv = kernel (d^2/2v - 1)/v, dv/ds_a = 2 s_a; d(d^2)/dr_a = 2 (r_a - r_b cos).
        pairs = w[:, None] * w * kernel
        by_r = -4.0 * (pairs * (r[:, None] - r * cosines) / v).sum(axis=1)
        by_r += 4.0 * w * shared * r / one
        by_w = 4.0 * kernel @ w - 4.0 * shared
        by_s = 8.0 * s * (pairs * (0.5 * squared / v - 1.0) / v).sum(axis=1)
        by_s -= 8.0 * w * s * shared * (0.5 * r**2 / one - 1.0) / one
        starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        gradient = np.stack([np.add.reduceat(g, starts) for g in (by_r, by_w, by_s)])
        return float(value), gradient
