"""McNamara's model for protons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.rbe.tissue import Tissue, checked_tissues

__all__ = ["McNamara"]

#: Of the fit, in the order of the paper: 1, um/keV Gy, 1, um/keV Gy^-1/2.
_P0: Final = 0.99064
_P1: Final = 0.35605
_P2: Final = 1.1012
_P3: Final = -0.0038703


@dataclass(frozen=True, slots=True)
class McNamara:
    r"""Protons: alpha and beta from LET, as fitted to many cell lines.

    .. math:: \frac{\alpha}{\alpha_x} = p_0 + p_1 \frac{L}{\alpha_x/\beta_x}, \qquad
       \sqrt{\frac{\beta}{\beta_x}} = p_2 + p_3 \sqrt{\alpha_x/\beta_x}\, L

    with L in keV/µm. Both are linear in L, so that mixing spots by dose is the same as taking the
    voxel's LET. The root of beta is no less than 0: the printed line falls below it where
    :math:`\sqrt{\alpha_x/\beta_x}\,L` exceeds 285 √Gy keV/µm, and its square would rise again.

    Parameters
    ----------
    tissues
        Tissue of structures by their names. Where such structures overlap, the one of lower
        priority number counts.
    other
        Tissue of all other voxels.

    References
    ----------
    McNamara, Schuemann and Paganetti 2015, Phys. Med. Biol. 60, 8399 [McNamara2015]_.
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
        ratio = alpha / beta
        steepness = _P0 + _P1 * let / ratio
        bend = _P2 + _P3 * np.sqrt(ratio) * let
        return alpha * steepness, np.sqrt(beta) * np.maximum(bend, 0.0)
