"""Mairani's model for helium ions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.rbe.tissue import Tissue, checked_tissues

__all__ = ["Mairani"]

#: Of the fit: 1/Gy, Gy um2/keV2 and um/keV.
_K0: Final = 0.136938
_K1: Final = 0.00973154
_K2: Final = 0.0151998


@dataclass(frozen=True, slots=True)
class Mairani:
    r"""Helium ions: alpha rises with the square of LET until overkill; beta is that of photons.

    .. math:: \frac{\alpha}{\alpha_x} = 1 + \Bigl(k_0 + \frac{1}{\alpha_x/\beta_x}\Bigr)
       k_1 L^2 e^{-k_2 L}, \qquad \beta = \beta_x

    with L in keV/µm. It is not linear in L: L is that of each spot in each voxel, and spots are
    mixed by dose.

    Parameters
    ----------
    tissues
        Tissue of structures by their names. Where such structures overlap, the one of lower
        priority number counts.
    other
        Tissue of all other voxels.

    References
    ----------
    Mairani et al. 2016, Phys. Med. Biol. 61, 888 [Mairani2016]_.
    """

    tissues: Mapping[str, Tissue] = field(default_factory=dict)
    other: Tissue = field(kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tissues", checked_tissues(self.tissues, self.other))

    @property
    def needs(self) -> tuple[str, ...]:
        """LET times dose."""
        return ("let_dose",)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Helium."""
        return ("helium",)

    def parameters(self, let: Array, alpha: Array, beta: Array) -> tuple[Array, Array]:
        """Alpha and root of beta, 1/Gy, at LET ``let``, keV/µm, for photons' alpha and beta."""
        rise = (_K0 + beta / alpha) * _K1 * let**2 * np.exp(-_K2 * let)
        return alpha * (1.0 + rise), np.broadcast_to(np.sqrt(beta), np.shape(let))
