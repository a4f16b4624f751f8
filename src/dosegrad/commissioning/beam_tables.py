"""TG-71's tables of a photon machine, computed from its base data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import erf

from dosegrad.arrays import Array
from dosegrad.engines.photon_kernel.model import depth_components
from dosegrad.engines.tg71.tables import BeamTables, Curve, Sheet
from dosegrad.errors import MachineError
from dosegrad.machine.photon import PhotonMachine
from dosegrad.units import FWHM_PER_SIGMA

__all__ = ["tabulate"]

#: Sides of square fields, mm.
SIDES: Final = np.array(
    [*range(10, 40, 5), *range(40, 100, 10), *range(100, 200, 20), *range(200, 401, 40)],
    dtype=float,
)
#: Depths, mm: finely where the dose builds up.
DEPTHS: Final = np.array([*range(0, 40), *range(40, 401, 5)], dtype=float)
#: Distances from the axis, mm.
_OFF_AXIS: Final = np.arange(0.0, 301.0, 10.0)
_OAR_DEPTHS: Final = np.array([15.0, 100.0, 200.0])
_REFERENCE_DEPTH: Final = 100.0
_REFERENCE_SIDE: Final = 100.0


def tabulate(machine: PhotonMachine, *, pdd_ssd: float = 1000.0) -> BeamTables:
    r"""Beam tables of a machine: output, scatter factors, depth doses and off-axis ratios.

    Normalised at 100 mm depth with the isocentre there. Dose on the axis is the sum of the
    machine's kernels over the blurred fluence of the field, as the engine ``photon-kernel`` has it.
    Head scatter makes :math:`S_c`, which is the fluence on the axis in air; :math:`S_p` is the rest
    of the output. Off-axis ratios are the machine's fluence in air, the same for all depths.

    Parameters
    ----------
    machine
        Whose unit of weight counts as one MU unless it tells otherwise.
    pdd_ssd
        SSD of the percentage depth doses, mm.

    Raises
    ------
    MachineError
        If the machine lacks kernels for the distances that tables need.
    """
    low, high = float(machine.ssds[0]), float(machine.ssds[-1])
    reference_ssd = machine.sad - _REFERENCE_DEPTH
    if not (low <= reference_ssd <= high and low <= pdd_ssd <= high):
        raise MachineError(
            f"machine {machine.name!r} has kernels for distances of {low:g} to {high:g} mm from "
            f"source to skin; tables need {reference_ssd:g} and {pdd_ssd:g} mm."
        )
    axis = _Axis.of(machine)
    depths = DEPTHS[machine.sad - DEPTHS >= low]
    output = np.array([axis.dose(s, reference_ssd, _REFERENCE_DEPTH) for s in SIDES])
    unit = axis.dose(_REFERENCE_SIDE, reference_ssd, _REFERENCE_DEPTH)
    in_air = _in_air(machine, SIDES) / _in_air(machine, np.array([_REFERENCE_SIDE]))
    tpr = np.array([[axis.dose(s, machine.sad - d, d) for s in SIDES] for d in depths]) / output
    # a field at the surface of the PDD's SSD, seen in the isocentre plane
    projected = SIDES * machine.sad / pdd_ssd
    percent = np.stack([axis.depth_dose(s, pdd_ssd, depths) for s in projected], axis=1)
    reference = np.array([axis.dose(s, pdd_ssd, _REFERENCE_DEPTH) for s in projected])
    ratio = machine.fluence_at(_OFF_AXIS)
    return BeamTables(
        name=machine.name,
        dose_per_mu=unit / (machine.mu_per_weight or 1.0),
        depth=_REFERENCE_DEPTH,
        ssd=reference_ssd,
        pdd_ssd=pdd_ssd,
        sad=machine.sad,
        collimator_scatter=Curve("S_c", SIDES, in_air),
        phantom_scatter=Curve("S_p", SIDES, output / unit / in_air),
        pdd=Sheet("PDD", depths, SIDES, 100.0 * percent / reference),
        tpr=Sheet("TPR", depths, SIDES, tpr),
        oar=Sheet("OAR", _OAR_DEPTHS, _OFF_AXIS, np.tile(ratio, (_OAR_DEPTHS.size, 1))),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Axis:
    """Dose on the axis of square fields: kernels (n_ssds, 3, n_sides) summed over each field."""

    machine: PhotonMachine
    ssds: Array
    sums: Array

    @classmethod
    def of(cls, machine: PhotonMachine) -> _Axis:
        """Sums for every side, at some of the machine's SSDs.

        Pixels of the machine's raster lie so that one is centred on the axis; the field's edge
        covers half of the last one where sides are a whole, even number of pixels.
        """
        raster = machine.raster
        nodes = np.arange(0.0, machine.radii[-1] + raster, raster)
        profiles = [_profile(machine, side, nodes) for side in SIDES]
        distances = np.hypot(nodes[:, None], nodes)
        # every quadrant counts four times, pixels on its borders twice and the middle once
        count = np.where(nodes > 0, 2.0, 1.0)
        ssds = machine.ssds[:: max(1, machine.ssds.size // 10)]
        if ssds[-1] != machine.ssds[-1]:
            ssds = np.append(ssds, machine.ssds[-1])
        sums = np.empty((ssds.size, 3, SIDES.size))
        for i, ssd in enumerate(ssds):
            for k, kernel in enumerate(machine.kernels_at(float(ssd))):
                raised = np.interp(distances, machine.radii, kernel, right=0.0)
                for j, sources in enumerate(profiles):
                    sums[i, k, j] = sum(
                        share * float((p * count) @ raised @ (p * count)) for share, p in sources
                    )
        return cls(machine, ssds, sums * raster**2)

    def depth_dose(self, side: float, ssd: float, depths: Array) -> Array:
        """Dose (n,), Gy per unit weight, at depths (n,) below a skin at ``ssd``, mm."""
        by_side = np.array(
            [
                [np.interp(ssd, self.ssds, self.sums[:, k, j]) for j in range(SIDES.size)]
                for k in range(3)
            ]
        )
        kernels = np.array([np.interp(side, SIDES, row) for row in by_side])
        square = (self.machine.sad / (ssd + depths)) ** 2
        dose: Array = square * (depth_components(self.machine, depths) @ kernels)
        return dose

    def dose(self, side: float, ssd: float, depth: float) -> float:
        """Dose, Gy per unit weight, at one depth."""
        return float(self.depth_dose(side, ssd, np.array([depth]))[0])


def _profile(machine: PhotonMachine, side: float, nodes: Array) -> list[tuple[float, Array]]:
    """Share of each source, and the profile (n,) that it makes of a side of the field."""
    focal = machine.penumbra_fwhm / FWHM_PER_SIGMA
    head = machine.head_scatter
    sources = [(1.0 - head.share, focal)]
    if head.share > 0:
        sources.append((head.share, head.sigma))
    found = []
    for share, sigma in sources:
        if sigma > 0:
            edges = [(0.5 * side + sign * nodes) / (np.sqrt(2.0) * sigma) for sign in (1, -1)]
            found.append((share, 0.5 * (erf(edges[0]) + erf(edges[1]))))
        else:
            covered = np.clip((0.5 * side - nodes) / machine.raster + 0.5, 0.0, 1.0)
            found.append((share, covered))
    return found


def _in_air(machine: PhotonMachine, sides: Array) -> Array:
    """Fluence (n,) on the axis in air."""
    total = np.zeros(sides.size)
    for index, side in enumerate(sides):
        sources = _profile(machine, float(side), np.zeros(1))
        total[index] = sum(share * float(p[0]) ** 2 for share, p in sources)
    return total
