"""An ion plan in the meterset of its file, turned into spots of particles by a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, Weights
from dosegrad.beams.beam import COLUMN_DTYPE, Beam, Beams, RangeShifter
from dosegrad.errors import MachineError
from dosegrad.io.dicom.ion_devices import ShifterSetting
from dosegrad.io.dicom.ion_plans import IonBeam, IonPlan, Layer
from dosegrad.machine.kinds import Machine
from dosegrad.machine.library import load_machine
from dosegrad.machine.particle import ParticleMachine
from dosegrad.plan import Plan
from dosegrad.units import PARTICLES_PER_WEIGHT

__all__ = ["PARALLEL", "deliver", "machine_for", "spot_weights"]

#: A virtual source at least so far away, mm, stands for a parallel beam: files need a number.
PARALLEL: Final = 1e6


def machine_for(plan: IonPlan, machine: Machine | str | Path) -> ParticleMachine:
    """The machine itself, or that of a name or file; beam models get the energies of the plan."""
    if not isinstance(machine, (str, Path)):
        return _for_particles(machine)
    if Path(machine).suffix.lower() == ".csv":
        energies = {layer.energy for field in plan.fields for layer in field.layers}
        return _for_particles(load_machine(Path(machine), energies=tuple(sorted(energies))))
    return _for_particles(load_machine(machine))


def _for_particles(machine: Machine) -> ParticleMachine:
    if not isinstance(machine, ParticleMachine):
        raise MachineError(
            f"machine {machine.name!r} delivers {machine.modality}, but the plan is for ions; "
            "choose a particle machine."
        )
    return machine


def deliver(plan: IonPlan, machine: ParticleMachine, *, position: str) -> tuple[Plan, list[str]]:
    """The plan as beams of particles for the whole course, and what had to be guessed.

    Spots keep the order of the file; repeated paintings of a position within a beam become one
    spot where it comes first.

    Parameters
    ----------
    plan
        As read.
    machine
        Says what its nominal energies are and how many particles 1 MU is.
    position
        How the patient lies, where the plan does not say.

    Raises
    ------
    MachineError
        If the machine is for other particles, or a range shifter cannot be modelled.
    EnergyError
        If the machine has not all energies of the plan.
    """
    notes: list[str] = []
    fields: list[Beam] = []
    columns: list[NDArray[np.void]] = []
    weights: list[Weights] = []
    numbers: list[int] = []
    for field in plan.fields:
        _check(field, machine, notes)
        spots, counts = _merged(field, machine, notes)
        if not spots.size:
            notes.append(f"beam {field.number} has no spot with a weight; left out")
            continue
        spots["beam"] = len(fields)
        numbers.append(field.number)
        fields.append(_beam(field, machine, position, notes))
        columns.append(spots)
        weights.append(counts * plan.fractions)
    if not fields:
        raise MachineError("no beam of the plan has a spot with a weight; export it again.")
    table = np.concatenate(columns)
    keys = np.column_stack([table[name] for name in ("beam", "x", "y")])
    table["ray"] = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
    beams = Beams(machine, tuple(fields), table)
    provenance = {
        "source": "DICOM RT ion plan",
        "machine": machine.name,
        "beam_numbers": tuple(numbers),
    }
    made = Plan(beams, np.concatenate(weights), fractions=plan.fractions, provenance=provenance)
    return made, notes


def spot_weights(field: IonBeam, layer: Layer, machine: ParticleMachine) -> Weights:
    """Weights of the spots of a layer in one fraction, 10^6 particles, (n,)."""
    if field.unit == "NP":
        return np.asarray(layer.meterset / PARTICLES_PER_WEIGHT)
    per_unit = machine.monitor.particles_per_mu(layer.energy) / PARTICLES_PER_WEIGHT
    return np.asarray(layer.meterset * per_unit)


def _check(field: IonBeam, machine: ParticleMachine, notes: list[str]) -> None:
    """Whether the machine is for the beam; a note where it is another one than the plan's."""
    if field.modality != machine.modality:
        raise MachineError(
            f"beam {field.number} is of {field.modality}, machine {machine.name!r} of "
            f"{machine.modality}; choose a machine for {field.modality}."
        )
    if field.unit == "MU" and field.machine_name != machine.name[:16]:
        note = (
            f"the plan was made for another machine than {machine.name!r}; MU became particles as "
            "on the latter, which is right only if it models the former"
        )
        if note not in notes:
            notes.append(note)


def _beam(field: IonBeam, machine: ParticleMachine, position: str, notes: list[str]) -> Beam:
    """Direction and frame of a field."""
    if not field.position:
        notes.append(f"beam {field.number} does not say how the patient lies; {position} was taken")
    elif field.position != position:
        notes.append(
            f"beam {field.number} is for a patient in position {field.position}, the images show "
            f"{position}"
        )
    return Beam(
        gantry=field.gantry,
        couch=field.couch,
        isocentre=field.isocentre,
        sad=_source_distance(field, machine, notes),
        position=field.position or position,
        range_shifter=_range_shifter(field),
    )


def _source_distance(field: IonBeam, machine: ParticleMachine, notes: list[str]) -> float | None:
    """Distance of the one virtual source, mm; None for a parallel beam."""
    if field.source_distances is None:
        stated = "parallel" if machine.sad is None else f"{machine.sad:g} mm"
        notes.append(
            f"beam {field.number} has no virtual source distance; that of the machine was taken "
            f"({stated})"
        )
        return machine.sad
    x, y = field.source_distances
    if min(x, y) >= PARALLEL:
        return None
    if abs(x - y) > 0.1:
        notes.append(
            f"virtual sources of beam {field.number} at {x:g} mm (x) and {y:g} mm (y); rays run "
            f"from one at {(x + y) / 2:g} mm"
        )
    return (x + y) / 2


def _range_shifter(field: IonBeam) -> RangeShifter | None:
    """The slab that is in the beam in all its layers."""
    settings = {layer.shifters for layer in field.layers if layer.meterset.any()}
    if len(settings) > 1:
        raise MachineError(
            f"range shifters of beam {field.number} change between its layers, which is not "
            "modelled; split the beam in two."
        )
    inserted: tuple[ShifterSetting, ...] = settings.pop() if settings else ()
    if not inserted:
        return None
    shifter = inserted[0]
    if len(inserted) > 1 or shifter.thickness is None or shifter.distance is None:
        what = (
            "two range shifters"
            if len(inserted) > 1
            else ("a range shifter without water-equivalent thickness or distance")
        )
        raise MachineError(
            f"beam {field.number} has {what}, which cannot be modelled; export the plan with one "
            "and with RangeShifterWaterEquivalentThickness and IsocenterToRangeShifterDistance."
        )
    return RangeShifter(shifter.thickness, shifter.distance)


def _merged(
    field: IonBeam, machine: ParticleMachine, notes: list[str]
) -> tuple[NDArray[np.void], Weights]:
    """Columns (n,) with a weight above 0, each place and energy once, and their weights."""
    columns: list[NDArray[np.void]] = []
    weights: list[Array] = []
    for layer in field.layers:
        given = layer.meterset > 0
        part = np.zeros(int(given.sum()), dtype=COLUMN_DTYPE)
        part["x"], part["y"] = layer.x[given], layer.y[given]
        part["energy"] = machine.at_energy(machine.monitor.energy(layer.energy)).energy
        columns.append(part)
        weights.append(spot_weights(field, layer, machine)[given])
    table, counts = np.concatenate(columns), np.concatenate(weights)
    keys = np.column_stack([table[name] for name in ("energy", "x", "y")])
    _, first, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    if first.size < table.size:
        notes.append(
            f"{table.size - first.size} spots of beam {field.number} paint a position again; "
            "merged with the first"
        )
        summed = np.zeros(first.size)
        np.add.at(summed, place.reshape(-1), counts)
        order = np.argsort(first, kind="stable")
        return table[first[order]], summed[order]
    return table, counts
