r"""Where beamlets run: axes of spots, their phase space at the dose grid, and what splitting makes.

A spot's beamlets start in the plane across its axis that touches the box of the dose grid. On the
way there from the machine its moments grow by drift and by scattering in air and in a range shifter
(water). Position and angle of a spot are correlated; a beamlet at the offset u keeps the
conditional distribution: it is turned by :math:`u A_1/A_2`, and has, with a spread of s spots,

.. math:: s^2 A_2, \quad s^2 A_1, \quad A_0 - (1 - s^2) A_1^2 / A_2
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.beams.beam import Beam, Beams, RangeShifter
from dosegrad.engines.yoda.splitting import Splitting
from dosegrad.errors import EnergyError
from dosegrad.geometry.grid import Grid
from dosegrad.machine.phase_space import PhaseSpace, phase_space
from dosegrad.physics.materials import AIR, WATER, Material
from dosegrad.physics.scattering import ScatteringModel, mass_scattering_power
from dosegrad.physics.stopping import energy_of_range, range_in_water
from dosegrad.units import CM_PER_MM

__all__ = ["Approach", "Beamlets", "SpotAxes", "prepare_spots", "split_spots"]

_SLABS: Final = 20  # parts of a range shifter in which the energy counts as constant
_SLOWEST: Final = 1.0  # MeV behind a range shifter


@dataclass(frozen=True, slots=True, eq=False)
class Approach:
    """What spots cross before the dose grid, mass depths in g/cm2, shape (spots,).

    Air counts beyond the thickness that the machine's data contain already.
    """

    air: Array
    shifter: Array


@dataclass(frozen=True, slots=True, eq=False)
class SpotAxes:
    """Spots of one beam where they meet the dose grid; one row per column of the beam.

    Parameters
    ----------
    start
        Point on the axis in the plane that touches the grid (n, 3), patient mm.
    frame
        Unit vectors (n, 3, 3): along the axis, and across along gantry x and y; patient frame.
    length
        From the start to where the axis leaves the box of the grid at the latest, mm, (n,).
    place
        Where each spot crosses the isocentre plane, gantry x and y (n, 2), mm.
    moments
        Variance of position, covariance and angular variance along x and y (n, 2, 3).
    quality
        Number of each spot's beam quality (n,).
    energies, energy_stds
        Of each beam quality, MeV.
    approach
        What the spots crossed before.
    in_air
        Whether there is air around the grid; else vacuum.
    beam
        Which beam it is, in words.
    """

    start: Array
    frame: Array
    length: Array
    place: Array
    moments: Array
    quality: NDArray[np.int32]
    energies: tuple[float, ...]
    energy_stds: tuple[float, ...]
    approach: Approach
    in_air: bool
    beam: str


@dataclass(frozen=True, slots=True, eq=False)
class Beamlets:
    """Beamlets of some spots.

    ``spot`` (n,): which spot each belongs to; ``start`` (n, 3), patient mm; ``frame`` (n, 3, 3)
    as in :class:`SpotAxes`; ``weight`` (n,): share of the spot's protons; ``moments`` (n, 2, 3).
    """

    spot: NDArray[np.intp]
    start: Array
    frame: Array
    weight: Array
    moments: Array


def prepare_spots(
    beams: Beams,
    index: int,
    grid: Grid,
    scattering: ScatteringModel,
    *,
    adjust: Callable[[PhaseSpace], PhaseSpace] | None = None,
) -> SpotAxes:
    """Axes and phase space of all spots of one beam at the dose grid.

    ``adjust`` changes the phase spaces that the machine gives.

    Raises
    ------
    EnergyError
        If an energy is none of the machine's, or a range shifter stops the beam.
    """
    beam, machine = beams[index], beams.particles
    columns = beams.columns[beams.columns_of(index)]
    levels, quality = np.unique(columns["energy"], return_inverse=True)
    spaces = [phase_space(machine, float(level)) for level in levels]
    if adjust is not None:
        spaces = [adjust(space) for space in spaces]
    frame = _frames(beam, columns["x"], columns["y"])
    at_plane = beam.to_patient(np.stack([columns["x"], columns["y"], 0.0 * columns["x"]], axis=1))
    near, far = _touching(grid, at_plane, frame[:, 0])
    moments = np.empty((columns.size, 2, 3))
    air = np.zeros(columns.size)
    for q, space in enumerate(spaces):
        rows = np.flatnonzero(quality.reshape(-1) == q)
        drift = space.distance + near[rows]
        moments[rows] = _carry(space, beam.range_shifter, drift, near[rows], scattering)
        if space.in_air:
            beyond = np.maximum(drift - machine.air_offset, 0.0)
            air[rows] = beyond * AIR.density * CM_PER_MM
    thickness = 0.0 if beam.range_shifter is None else beam.range_shifter.thickness
    return SpotAxes(
        start=at_plane + near[:, None] * frame[:, 0],
        frame=frame,
        length=far - near,
        place=np.stack([columns["x"], columns["y"]], axis=1),
        moments=moments,
        quality=quality.reshape(-1).astype(np.int32),
        energies=tuple(s.energy for s in spaces),
        energy_stds=tuple(s.energy_std for s in spaces),
        approach=Approach(air, np.full(columns.size, thickness * CM_PER_MM)),
        in_air=spaces[0].in_air,
        beam=f"beam {index + 1} (gantry {beam.gantry:g}°)",
    )


def _frames(beam: Beam, x: Array, y: Array) -> Array:
    """Unit vectors (n, 3, 3) along each spot's axis, and across, patient frame."""
    along = np.tile([0.0, 0.0, -1.0], (x.size, 1))
    if beam.sad is not None:
        along = np.stack([x, y, np.full(x.size, -beam.sad)], axis=1)
        along /= np.linalg.norm(along, axis=1, keepdims=True)
    across_x = np.array([1.0, 0.0, 0.0]) - along[:, :1] * along
    across_x /= np.linalg.norm(across_x, axis=1, keepdims=True)
    local = np.stack([along, across_x, np.cross(across_x, along)], axis=1)
    return np.asarray(local @ beam.rotation.T)


def _touching(grid: Grid, points: Array, along: Array) -> tuple[Array, Array]:
    """Distances (n,) along axes from ``points`` to where planes across touch the grid's box."""
    ends = [(-0.5, n - 0.5) for n in grid.shape]
    corners = grid.to_point(list(product(*ends)))
    places = np.einsum("cnk,nk->cn", corners[:, None] - points, along)
    return places.min(axis=0), places.max(axis=0)


def _carry(
    space: PhaseSpace,
    shifter: RangeShifter | None,
    drift: Array,
    near: Array,
    scattering: ScatteringModel,
) -> Array:
    """Moments (n, 2, 3) after ``drift`` mm, at ``near`` mm behind the isocentre plane."""
    start = np.stack([space.variance, space.covariance, space.angular], axis=-1)
    moments = np.broadcast_to(start, (drift.size, 2, 3))
    energy, surroundings = space.energy, AIR if space.in_air else None
    if shifter is None or shifter.thickness <= 0:
        power = _power(surroundings, energy, energy, scattering)
        return _drifted(moments, drift, power)
    power = _power(surroundings, energy, energy, scattering)
    front = space.distance - shifter.distance - shifter.thickness
    moments = _drifted(moments, np.full(drift.size, front), power)
    full = float(range_in_water(energy))
    if full - shifter.thickness < float(range_in_water(_SLOWEST)):
        raise EnergyError(
            f"a range shifter of {shifter.thickness:g} mm stops protons of {energy:.1f} MeV "
            f"(range {full:.1f} mm); choose a higher energy or a thinner slab."
        )
    slab = shifter.thickness / _SLABS
    for k in range(_SLABS):
        energy = float(energy_of_range(full - (k + 0.5) * slab))
        power = _power(WATER, energy, space.energy, scattering)
        moments = _drifted(moments, np.full(drift.size, slab), power)
    energy = float(energy_of_range(full - shifter.thickness))
    power = _power(surroundings, energy, space.energy, scattering)
    return _drifted(moments, shifter.distance + near, power)


def _power(
    material: Material | None, energy: float, initial: float, scattering: ScatteringModel
) -> float:
    """Scattering power, rad2/mm; 0 in vacuum."""
    if material is None:
        return 0.0
    # Just below the initial energy, where the differential model is not singular.
    at = min(energy, 0.995 * initial)
    mass = mass_scattering_power(at, material, initial_energy=initial, model=scattering)
    return float(mass) * material.density * CM_PER_MM


def _drifted(moments: Array, length: Array, power: float) -> Array:
    """Moments (n, 2, 3) after ``length`` (n,) mm of constant scattering power.

    A grid that reaches past the nozzle asks for negative lengths: back along straight lines.
    """
    a2, a1, a0 = np.moveaxis(moments, -1, 0)
    d = length[:, None]
    t = np.where(d > 0, power, 0.0)
    carried = (a2 + 2 * a1 * d + a0 * d**2 + t * d**3 / 3, a1 + a0 * d + t * d**2 / 2, a0 + t * d)
    return np.stack(carried, axis=-1)


def split_spots(spots: SpotAxes, chosen: Sequence[int], schemes: Sequence[Splitting]) -> Beamlets:
    """Beamlets of the ``chosen`` spots, each split by its own scheme."""
    parts = [_split(spots, spot, scheme) for spot, scheme in zip(chosen, schemes, strict=True)]
    spot, start, frame, weight, moments = (np.concatenate(p) for p in zip(*parts, strict=True))
    return Beamlets(spot.astype(np.intp), start, frame, weight, moments)


def _split(spots: SpotAxes, spot: int, scheme: Splitting) -> tuple[Array, ...]:
    n = scheme.n_beamlets
    frame, (a2, a1, a0) = spots.frame[spot], spots.moments[spot].T
    offset = np.stack([scheme.x, scheme.y], axis=1) * np.sqrt(a2)
    start = spots.start[spot] + offset @ frame[1:]
    slope = offset * (a1 / a2)
    along = frame[0] + slope @ frame[1:]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across_x = frame[1] - (along @ frame[1])[:, None] * along
    across_x /= np.linalg.norm(across_x, axis=1, keepdims=True)
    across_y = np.cross(along, across_x) * np.sign(np.cross(frame[0], frame[1]) @ frame[2])
    share = (scheme.spread**2)[:, None]
    moments = np.stack([share * a2, share * a1, a0 - (1.0 - share) * a1**2 / a2], axis=-1)
    frames = np.stack([along, across_x, across_y], axis=1)
    return np.full(n, float(spot)), start, frames, scheme.weight, np.maximum(moments, _LEAST)


_LEAST: Final = np.array([1e-12, -np.inf, 0.0])
