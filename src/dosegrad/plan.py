"""Plans: beams, weights, dose, and how they came about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dosegrad._version import __version__
from dosegrad.arrays import Weights, readonly
from dosegrad.beams.apertures import Apertures
from dosegrad.beams.beam import Beams
from dosegrad.beams.bixels import bixels_to_beams
from dosegrad.beams.spots import spots_to_beams
from dosegrad.dose import Dose
from dosegrad.engines.protocols import (
    ApertureEngine,
    ChoosesGrid,
    ForwardEngine,
    InfluenceEngine,
)
from dosegrad.errors import BeamError, CapabilityError, PlanError
from dosegrad.geometry.grid import Grid, Triple
from dosegrad.influence.biology import check_model
from dosegrad.influence.build import (
    choose_grid,
    choose_voxels,
    default_engine,
    describe_engine,
    prepare_medium,
    resolve_engine,
)
from dosegrad.influence.effect_columns import is_variable, weighted_dose
from dosegrad.machine.particle import ParticleMachine
from dosegrad.machine.photon import PhotonMachine
from dosegrad.patient.patient import Patient
from dosegrad.rbe.constant import ConstantRBE
from dosegrad.rbe.protocols import RBEModel
from dosegrad.registry import ENGINES, PLAN_WRITERS, load_object
from dosegrad.units import whole_fractions

__all__ = ["Plan", "compute_dose", "prepare_dose"]


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


def compute_dose(
    patient: Patient,
    plan: Plan,
    *,
    engine: str | InfluenceEngine | ForwardEngine | None = None,
    grid: Grid | None = None,
    dose_spacing: Triple | None = None,
    rbe: RBEModel | None = None,
) -> Dose:
    """Dose of a plan in a patient, computed without an influence matrix.

    A plan with apertures is computed in field mode: as jaws and leaves deliver it.

    Parameters
    ----------
    patient
        Whom to irradiate.
    plan
        With what.
    engine
        A name, or an engine with settings; by default the pencil beam, or for photon machines
        the photon kernels.
    grid
        Dose grid; by default that of the plan's dose if it has one, else the engine's choice if
        it makes one, else the patient's.
    dose_spacing
        Spacing (z, y, x) of the dose grid, mm, over the box of the CT, instead of ``grid``.
    rbe
        Model of the biological effect: the dose is RBE-weighted, in the fractions of the plan.
        With a variable RBE the columns of one beam are held at a time.

    Raises
    ------
    CapabilityError
        If the engine computes no dose without a matrix, or engine or machine cannot give what the
        RBE model needs.
    BeamError
        If the beams were made for another patient position, or cannot be delivered.
    """
    where: dict[str, Any] = {"grid": grid, "dose_spacing": dose_spacing}
    return prepare_dose(patient, plan, engine=engine, rbe=rbe, **where)(plan)


def prepare_dose(
    patient: Patient,
    plan: Plan,
    *,
    engine: str | InfluenceEngine | ForwardEngine | None = None,
    grid: Grid | None = None,
    dose_spacing: Triple | None = None,
    rbe: RBEModel | None = None,
) -> Callable[[Plan], Dose]:
    """What computes the dose of ``plan`` and of its variants, on one grid.

    The patient is prepared once, for plans of the same machine that differ in weights, spots,
    apertures or beams. Arguments and errors are those of :func:`compute_dose`; what is wrong with
    the beams of a plan is said when its dose is asked for.
    """
    chosen = resolve_engine(default_engine(plan.beams) if engine is None else engine)
    if not isinstance(chosen, ForwardEngine):
        raise CapabilityError(
            f"engine {type(chosen).__name__} computes no dose without a matrix; engines that do: "
            f"{', '.join(ENGINES)}."
        )
    _check_positions(patient, plan.beams)
    if grid is None and dose_spacing is None:
        if plan.dose is not None:
            grid = plan.dose.grid
        elif isinstance(chosen, ChoosesGrid):
            grid = chosen.dose_grid(patient)
    dose_grid = choose_grid(patient, grid=grid, dose_spacing=dose_spacing)
    voxels = choose_voxels(patient, dose_grid, "body")
    medium: Any = prepare_medium(patient, dose_grid, chosen)  # the kind that the engine wants
    provenance = {
        **describe_engine(chosen),
        "machine": plan.beams.machine.name,
        "version": __version__,
    }

    quantity = "dose"
    if rbe is not None:
        quantity, provenance["rbe"] = "rbe_dose", repr(rbe)
        offered = tuple(getattr(chosen, "quantities", lambda _: ())(plan.beams.machine))
        check_model(rbe, plan.beams.machine, offered)

    def dose_of(variant: Plan) -> Dose:
        _check_positions(patient, variant.beams)
        array = np.zeros(dose_grid.n_voxels)
        factor = rbe.factor if isinstance(rbe, ConstantRBE) else 1.0
        if rbe is not None and is_variable(rbe):
            array[voxels] = weighted_dose(
                *(patient, dose_grid, chosen, medium, variant.beams, variant.weights, voxels),
                model=rbe,
                fractions=variant.fractions,
            )
        elif variant.apertures is None:
            array[voxels] = chosen.forward(medium, variant.beams, variant.weights, voxels)
        else:
            fields = _for_apertures(chosen)
            array[voxels] = fields.forward_apertures(
                medium, variant.beams, variant.apertures, voxels
            )
        scaled = factor * array if factor != 1.0 else array
        return Dose(dose_grid, scaled.reshape(dose_grid.shape), quantity, provenance=provenance)

    return dose_of


def _check_positions(patient: Patient, beams: Beams) -> None:
    for beam in beams:
        if beam.position != patient.ct.position:
            raise BeamError(
                f"the beam at gantry {beam.gantry:g}° was made for a patient in position "
                f"{beam.position}, but this one lies {patient.ct.position}. Steer the beams for "
                "this patient."
            )


def _for_apertures(engine: object) -> ApertureEngine:
    if not isinstance(engine, ApertureEngine):
        raise CapabilityError(
            f"engine {type(engine).__name__} computes no dose of apertures; the engine "
            "'photon-kernel' does."
        )
    return engine


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
