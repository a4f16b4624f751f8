"""What a photon machine did, sample by sample, beside what it was told to do."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from dosegrad.arrays import Array, BoolArray, readonly
from dosegrad.errors import BeamError

__all__ = ["MachineMotion", "PhotonRecord"]

#: Opposing tips may seem to overlap by so much, mm: read-outs scatter.
_OVERLAP = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class MachineMotion:
    """State of a machine at each sample of one beam.

    Parameters
    ----------
    monitor_units
        Delivered since the begin of the beam (n,), never falling.
    gantry, collimator
        Angles (n,), degree, IEC 61217.
    jaws
        x1, x2, y1, y2 (n, 4), mm in the isocentre plane of the collimator's frame.
    left, right
        Tips of leaves (n, pairs), mm, the left bank on the side of negative x.

    Raises
    ------
    BeamError
        If lengths differ, a value is not finite, MU fall, or leaves overlap.
    """

    monitor_units: Array
    gantry: Array
    collimator: Array
    jaws: Array
    left: Array
    right: Array

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, readonly(getattr(self, each.name)))
        n = self.monitor_units.size
        shapes = (self.gantry.shape, self.collimator.shape, self.jaws.shape)
        pairs = self.left.shape[1] if self.left.ndim == 2 else -1
        if n < 2 or shapes != ((n,), (n,), (n, 4)) or self.left.shape != (n, pairs):
            raise BeamError(
                f"a record of {n} samples needs at least two, and as many angles, jaws (n, 4) and "
                "leaves (n, pairs)."
            )
        if self.right.shape != self.left.shape:
            raise BeamError("both banks of a record must have the same number of leaves.")
        if not all(np.isfinite(getattr(self, each.name)).all() for each in fields(self)):
            raise BeamError("a record holds a position or meterset that is not a finite number.")
        if (np.diff(self.monitor_units) < 0).any():
            raise BeamError("the meterset of a record falls; give that since the beam began.")
        overlap = float((self.left - self.right).max(initial=0.0))
        if overlap > _OVERLAP:
            raise BeamError(
                f"opposing leaves of a record overlap by {overlap:.1f} mm; its scale or the order "
                "of its banks is not the expected one."
            )

    @property
    def total(self) -> float:
        """MU of the beam."""
        return float(self.monitor_units[-1] - self.monitor_units[0])


@dataclass(frozen=True, slots=True, eq=False)
class PhotonRecord:
    """One beam of one fraction as a machine recorded it.

    Parameters
    ----------
    times
        Of the samples (n,), s.
    planned, delivered
        What the machine was told, and what it did.
    boundaries
        Sides of the leaf pairs along y, ascending (pairs + 1,), mm.
    source
        Kind of record, for people and provenance.
    warnings
        What was left out, repaired or guessed.

    Raises
    ------
    BeamError
        If both do not have the same samples and leaves.
    """

    times: Array
    planned: MachineMotion
    delivered: MachineMotion
    boundaries: Array
    source: str = ""
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", readonly(self.times))
        object.__setattr__(self, "boundaries", readonly(self.boundaries))
        shape = self.planned.left.shape
        if shape != self.delivered.left.shape or self.times.shape != shape[:1]:
            raise BeamError("planned and delivered samples of a record differ in number.")
        if self.boundaries.shape != (shape[1] + 1,):
            raise BeamError(
                f"{self.boundaries.size} sides do not fit {shape[1]} leaf pairs; give one more "
                "than pairs."
            )

    def __repr__(self) -> str:
        return (
            f"PhotonRecord({self.times.size} samples, {self.delivered.total:.4g} of "
            f"{self.planned.total:.4g} MU)"
        )

    @property
    def beam_on(self) -> BoolArray:
        """Samples (n,) during which MU were delivered."""
        rising = np.diff(self.delivered.monitor_units) > 0
        found: BoolArray = np.concatenate([rising, [False]]) | np.concatenate([[False], rising])
        return found

    @property
    def leaf_deviations(self) -> Array:
        """Delivered minus planned tips (samples with beam, pairs in the field, 2), mm.

        Pairs count whose middle lies between the planned jaws at any of these samples.
        """
        on = self.beam_on
        middle = 0.5 * (self.boundaries[1:] + self.boundaries[:-1])
        jaws = self.planned.jaws[on]
        if not on.any():
            return np.empty((0, 0, 2))
        inside = (middle > jaws[:, 2].min()) & (middle < jaws[:, 3].max())
        off = [
            getattr(self.delivered, bank)[on][:, inside]
            - getattr(self.planned, bank)[on][:, inside]
            for bank in ("left", "right")
        ]
        return np.stack(off, axis=2)
