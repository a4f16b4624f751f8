"""Plans: beams, weights, dose, and how they came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Weights, readonly
from dosegrad.beams.apertures import Apertures
from dosegrad.beams.beam import Beams
from dosegrad.beams.bixels import bixels_to_beams
from dosegrad.beams.spots import spots_to_beams
from dosegrad.dose import Dose
from dosegrad.errors import BeamError, PlanError
from dosegrad.geometry.grid import Triple
from dosegrad.machine.particle import ParticleMachine
from dosegrad.machine.photon import PhotonMachine
from dosegrad.registry import PLAN_WRITERS, load_object
from dosegrad.units import whole_fractions

__all__ = ["Plan"]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Beams with the weight of every spot, and how they came about.

    Parameters
    ----------
    beams
        Fields and columns.
    weights
        Weight of every column (n_columns,), not negative, whole course: 10^6 particles a spot, or
        fluence of a bixel, which is MU where the machine is calibrated.
    dose
        Dose of the whole course; ``None`` for a plan whose dose was not computed yet.
    objective
        Weighted sum of the objectives that were optimised; ``None`` where there were none.
    history
        That sum at the start and after each iteration.
    fractions
        Number of fractions of the course.
    message
        Why the optimiser ended, in words.
    provenance
        Engine, settings, objectives, version.
    scenario_doses
        Dose in each scenario of a robust plan, RBE-weighted if its RBE is constant, in the order
        of the scenarios, whose names are in the ``provenance`` of each; otherwise empty.
    quantities
        What is known beside dose, by name: ``"rbe_dose"``, ``"let"``.
    apertures
        Segments that deliver a photon plan; ``weights`` are then the fluence that they open.
        ``None`` where fluence is not made deliverable, and for particles.

    Raises
    ------
    PlanError
        If the weights do not fit the beams, are negative or not finite, fractions are no whole
        number from 1, or apertures do not fit the beams or the machine's leaves.
    """

    beams: Beams
    weights: Weights
    dose: Dose | None = None
    objective: float | None = None
    history: tuple[float, ...] = ()
    fractions: int = 1
    message: str = ""
    provenance: Mapping[str, object] = field(default_factory=dict)
    scenario_doses: tuple[Dose, ...] = ()
    quantities: Mapping[str, Dose] = field(default_factory=dict)
    apertures: Apertures | None = None

    def __post_init__(self) -> None:
        weights = readonly(self.weights)
        if weights.shape != (self.beams.n_columns,):
            raise PlanError(
                f"{weights.size} weights do not fit {self.beams.n_columns} columns of the beams; "
                "give one for each."
            )
        if not np.isfinite(weights).all() or weights.min() < 0:
            raise PlanError("weights must be finite and not negative; check where they came from.")
        object.__setattr__(self, "fractions", whole_fractions(self.fractions))
        if self.apertures is not None:
            _check_apertures(self.apertures, self.beams)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "scenario_doses", tuple(self.scenario_doses))
        object.__setattr__(self, "history", tuple(float(value) for value in self.history))
        object.__setattr__(self, "quantities", MappingProxyType(dict(self.quantities)))
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    def __repr__(self) -> str:
        noun = "bixels" if self.beams.machine.modality == "photons" else "spots"
        parts = [f"{len(self.beams)} beams", f"{self.n_spots} {noun}"]
        if self.apertures is not None:
            parts.append(f"{len(self.apertures)} segments of {self.monitor_units:.5g} MU")
        if self.fractions > 1:
            parts.append(f"{self.fractions} fractions")
        if self.objective is not None:
            parts.append(f"objective {self.objective:.5g}")
        return f"Plan({self.beams.machine.name}, {', '.join(parts)})"

    @property
    def n_spots(self) -> int:
        """Number of columns whose weight is above 0: those that would be delivered."""
        return int(np.count_nonzero(self.weights > 0))

    @property
    def monitor_units(self) -> float | None:
        """MU of all apertures, whole course; ``None`` for a plan without apertures."""
        return None if self.apertures is None else float(self.apertures.monitor_units.sum())

    @property
    def rbe_dose(self) -> Dose | None:
        """RBE-weighted dose of the whole course, Gy (RBE), of a plan with an RBE model."""
        return self.quantities.get("rbe_dose")

    @property
    def let(self) -> Dose | None:
        """Dose-averaged LET, keV/µm, of a plan with columns of LET; 0 where there is no dose."""
        return self.quantities.get("let")

    @classmethod
    def from_spots(
        cls,
        machine: ParticleMachine,
        *,
        gantry: ArrayLike,
        couch: ArrayLike = 0.0,
        isocentre: Triple,
        x: ArrayLike,
        y: ArrayLike,
        energy: ArrayLike,
        weight: ArrayLike,
        fractions: int = 1,
        position: str = "HFS",
    ) -> Plan:
        """A plan of explicit spots.

        Columns keep the order of the spots within each field; a field is a pair of gantry and
        couch angle.

        Parameters
        ----------
        machine
            What delivers them.
        gantry, couch
            Angles, degree: one for all spots, or one for each.
        isocentre
            (x, y, z), mm, patient LPS.
        x, y
            Positions in the isocentre plane of the IEC gantry frame, mm, (n,).
        energy
            MeV or MeV/u, each one of the machine's, (n,) or one for all.
        weight
            10^6 particles, whole course, (n,) or one for all.
        fractions
            Number of fractions of the course.
        position
            How the patient lies.

        Raises
        ------
        BeamError
            If numbers of values do not match, or the machine delivers no spots.
        EnergyError
            If an energy is none of the machine's.
        """
        spots = _matched(gantry=gantry, couch=couch, x=x, y=y, energy=energy)
        weights = _as_row(weight)
        if weights.size not in (1, spots[0].size):
            raise BeamError(
                f"{weights.size} weights do not fit {spots[0].size} spots; give one for all, or "
                "one for each."
            )
        beams = spots_to_beams(
            machine,
            gantry=spots[0],
            couch=spots[1],
            isocentre=isocentre,
            x=spots[2],
            y=spots[3],
            energy=spots[4],
            position=position,
        )
        order = _field_order(spots[0], spots[1])
        return cls(beams, np.broadcast_to(weights, order.shape)[order], fractions=fractions)

    @classmethod
    def from_bixels(
        cls,
        machine: PhotonMachine,
        *,
        gantry: ArrayLike,
        couch: ArrayLike = 0.0,
        isocentre: Triple,
        x: ArrayLike,
        y: ArrayLike,
        width: ArrayLike,
        weight: ArrayLike,
        fractions: int = 1,
        position: str = "HFS",
    ) -> Plan:
        """A plan of explicit photon bixels.

        Columns keep the order of the bixels within each field; a field is a pair of gantry and
        couch angle.

        Parameters
        ----------
        machine
            What delivers them.
        gantry, couch
            Angles, degree: one for all bixels, or one for each.
        isocentre
            (x, y, z), mm, patient LPS.
        x, y
            Centres in the isocentre plane of the IEC gantry frame, mm, (n,).
        width
            Side of each square bixel in that plane, mm, (n,) or one for all.
        weight
            Whole course, (n,) or one for all.
        fractions
            Number of fractions of the course.
        position
            How the patient lies.

        Raises
        ------
        BeamError
            If numbers of values do not match, or a width is not positive.
        """
        beams = bixels_to_beams(
            machine,
            gantry=gantry,
            couch=couch,
            isocentre=isocentre,
            x=x,
            y=y,
            width=width,
            position=position,
        )
        n = beams.n_columns
        weights, angle, turn = _as_row(weight), _as_row(gantry), _as_row(couch)
        if weights.size not in (1, n):
            raise BeamError(
                f"{weights.size} weights do not fit {n} bixels; give one for all, or one for each."
            )
        order = _field_order(np.broadcast_to(angle, (n,)), np.broadcast_to(turn, (n,)))
        return cls(beams, np.broadcast_to(weights, (n,))[order], fractions=fractions)

    def save(self, path: str | Path) -> None:
        """Write the plan, with its dose, to one file; :func:`dosegrad.load_plan` reads it.

        A file of that name is replaced, and only once the new one is complete.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        load_object("plan writer", PLAN_WRITERS, "")(self, Path(path))


def _check_apertures(apertures: Apertures, beams: Beams) -> None:
    collimator = getattr(beams.machine, "collimator", None)
    if collimator is None:
        raise PlanError(
            f"machine {beams.machine.name!r} has no leaves, but the plan has apertures; choose a "
            "photon machine with a collimator."
        )
    if apertures.left.shape[1] != collimator.pairs:
        raise PlanError(
            f"apertures of {apertures.left.shape[1]} leaf pairs do not fit machine "
            f"{beams.machine.name!r}, which has {collimator.pairs}."
        )
    if len(apertures) and apertures.beam[-1] >= len(beams):
        raise PlanError("an aperture names a beam that is not there.")


def _as_row(values: ArrayLike) -> Weights:
    try:
        return np.atleast_1d(np.asarray(values, dtype=float)).ravel()
    except (TypeError, ValueError):
        raise BeamError(
            f"{values!r} cannot be read as numbers; give one for all spots, or one for each."
        ) from None


def _field_order(gantry: Weights, couch: Weights) -> np.ndarray:
    """Order in which spots become columns: by field, in the order of first appearance."""
    angles = np.column_stack([gantry, couch])
    _, first, field_of = np.unique(angles, axis=0, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))[field_of.reshape(-1)]
    return np.argsort(rank, kind="stable")


def _matched(**values: ArrayLike) -> list[Weights]:
    """Rows of equal length, single numbers repeated.

    Raises
    ------
    BeamError
        If the lengths differ.
    """
    rows = {name: _as_row(value) for name, value in values.items()}
    try:
        return list(np.broadcast_arrays(*rows.values()))
    except ValueError:
        sizes = ", ".join(f"{row.size} {name}" for name, row in rows.items() if row.size != 1)
        raise BeamError(
            f"numbers of values do not fit together ({sizes}); give one for all spots, or one "
            "for each."
        ) from None
