"""What beamlets cross: tracing through the dose grid, and sharing of equal paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.engines.yoda._march_arrays import Layers
from dosegrad.engines.yoda._tracing_arrays import Entries, Lines, Scene
from dosegrad.engines.yoda.beamlets import Beamlets, SpotAxes
from dosegrad.errors import PatientError
from dosegrad.geometry.grid import Grid
from dosegrad.patient.medium import Medium
from dosegrad.patient.patient import OutsideBody, Patient
from dosegrad.physics.materials import AIR, MATERIALS, WATER, Material

__all__ = ["TracedPaths", "check_calibrated", "media_of", "step_length", "trace_beamlets"]

#: Longest step along a beamlet, mm; the march itself takes shorter ones where it must.
_LONGEST: Final = 1.3
#: Masses closer than this are the same path, g/cm2.
_SAME: Final = 9
#: Voxels above the calibration that pass as noise.
_FEW: Final = 3
_DENSEST: Final = 25.0  # g/cm3


@dataclass(frozen=True, slots=True, eq=False)
class TracedPaths:
    """Different paths of some beamlets.

    Parameters
    ----------
    layers
        What each crosses; step 0 is all that lies before the grid.
    mass
        Mass depth of each step, g/cm2, (paths, steps), that of step 0 left out.
    path
        Path of each beamlet, (beamlets,).
    step
        Length of a step, mm.
    """

    layers: Layers
    mass: Array
    path: NDArray[np.intp]
    step: float


def check_calibrated(patient: Patient, outside_body: OutsideBody) -> None:
    """Raise if beams may cross more HU than a few above those that the calibration knows.

    Raises
    ------
    PatientError
        If so: what metal is cannot be told, and tissue in its place would be wrong.
    """
    highest = float(patient.calibration.edges[-1])
    beyond = patient.ct.hu > highest
    if outside_body == "air" and patient.external is not None and beyond.any():
        beyond = beyond & patient.body_mask()
    if np.count_nonzero(beyond) > _FEW:
        found = patient.ct.hu[beyond]
        raise PatientError(
            f"{found.size} voxels of the CT hold up to {found.max():.0f} HU, as metal does, and "
            f"calibration {patient.calibration.name!r} ends at {highest:g} HU; give these voxels "
            "the HU of a tissue, or the patient a calibration table that reaches as far."
        )


#: What was made of the media that are in use; each beam asks for it anew.
_SCENES: Final[WeakKeyDictionary[Medium, tuple[tuple[Material, ...], Scene]]] = WeakKeyDictionary()


def media_of(medium: Medium) -> tuple[tuple[Material, ...], Scene]:
    """Materials that a medium names, water and air last, and its voxels for tracing.

    Made once for each medium, and kept as long as that is.

    Raises
    ------
    PatientError
        If a density is beyond that of any tissue, implant or metal.
    """
    if medium in _SCENES:
        return _SCENES[medium]
    if medium.density.max() > _DENSEST:
        raise PatientError(
            f"the medium holds a density of {medium.density.max():g} g/cm3, more than any metal; "
            "check the HU calibration."
        )
    used = np.flatnonzero(np.bincount(medium.material.ravel(), minlength=len(medium.materials)))
    number = np.zeros(len(medium.materials), dtype=np.int32)
    number[used] = np.arange(used.size)
    materials = tuple(MATERIALS[medium.materials[int(m)]] for m in used)
    scene = Scene(
        density=np.ascontiguousarray(medium.density).reshape(-1),
        material=number[medium.material].reshape(-1),
        shape=np.array(medium.grid.shape, dtype=np.int64),
        outside_density=AIR.density,
        outside_material=len(materials) + 1,
    )
    _SCENES[medium] = (*materials, WATER, AIR), scene
    return _SCENES[medium]


def step_length(grid: Grid, along: Array, *, longest: float = _LONGEST) -> float:
    """Length of the steps along a beam, mm: a whole part of the voxel's size that it crosses.

    At most ``longest`` mm.
    """
    local = np.abs(along @ np.asarray(grid.direction))[::-1]
    crossed = local > 1.0 - 1e-6
    size = float(np.asarray(grid.spacing)[crossed][0]) if crossed.any() else min(grid.spacing)
    return float(size / np.ceil(size / longest))


def trace_beamlets(
    scene: Scene,
    grid: Grid,
    spots: SpotAxes,
    beamlets: Beamlets,
    *,
    step: float,
    longest_range: float,
    n_materials: int,
) -> TracedPaths:
    """Paths of ``beamlets`` with equal ones shared; ranges up to ``longest_range`` mm of water."""
    from dosegrad.engines.yoda._tracing_kernels import trace

    surrounding = scene if spots.in_air else scene._replace(outside_density=0.0)
    n_steps = int(np.ceil(float(spots.length[beamlets.spot].max()) / step - 1e-6))
    # Per gram no tissue stops less than 0.8 times what water stops.
    most = longest_range / 10.0 / 0.8
    index = grid.to_index(beamlets.start) + 0.5
    turned = beamlets.frame[:, 0] @ np.asarray(grid.direction)
    lines = Lines(
        np.ascontiguousarray(index),
        np.ascontiguousarray(turned[:, ::-1] / np.asarray(grid.spacing)),
        step,
        n_steps,
        most,
    )
    shape = (len(index), n_steps + sum(grid.shape) + 4)
    entries = Entries(
        np.zeros(shape, np.int32),
        np.zeros(shape, np.int32),
        np.zeros(shape),
        np.zeros(shape[0], np.int64),
    )
    trace(surrounding, lines, entries)
    return _shared_paths(entries, spots, beamlets, step, n_materials)


def _shared_paths(
    entries: Entries, spots: SpotAxes, beamlets: Beamlets, step: float, n_materials: int
) -> TracedPaths:
    """Different paths, with what lies before the grid as their step 0."""
    known: dict[bytes, int] = {}
    path = np.empty(len(beamlets.spot), dtype=np.intp)
    first: list[int] = []
    rounded = np.round(entries.mass, _SAME)
    for b, (spot, count) in enumerate(zip(beamlets.spot, entries.used, strict=True)):
        before = np.array([spots.approach.shifter[spot], spots.approach.air[spot]]).round(_SAME)
        key = b"".join(
            part.tobytes()
            for part in (
                *(spots.quality[spot], before, entries.step[b, :count]),
                *(entries.material[b, :count], rounded[b, :count]),
            )
        )
        path[b] = known.setdefault(key, len(known))
        if path[b] == len(first):
            first.append(b)
    rows = np.array(first)
    return _gathered(entries, spots, beamlets.spot[rows], rows, path, step, n_materials)


def _gathered(
    entries: Entries,
    spots: SpotAxes,
    spot: NDArray[np.intp],
    rows: NDArray[np.intp],
    path: NDArray[np.intp],
    step: float,
    n_materials: int,
) -> TracedPaths:
    """Layers of the beamlets in ``rows``, one after another."""
    count = entries.used[rows]
    inside = np.arange(entries.step.shape[1]) < count[:, None]
    before = np.stack([spots.approach.shifter[spot], spots.approach.air[spot]], axis=1)
    kept = np.concatenate([before > 0, inside], axis=1)
    kinds = np.broadcast_to([n_materials - 2, n_materials - 1], before.shape)
    steps = np.concatenate([np.zeros(before.shape, np.int32), entries.step[rows] + 1], axis=1)
    material = np.concatenate([kinds, entries.material[rows]], axis=1)
    masses = np.concatenate([before, entries.mass[rows]], axis=1)
    n_steps = int(steps[kept].max(initial=0)) + 1
    owner = np.repeat(np.arange(len(rows)), kept.sum(axis=1))
    cell = owner * n_steps + steps[kept]
    total = np.zeros(len(rows) * n_steps)
    np.add.at(total, cell, masses[kept])
    layers = Layers(
        family=spots.quality[spot],
        offsets=np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int64),
        step=steps[kept].astype(np.int32),
        material=material[kept].astype(np.int32),
        mass=masses[kept],
        n_steps=n_steps,
    )
    return TracedPaths(layers, total.reshape(len(rows), n_steps)[:, 1:], path, step)
