"""Preparing to tell how a dose changes when the patient does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from dosegrad.arrays import Array, Weights
from dosegrad.beams.beam import Beams
from dosegrad.dose import Dose
from dosegrad.dose_change.anatomy import medium_today
from dosegrad.dose_change.change import DoseChange
from dosegrad.dose_change.derivatives import (
    by_hounsfield_units,
    by_spots,
    by_weights,
    names_in,
)
from dosegrad.dose_change.responses import Response, Responses, make_responses
from dosegrad.engines.yoda.engine import Yoda
from dosegrad.engines.yoda.response import BeamResponse
from dosegrad.engines.yoda.response_builder import prepare_response
from dosegrad.errors import BeamError, CapabilityError, PlanError
from dosegrad.geometry.grid import Grid
from dosegrad.influence.build import choose_grid, prepare_medium, resolve_engine
from dosegrad.patient.ct import CT
from dosegrad.patient.medium import Medium
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan
from dosegrad.plan_dose import compute_dose
from dosegrad.progress import report

__all__ = ["PreparedDoseChange", "prepare_dose_change"]

#: Share of every spot's change that outlines, partial volumes and splitting leave unknown.
_UNKNOWN: Final = 0.03
#: Share of all that is not linear in density that stays unknown.
_SECOND_ORDER: Final = 0.05
_METHOD: Final = "planned solves at today's water-equivalent depths, pulled-back scoring"
_BY_SLOPE: Final = (
    "the objective by its slope at the planned dose alone, which lies below a convex objective; "
    "beyond small changes follow mean doses, or recompute (cross_check=True)"
)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedDoseChange:
    """Changes of a response, ready to be told for any CT on the planning CT's voxels.

    Parameters
    ----------
    patient, beams, weights
        As planned.
    engine
        Whose transport was solved.
    medium
        What the beams travel through in the planning CT, on the dose grid.
    responses
        The response and mean doses, as gradients by dose.
    beam_responses
        The pulled-back scoring and the solves of each beam.
    planned
        Responses of the spots of each beam in the planning CT, (spots, responses) each.
    by_density
        Gradient of each response by density, (responses, n_voxels), per g/cm3.
    """

    patient: Patient
    beams: Beams
    weights: Weights
    engine: Yoda
    medium: Medium
    responses: Responses
    beam_responses: tuple[BeamResponse, ...]
    planned: tuple[Array, ...]
    by_density: Array

    def __repr__(self) -> str:
        return (
            f"PreparedDoseChange({len(self.beams)} beams, response {self.planned_value:.4g}, "
            f"{self.n_bytes / 1e6:.0f} MB)"
        )

    @property
    def grid(self) -> Grid:
        """The dose grid."""
        return self.medium.grid

    @property
    def n_bytes(self) -> int:
        """Memory that is kept."""
        return sum(beam.n_bytes for beam in self.beam_responses)

    @property
    def planned_value(self) -> float:
        """The response in the planning CT."""
        if self.responses.value is not None:
            return self.responses.value
        return float(sum(part[:, 0].sum() for part in self.planned))

    def __call__(self, today: CT | Patient, *, cross_check: bool = False) -> DoseChange:
        """The change in today's anatomy, without new transport.

        Parameters
        ----------
        today
            A CT on the voxels of the planning CT, or a patient with one. With a CT, the body is
            the planned contour with what has become tissue since and without what has ceased to
            be.
        cross_check
            Whether to recompute the change with the engine's fast mode as well, which takes as
            long as two of its dose computations.

        Raises
        ------
        GeometryError, PatientError
            If the CT lies on another grid, or shows the patient in another position.
        """
        outside = self.engine.outside_body
        medium = medium_today(self.patient, today, self.grid, outside_body=outside)
        found = self.predict_in(medium)
        return replace(found, cross_check=self._recomputed(medium)) if cross_check else found

    def predict_in(self, medium: Medium) -> DoseChange:
        """The change in a medium on the dose grid."""
        changes = [
            beam.respond(medium) - before
            for beam, before in zip(self.beam_responses, self.planned, strict=True)
        ]
        parts = np.stack([change.sum(axis=0) for change in changes])
        total = parts.sum(axis=0)
        moved = np.sum([np.abs(change).sum(axis=0) for change in changes], axis=0)
        linear = self.by_density @ (medium.density - self.medium.density).ravel()
        spread = np.hypot(_UNKNOWN * moved, _SECOND_ORDER * (total - linear))
        names, objective = self.responses.structures, self.responses.objective
        value, uncertainty, by_beam = float(total[0]), float(spread[0]), parts[:, 0]
        if (
            objective is not None
        ):  # a slope tells nothing of the curvature: as much again may be off
            uncertainty = float(np.hypot(uncertainty, moved[0]))
            value = max(value, objective.lowest - self.planned_value)
            by_beam = by_beam * (value / total[0] if total[0] else 1.0)
        return DoseChange(
            value=value,
            uncertainty=uncertainty,
            by_beam=tuple(by_beam),
            by_structure=dict(zip(names, total[1:].tolist(), strict=True)),
            uncertainty_by_structure=dict(zip(names, spread[1:].tolist(), strict=True)),
            planned=self.planned_value,
            linear=float(linear[0]),
            method=_METHOD if objective is None else f"{_METHOD}; {_BY_SLOPE}",
        )

    def spot_derivatives(
        self, parameters: str | Sequence[str] = ("x", "y", "energy")
    ) -> Mapping[str, Array]:
        """Derivatives (n_columns,) of the response by the weight of every spot and ``parameters``.

        Those by weight are per 10^6 particles, and are there for spots without weight as well,
        for which they take a solve. By anything else such spots have 0.

        Parameters
        ----------
        parameters
            One or several of ``"x"``, ``"y"`` (mm in the isocentre plane), ``"energy"``,
            ``"energy_std"`` (MeV), ``"size"`` (standard deviation where the spot leaves the
            machine, mm), ``"angle"`` (that of the projected angle there, rad), ``"patient_x"``,
            ``"patient_y"`` and ``"patient_z"`` (the patient shifted by mm).

        Raises
        ------
        UnknownNameError
            If there is no such parameter.
        """
        found = dict(self._by_spots(names_in(parameters)))
        by_weight = by_weights(
            *(self.engine, self.medium, self.beams, self.weights),
            *(self.responses.gradients[0], [part[:, 0] for part in self.planned]),
        )
        return {"weight": by_weight, **found}

    def set_up_derivatives(self) -> Array:
        """Change of the response per mm that the patient is shifted, (beams, 3), x, y, z."""
        names = ("patient_x", "patient_y", "patient_z")
        found = self._by_spots(names)
        parts = [self.beams.columns_of(index) for index in range(len(self.beams))]
        return np.array([[found[name][part].sum() for name in names] for part in parts])

    def sensitivity(self) -> Dose:
        """Change of the response per HU of each voxel of the CT, materials kept."""
        return by_hounsfield_units(self.patient, self.grid, self.by_density[0])

    def _by_spots(self, parameters: Sequence[str]) -> Mapping[str, Array]:
        gradient = self.responses.gradients[0]
        return by_spots(*(self.engine, self.medium, self.beams, self.weights, gradient, parameters))

    def _recomputed(self, medium: Medium) -> float:
        """The change of the response with the fast mode's doses."""
        fast, weights = replace(self.engine, mode="wet"), self.weights
        gradient, objective = self.responses.gradients[0], self.responses.objective
        voxels = np.flatnonzero(gradient) if objective is None else objective.voxels
        doses = [fast.forward(m, self.beams, weights, voxels) for m in (medium, self.medium)]
        change = doses[0] - doses[1]
        if objective is None:
            return float(gradient[voxels] @ change)
        dose = objective.dose.copy()
        dose[voxels] += change
        return objective.value_and_gradient(dose)[0] - self.planned_value


def prepare_dose_change(
    patient: Patient,
    plan: Plan,
    *,
    response: Response,
    engine: str | Yoda = "yoda",
    structures: str | Sequence[str] = (),
    grid: Grid | None = None,
) -> PreparedDoseChange:
    """One forward and one adjoint solve, after which changes of a response cost inner products.

    Parameters
    ----------
    patient, plan
        As planned.
    response
        What to follow: an objective on a structure such as ``obj.MeanDose().on("Brainstem")``,
        several in a list (their weighted sum), or a weight for the dose of each voxel (z, y, x).
        Objectives that are not linear in dose count by their slope at the planned dose, which is a
        lower bound in dose for convex ones; mean doses, or ``cross_check``, serve large changes.
    engine
        ``"yoda"`` or its settings.
    structures
        Whose mean doses to follow as well; a name, or several.
    grid
        Dose grid; by default that of the plan's dose if it has one, else the engine's choice.

    Returns
    -------
        A callable of a CT, see :class:`PreparedDoseChange`.

    Raises
    ------
    CapabilityError
        If the engine has no adjoint.
    PlanError
        If there is no patient or plan, or no spot of it reaches what responds, nor would with
        40 mm more of range.
    BeamError
        If the beams were made for another patient position, or a spot misses the patient.
    EnergyError
        If an energy is outside the tables.
    """
    if not isinstance(patient, Patient) or not isinstance(plan, Plan):
        raise PlanError(
            f"a dose change is prepared for a patient and a plan, not for {type(patient).__name__} "
            f"and {type(plan).__name__}; give a Patient, then a Plan."
        )
    chosen = resolve_engine(engine)
    if not isinstance(chosen, Yoda):
        raise CapabilityError(
            f"engine {type(chosen).__name__} has no adjoint, which dose changes need; engines "
            "that have one: yoda."
        )
    _check_position(patient, plan)
    if grid is None:
        grid = plan.dose.grid if plan.dose is not None else chosen.dose_grid(patient)
    grid = choose_grid(patient, grid=grid)

    def planned_dose() -> Array:
        return compute_dose(patient, plan, engine=chosen, grid=grid).array.ravel()

    medium = prepare_medium(patient, grid, chosen)
    responses = make_responses(patient, response, grid, names_in(structures), planned_dose)
    beams = plan.beams
    chosen.quantities(beams.particles)
    prepared, planned = [], []
    for index in range(len(beams)):
        report("dose change", index / len(beams), f"beam {index + 1} of {len(beams)}")
        weights = np.asarray(plan.weights[beams.columns_of(index)])
        beam = prepare_response(chosen, medium, beams, index, weights, responses.gradients)
        prepared.append(beam)
        planned.append(beam.respond(medium))
    report("dose change", 1.0, "prepared")
    if not any(beam.parts for beam in prepared):
        raise PlanError(
            "no spot of the plan reaches what responds; choose another structure, or check "
            "weights, isocentre and energies of the plan."
        )
    return PreparedDoseChange(
        *(patient, beams, plan.weights, chosen, medium, responses),
        *(tuple(prepared), tuple(planned), _by_density(prepared, medium, len(responses.gradients))),
    )


def _by_density(prepared: list[BeamResponse], medium: Medium, n_responses: int) -> Array:
    """Gradient of each response by density, (responses, n_voxels)."""
    found = np.zeros((n_responses, medium.grid.n_voxels))
    for beam in prepared:
        for r, goal in enumerate(np.eye(n_responses)):
            found[r] += beam.by_density(medium, goal)
    return found


def _check_position(patient: Patient, plan: Plan) -> None:
    for beam in plan.beams:
        if beam.position != patient.ct.position:
            raise BeamError(
                f"the beam at gantry {beam.gantry:g}° was made for a patient in position "
                f"{beam.position}, but this one lies {patient.ct.position}; take the patient of "
                "the plan."
            )
