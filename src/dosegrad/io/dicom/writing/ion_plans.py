"""An RT Ion Plan written from a plan of spots."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.beams.beam import Beam
from dosegrad.errors import OutputError
from dosegrad.io.dicom.identifiers import make_uid
from dosegrad.io.dicom.ion_delivery import PARALLEL
from dosegrad.io.dicom.ion_plans import RT_ION_PLAN
from dosegrad.io.dicom.writing.data_sets import Identity, decimal, decimals, sequence
from dosegrad.io.dicom.writing.plan_headers import (
    WrittenPlan,
    fraction_group,
    plan_data_set,
    save_plan_file,
)
from dosegrad.machine.particle import ParticleMachine
from dosegrad.plan import Plan
from dosegrad.units import FWHM_PER_SIGMA, PARTICLES_PER_WEIGHT

__all__ = ["write_ion_plan"]

#: RadiationType, then mass number, atomic number and charge state of ions.
_RADIATION: Final[dict[str, tuple[int, int, int] | None]] = {
    "protons": None,
    "helium": (4, 2, 2),
    "carbon": (12, 6, 6),
}
_SOURCE_OF_PARALLEL: Final = 10 * PARALLEL  # mm


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """Spots of one nominal energy; MU of one fraction in single precision, (n,)."""

    nominal: float
    spot_size: float
    x: Array
    y: Array
    meterset: Array


def write_ion_plan(plan: Plan, structure_set: str, folder: Path, identity: Identity) -> WrittenPlan:
    """Write beams, layers from the highest energy down, and spots with a weight above 0.

    A spot's MU is its weight (10^6 particles, whole course) over fractions and the machine's
    particles per MU, in single precision. BeamMeterset and FinalCumulativeMetersetWeight are equal,
    so that weights in the file are MU.

    Raises
    ------
    OutputError
        If a beam has no spot with a weight, or the file cannot be written.
    """
    machine = plan.beams.particles
    if machine.modality not in _RADIATION:
        raise OutputError(
            f"a plan of {machine.modality} cannot be written as an ion plan; known are "
            f"{', '.join(_RADIATION)}."
        )
    layers = [_layers(plan, k) for k in range(len(plan.beams))]
    for beam, spots in zip(plan.beams, layers, strict=True):
        if not spots:
            raise OutputError(
                f"the beam at gantry {beam.gantry:g}° has no spot with a weight; leave it out."
            )
    instance = make_uid("plan", identity.study, structure_set, _digest(plan, layers))
    data = plan_data_set(plan, identity, RT_ION_PLAN, instance, structure_set)
    totals = [sum(float(layer.meterset.sum()) for layer in spots) for spots in layers]
    data.FractionGroupSequence = sequence([fraction_group(plan.fractions, totals)])
    positions = list(dict.fromkeys(beam.position for beam in plan.beams))
    positions = list(dict.fromkeys(beam.position for beam in plan.beams))
    data.IonBeamSequence = sequence(
        _beam(number, beam, spots, total, machine, positions.index(beam.position) + 1)
        for number, (beam, spots, total) in enumerate(
            zip(plan.beams, layers, totals, strict=True), start=1
        )
    )
    save_plan_file(data, structure_set, folder)
    return WrittenPlan(instance, tuple(range(1, len(layers) + 1)), RT_ION_PLAN)


def _layers(plan: Plan, beam: int) -> tuple[_Layer, ...]:
    """Layers of a beam from the highest energy down, spots in the order of the plan."""
    machine = plan.beams.particles
    part = plan.beams.columns_of(beam)
    columns, weights = plan.beams.columns[part], plan.weights[part]
    columns, weights = columns[weights > 0], weights[weights > 0]
    layers = []
    for energy in np.unique(columns["energy"])[::-1]:
        chosen = columns["energy"] == energy
        nominal = machine.monitor.nominal_energy(float(energy))
        per_mu = machine.monitor.particles_per_mu(nominal) / PARTICLES_PER_WEIGHT
        meterset = (weights[chosen] / plan.fractions / per_mu).astype(np.float32)
        if not (np.isfinite(meterset).all() and meterset.min() > 0):
            raise OutputError(
                "a spot weight is too small or too large for single precision, in which DICOM "
                "stores it; remove spots of next to no weight."
            )
        size = machine.at_energy(float(energy)).spot_sigma(machine.nozzle_distance)
        layers.append(
            _Layer(
                nominal,
                size * FWHM_PER_SIGMA,
                columns["x"][chosen],
                columns["y"][chosen],
                meterset.astype(np.float64),
            )
        )
    return tuple(layers)


def _digest(plan: Plan, layers: list[tuple[_Layer, ...]]) -> str:
    """Text that changes with any change of what is written."""
    digest = hashlib.sha256(f"{plan.beams.machine.name} {plan.fractions}".encode())
    for beam, spots in zip(plan.beams, layers, strict=True):
        digest.update(repr(beam).encode())
        for layer in spots:
            digest.update(repr(layer.nominal).encode())
            for values in (layer.x, layer.y, layer.meterset):
                digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _beam(
    number: int,
    beam: Beam,
    layers: tuple[_Layer, ...],
    total: float,
    machine: ParticleMachine,
    setup: int,
) -> Any:
    """An item of the IonBeamSequence."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.BeamNumber = number
    item.BeamName = f"Beam {number}"
    item.BeamDescription = (
        f"1 MU is {machine.monitor.particles_per_mu(layers[0].nominal):.9g} particles at "
        f"{layers[0].nominal:g} MeV"
    )
    item.BeamType = "STATIC"
    ion = _RADIATION[machine.modality]
    item.RadiationType = "PROTON" if ion is None else "ION"
    if ion is not None:
        item.RadiationMassNumber, item.RadiationAtomicNumber, item.RadiationChargeState = ion
    item.ScanMode = "MODULATED"
    item.ModulatedScanModeType = "STATIONARY"
    item.TreatmentMachineName = machine.name[:16]
    item.Manufacturer = item.ManufacturerModelName = "dosegrad"
    item.PrimaryDosimeterUnit = "MU"
    item.TreatmentDeliveryType = "TREATMENT"
    item.NumberOfWedges = item.NumberOfCompensators = 0
    item.NumberOfBoli = item.NumberOfBlocks = 0
    source = _SOURCE_OF_PARALLEL if beam.sad is None else beam.sad
    item.VirtualSourceAxisDistances = [source, source]
    item.NumberOfRangeShifters = 0 if beam.range_shifter is None else 1
    if beam.range_shifter is not None:
        item.RangeShifterSequence = sequence([_range_shifter()])
    item.NumberOfLateralSpreadingDevices = 0
    item.NumberOfRangeModulators = 0
    item.PatientSupportType = "TABLE"
    item.FinalCumulativeMetersetWeight = decimal(total)
    points = list(_control_points(beam, layers, total))
    item.NumberOfControlPoints = len(points)
    item.IonControlPointSequence = sequence(points)
    item.ReferencedPatientSetupNumber = setup
    return item


def _range_shifter() -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.RangeShifterNumber = 1
    item.RangeShifterID = "RS1"
    item.RangeShifterType = "BINARY"
    return item


def _control_points(beam: Beam, layers: tuple[_Layer, ...], total: float) -> Iterator[Any]:
    """Two control points a layer: the first paints it, the second closes it with zero weights."""
    from pydicom.dataset import Dataset

    done = 0.0
    for k, layer in enumerate(layers):
        after = total if k + 1 == len(layers) else done + float(layer.meterset.sum())
        for closing, cumulative in enumerate((done, after)):
            point = Dataset()
            point.ControlPointIndex = 2 * k + closing
            point.NominalBeamEnergy = decimal(layer.nominal)
            if k == closing == 0:
                _add_geometry(point, beam)
            point.CumulativeMetersetWeight = decimal(cumulative)
            point.ScanSpotTuneID = "1"
            point.NumberOfScanSpotPositions = layer.x.size
            places = np.column_stack([layer.x, layer.y]).ravel()
            weights = np.zeros(layer.x.size) if closing else layer.meterset
            point.ScanSpotPositionMap = places.tolist()
            point.ScanSpotMetersetWeights = weights.tolist()
            point.ScanningSpotSize = [layer.spot_size, layer.spot_size]
            point.NumberOfPaintings = 1
            yield point
        done = after


def _add_geometry(point: Any, beam: Beam) -> None:
    """What the first control point states for all."""
    from pydicom.dataset import Dataset

    point.GantryAngle = decimal(beam.gantry)
    point.GantryRotationDirection = "NONE"
    point.GantryPitchAngle = 0.0
    point.GantryPitchRotationDirection = "NONE"
    point.BeamLimitingDeviceAngle = "0"
    point.BeamLimitingDeviceRotationDirection = "NONE"
    point.PatientSupportAngle = decimal(beam.couch)
    point.PatientSupportRotationDirection = "NONE"
    point.TableTopPitchAngle = point.TableTopRollAngle = 0.0
    point.TableTopPitchRotationDirection = point.TableTopRollRotationDirection = "NONE"
    point.TableTopVerticalPosition = None
    point.TableTopLongitudinalPosition = None
    point.TableTopLateralPosition = None
    point.IsocenterPosition = decimals(beam.isocentre)
    point.SnoutPosition = None
    point.MetersetRate = None
    if beam.range_shifter is not None:
        setting = Dataset()
        setting.ReferencedRangeShifterNumber = 1
        setting.RangeShifterSetting = "IN"
        setting.IsocenterToRangeShifterDistance = beam.range_shifter.distance
        setting.RangeShifterWaterEquivalentThickness = beam.range_shifter.thickness
        point.RangeShifterSettingsSequence = sequence([setting])
