"""From medium, beam and voxels to the arrays that the kernels walk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, IntArray, Points, Volume
from dosegrad.beams.beam import Beam, Beams
from dosegrad.engines.photon_kernel._arrays import BLOCK, Bixels, Profiles, Scene
from dosegrad.engines.photon_kernel.model import convolved_bixel, depth_components
from dosegrad.errors import BeamError, CapabilityError
from dosegrad.geometry.depth import water_equivalent_depth
from dosegrad.geometry.grid import Grid
from dosegrad.geometry.rays import crossings
from dosegrad.machine.kinds import Machine
from dosegrad.machine.photon import PhotonMachine

__all__ = [
    "ElectronDensity",
    "LateralPlane",
    "check_source",
    "photon_machine",
    "prepare_bixels",
    "prepare_profiles",
    "prepare_scene",
    "skin_distance",
]

#: In which plane lateral distances count: at the isocentre, or across each bixel's ray.
LateralPlane: TypeAlias = Literal["isocentre", "ray"]

#: A ray meets the skin where the relative electron density first exceeds this.
_SKIN_DENSITY: Final = 0.05
#: Samples along a bixel's side for its mean fluence in air.
_FLUENCE_SAMPLES: Final = 9


class ElectronDensity(Protocol):
    """As much of a medium as the photon engine needs."""

    @property
    def grid(self) -> Grid:
        """The dose grid."""
        ...

    @property
    def electron_density(self) -> Volume:
        """Electron density relative to water (z, y, x)."""
        ...


def photon_machine(machine: Machine) -> PhotonMachine:
    """The machine, if it delivers photons."""
    if not isinstance(machine, PhotonMachine):
        raise CapabilityError(
            f"machine {machine.name!r} delivers {machine.modality}, but this engine is for "
            "photons; use the engine 'pencil-beam', or a photon machine."
        )
    return machine


def skin_distance(medium: ElectronDensity, beam: Beam, centres: Array) -> float:
    """Distance, mm, from source to skin, measured along the central axis.

    It lies where the beam's axis first meets an electron density above 0.05. Where the axis passes
    by the patient, the median height over the rays through ``centres`` (n, 2) that meet something
    counts; SAD if none does.
    """
    assert beam.source is not None and beam.sad is not None
    points = np.concatenate([np.zeros((1, 2)), centres])
    plane = beam.to_patient(np.column_stack([points, np.zeros(len(points))]))
    starts = np.tile(beam.source, (len(points), 1))
    ends = starts + 2.0 * (plane - starts)
    found = crossings(medium.grid, medium.electron_density > _SKIN_DENSITY, starts, ends)
    hits = np.flatnonzero(np.diff(found.offsets) > 0)
    if hits.size == 0:
        return beam.sad
    # alpha 0.5 is the isocentre plane, so heights follow from alpha alone on slanting rays too
    distances = 2.0 * beam.sad * found.alpha_in[found.offsets[:-1][hits]]
    return float(distances[0] if hits[0] == 0 else np.median(distances))


def prepare_profiles(
    machines: Sequence[PhotonMachine], ssd: float, widths: Array, reaches: Array, shift: float
) -> Profiles:
    """Convolved bixels of each of the ``widths`` (n_kinds,), mm, out to their ``reaches``.

    The components of all ``machines``, which differ by kernels alone, lie side by side.
    """
    by_machine = [
        [
            convolved_bixel(machine, ssd, float(w), float(r) + abs(shift))
            for w, r in zip(widths, reaches, strict=True)
        ]
        for machine in machines
    ]
    made = by_machine[0]
    sides = np.array([len(one.values) for one in made], dtype=np.int64)
    parts = [[one.values.reshape(-1, 3) for one in alike] for alike in by_machine]
    return Profiles(
        values=np.concatenate([np.concatenate(part) for part in parts], axis=1),
        starts=np.concatenate([[0], np.cumsum(sides**2)[:-1]]).astype(np.int64),
        sides=sides,
        first=np.array([one.first for one in made]),
        raster=float(machines[0].raster),
        shift=float(shift),
    )


def prepare_bixels(
    beams: Beams,
    index: int,
    *,
    grid: Grid,
    widths: Array,
    reaches: Array,
    plane: LateralPlane,
    uniform: bool,
) -> Bixels:
    """The columns of a beam; ``widths`` and ``reaches`` (n_kinds,) of the kinds of bixel, mm."""
    machine, beam = photon_machine(beams.machine), beams[index]
    columns = beams.columns[beams.columns_of(index)]
    centres = np.column_stack([columns["x"], columns["y"]])
    kinds = np.searchsorted(widths, columns["size"]).astype(np.int64)
    sad = machine.sad
    if plane == "isocentre":
        frames, stretch = _plane_frames(centres, sad), np.ones(len(centres))
    else:
        frames = _ray_frames(centres, sad)
        # a circle across a slanting ray is an ellipse in the isocentre plane
        stretch = 1.0 + (centres**2).sum(axis=1) / sad**2
        stretch *= 1.0 + 2.0 * reaches.max() * np.linalg.norm(centres, axis=1) / sad**2
    check_source(grid, beam)
    return Bixels(
        centres=centres,
        frames=np.ascontiguousarray(frames),
        bounds=reaches[kinds] * stretch,
        reaches=reaches[kinds],
        floors=np.full(len(centres), -np.inf),
        kinds=kinds,
        scales=np.ones(len(centres)) if uniform else _mean_fluence(machine, columns),
    )


def _plane_frames(centres: Array, sad: float) -> Array:
    """Frames (n, 9) that project a point to the isocentre plane, from the bixel's centre."""
    n = len(centres)
    zero, one = np.zeros(n), np.ones(n)
    x, y = centres.T
    # x SAD / -z minus the bixel's own x, over -z
    a = np.column_stack([sad * one, zero, x])
    b = np.column_stack([zero, sad * one, y])
    c = np.column_stack([zero, zero, -one])
    return np.hstack([a, b, c])


def _ray_frames(centres: Array, sad: float) -> Array:
    """Frames (n, 9) that turn a bixel's ray onto the axis by the shortest way, then project."""
    flight = np.column_stack([centres, np.full(len(centres), -sad)])
    flight /= np.linalg.norm(flight, axis=1, keepdims=True)
    frames = np.empty((len(centres), 3, 3))
    for k, u in enumerate(flight):
        v = np.cross(u, [0.0, 0.0, -1.0])
        skew = np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])
        turn = np.eye(3) + skew + skew @ skew / (1.0 - u[2])
        frames[k] = turn * np.array([[sad], [sad], [-1.0]])
    return frames.reshape(-1, 9)


def _mean_fluence(machine: PhotonMachine, columns: np.ndarray) -> Array:
    """Fluence in air (n,) averaged over each bixel."""
    steps = (np.arange(_FLUENCE_SAMPLES) + 0.5) / _FLUENCE_SAMPLES - 0.5
    x = columns["x"][:, None] + columns["size"][:, None] * steps
    y = columns["y"][:, None] + columns["size"][:, None] * steps
    mean: Array = machine.fluence_at(np.hypot(x[:, :, None], y[:, None, :])).mean(axis=(1, 2))
    return mean


def check_source(grid: Grid, beam: Beam) -> None:
    """Raise a ``BeamError`` if the source lies beside or inside the grid."""
    ends = [[k, j, i] for k in (0, 1) for j in (0, 1) for i in (0, 1)]
    points = grid.to_point(np.array(ends) * (np.asarray(grid.shape) - 1))
    highest = float(beam.to_gantry(points)[:, 2].max())
    assert beam.sad is not None
    if highest >= beam.sad:
        raise BeamError(
            f"the source of the beam at gantry {beam.gantry:g}° lies beside or inside the dose "
            f"grid ({beam.sad:g} mm from the isocentre). Move the isocentre, or shrink the grid."
        )


def prepare_scene(
    medium: ElectronDensity,
    machine: PhotonMachine,
    beam: Beam,
    voxels: IntArray,
    box: tuple[Array, Array],
    depths: Array | None,
) -> Scene:
    """Voxels whose rays pass a ``box`` of the isocentre plane: lowest and highest (x, y), mm.

    Depths are traced through the medium unless they are given.
    """
    sad, source = machine.sad, beam.source
    assert source is not None
    indices = np.unravel_index(voxels, medium.grid.shape)
    local = _points(medium.grid, indices, lambda p: beam.to_gantry(p) - (0.0, 0.0, sad))
    projected = local[:2] * (sad / -local[2])
    low, high = box
    inside = [(p >= a) & (p <= b) for p, a, b in zip(projected, low, high, strict=True)]
    rows = np.flatnonzero(inside[0] & inside[1])
    points = np.ascontiguousarray(local[:, rows].T)
    if depths is None:
        part = tuple(axis[rows] for axis in indices)
        centres = np.ascontiguousarray(_points(medium.grid, part, lambda p: p).T)
        density = medium.electron_density
        traced = water_equivalent_depth(medium.grid, density, centres, source=source)
    else:
        traced = np.asarray(depths, dtype=float)[rows]
    inverse_square = sad**2 / (points**2).sum(axis=1)
    return Scene(
        points=points,
        factors=depth_components(machine, traced) * inverse_square[:, None],
        rows=rows.astype(np.int32),
        blocks=_blocks(projected[:, rows]),
    )


def _points(
    grid: Grid, indices: tuple[NDArray[np.int64], ...], frame: Callable[[Points], Points]
) -> Array:
    """Voxel centres (3, n) in a frame, linear in their indices (z, y, x)."""
    corner, *neighbours = frame(grid.to_point([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]))
    a, b, c = (n - corner for n in neighbours)
    k, j, i = indices
    return np.stack([corner[m] + k * a[m] + j * b[m] + i * c[m] for m in range(3)])


def _blocks(projected: Array) -> Array:
    """Boxes (n_blocks, 4) of runs of voxels at ``projected`` (2, n) in the isocentre plane."""
    runs = np.arange(0, projected.shape[1], BLOCK)
    if runs.size == 0:
        return np.empty((0, 4))
    ends = [f.reduceat(p, runs) for p in projected for f in (np.minimum, np.maximum)]
    return np.column_stack(ends)
