"""Apertures: openings of jaws and leaves, and the segments of a plan that deliver them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dosegrad.arrays import Array, BoolArray, IntArray, readonly
from dosegrad.errors import BeamError
from dosegrad.machine.collimator import MultileafCollimator

__all__ = ["Aperture", "Apertures"]


@dataclass(frozen=True, slots=True, eq=False)
class Aperture:
    """Where jaws and leaves stand, mm in the isocentre plane of the collimator's frame.

    Parameters
    ----------
    jaws
        (x1, x2, y1, y2).
    left, right
        Tips of both banks (pairs,), the left one on the side of negative x.
    rotation
        Angle of the collimator, degree, IEC 61217.

    Raises
    ------
    BeamError
        If tips or jaws overlap, or are not finite.
    """

    jaws: tuple[float, float, float, float]
    left: Array
    right: Array
    rotation: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "left", readonly(self.left))
        object.__setattr__(self, "right", readonly(self.right))
        x1, x2, y1, y2 = (float(j) for j in self.jaws)
        object.__setattr__(self, "jaws", (x1, x2, y1, y2))
        if self.left.ndim != 1 or self.left.shape != self.right.shape:
            raise BeamError(
                f"{self.left.size} left and {self.right.size} right leaves are no pairs; give one "
                "position of each for every pair."
            )
        numbers = (*self.jaws, self.rotation)
        if not (np.isfinite(numbers).all() and np.isfinite([self.left, self.right]).all()):
            raise BeamError("positions of jaws and leaves must be finite; give mm.")
        if x1 > x2 or y1 > y2 or (self.left > self.right).any():
            raise BeamError(
                "opposing jaws or leaves overlap; a left or lower one must not be beyond its "
                "partner."
            )

    def __repr__(self) -> str:
        x1, x2, y1, y2 = self.jaws
        return f"Aperture({x2 - x1:g} × {y2 - y1:g} mm, {np.count_nonzero(self.is_open)} pairs)"

    @property
    def is_open(self) -> BoolArray:
        """Pairs (pairs,) whose tips stand apart within the jaws' x."""
        low, high = np.maximum(self.left, self.jaws[0]), np.minimum(self.right, self.jaws[1])
        apart: BoolArray = high > low
        return apart


@dataclass(frozen=True, slots=True, eq=False)
class Apertures:
    """The segments of a plan, in the order of their delivery within each beam.

    Parameters
    ----------
    beam
        Number of the beam (n,) that each belongs to, ascending.
    monitor_units
        Whole course (n,); where a machine is not calibrated, units of bixel weight.
    jaws
        x1, x2, y1, y2 (n, 4), mm.
    left, right
        Tips (n, pairs), mm.
    rotation
        Angle of the collimator (n,), degree.

    Raises
    ------
    BeamError
        If lengths do not fit together, positions overlap, or MU are negative.
    """

    beam: IntArray
    monitor_units: Array
    jaws: Array
    left: Array
    right: Array
    rotation: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "beam", readonly(self.beam, np.int64))
        for name in ("monitor_units", "jaws", "left", "right", "rotation"):
            object.__setattr__(self, name, readonly(getattr(self, name)))
        n = self.beam.size
        shapes = (self.monitor_units.shape, self.jaws.shape, self.rotation.shape)
        pairs = self.left.shape[1] if self.left.ndim == 2 else -1
        if shapes != ((n,), (n, 4), (n,)) or self.left.shape != (n, pairs):
            raise BeamError(
                f"{n} segments need as many MU, jaws (n, 4), leaves (n, pairs) and rotations."
            )
        if self.right.shape != self.left.shape:
            raise BeamError("both banks must have the same number of leaves in all segments.")
        if n and (self.beam.min() < 0 or (np.diff(self.beam) < 0).any()):
            raise BeamError("segments must be ordered by beam.")
        values = (self.monitor_units, self.jaws, self.left, self.right, self.rotation)
        if not all(np.isfinite(v).all() for v in values):
            raise BeamError("MU and positions of segments must be finite.")
        if (self.monitor_units < 0).any():
            raise BeamError("MU of a segment must not be negative; check where they came from.")
        overlaps = (self.left > self.right).any() or (self.jaws[:, ::2] > self.jaws[:, 1::2]).any()
        if overlaps:
            raise BeamError("opposing jaws or leaves of a segment overlap.")

    @classmethod
    def of(
        cls, beam: Sequence[int], apertures: Sequence[Aperture], monitor_units: Sequence[float]
    ) -> Apertures:
        """Segments of single apertures with their beams and MU."""
        if not len(beam) == len(apertures) == len(monitor_units):
            raise BeamError(
                f"{len(apertures)} apertures need as many beams ({len(beam)}) and MU "
                f"({len(monitor_units)})."
            )
        if not apertures:
            raise BeamError("a delivery needs at least one aperture.")
        if len({a.left.size for a in apertures}) > 1:
            raise BeamError("all apertures must have the same number of leaf pairs.")
        return cls(
            np.asarray(beam, dtype=np.int64),
            np.asarray(monitor_units, dtype=float),
            np.array([a.jaws for a in apertures]),
            np.array([a.left for a in apertures]),
            np.array([a.right for a in apertures]),
            np.array([a.rotation for a in apertures]),
        )

    @classmethod
    def open_field(
        cls,
        collimator: MultileafCollimator,
        *,
        width: float,
        height: float,
        monitor_units: float,
        beam: int = 0,
    ) -> Apertures:
        """One rectangle between the jaws, centred, mm, with the leaves 10 mm behind the jaws."""
        half_x, half_y = 0.5 * width, 0.5 * height
        tips = np.full(collimator.pairs, half_x + 10.0)
        opening = Aperture((-half_x, half_x, -half_y, half_y), -tips, tips)
        return cls.of([beam], [opening], [monitor_units])

    def __len__(self) -> int:
        return int(self.beam.size)

    def __getitem__(self, index: int) -> Aperture:
        x1, x2, y1, y2 = (float(v) for v in self.jaws[index])
        return Aperture(
            (x1, x2, y1, y2), self.left[index], self.right[index], float(self.rotation[index])
        )

    def __iter__(self) -> Iterator[Aperture]:
        return (self[k] for k in range(len(self)))

    def __repr__(self) -> str:
        total = float(self.monitor_units.sum())
        n_beams = np.unique(self.beam).size
        return f"Apertures({len(self)} segments of {n_beams} beams, {total:.5g} MU)"

    def of_beam(self, beam: int) -> Apertures:
        """The segments of one beam, which keep its number."""
        return self.chosen(np.flatnonzero(self.beam == beam))

    def chosen(self, segments: IntArray) -> Apertures:
        """The segments with these numbers, ascending."""
        return Apertures(
            self.beam[segments],
            self.monitor_units[segments],
            self.jaws[segments],
            self.left[segments],
            self.right[segments],
            self.rotation[segments],
        )
