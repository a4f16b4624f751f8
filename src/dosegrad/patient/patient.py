"""A patient: CT, structures, HU calibration, and the planning wishes that came with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Mask
from dosegrad.errors import DosegradError, PatientError, TargetError, unknown_name
from dosegrad.geometry.grid import Grid, Triple
from dosegrad.patient._body import find_body
from dosegrad.patient._media import make_medium
from dosegrad.patient.calibration import Calibration, CalibrationLike
from dosegrad.patient.ct import CT
from dosegrad.patient.medium import Medium
from dosegrad.patient.records import ObjectiveRecord
from dosegrad.patient.structures import MaskShape, Role, Structure

__all__ = ["OutsideBody", "Patient"]

#: What lies outside the outline of the body: air, or whatever the CT shows (couch, mask).
OutsideBody: TypeAlias = Literal["air", "ct"]

#: Spacing below which the default dose grid does not follow the CT, and what it has then, mm.
_FINE_CT = 2.0
_COARSE_DOSE = 2.5


@dataclass(frozen=True, slots=True, eq=False)
class Patient:
    """CT, structures, HU calibration, and the planning wishes that came with them.

    Parameters
    ----------
    ct
        Hounsfield units on their grid.
    structures
        Structures by name.
    calibration
        From HU to density, stopping power ratio, electron density and material.
    objectives
        Objectives that a file holds, by structure; doses in Gy for the whole course.
    name
        A pseudonym; never a person's name or number. It is not part of the repr.

    Raises
    ------
    PatientError
        If the name of a structure differs from its key, or two structures are external.
    UnknownNameError
        If objectives name a structure that is not there.

    Examples
    --------
    >>> import numpy as np
    >>> water = np.zeros((4, 6, 8))
    >>> patient = Patient.from_arrays(water, spacing=(3.0, 2.0, 2.5), calibration="schneider-water")
    >>> patient
    Patient(CT(4×6×8 voxels, 3×2×2.5 mm), no structures)
    >>> patient.medium().density.max().item()
    1.0
    """

    ct: CT
    structures: Mapping[str, Structure]
    calibration: Calibration
    objectives: Mapping[str, tuple[ObjectiveRecord, ...]] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        structures = dict(self.structures)
        for name, structure in structures.items():
            if structure.name != name:
                raise PatientError(
                    f"structure {structure.name!r} is filed under {name!r}; use one name for both."
                )
        externals = [n for n, s in structures.items() if s.role == "external"]
        if len(externals) > 1:
            raise PatientError(
                f"structures {', '.join(map(repr, externals))} are all external; a patient has one "
                "outline. Give the others the role 'organ'."
            )
        for name in self.objectives:
            if name not in structures:
                raise unknown_name("structure", name, structures)
        objectives = {name: tuple(records) for name, records in self.objectives.items()}
        object.__setattr__(self, "structures", MappingProxyType(structures))
        object.__setattr__(self, "objectives", MappingProxyType(objectives))

    def __repr__(self) -> str:
        names = ", ".join(self.structures) or "no structures"
        return f"Patient({self.ct!r}, {names})"

    @classmethod
    def from_arrays(
        cls,
        hu: ArrayLike,
        *,
        spacing: Triple,
        origin: Triple = (0.0, 0.0, 0.0),
        structures: Mapping[str, ArrayLike] | None = None,
        roles: Mapping[str, Role] | None = None,
        calibration: CalibrationLike = "schneider",
        position: str = "HFS",
    ) -> Patient:
        """A patient from arrays, all with axes (z, y, x).

        Parameters
        ----------
        hu
            Hounsfield units (z, y, x).
        spacing
            Distance between voxel centres along (z, y, x), mm.
        origin
            Centre of the first voxel, (x, y, z), mm, patient LPS.
        structures
            Masks by name on the grid of the CT: Booleans, or zeros and ones.
        roles
            ``"target"``, ``"organ"`` or ``"external"`` by name; a structure without is an organ.
        calibration
            ``"schneider"``, ``"schneider-water"``, pairs of (HU, stopping power ratio), or a
            :class:`Calibration`.
        position
            How the patient lies: ``"HFS"`` and so on.

        Raises
        ------
        PatientError
            If an array has the wrong shape or holds what cannot be.
        UnknownNameError
            If a role, calibration or position is unknown, or a role has no structure.
        GeometryError
            If spacing or origin are not possible.
        """
        values = np.asarray(hu)
        if values.ndim != 3:
            raise PatientError(
                f"HU of shape {values.shape} are no volume; give an array with axes (z, y, x)."
            )
        nz, ny, nx = values.shape
        grid = Grid((nz, ny, nx), spacing, origin)
        masks, roles = structures or {}, roles or {}
        for name in roles:
            if name not in masks:
                raise unknown_name("structure", name, masks)
        made = {
            name: Structure(
                name, MaskShape(grid, _as_mask(name, mask, grid)), roles.get(name, "organ")
            )
            for name, mask in masks.items()
        }
        return cls(CT(grid, values, position), made, Calibration.of(calibration))

    @property
    def external(self) -> Structure | None:
        """The outline of the body, if a structure has that role."""
        return next((s for s in self.structures.values() if s.role == "external"), None)

    def structure(self, name: str) -> Structure:
        """The structure called ``name``.

        Raises
        ------
        UnknownNameError
            If there is none; the message lists those that are there.
        """
        if name not in self.structures:
            raise unknown_name("structure", name, self.structures)
        return self.structures[name]

    def mask(self, name: str, grid: Grid | None = None) -> Mask:
        """Voxels (z, y, x) of a structure on ``grid`` (the CT's unless given), at least one.

        Raises
        ------
        UnknownNameError
            If there is no such structure.
        TargetError, PatientError
            If a target, or another structure, is empty, lies outside the CT, or has no voxel
            centre of ``grid`` in it.
        """
        structure = self.structure(name)
        mask = structure.mask(grid or self.ct.grid)
        if mask.any():
            return mask
        kind: type[DosegradError] = TargetError if structure.role == "target" else PatientError
        what = "target" if structure.role == "target" else "structure"
        if not structure.volume_cc > 0:
            raise kind(f"{what} {name!r} is empty; contour it again or leave it out.")
        if not structure.mask(self.ct.grid).any():
            raise kind(
                f"{what} {name!r} ({structure.volume_cc:.3g} cc) has no voxel inside the CT "
                f"({self.ct.grid}); check that both are in the same frame, or that it is not "
                "smaller than a voxel."
            )
        raise kind(
            f"{what} {name!r} ({structure.volume_cc:.3g} cc) holds no voxel centre of "
            f"{grid}; use a finer grid that covers it."
        )

    def body_mask(self, grid: Grid | None = None) -> Mask:
        """Voxels (z, y, x) of the body on ``grid`` (the CT's unless given).

        The external structure; where there is none, the largest connected region above -350 HU
        with its holes filled slice by slice.
        """
        if self.external is not None:
            return self.mask(self.external.name, grid)
        return MaskShape(self.ct.grid, find_body(self.ct)).mask(grid or self.ct.grid)

    def medium(self, grid: Grid | None = None, *, outside_body: OutsideBody = "air") -> Medium:
        """What beams travel through, on ``grid`` (the CT's unless given).

        HU become density, stopping power and electron density at the resolution of the CT; these
        are averaged over the voxels of ``grid`` by volume, so that their integrals are kept. A
        voxel's material is the one with the most mass among the CT voxels centred in it, or that
        of the CT voxel around its centre where there are none. Beyond the CT there is air.

        Parameters
        ----------
        grid
            The dose grid.
        outside_body
            ``"air"`` replaces what lies outside the external structure, if there is one: the
            couch, and calibrations that make too much of air. ``"ct"`` keeps it.
        """
        if outside_body not in ("air", "ct"):
            raise unknown_name("choice for outside_body", outside_body, ("air", "ct"))
        inside = None
        if outside_body == "air" and self.external is not None:
            inside = self.body_mask()
        return make_medium(self.ct, self.calibration, grid or self.ct.grid, inside)

    def dose_grid(self, spacing: Triple | None = None) -> Grid:
        """The dose grid of ``spacing`` (z, y, x), mm, over the box of the CT.

        Without ``spacing`` it is the grid of the CT if no spacing of that is below 2 mm, else one
        whose spacings are at least 2.5 mm.
        """
        if spacing is not None:
            return self.ct.grid.with_spacing(spacing)
        if min(self.ct.grid.spacing) >= _FINE_CT:
            return self.ct.grid
        z, y, x = (max(s, _COARSE_DOSE) for s in self.ct.grid.spacing)
        return self.ct.grid.with_spacing((z, y, x))


def _as_mask(name: str, mask: ArrayLike, grid: Grid) -> Mask:
    values = np.asarray(mask)
    if values.shape != grid.shape:
        raise PatientError(
            f"the mask of structure {name!r} has shape {values.shape}, the CT {grid.shape}; "
            "both are (z, y, x)."
        )
    if values.dtype != bool and not np.isin(values, (0, 1)).all():
        raise PatientError(
            f"the mask of structure {name!r} holds values other than 0 and 1; "
            "pass Booleans, as in `labels == 3`."
        )
    return values.astype(bool)
