"""Carabe's model for protons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.rbe.tissue import Tissue, checked_tissues

__all__ = ["Carabe"]

#: Gy; alpha over beta of the cells (V79) that the fit is about.
_RATIO: Final = 2.686


@dataclass(frozen=True, slots=True)
class Carabe:
    r"""Protons: alpha and beta both rise with LET over alpha over beta.

    .. math:: \frac{\alpha}{\alpha_x} = 0.843 + 0.154 \frac{2.686\,L}{\alpha_x/\beta_x}, \qquad
       \sqrt{\frac{\beta}{\beta_x}} = 1.09 + 0.006 \frac{2.686\,L}{\alpha_x/\beta_x}

    Both are linear in L, so that mixing spots by dose is the same as taking the voxel's LET.

    Parameters
    ----------
    tissues
        Tissue of structures by their names. Where such structures overlap, the one of lower
        priority number counts.
    other
        Tissue of all other voxels.

    References
    ----------
    Carabe et al. 2012, Phys. Med. Biol. 57, 1159 [Carabe2012]_.
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
        scaled = _RATIO * let * beta / alpha
        return alpha * (0.843 + 0.154 * scaled), np.sqrt(beta) * (1.09 + 0.006 * scaled)
