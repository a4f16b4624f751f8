"""What an engine offers, in small protocols."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, Float32Array, IntArray, Volume, Weights
from dosegrad.beams.apertures import Apertures
from dosegrad.beams.beam import Beams
from dosegrad.geometry.grid import Grid
from dosegrad.patient.medium import Medium
from dosegrad.patient.patient import OutsideBody, Patient

__all__ = [
    "ApertureEngine",
    "BeamColumns",
    "ChecksPatient",
    "ChoosesGrid",
    "ForwardEngine",
    "InfluenceEngine",
    "SeesElectrons",
    "SeesWater",
    "Stopping",
    "VariesRange",
]


class BeamColumns(Protocol):
    """The columns of one beam, ready to be counted and then written into final arrays."""

    def count(self) -> NDArray[np.int64]:
        """Number of entries of each column, (n_columns of the beam,)."""
        ...

    def fill(
        self,
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        values: Mapping[str, Float32Array],
    ) -> None:
        """Write the columns' rows, ascending, and values into the arrays of a whole matrix.

        ``indptr`` (n_columns of the beam,) tells where each column begins in ``indices`` and in
        each of ``values``: Gy per unit weight for ``"dose"``, keV/µm Gy for ``"let_dose"``.
        """
        ...


class Stopping(Protocol):
    """As much of a medium as engines need that see tissue as water of another stopping power."""

    @property
    def grid(self) -> Grid:
        """The dose grid."""
        ...

    @property
    def stopping_power_ratio(self) -> Volume:
        """Proton stopping power relative to water (z, y, x)."""
        ...


@runtime_checkable
class ChecksPatient(Protocol):
    """An engine that does not take every patient."""

    def check_patient(self, patient: Patient) -> None:
        """Raise if the engine cannot compute doses in ``patient``.

        Raises
        ------
        PatientError
            If so, with the reason.
        """
        ...


@runtime_checkable
class SeesWater(Protocol):
    """An engine that a :class:`Stopping` is enough for."""

    @property
    def outside_body(self) -> OutsideBody:
        """``"air"``: what lies outside the body counts as air; ``"ct"``: as the CT says."""
        ...

    @property
    def sees_only_water(self) -> bool:
        """True."""
        ...


@runtime_checkable
class SeesElectrons(Protocol):
    """An engine that relative electron density is enough for."""

    @property
    def sees_only_electrons(self) -> bool:
        """True."""
        ...


@runtime_checkable
class InfluenceEngine(Protocol):
    """Computes dose per unit weight, column by column."""

    def quantities(self, machine: Any) -> tuple[str, ...]:
        """Names of the quantities that it can compute with a machine, ``"dose"`` first."""
        ...

    def prepare(
        self, medium: Medium, beams: Beams, beam_index: int, voxels: IntArray
    ) -> BeamColumns:
        """Columns of one beam on ``voxels``, ascending flat indices into the medium's grid."""
        ...


@runtime_checkable
class ForwardEngine(Protocol):
    """Computes dose from weights without a matrix."""

    def forward(self, medium: Medium, beams: Beams, weights: Weights, voxels: IntArray) -> Array:
        """Dose (n_voxels,), Gy, of ``weights`` (n_columns,) on ``voxels``."""
        ...


@runtime_checkable
class ApertureEngine(Protocol):
    """Computes the dose of apertures."""

    def forward_apertures(
        self, medium: Medium, beams: Beams, apertures: Apertures, voxels: IntArray
    ) -> Array:
        """Dose (n_voxels,), Gy, of all segments on ``voxels``."""
        ...


@runtime_checkable
class ChoosesGrid(Protocol):
    """A forward engine that scores on a grid of its own choice where none is given."""

    def dose_grid(self, patient: Patient) -> Grid:
        """The grid that suits the engine for this patient."""
        ...


@runtime_checkable
class VariesRange(Protocol):
    """An engine that can compute with an error of the range of particles."""

    def with_range_error(self, *, percent: float, mm: float) -> Any:
        """The same engine with depths behind the skin longer by ``percent`` % and by ``mm``."""
        ...
