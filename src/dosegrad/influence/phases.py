"""Phases of a moving patient, as of breathing: each has its own CT, and tissue elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from dosegrad.arrays import Array, IntArray
from dosegrad.errors import PatientError, SettingsError
from dosegrad.geometry.grid import Grid
from dosegrad.patient.ct import CT
from dosegrad.patient.patient import Patient
from dosegrad.patient.registration import Registration

if TYPE_CHECKING:
    from dosegrad.influence.scenarios import Scenario

__all__ = ["CTPhase", "Surroundings", "surroundings"]


@dataclass(frozen=True, slots=True, eq=False)
class CTPhase:
    """The patient as a CT of another phase shows it.

    Parameters
    ----------
    ct
        Of the phase.
    registration
        From the planning CT, fixed, to this one, moving, as :func:`dosegrad.register` makes it: the
        dose of a voxel is that of the place where its tissue is in this phase. Without one, tissue
        stays where it is.
    name
        What to call it.
    """

    ct: CT
    registration: Registration | None = None
    name: str = "phase"

    def __post_init__(self) -> None:
        if not self.name:
            raise SettingsError("a phase needs a name, such as '50 %'; give one with name=.")

    def patient(self, planned: Patient) -> Patient:
        """The patient in this phase: its CT, and the external structure carried along."""
        if self.ct.position != planned.ct.position:
            raise PatientError(
                f"the CT of {self.name!r} shows a patient in position {self.ct.position}, but the "
                f"plan is for {planned.ct.position}; use CTs of one session."
            )
        outline = planned.external
        if outline is None:
            return replace(planned, ct=self.ct, structures={}, objectives={})
        if self.registration is not None:
            outline = self.registration.carry(outline)
        return replace(planned, ct=self.ct, structures={outline.name: outline}, objectives={})

    def places(self, grid: Grid, voxels: IntArray) -> tuple[NDArray[np.int64], csr_array | None]:
        """Voxels to compute dose in, and their trilinear shares in the dose of ``voxels`` (n,).

        Parameters
        ----------
        grid
            The dose grid.
        voxels
            Flat indices into it, in the planning CT.

        Returns
        -------
            Flat indices (m,), ascending, and shares (n, m); ``None`` if tissue stays. Tissue that
            left the grid has no dose.
        """
        if self.registration is None:
            return np.asarray(voxels, dtype=np.int64), None
        at = grid.to_index(self.registration.to_moving(grid.voxel_points(voxels)))
        low = np.floor(at).astype(np.int64)
        rows, columns, shares = [], [], []
        for corner in product((0, 1), repeat=3):
            index = low + corner
            share = np.abs(1.0 - np.array(corner) - (at - low)).prod(axis=1)
            kept = ((index >= 0) & (index < grid.shape)).all(axis=1) & (share > 1e-6)
            rows.append(np.flatnonzero(kept))
            columns.append(np.ravel_multi_index(tuple(index[kept].T), grid.shape))
            shares.append(share[kept])
        needed, place = np.unique(np.concatenate(columns), return_inverse=True)
        entries = (np.concatenate(shares), (np.concatenate(rows), place.reshape(-1)))
        return needed.astype(np.int64), csr_array(entries, shape=(len(voxels), needed.size))


class Surroundings(NamedTuple):
    """Where dose is computed in a scenario.

    ``medium``: what beams travel through. ``voxels`` (m,): where to compute dose. ``shares``
    (n, m): of these voxels in the dose of the n that are asked for; ``None`` if they are the same.
    """

    medium: Any
    voxels: NDArray[np.int64]
    shares: csr_array | None

    def gather(self, dose: Array) -> Array:
        """Dose (n,) of the voxels asked for from that of the voxels computed (m,)."""
        if self.shares is None:
            return dose
        found: Array = self.shares @ dose
        return found


def surroundings(
    case: Scenario, patient: Patient, grid: Grid, engine: object, medium: Any, voxels: IntArray
) -> Surroundings:
    """Where dose on ``voxels`` (n,) is computed in a scenario.

    Parameters
    ----------
    case
        The scenario.
    patient, grid, engine, medium
        Of the plan; ``medium`` is the one the engine wants.
    voxels
        Flat indices into the grid.
    """
    from dosegrad.influence.build import prepare_medium

    if case.phase is None:
        return Surroundings(medium, np.asarray(voxels, dtype=np.int64), None)
    needed, shares = case.phase.places(grid, voxels)
    return Surroundings(prepare_medium(case.phase.patient(patient), grid, engine), needed, shares)
