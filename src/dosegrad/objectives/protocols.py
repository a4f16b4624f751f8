"""What an objective must offer to be optimised."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.beams.beam import Beams
from dosegrad.geometry.grid import Grid
from dosegrad.patient.patient import Patient

__all__ = [
    "ColumnWish",
    "MeanObjective",
    "Objective",
    "OneSidedObjective",
    "PlacedObjective",
    "VoxelwiseObjective",
    "WeightPenalty",
]


class Objective(Protocol):
    """A differentiable wish about the dose of one structure; smaller is better, 0 is perfect.

    ``kind`` is its name in plan files. ``weight`` is its factor in the sum of objectives, which
    the value below does not contain.
    """

    kind: ClassVar[str]

    @property
    def weight(self) -> float:
        """Factor in the sum of objectives, not negative."""
        ...

    @property
    def is_convex(self) -> bool:
        """Whether the value is a convex function of the dose."""
        ...

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Value, and its derivative (n,) by dose.

        Parameters
        ----------
        dose
            Gy for the whole course, shape (n,).
        share
            Part of the structure's volume that each voxel stands for, shape (n,). It sums to one
            over the structure, and to less where voxels below :attr:`idle_below` are left out.
        """
        ...


@runtime_checkable
class OneSidedObjective(Protocol):
    """An objective to which voxels of low dose give neither value nor gradient."""

    @property
    def idle_below(self) -> float:
        """Dose in Gy up to which a voxel may be left out without any effect."""
        ...


@runtime_checkable
class MeanObjective(Protocol):
    """An objective that is a function of the mean dose alone."""

    def of_mean(self, mean: float) -> tuple[float, float]:
        """Value, and its derivative by the mean dose (Gy)."""
        ...


@runtime_checkable
class PlacedObjective(Protocol):
    """An objective that has to know where the voxels of its structure are."""

    def placed(self, patient: Patient, grid: Grid, voxels: IntArray) -> Objective:
        """The objective on ``voxels`` (n,), flat indices into ``grid``."""
        ...


@runtime_checkable
class VoxelwiseObjective(Protocol):
    """An objective that holds numbers of each voxel."""

    def keeping(self, kept: BoolArray) -> Objective:
        """The same on the voxels that are ``kept`` (n,)."""
        ...


class ColumnWish(Protocol):
    """A wish about the weights of spots or bixels, before it knows them."""

    def between(self, beams: Beams) -> WeightPenalty:
        """The penalty on the columns of ``beams``."""
        ...


class WeightPenalty(Protocol):
    """A differentiable wish about the weights themselves."""

    kind: ClassVar[str]

    @property
    def weight(self) -> float:
        """Factor in the sum of objectives, not negative."""
        ...

    def value_and_gradient(self, weights: Array) -> tuple[float, Array]:
        """Value, and its derivative (n_columns,) by weight."""
        ...
