"""One number for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dosegrad.errors import SettingsError
from dosegrad.rbe.tissue import Tissue, checked_tissues, is_positive

__all__ = ["ConstantRBE"]


@dataclass(frozen=True, slots=True)
class ConstantRBE:
    """The same relative biological effectiveness everywhere: 1.1 for protons by convention.

    With tissues it gives effect, BED and EQD2 as well; a factor of 1 does so for photons, for which
    1.1 is refused.

    Parameters
    ----------
    factor
        RBE-weighted dose over dose.
    tissues
        Tissue of structures by their names, for effect, BED and EQD2.
    other
        Tissue of all other voxels; needed if ``tissues`` are given.

    References
    ----------
    ICRU Report 78 (2007), section 2.3.
    """

    factor: float = 1.1
    tissues: Mapping[str, Tissue] = field(default_factory=dict)
    other: Tissue | None = None

    def __post_init__(self) -> None:
        if not is_positive(self.factor):
            raise SettingsError(
                f"a constant RBE of {self.factor!r} is not possible; give a positive number, such "
                "as 1.1."
            )
        if self.tissues or self.other is not None:
            checked = checked_tissues(self.tissues, self.other)
            object.__setattr__(self, "tissues", checked)

    @property
    def needs(self) -> tuple[str, ...]:
        """Nothing beside dose."""
        return ()

    @property
    def modalities(self) -> tuple[str, ...]:
        """All."""
        return ("photons", "protons", "helium", "carbon")
