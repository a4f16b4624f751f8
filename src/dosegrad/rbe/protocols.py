"""What a model of the relative biological effectiveness must tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from dosegrad.arrays import Array
from dosegrad.rbe.tissue import Tissue

__all__ = ["LETModel", "RBEModel"]


@runtime_checkable
class RBEModel(Protocol):
    """A model of the relative biological effectiveness, with the tissues it is used for."""

    @property
    def tissues(self) -> Mapping[str, Tissue]:
        """Tissue of structures by their names."""
        ...

    @property
    def other(self) -> Tissue | None:
        """Tissue of all other voxels; ``None`` if the model needs no tissue and was given none."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Quantities beside dose that an engine must compute for it."""
        ...

    @property
    def modalities(self) -> tuple[str, ...]:
        """Kinds of machine that it was made for."""
        ...


@runtime_checkable
class LETModel(RBEModel, Protocol):
    """A model that works from the dose-averaged LET."""

    def parameters(self, let: Array, alpha: Array, beta: Array) -> tuple[Array, Array]:
        """Alpha, 1/Gy, and the square root of beta, 1/Gy, of particles.

        Parameters
        ----------
        let
            Dose-averaged LET in water, keV/µm, any shape.
        alpha, beta
            Of photons, 1/Gy and 1/Gy2, in the same shape.
        """
        ...
