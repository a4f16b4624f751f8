"""How many beamlets a spot needs, from the heterogeneity that it sees.

Nineteen probes across each spot are traced and slowed down. What counts is how much the
water-equivalent depth differs between them at one geometric depth, at the depth where it differs
most before the beam ends: laterally homogeneous media need no splitting at all, since scattering
keeps a Gaussian a Gaussian; the larger the steps in range, the narrower the beamlets.

Spots lie on a lattice, and so do voxels. If all beamlets did too, those of all spots would meet
the same few places within the voxels, and their errors would add up. So each spot's lattice is
turned by another angle. The angle follows from the place and the energy of the spot alone, so that
its dose does not depend on what else is in a plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.engines.yoda.beamlets import split_spots
from dosegrad.engines.yoda.splitting import Splitting, split_on_lattice, split_on_rings
from dosegrad.errors import SettingsError

if TYPE_CHECKING:
    from dosegrad.engines.yoda.transport import BeamTransport

__all__ = ["COARSEST", "Adaptive", "choose_schemes", "heterogeneity", "is_number", "turns"]

_BATCH: Final = 2000  # spots that are probed at once
_GOLDEN: Final = 137.508  # degree
#: Spots in one cell of this size, mm and MeV, are turned alike: small shifts seldom turn a spot.
_CELL: Final = (2.0, 2.0, 1.0)
#: Primes that mix the numbers of a cell into one.
_PRIMES: Final = (73856093, 19349663, 83492791)
_ANGLES_KNOWN: Final = 1009
#: Widest pitch of a lattice, in the spot's standard deviation.
COARSEST: Final = 0.75
_ANGLES: Final = np.radians(np.arange(6) * 60.0 + 7.0)


@dataclass(frozen=True, slots=True)
class Adaptive:
    """Lattices by the spread of water-equivalent depths across a spot.

    Parameters
    ----------
    spreads
        Standard deviations of the water-equivalent depth, mm, ascending.
    pitches
        Of the lattices from each of them on, in the spot's standard deviation; below the first
        spots stay whole.
    voxels_per_pitch
        Least pitch in sizes of a voxel.

    Raises
    ------
    SettingsError
        If the two do not go together, or a number is not positive and finite.
    """

    spreads: tuple[float, ...] = (0.05, 0.4, 1.5)
    pitches: tuple[float, ...] = (0.75, 0.5, 1.0 / 3.0)
    voxels_per_pitch: float = 1.0

    def __post_init__(self) -> None:
        spreads, pitches = (_positive(values) for values in (self.spreads, self.pitches))
        if len(spreads) != len(pitches) or not spreads or list(spreads) != sorted(set(spreads)):
            raise SettingsError(
                f"spreads {self.spreads} and pitches {self.pitches} do not go together; give as "
                "many of both, all positive, the spreads ascending."
            )
        if not _positive((self.voxels_per_pitch,)):
            raise SettingsError(
                f"{self.voxels_per_pitch!r} voxels per pitch are not possible; give a positive "
                "number."
            )


def is_number(value: object) -> bool:
    """Whether a setting is a finite number."""
    is_real = isinstance(value, int | float | np.integer | np.floating)
    return is_real and not isinstance(value, bool) and bool(np.isfinite(np.asarray(value)))


def _positive(values: object) -> tuple[float, ...]:
    """The numbers, or none if these are not positive numbers."""
    given = values if isinstance(values, tuple | list) else ()
    return tuple(given) if all(is_number(v) and v > 0 for v in given) else ()


def choose_schemes(
    settings: Adaptive, transport: BeamTransport, chosen: NDArray[np.intp]
) -> list[Splitting]:
    """Scheme of each of the ``chosen`` spots."""
    levels = np.searchsorted(settings.spreads, heterogeneity(transport, chosen), side="right")
    size = np.sqrt(transport.spots.moments[chosen, :, 0]).mean(axis=1)
    voxel = float(np.mean(transport.grid.spacing))
    # Beamlets much narrower than voxels see no more; pitches in whole 1/24 keep schemes few.
    finest = np.ceil(24.0 * np.minimum(settings.voxels_per_pitch * voxel / size, COARSEST)) / 24.0
    whole = split_on_rings((1,))
    pitches = np.maximum(np.append(0.0, settings.pitches)[levels], finest)
    return [
        whole if level == 0 else split_on_lattice(float(pitch)).turned(float(turn))
        for level, pitch, turn in zip(levels, pitches, turns(transport, chosen), strict=True)
    ]


def turns(transport: BeamTransport, chosen: NDArray[np.intp]) -> Array:
    """Angle by which the lattice of each of the ``chosen`` spots is turned, degrees, (n,)."""
    spots = transport.spots
    energy = np.asarray(spots.energies)[spots.quality[chosen]]
    which = np.column_stack([spots.place[chosen], energy]) / _CELL
    cells = np.rint(which).astype(np.int64) * _PRIMES
    return np.asarray(_GOLDEN * (np.bitwise_xor.reduce(cells, axis=1) % _ANGLES_KNOWN))


def heterogeneity(transport: BeamTransport, chosen: NDArray[np.intp]) -> Array:
    """Largest spread of water-equivalent depth across each of the ``chosen`` spots, mm, (n,)."""
    probes = _probes()
    found = []
    for first in range(0, chosen.size, _BATCH):
        part = chosen[first : first + _BATCH].tolist()
        beamlets = split_spots(transport.spots, part, [probes] * len(part))
        paths = transport.trace(beamlets)
        depth = transport.slow_down(paths.layers).depth[paths.path]
        depth = depth.reshape(len(part), probes.n_beamlets, -1)
        weight = probes.weight[:, None]
        mean = (weight * depth).sum(axis=1, keepdims=True)
        spread = np.sqrt((weight * (depth - mean) ** 2).sum(axis=1))
        full = np.array(transport.full_ranges)[transport.spots.quality[part]]
        reached = mean[:, 0] < full[:, None]
        found.append(np.where(reached, spread, 0.0).max(axis=1))
    return np.concatenate(found)


def _probes() -> Splitting:
    """Nineteen lines: on the axis, and six each at 0.9, 1.8 and 2.7 standard deviations."""
    radius = np.repeat([0.0, 0.9, 1.8, 2.7], (1, 6, 6, 6))
    angle = np.concatenate([[0.0], _ANGLES, _ANGLES + np.radians(30.0), _ANGLES])
    weight = np.repeat([0.2, 0.5 / 6, 0.25 / 6, 0.05 / 6], (1, 6, 6, 6))
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    return Splitting(x, y, weight, np.full(x.size, 0.5))
