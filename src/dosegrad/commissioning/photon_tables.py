"""What a commissioning table of a photon machine holds, computed from its base data in water."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array
from dosegrad.engines.photon_kernel.model import convolved_bixel, depth_components
from dosegrad.machine.photon import PhotonMachine

__all__ = [
    "depth_of_maximum",
    "output_factor",
    "penumbra",
    "percentage_depth_dose",
    "tissue_phantom_ratio",
    "water_dose",
    "water_profile",
]

#: Depths at which the maximum is looked for, mm.
_SEARCH: Final = np.arange(0.5, 60.01, 0.1)


def water_dose(machine: PhotonMachine, *, field: float, ssd: float, depth: ArrayLike) -> Array:
    """Dose on the axis of a square field in water, Gy per unit weight, at depths (n,), mm.

    Parameters
    ----------
    machine
        Whose fluence counts as uniform.
    field
        Side in the isocentre plane, mm.
    ssd
        Source to a flat skin, mm.
    depth
        Below the skin, mm.
    """
    depths = np.atleast_1d(np.asarray(depth, dtype=float))
    bixel = convolved_bixel(machine, ssd, field, 2.0 * machine.raster)
    dose: Array = _factors(machine, ssd, depths) @ bixel.values[0, 0]
    return dose


def water_profile(
    machine: PhotonMachine, *, field: float, ssd: float, depth: float, off_axis: ArrayLike
) -> Array:
    """Dose across the middle of a square field at a depth, Gy per unit weight.

    ``off_axis`` (n,): distances from the axis at that depth, mm.
    """
    across = np.atleast_1d(np.asarray(off_axis, dtype=float))
    projected = across * machine.sad / (ssd + depth)
    bixel = convolved_bixel(machine, ssd, field, float(np.abs(projected).max()) + 1.0)
    nodes = (bixel.first + np.arange(len(bixel.values))) * machine.raster
    depths = np.full(1, depth)
    axis = _factors(machine, ssd, depths)[0]
    values = np.interp(np.abs(projected), nodes, bixel.values[0] @ axis)
    # a point off the axis lies farther from the source and its ray is longer in water
    secant = np.hypot(1.0, projected / machine.sad)
    slanted = depth_components(machine, depth * secant) / secant[:, None] ** 2
    straight = depth_components(machine, depths)
    ratio: Array = values * (slanted @ bixel.values[0, 0]) / (straight @ bixel.values[0, 0])
    return ratio


def percentage_depth_dose(
    machine: PhotonMachine, *, field: float, ssd: float, depth: ArrayLike
) -> Array:
    """Dose on the axis in percent of its maximum at the same SSD, at depths (n,), mm."""
    top = water_dose(machine, field=field, ssd=ssd, depth=_SEARCH).max()
    percent: Array = 100.0 * water_dose(machine, field=field, ssd=ssd, depth=depth) / top
    return percent


def depth_of_maximum(machine: PhotonMachine, *, field: float, ssd: float) -> float:
    """Depth of the highest dose on the axis, mm, to 0.1 mm."""
    return float(_SEARCH[np.argmax(water_dose(machine, field=field, ssd=ssd, depth=_SEARCH))])


def tissue_phantom_ratio(machine: PhotonMachine, *, field: float = 100.0) -> float:
    """TPR20,10: dose at the isocentre below 20 cm of water over that below 10 cm."""
    deep, shallow = (
        water_dose(machine, field=field, ssd=machine.sad - depth, depth=depth)[0]
        for depth in (200.0, 100.0)
    )
    return float(deep / shallow)


def output_factor(machine: PhotonMachine, *, field: float, depth: float = 100.0) -> float:
    """Dose at the isocentre below ``depth`` mm of water over that of a field of 100 mm."""
    doses = [
        water_dose(machine, field=side, ssd=machine.sad - depth, depth=depth)[0]
        for side in (field, 100.0)
    ]
    return float(doses[0] / doses[1])


def penumbra(
    machine: PhotonMachine, *, field: float = 100.0, ssd: float = 900.0, depth: float = 100.0
) -> tuple[float, float]:
    """Distance between the 80 % and 20 % points of a profile, and where the 50 % lies, mm."""
    across = np.arange(0.0, field, 0.1)
    dose = water_profile(machine, field=field, ssd=ssd, depth=depth, off_axis=across)
    relative = dose / dose[0]
    edge = int(np.argmax(relative < 0.9))
    p80, p50, p20 = np.interp([-0.8, -0.5, -0.2], -relative[edge:], across[edge:])
    return float(p20 - p80), float(p50)


def _factors(machine: PhotonMachine, ssd: float, depths: Array) -> Array:
    inverse_square = (machine.sad / (ssd + depths)) ** 2
    factors: Array = depth_components(machine, depths) * inverse_square[:, None]
    return factors
