"""Derivatives of a response by spots, by set-up, and by the Hounsfield units of every voxel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.beams.beam import Beams
from dosegrad.dose import Dose
from dosegrad.engines.yoda.engine import Yoda
from dosegrad.engines.yoda.response_builder import prepare_response
from dosegrad.engines.yoda.spot_gradient import PARAMETERS, Parameter, differentiate_spots
from dosegrad.errors import SettingsError, unknown_name
from dosegrad.geometry.grid import Grid
from dosegrad.geometry.resample import resample
from dosegrad.patient.medium import Medium
from dosegrad.patient.patient import Patient

__all__ = ["by_hounsfield_units", "by_spots", "by_weights", "names_in"]

#: Difference of HU over which the slope of the calibration is taken, across its small jumps.
_STEP_HU: Final = 20.0


def by_spots(
    engine: Yoda,
    medium: Medium,
    beams: Beams,
    weights: Array,
    gradient: Array,
    parameters: Sequence[str],
) -> Mapping[str, Array]:
    """Derivatives (n_columns,) of the response with ``gradient`` (n_voxels,) by each parameter.

    Raises
    ------
    UnknownNameError
        If there is no such parameter.
    """
    names: list[Parameter] = []
    for name in parameters:
        if name not in PARAMETERS:
            raise unknown_name("parameter of spots", name, PARAMETERS)
        names.append(name)
    found: dict[str, Array] = {name: np.zeros(beams.n_columns) for name in names}
    for index in range(len(beams)):
        part = beams.columns_of(index)
        given = np.asarray(weights[part])
        rows = differentiate_spots(engine, medium, beams, index, given, gradient, tuple(names))
        for name, values in rows.items():
            found[name][part] = values
    return found


def by_weights(
    engine: Yoda,
    medium: Medium,
    beams: Beams,
    weights: Array,
    gradient: Array,
    planned: Sequence[Array],
) -> Array:
    """Derivatives (n_columns,) of the response with ``gradient`` (n_voxels,) by weights.

    ``planned``: responses of the spots of each beam, (spots,) each. They are linear in weights;
    those of spots without, or with so little that they were left out, are those of 10^6 particles.
    """
    found = np.zeros(beams.n_columns)
    for index, parts in enumerate(planned):
        columns = beams.columns_of(index)
        given = np.asarray(weights[columns])
        known = parts != 0
        rates = np.divide(parts, given, out=np.zeros(parts.size), where=known)
        if not known.all():
            ones = np.where(known, 0.0, 1.0)
            left_out = prepare_response(
                *(engine, medium, beams, index, ones, gradient[None]), must_hit=False
            )
            rates += left_out.respond(medium)[:, 0]
        found[columns] = rates
    return found


def names_in(given: str | Sequence[str]) -> tuple[str, ...]:
    """Names, of which a single one may come without a sequence about it.

    Raises
    ------
    SettingsError
        If these are no names.
    """
    names = (given,) if isinstance(given, str) else given
    found = tuple(names) if isinstance(names, Iterable) else (None,)
    if not all(isinstance(name, str) for name in found):
        raise SettingsError(
            f"{given!r} holds no names; give one, such as 'CTV', or several in a list."
        )
    return found


def by_hounsfield_units(patient: Patient, grid: Grid, by_density: Array) -> Dose:
    """Gradient per HU of each voxel of the CT, from that by density on the dose grid.

    ``by_density`` (n_voxels,), per g/cm3. Materials stay what they are; 0 outside the body.
    """
    hu = patient.ct.hu.astype(np.float64)
    low, high = hu - 0.5 * _STEP_HU, hu + 0.5 * _STEP_HU
    slope = (_density(patient, high) - _density(patient, low)) / _STEP_HU
    per_volume = resample(by_density.reshape(grid.shape), grid, patient.ct.grid, outside=0.0)
    # A voxel of the CT makes up its share of the volume of those of the dose grid.
    per_volume *= patient.ct.grid.voxel_volume_cc / grid.voxel_volume_cc
    values = per_volume * slope
    if patient.external is not None:
        values = values * patient.body_mask()
    return Dose(patient.ct.grid, values, quantity="sensitivity")


def _density(patient: Patient, hu: Array) -> Array:
    """Density within the calibration, g/cm3."""
    edges = patient.calibration.edges
    return patient.calibration.density(np.clip(hu, float(edges[0]), float(edges[-1])))
