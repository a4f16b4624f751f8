"""Beams: where they come from, and the columns (spots, bixels) of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, Points
from dosegrad.errors import BeamError, CapabilityError
from dosegrad.geometry.frames import gantry_to_patient
from dosegrad.machine.kinds import Machine
from dosegrad.machine.particle import ParticleMachine

__all__ = ["COLUMN_DTYPE", "Beam", "Beams", "RangeShifter"]

#: One row per column of the influence matrix. ``ray`` counts rays over all beams; ``x`` and ``y``
#: are mm in the isocentre plane of the IEC gantry frame; ``energy`` is MeV or MeV/u; ``size`` is
#: the width of a bixel in mm (0 for spots).
COLUMN_DTYPE: Final = np.dtype(
    [
        ("beam", np.int32),
        ("ray", np.int32),
        ("x", np.float64),
        ("y", np.float64),
        ("energy", np.float64),
        ("size", np.float64),
    ]
)


@dataclass(frozen=True, slots=True)
class RangeShifter:
    """A slab in front of the patient that takes range from every spot of a beam.

    Parameters
    ----------
    thickness
        Water-equivalent thickness, mm.
    distance
        From the isocentre to the slab's downstream face, mm.
    """

    thickness: float
    distance: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.thickness) and self.thickness > 0):
            raise BeamError(
                f"a range shifter of {self.thickness} mm is not possible; give a positive "
                "water-equivalent thickness, such as 40."
            )
        if not np.isfinite(self.distance):
            raise BeamError(
                f"a range shifter {self.distance} mm from the isocentre is not possible; give "
                "the distance of its downstream face, such as 300."
            )


@dataclass(frozen=True, slots=True)
class Beam:
    """Direction and frame of one field.

    Parameters
    ----------
    gantry, couch
        Angles, degree, IEC 61217.
    isocentre
        (x, y, z), mm, patient LPS.
    sad
        Distance from the virtual source to the isocentre, mm; ``None`` for a parallel beam.
    position
        How the patient lies: ``"HFS"`` and so on.
    range_shifter
        The slab in this field, if there is one.
    """

    gantry: float
    couch: float
    isocentre: tuple[float, float, float]
    sad: float | None
    position: str = "HFS"
    range_shifter: RangeShifter | None = None

    def __post_init__(self) -> None:
        numbers = (self.gantry, self.couch, *self.isocentre)
        if not np.isfinite(numbers).all():
            raise BeamError(f"beam angles and isocentre must be finite, not {numbers}.")
        if self.sad is not None and not self.sad > 0:
            raise BeamError(f"source-axis distance {self.sad} mm must be positive, or None.")

    @property
    def rotation(self) -> Array:
        """Matrix (3, 3) that turns IEC gantry vectors into patient vectors."""
        return gantry_to_patient(self.gantry, self.couch, self.position)

    @property
    def direction(self) -> Array:
        """Unit vector (3,) along which the beam travels, patient LPS."""
        towards: Array = -self.rotation[:, 2]
        return towards

    @property
    def source(self) -> Array | None:
        """Virtual source (3,), mm, patient LPS; ``None`` for a parallel beam."""
        if self.sad is None:
            return None
        point: Array = np.asarray(self.isocentre) + self.sad * self.rotation[:, 2]
        return point

    def to_gantry(self, points: Points) -> Points:
        """``points`` (..., 3), patient mm, in the gantry frame: z towards the source."""
        local: Points = (np.asarray(points, dtype=float) - self.isocentre) @ self.rotation
        return local

    def to_patient(self, points: Points) -> Points:
        """``points`` (..., 3), gantry frame mm, in the patient frame."""
        turned: Points = np.asarray(points, dtype=float) @ self.rotation.T + self.isocentre
        return turned


@dataclass(frozen=True, slots=True, eq=False)
class Beams:
    """All fields of a plan with their spots or bixels; a sequence of :class:`Beam`.

    Parameters
    ----------
    machine
        What delivers them.
    fields
        The beams.
    columns
        Structured array (n_columns,) of :data:`COLUMN_DTYPE`, ordered by beam.
    """

    machine: Machine
    fields: tuple[Beam, ...]
    columns: NDArray[Any]

    def __post_init__(self) -> None:
        columns = np.ascontiguousarray(self.columns, dtype=COLUMN_DTYPE)
        if not self.fields:
            raise BeamError("a plan needs at least one beam; give gantry angles.")
        if columns.size == 0:
            raise BeamError("the beams hold no spot at all; check target, margin and spacing.")
        if columns["beam"].min() < 0 or columns["beam"].max() >= len(self.fields):
            raise BeamError("a column names a beam that is not there.")
        if (np.diff(columns["beam"]) < 0).any():
            raise BeamError("columns must be ordered by beam.")
        for name in ("x", "y", "energy", "size"):
            if not np.isfinite(columns[name]).all():
                raise BeamError(f"column values {name!r} must be finite.")
        if columns.flags.writeable:
            columns = columns.copy()
            columns.flags.writeable = False
        object.__setattr__(self, "fields", tuple(self.fields))
        object.__setattr__(self, "columns", columns)

    @property
    def particles(self) -> ParticleMachine:
        """The machine, for those that can do with particles only.

        Raises
        ------
        CapabilityError
            If it is a photon machine.
        """
        if not isinstance(self.machine, ParticleMachine):
            raise CapabilityError(
                f"machine {self.machine.name!r} delivers {self.machine.modality}, but this engine "
                "or file is for particles; use the engine 'photon-kernel', or a particle machine."
            )
        return self.machine

    @property
    def n_columns(self) -> int:
        """Number of spots or bixels."""
        return int(self.columns.size)

    def columns_of(self, beam: int) -> slice:
        """Slice of the columns that belong to the beam with this number."""
        start, stop = np.searchsorted(self.columns["beam"], [beam, beam + 1])
        return slice(int(start), int(stop))

    def __len__(self) -> int:
        return len(self.fields)

    @overload
    def __getitem__(self, index: int) -> Beam: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Beam]: ...
    def __getitem__(self, index: int | slice) -> Beam | Sequence[Beam]:
        return self.fields[index]

    def __iter__(self) -> Iterator[Beam]:
        return iter(self.fields)

    def __repr__(self) -> str:
        angles = ", ".join(f"{b.gantry:g}°" for b in self.fields)
        return f"Beams({self.machine.name}, {angles}; {self.n_columns} columns)"
