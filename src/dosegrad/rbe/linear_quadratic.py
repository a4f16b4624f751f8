"""Alpha and beta from the tables of a machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dosegrad.rbe.tissue import Tissue, checked_tissues

__all__ = ["LinearQuadratic"]


@dataclass(frozen=True, slots=True)
class LinearQuadratic:
    r"""Alpha and beta of particles from the machine's own tables of depth, mixed by dose.

    .. math:: \bar\alpha = \frac{\sum_j w_j \alpha_j D_j}{\sum_j w_j D_j}, \qquad
       \sqrt{\bar\beta} = \frac{\sum_j w_j \sqrt{\beta_j} D_j}{\sum_j w_j D_j}

    over the spots j that meet in a voxel. The machine must have tables for each of the tissues.

    Parameters
    ----------
    tissues
        Tissue of structures by their names. Where such structures overlap, the one of lower
        priority number counts.
    other
        Tissue of all other voxels.

    References
    ----------
    Zaider and Rossi 1980, Radiat. Res. 83, 732 [Zaider1980]_.
    """

    tissues: Mapping[str, Tissue] = field(default_factory=dict)
    other: Tissue = field(kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tissues", checked_tissues(self.tissues, self.other))

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that the engine looks up in the tables."""
        return ("alpha_dose", "sqrt_beta_dose")

    @property
    def modalities(self) -> tuple[str, ...]:
        """Whatever has tables."""
        return ("protons", "helium", "carbon")
