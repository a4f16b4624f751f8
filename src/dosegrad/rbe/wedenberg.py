"""Wedenberg's model for protons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.rbe.tissue import Tissue, checked_tissues

__all__ = ["Wedenberg"]

#: Gy um/keV.
_Q: Final = 0.434


@dataclass(frozen=True, slots=True)
class Wedenberg:
    r"""Protons: alpha rises with LET, more where alpha over beta is small; beta is photons'.

    .. math:: \frac{\alpha}{\alpha_x} = 1 + q \frac{L}{\alpha_x/\beta_x}, \qquad
       \beta = \beta_x

    with q = 0.434 Gy µm/keV. Linear in L, so that mixing spots by dose is the same as taking the
    voxel's LET.

    Parameters
    ----------
    tissues
        Tissue of structures by their names. Where such structures overlap, the one of lower
        priority number counts.
    other
        Tissue of all other voxels.

    References
    ----------
    Wedenberg, Lind and Hårdemark 2013, Acta Oncol. 52, 580 [Wedenberg2013]_.
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
        """Protons."""
        return ("protons",)

    def parameters(self, let: Array, alpha: Array, beta: Array) -> tuple[Array, Array]:
        """Alpha and root of beta, 1/Gy, at LET ``let``, keV/µm, for photons' alpha and beta."""
        return alpha + _Q * let * beta, np.broadcast_to(np.sqrt(beta), np.shape(let))
