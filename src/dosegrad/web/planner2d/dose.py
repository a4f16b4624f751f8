"""The dose of a page's plan: each beam once, kept until something about it changes."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal, TypeAlias

import numpy as np

from dosegrad.arrays import Array, readonly
from dosegrad.engines.tg71.engine import TG71
from dosegrad.engines.tg71.model import equivalent_square, inverse_square, penumbra
from dosegrad.engines.tg71.planar import PlanarBeam, dose_per_mu
from dosegrad.engines.tg71.tables import BeamTables
from dosegrad.machine.library import load_machine
from dosegrad.machine.photon import PhotonMachine
from dosegrad.web.planner2d.protons import SAD as PROTON_SAD
from dosegrad.web.planner2d.protons import planar_factors, proton_dose_per_mu
from dosegrad.web.planner2d.sections import Canvas, canvas_of
from dosegrad.web.planner2d.state import BeamState, Energy, PlanState, SectionState

__all__ = [
    "MACHINES",
    "beam_dose_per_mu",
    "dose_at",
    "doses_per_mu",
    "factors_at",
    "tables_of",
    "total_dose",
]

#: Machines behind the energies of the page.
MACHINES: Final[dict[Energy, str]] = {
    "6 MV": "generic-6mv",
    "10 MV": "generic-10mv",
    "protons": "generic-protons",
}
_WEDGE_HALF_WIDTH: Final = 100.0  # mm; wedges cover 20 cm and are thin at one end

_Depth: TypeAlias = Literal["ray", "axis"]
#: All that the dose per MU of a beam depends on.
_Key: TypeAlias = tuple[SectionState, tuple[float, float], _Depth, BeamState]


@lru_cache(maxsize=4)
def tables_of(energy: Energy) -> BeamTables:
    """Beam tables of the machine behind a photon energy."""
    machine = load_machine(MACHINES[energy])
    assert isinstance(machine, PhotonMachine)
    return TG71.from_machine(machine).tables


def planar_beam(beam: BeamState, isocentre: tuple[float, float]) -> PlanarBeam:
    """The beam in the plane, its wedge included.

    The wedge's slope is such that the isodose at 10 cm depth is turned by its angle; its factor
    that of an absorber which is thin 10 cm beside the axis.
    """
    if beam.energy == "protons":
        return PlanarBeam(beam.gantry, beam.width, beam.length, isocentre, PROTON_SAD)
    slope = 0.0
    if beam.wedge:
        slope = _gradient(beam.energy) * float(np.tan(np.deg2rad(beam.wedge)))
    return PlanarBeam(
        *(beam.gantry, beam.width, beam.length, isocentre),
        wedge_slope=slope,
        wedge_factor=float(np.exp(-abs(slope) * _WEDGE_HALF_WIDTH)),
    )


def doses_per_mu(state: PlanState) -> Array:
    """Dose of each beam, Gy per MU, at the pixels in the patient, (n_beams, n_pixels)."""
    rows = [beam_dose_per_mu(state, beam) for beam in state.beams]
    return np.stack(rows) if rows else np.zeros((0, len(canvas_of(state.section).body)))


def beam_dose_per_mu(state: PlanState, beam: BeamState) -> Array:
    """Dose of one beam, Gy per MU, at the pixels in the patient."""
    plain = beam.model_copy(update={"mu": 0.0})
    return _kept((state.section, state.isocentre, state.depth, plain))


def dose_at(state: PlanState, beam: BeamState, points: Array) -> Array:
    """Dose of one beam, Gy per MU, at points (n, 2) in the patient."""
    return _computed(state.isocentre, state.depth, beam, canvas_of(state.section), points)


def total_dose(state: PlanState) -> Array:
    """Dose, Gy, at the pixels in the patient."""
    dose = np.zeros(len(canvas_of(state.section).body))
    for beam in state.beams:
        dose += beam.mu * beam_dose_per_mu(state, beam)
    return dose


def factors_at(
    state: PlanState, beam: BeamState, point: tuple[float, float]
) -> list[tuple[str, float, str]]:
    """Every factor of a beam's dose per MU, cGy, at a point in the patient.

    A symbol, its value, and what it depends on; the product of the values is the dose per MU.
    """
    canvas, place = canvas_of(state.section), np.asarray(point, dtype=float)
    planar = planar_beam(beam, state.isocentre)
    if beam.energy == "protons":
        return planar_factors(planar, beam, canvas.protons, place)
    tables = tables_of(beam.energy)
    source, axis = planar.source, planar.direction
    offset = place - source
    distance = float(offset @ axis)
    lateral = float(axis[0] * offset[1] - axis[1] * offset[0])
    if state.depth == "ray":
        depth = float(canvas.photons.ray_depth(source, place[None])[0])
    else:
        depth = float(canvas.photons.axis_depth(source, axis, np.array([distance]))[0])
    grown, off = distance / planar.sad, abs(lateral)
    side = equivalent_square(planar.width, planar.length)
    reference = tables.ssd + tables.depth
    water = "" if state.section.kind == "water" else " of water"
    rows = [
        ("D0′", 100.0 * tables.dose_per_mu, f"cGy/MU, {tables.name}"),
        ("Sc", float(tables.collimator_scatter.at(side)), f"rc = {side:.1f} mm"),
        ("Sp", float(tables.phantom_scatter.at(side * grown)), f"rd = {side * grown:.1f} mm"),
        (
            "TPR",
            float(tables.tpr.at(depth, side * grown)),
            f"d = {depth:.1f} mm{water} along the {state.depth}",
        ),
        ("OAR", float(tables.oar.at(depth, off)), f"o = {off:.1f} mm"),
        ("P", float(penumbra(0.5 * planar.width * grown, off)), "edge of the field"),
        ("ISF", float(inverse_square(reference, distance)), f"({reference:.0f}/{distance:.0f})²"),
    ]
    if beam.wedge:
        rows.append(("WF", planar.wedge_factor, f"wedge {abs(beam.wedge)}°"))
        rows.append(("W", float(np.exp(planar.wedge_slope * lateral / grown)), "across the wedge"))
    return rows


@lru_cache(maxsize=192)
def _kept(key: _Key) -> Array:
    section, isocentre, depth, beam = key
    canvas = canvas_of(section)
    return readonly(_computed(isocentre, depth, beam, canvas, canvas.body))


def _computed(
    isocentre: tuple[float, float], depth: _Depth, beam: BeamState, canvas: Canvas, points: Array
) -> Array:
    planar = planar_beam(beam, isocentre)
    if beam.energy == "protons":
        return proton_dose_per_mu(planar, beam, canvas.protons, points)
    return dose_per_mu(tables_of(beam.energy), planar, canvas.photons, points, depth=depth)


@lru_cache(maxsize=4)
def _gradient(energy: Energy) -> float:
    """Relative fall of the dose with depth, 1/mm, at 10 cm of a 10 cm x 10 cm field, SSD 90 cm."""
    tables = tables_of(energy)
    low, high = (float(tables.tpr.at(d, 100.0)) / (tables.ssd + d) ** 2 for d in (90.0, 110.0))
    return float(np.log(low / high)) / 20.0
