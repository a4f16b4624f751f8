r"""Protons in a section: a spread-out Bragg peak of some range and modulation.

Depth doses are sums of Bortfeld's analytical Bragg curves [Bortfeld1997]_ whose weights make the
dose flat over the modulation; edges are blurred by multiple scattering in water of the most
energetic protons (Fermi-Eyges). One MU is 1 cGy in the middle of the peak at the isocentre: a
choice, so that a student can compare with photons at equal numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

import numpy as np
from scipy.optimize import nnls
from scipy.special import erf

from dosegrad.arrays import Array
from dosegrad.engines.tg71.planar import PlanarBeam, Section
from dosegrad.physics.bortfeld import bragg_curve, range_straggling
from dosegrad.physics.fermi_eyges import spread
from dosegrad.physics.scattering import mass_scattering_power
from dosegrad.physics.stopping import energy_of_range
from dosegrad.units import CM_PER_MM

__all__ = ["SAD", "DepthTable", "depth_table", "planar_factors", "proton_dose_per_mu"]

#: Virtual source to isocentre, mm.
SAD: Final = 2000.0
_GY_PER_MU: Final = 0.01
_STEP: Final = 0.5  # mm of depth
_BEHIND: Final = 40.0  # mm tabulated behind the range
_AIR_SIGMA: Final = 4.0  # mm, edge of the field at the skin
_ENERGY_SPREAD: Final = 1.0  # mm of range


class _Ranged(Protocol):
    @property
    def range(self) -> float: ...
    @property
    def modulation(self) -> float: ...


@dataclass(frozen=True, slots=True, eq=False)
class DepthTable:
    """Relative dose and blur, mm, at water-equivalent depths from 0 on, every half mm."""

    dose: Array
    sigma: Array

    def at(self, depths: Array) -> tuple[Array, Array]:
        """Dose and blur at depths (n,), mm; no dose behind the table."""
        places = np.clip(depths / _STEP, 0.0, self.dose.size - 1.001)
        index = places.astype(np.intp)
        share = places - index
        dose: Array = self.dose[index] + share * (self.dose[index + 1] - self.dose[index])
        dose[depths > (self.dose.size - 1) * _STEP] = 0.0
        sigma: Array = self.sigma[index] + share * (self.sigma[index + 1] - self.sigma[index])
        return dose, sigma


@lru_cache(maxsize=128)
def depth_table(reach: float, modulation: float) -> DepthTable:
    """Table of a spread-out Bragg peak that ends at ``reach`` mm and is ``modulation`` mm long."""
    depths = np.arange(0.0, reach + _BEHIND + _STEP, _STEP)
    length = min(modulation, reach - 5.0)
    spacing = max(2.0, 0.6 * float(range_straggling(reach)) * 2.355)
    ranges = np.append(np.arange(reach, reach - length, -spacing), max(reach - length, 5.0))
    curves = np.stack([_pristine(depths, float(r)) for r in np.unique(ranges)], axis=1)
    flat = (depths >= reach - length) & (depths <= reach - 2.0)
    if not flat.any():
        flat = depths == depths[np.argmax(curves[:, -1])]
    weights, _ = nnls(curves[flat], np.ones(int(flat.sum())))
    dose = curves @ weights
    return DepthTable(dose / dose[flat].mean(), _blur(depths, reach))


def proton_dose_per_mu(beam: PlanarBeam, ranged: _Ranged, section: Section, points: Array) -> Array:
    """Dose (n,), Gy per MU, at points (n, 2) in the patient."""
    source, axis = beam.source, beam.direction
    offsets = points - source
    distance = offsets @ axis
    off_axis = np.abs(axis[0] * offsets[:, 1] - axis[1] * offsets[:, 0])
    relative, sigma = depth_table(ranged.range, ranged.modulation).at(
        section.ray_depth(source, points)
    )
    grown = distance / beam.sad
    dose: Array = _GY_PER_MU * relative * _edge(0.5 * beam.width * grown, off_axis, sigma)
    return dose * _edge(0.5 * beam.length * grown, np.zeros(1), sigma) / grown**2


def planar_factors(
    beam: PlanarBeam, ranged: _Ranged, section: Section, point: Array
) -> list[tuple[str, float, str]]:
    """Every factor of the dose per MU at one point (2,): symbol, value and what it depends on."""
    source, axis = beam.source, beam.direction
    offset = point - source
    distance = float(offset @ axis)
    off_axis = abs(float(axis[0] * offset[1] - axis[1] * offset[0]))
    depth = float(section.ray_depth(source, point[None])[0])
    relative, sigma = depth_table(ranged.range, ranged.modulation).at(np.array([depth]))
    grown = distance / beam.sad
    across, along = (
        float(_edge(0.5 * side * grown, np.array([off]), sigma)[0])
        for side, off in ((beam.width, off_axis), (beam.length, 0.0))
    )
    return [
        ("D0", 100.0 * _GY_PER_MU, "cGy/MU in the middle of the peak"),
        ("SOBP", float(relative[0]), f"water-equivalent depth {depth:.1f} mm"),
        ("edge", across, f"{off_axis:.1f} mm off the axis, blur {float(sigma[0]):.1f} mm"),
        ("width", along, "sides across the picture"),
        ("ISF", 1.0 / grown**2, f"({beam.sad:.0f}/{distance:.0f})²"),
    ]


def _pristine(depths: Array, reach: float) -> Array:
    spread_out = float(np.hypot(range_straggling(reach), _ENERGY_SPREAD))
    curve = bragg_curve(depths, mean_range=reach, range_std=spread_out)
    return np.asarray(curve / curve.max())


def _blur(depths: Array, reach: float) -> Array:
    """Standard deviation (n,) of lateral position, mm, of the most energetic protons."""
    nodes = np.linspace(0.0, 0.995 * reach, 120)
    middle = 0.5 * (nodes[1:] + nodes[:-1])
    power = mass_scattering_power(
        energy_of_range(reach - middle), initial_energy=float(energy_of_range(reach))
    )
    moments = spread(nodes, power * CM_PER_MM, variance=_AIR_SIGMA**2, covariance=0.0, angular=0.0)
    sigma: Array = np.interp(depths, nodes, np.sqrt(moments.variance))
    return sigma


def _edge(half_side: Array | float, off_axis: Array, sigma: Array) -> Array:
    """Share of a blurred field at distances from its axis."""
    scale = np.sqrt(2.0) * sigma
    edge: Array = 0.5 * (erf((half_side - off_axis) / scale) + erf((half_side + off_axis) / scale))
    return edge
