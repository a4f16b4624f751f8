"""RT Ion Plan files read into beams, layers and spots, in the meterset of the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np

from dosegrad.arrays import Array, readonly
from dosegrad.errors import FileFormatError, MachineError
from dosegrad.io.dicom.attributes import integer, items, number_array, optional_numbers, text
from dosegrad.io.dicom.ion_devices import Shifters, ShifterSetting, refuse_devices
from dosegrad.io.dicom.limits import MAX_SPOTS
from dosegrad.io.dicom.plan_headers import (
    FractionGroup,
    MetersetUnit,
    check_flat,
    control_points,
    cumulative_weights,
    final_weight,
    meterset_unit,
    patient_positions,
    read_fraction_group,
    structure_sets,
    treatment_beams,
)
from dosegrad.io.dicom.stream import read_data_set, reading

__all__ = ["RT_ION_PLAN", "IonBeam", "IonPlan", "Layer", "read_ion_plan"]

RT_ION_PLAN: Final = "1.2.840.10008.5.1.4.1.1.481.8"

#: The sum of all spots may differ from the declared one by this part: single precision and
#: rounding explain 2e-5; more means that a layer is missing.
_SUM_TOLERANCE: Final = 1e-3

_IONS: Final = {2: "helium", 6: "carbon"}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Layer:
    """Spots of one control point.

    Parameters
    ----------
    energy
        Nominal energy, MeV or MeV/u, as the file states it.
    x, y
        Positions in the isocentre plane of the IEC gantry frame, mm, (n,).
    meterset
        What each spot gets in one fraction, in MU or particles (the beam's unit), (n,).
    paintings
        How often the layer is painted to reach that.
    tune
        ScanSpotTuneID.
    spot_size
        Full widths at half maximum (x, y) in air at the isocentre, mm; None where not stated.
    snout_position
        From the isocentre to the downstream face of the snout, mm; None where not stated.
    shifters
        Settings of the range shifters that are in the beam.
    """

    energy: float
    x: Array
    y: Array
    meterset: Array
    paintings: int
    tune: str
    spot_size: tuple[float, float] | None
    snout_position: float | None
    shifters: tuple[ShifterSetting, ...]

    def __post_init__(self) -> None:
        for name in ("x", "y", "meterset"):
            object.__setattr__(self, name, readonly(getattr(self, name)))

    def __repr__(self) -> str:
        return f"Layer({self.energy:g} MeV, {self.x.size} spots)"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class IonBeam:
    """A field of scanned ions as its plan states it.

    ``position`` is empty, ``source_distances`` (x, y) mm is None, where the file does not say.
    ``meterset`` is that of one fraction, in ``unit``.
    """

    number: int
    name: str
    machine_name: str
    modality: str
    gantry: float
    couch: float
    isocentre: tuple[float, float, float]
    position: str
    source_distances: tuple[float, float] | None
    snout: str
    unit: MetersetUnit
    meterset: float
    layers: tuple[Layer, ...]

    def __repr__(self) -> str:
        n = sum(layer.x.size for layer in self.layers)
        return f"IonBeam({self.gantry:g}°, {len(self.layers)} layers, {n} spots)"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class IonPlan:
    """A plan for scanned ions in the meterset of its file: no machine turned it into particles yet.

    Parameters
    ----------
    fields
        The beams that treat.
    group
        Number of fractions, metersets and doses by beam number.
    instance
        SOPInstanceUID.
    structure_sets
        SOPInstanceUIDs of the structure sets that it refers to.
    frame_of_reference
        UID, empty where the file does not say.
    warnings
        What was left out, repaired or guessed.
    """

    fields: tuple[IonBeam, ...]
    group: FractionGroup
    instance: str
    structure_sets: frozenset[str]
    frame_of_reference: str
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        return f"IonPlan({len(self.fields)} beams, {self.n_spots} spots, no machine)"

    @property
    def fractions(self) -> int:
        """Number of fractions of the course."""
        return self.group.fractions

    @property
    def n_spots(self) -> int:
        """Number of spots with a weight above 0, each painting of a position by itself."""
        layers = [layer for field in self.fields for layer in field.layers]
        return sum(int(np.count_nonzero(layer.meterset > 0)) for layer in layers)

    @property
    def beams(self) -> NoReturn:
        """Always an error: beams that can be computed need a machine.

        Raises
        ------
        MachineError
            Always.
        """
        raise MachineError(
            "the plan holds the meterset of its file, and no machine says how many particles that "
            "is, so its dose cannot be computed. Read it with a machine: "
            "read_dicom(folder, machine='generic-protons') or machine='beam_model.csv'."
        )


def read_ion_plan(path: str | Path) -> IonPlan:
    """The beams, layers and spots of an RT Ion Plan for scanned beams.

    The meterset of a spot is its weight times BeamMeterset over FinalCumulativeMetersetWeight, of
    one fraction. Control points without weights close the layer before them; a plan without such
    points is read too.

    Raises
    ------
    FileFormatError
        If the file is damaged or cut off, is no plan for scanned ions, or has a device that is not
        modelled: scatterers, range modulators, compensators, boli, blocks, wedges, collimators.
    """
    path = Path(path)
    data_set = read_data_set(path)
    with reading(path, "RT ion plan"):
        if text(data_set, "SOPClassUID") != RT_ION_PLAN:
            raise FileFormatError(
                f"{path.name}: is DICOM, but no RT ion plan; give the file of an ion plan."
            )
        group = read_fraction_group(data_set, path)
        beams, notes = treatment_beams(data_set, "IonBeamSequence", group, path)
        positions = patient_positions(data_set, path)
        fields = tuple(
            _read_beam(beam, number, meterset, positions, path, notes)
            for number, beam, meterset in beams
        )
        return IonPlan(
            fields,
            group,
            text(data_set, "SOPInstanceUID"),
            structure_sets(data_set, path),
            text(data_set, "FrameOfReferenceUID"),
            tuple(notes),
        )


def _read_beam(
    beam: Any, number: int, meterset: float, positions: dict[int, str], path: Path, notes: list[str]
) -> IonBeam:
    """One beam; ``meterset`` is that of a fraction."""
    mode = text(beam, "ScanMode").upper()
    if mode not in {"MODULATED", "MODULATED_SPEC"}:
        raise FileFormatError(
            f"{path.name}: beam {number} is not delivered by modulated scanning (ScanMode); only "
            "scanned spots are modelled."
        )
    points = control_points(beam, "IonControlPointSequence", number, path)
    refuse_devices(beam, points, number, path)
    check_flat(points, number, path)
    first = points[0]
    gantry = _constant(points, "GantryAngle", number, path)
    couch = _constant(points, "PatientSupportAngle", number, path, default=0.0)
    isocentre = optional_numbers(first, "IsocenterPosition", 3, path)
    if isocentre is None:
        raise FileFormatError(
            f"{path.name}: beam {number} has no isocentre; export the plan again."
        )
    layers = _read_layers(beam, points, number, meterset, path, notes)
    setup = integer(beam, "ReferencedPatientSetupNumber", path, default=0)
    distances = number_array(beam, "VirtualSourceAxisDistances", path)
    snouts = items(beam, "SnoutSequence", path)
    return IonBeam(
        number=number,
        name=text(beam, "BeamName")[:64],
        machine_name=text(beam, "TreatmentMachineName")[:16],
        modality=_modality(beam, number, path),
        gantry=gantry,
        couch=couch,
        isocentre=(isocentre[0], isocentre[1], isocentre[2]),
        position=positions.get(setup, next(iter(positions.values()), "")),
        source_distances=_source_distances(distances),
        snout=text(snouts[0], "SnoutID") if snouts else "",
        unit=meterset_unit(beam, number, path),
        meterset=meterset,
        layers=layers,
    )


def _modality(beam: Any, number: int, path: Path) -> str:
    """``"protons"``, ``"helium"`` or ``"carbon"``."""
    kind = text(beam, "RadiationType").upper()
    if kind == "PROTON":
        return "protons"
    charge = integer(beam, "RadiationAtomicNumber", path, default=0)
    if kind == "ION" and charge in _IONS:
        return _IONS[charge]
    raise FileFormatError(
        f"{path.name}: beam {number} is of particles that are not modelled (RadiationType); "
        f"protons, {' and '.join(_IONS.values())} are."
    )


def _source_distances(values: Array) -> tuple[float, float] | None:
    """Distances (x, y) from the virtual sources to the isocentre, mm, if they are given."""
    if values.size != 2 or values.min() <= 0:
        return None
    return float(values[0]), float(values[1])


def _constant(
    points: tuple[Any, ...], keyword: str, number: int, path: Path, *, default: float | None = None
) -> float:
    """The angle that all control points share, degree."""
    found = [optional_numbers(p, keyword, 1, path) for p in points]
    values = [f[0] for f in found if f is not None]
    if not values and default is not None:
        return default
    if not values:
        raise FileFormatError(f"{path.name}: beam {number} has no {keyword}; export it again.")
    if max(values) - min(values) > 1e-6:
        raise FileFormatError(
            f"{path.name}: {keyword} changes within beam {number}; arcs of ions are not modelled. "
            "Plan static beams."
        )
    return values[0]


def _read_layers(
    beam: Any,
    points: tuple[Any, ...],
    number: int,
    meterset: float,
    path: Path,
    notes: list[str],
) -> tuple[Layer, ...]:
    """Layers of the control points that have weights; what is not stated again stays."""
    shifters = Shifters.of(beam, number, path, notes)
    layers: list[Layer] = []
    energy: float | None = None
    snout: float | None = None
    total, n_spots = 0.0, 0
    final = final_weight(beam, number, path)
    cumulative_weights(points, number, path)
    for point in points:
        energy = _updated(energy, point, "NominalBeamEnergy", path)
        snout = _updated(snout, point, "SnoutPosition", path)
        shifters = shifters.after(point, path)
        x, y, weights = _spots(point, number, path)
        n_spots += weights.size
        if n_spots > MAX_SPOTS:
            raise FileFormatError(
                f"{path.name}: beam {number} has more than {MAX_SPOTS:.0e} spots; split the plan."
            )
        if not weights.any():
            continue  # it only closes the layer before it
        if energy is None or energy <= 0:
            raise FileFormatError(f"{path.name}: a layer of beam {number} has no energy.")
        total += float(weights.sum())
        size = number_array(point, "ScanningSpotSize", path)
        layers.append(
            Layer(
                energy=energy,
                x=x,
                y=y,
                meterset=weights * (meterset / final),
                paintings=integer(point, "NumberOfPaintings", path, default=1),
                tune=text(point, "ScanSpotTuneID"),
                spot_size=(float(size[0]), float(size[1])) if size.size == 2 else None,
                snout_position=snout,
                shifters=shifters.inserted,
            )
        )
    if weights.any():
        notes.append(f"{path.name}: the last layer of beam {number} has no closing control point")
    if abs(total - final) > _SUM_TOLERANCE * final:
        raise FileFormatError(
            f"{path.name}: spots of beam {number} add up to {total / final:.4%} of what it "
            "declares (FinalCumulativeMetersetWeight); layers are missing or were written wrongly. "
            "Export the plan again."
        )
    return tuple(layers)


def _updated(before: float | None, point: Any, keyword: str, path: Path) -> float | None:
    """The number that a control point states, or the one ``before``."""
    given = optional_numbers(point, keyword, 1, path)
    return before if given is None else given[0]


def _spots(point: Any, number: int, path: Path) -> tuple[Array, Array, Array]:
    """Positions x and y, mm, and weights of a control point, each (n,)."""
    weights = number_array(point, "ScanSpotMetersetWeights", path)
    places = number_array(point, "ScanSpotPositionMap", path)
    declared = integer(point, "NumberOfScanSpotPositions", path, default=weights.size)
    if places.size != 2 * weights.size or declared != weights.size:
        raise FileFormatError(
            f"{path.name}: a layer of beam {number} declares {declared} spots but holds "
            f"{weights.size} weights and {places.size} coordinates; it was cut off or written "
            "wrongly. Export the plan again."
        )
    if weights.size and weights.min() < 0:
        raise FileFormatError(
            f"{path.name}: beam {number} has a spot of negative weight; export the plan again."
        )
    return places[0::2], places[1::2], weights
