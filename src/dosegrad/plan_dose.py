"""The dose of a plan, computed without an influence matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dosegrad._version import __version__
from dosegrad.dose import Dose
from dosegrad.engines.protocols import (
    ApertureEngine,
    ChoosesGrid,
    ForwardEngine,
    InfluenceEngine,
)
from dosegrad.errors import CapabilityError
from dosegrad.geometry.grid import Grid, Triple
from dosegrad.influence.biology import check_model
from dosegrad.influence.build import (
    check_positions,
    choose_grid,
    choose_voxels,
    default_engine,
    describe_engine,
    prepare_medium,
    resolve_engine,
)
from dosegrad.influence.effect_columns import is_variable, weighted_dose
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan
from dosegrad.rbe.constant import ConstantRBE
from dosegrad.rbe.protocols import RBEModel
from dosegrad.registry import ENGINES

__all__ = ["compute_dose", "prepare_dose"]


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
    check_positions(patient, plan.beams)
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
        check_positions(patient, variant.beams)
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


def _for_apertures(engine: object) -> ApertureEngine:
    if not isinstance(engine, ApertureEngine):
        raise CapabilityError(
            f"engine {type(engine).__name__} computes no dose of apertures; the engine "
            "'photon-kernel' does."
        )
    return engine
