"""Alpha in proportion to LET, between limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.rbe.tissue import Tissue, checked_tissues

__all__ = ["LinearScaling"]

#: Slope, 1/Gy um/keV, and LET, keV/um, at which protons are like photons.
_SLOPE: Final = 0.008
_NEUTRAL: Final = 0.5
#: LET, keV/um, outside of which the nearer limit counts.
_LOWEST: Final = 0.3
_HIGHEST: Final = 30.0


@dataclass(frozen=True, slots=True)
class LinearScaling:
    r"""Protons: alpha rises in proportion to LET, whatever the tissue; beta is that of photons.

    .. math:: \alpha = \alpha_x + 0.008\,(L - 0.5), \qquad \beta = \beta_x

    with L in keV/µm, and no less than 0.3 nor more than 30 of it; alpha is no less than 0. L is
    that of each spot in each voxel, and spots are mixed by dose.

    Parameters
    ----------
    tissues
        Tissue of structures by their names. Where such structures overlap, the one of lower
        priority number counts.
    other
        Tissue of all other voxels.

    References
    ----------
    Frese et al. 2011, Int. J. Radiat. Oncol. Biol. Phys. 79, 80 [Frese2011]_.
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
        within = np.clip(let, _LOWEST, _HIGHEST)
        root = np.broadcast_to(np.sqrt(beta), np.shape(let))
        return np.maximum(alpha + _SLOPE * (within - _NEUTRAL), 0.0), root
