"""Steering: where spots go so that a target can be covered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosegrad.arrays import Array, Points
from dosegrad.beams._reach import TargetDepths, grown_target, target_depths
from dosegrad.beams.air import air_thickness
from dosegrad.beams.beam import COLUMN_DTYPE, Beam, Beams, RangeShifter
from dosegrad.beams.bixels import bixels_on_target
from dosegrad.beams.spots import Lattice, lattice_points, thin_layers
from dosegrad.errors import BeamError, SettingsError, TargetError, unknown_name
from dosegrad.geometry.grid import Triple
from dosegrad.machine.kinds import Machine
from dosegrad.machine.particle import ParticleMachine
from dosegrad.machine.photon import PhotonMachine
from dosegrad.patient.patient import OutsideBody, Patient

__all__ = [
    "DEFAULT_BIXEL",
    "DEFAULT_LAYER_SPACING",
    "DEFAULT_SPOT_SPACING",
    "LEAST_BIXEL",
    "STANDARD_RANGE_SHIFTER",
    "steer",
]

#: Wanted distance of energy layers unless said otherwise, mm in water.
DEFAULT_LAYER_SPACING: Final = 2.5
#: Side of photon bixels unless said otherwise, mm.
DEFAULT_BIXEL: Final = 5.0
#: Side of the smallest bixels, mm: a pixel of the machines' kernels.
LEAST_BIXEL: Final = 0.5
#: Distance of spots, mm, unless it is given.
DEFAULT_SPOT_SPACING: Final = 5.0
#: Water-equivalent thickness of the range shifter that steering inserts where one is needed, mm.
STANDARD_RANGE_SHIFTER: Final = 40.0
#: Free path between an inserted range shifter and the skin, mm.
_RANGE_SHIFTER_GAP: Final = 50.0


def steer(
    patient: Patient,
    machine: Machine,
    *,
    target: str,
    gantry: float | Sequence[float],
    couch: float | Sequence[float] = 0.0,
    isocentre: Triple | Sequence[Triple] | None = None,
    bixel: float | None = None,
    spot_spacing: float = DEFAULT_SPOT_SPACING,
    lattice: Lattice = "square",
    layer_spacing: float | None = None,
    layer_spacing_peak_widths: float | None = None,
    margin: float | None = None,
    setup_margin: float = 0.0,
    range_margin_percent: float = 0.0,
    range_shifter: Literal["auto"] | RangeShifter | None = "auto",
    outside_body: OutsideBody = "air",
) -> Beams:
    """Beams whose spots or bixels cover a target.

    Bixels of photon machines lie edge to edge on a square lattice in the isocentre plane, its rows
    under the leaves if the machine has some; those whose central ray comes within half a bixel of
    the grown target are kept.

    For particles, rays pass the points of a lattice in the isocentre plane, as far as they cross
    the grown target on the grid of the CT. On a ray there is a spot of each layer whose peak,
    after air and range shifter, lies between where the ray enters and where it leaves the grown
    target, in water-equivalent depth; a ray may do so several times. All rays of a beam share its
    layers.

    Parameters
    ----------
    patient, machine
        Whom to irradiate, and with what.
    target
        Name of the structure to cover.
    gantry, couch
        Angles, degree, one for each beam; a single couch angle holds for all.
    isocentre
        (x, y, z), mm, patient LPS, or one such point for each beam; by default the centre of mass
        of the target's voxels.
    bixel
        Side of photon bixels in the isocentre plane, mm; 5 mm if not given.
    spot_spacing
        Of the lattice in the isocentre plane, mm.
    lattice
        ``"square"`` or ``"hexagonal"``.
    layer_spacing, layer_spacing_peak_widths
        Distance of the layers' peaks in water, mm or in widths of the peak at 80 % of its dose;
        2.5 mm if neither is given. A machine with fewer energies gives what it has.
    margin
        By which the target grows in all directions, mm; by default one bixel, or the spot spacing,
        so that spots on its edge can make the penumbra, plus the largest spacing of the CT.
    setup_margin
        Further growth, mm.
    range_margin_percent
        By which depths on each ray grow at both ends, percent of the depth.
    range_shifter
        ``"auto"`` inserts 40 mm of water, 50 mm before the skin, in beams where the target is
        shallower than the peak of the lowest energy; more where that is not enough. ``None``
        never inserts one; a :class:`RangeShifter` goes into all beams.
    outside_body
        ``"air"``: what lies outside the external structure stops nothing; ``"ct"``: it counts.

    Raises
    ------
    UnknownNameError
        If structure or lattice are not known.
    TargetError
        If the target is empty, outside the CT, or too deep or too shallow for the machine.
    BeamError
        If there is no beam.
    SettingsError
        If a spacing is not positive, a margin is negative, or an option does not suit the machine.
    """
    angles = _angles(gantry, couch)
    if isinstance(machine, PhotonMachine):
        _check_photon_options(
            spot_spacing, layer_spacing, layer_spacing_peak_widths, lattice, range_margin_percent,
            range_shifter,
        )  # fmt: skip
        width = DEFAULT_BIXEL if bixel is None else bixel
        _check_margins(width, margin, setup_margin, 0.0)
        return _steer_photons(
            *(patient, machine, target, angles, isocentre, width),
            # half a bixel more, so that its area and not only its middle counts
            growth=(width if margin is None else margin) + setup_margin + 0.5 * width,
        )
    if bixel is not None:
        raise SettingsError(
            f"bixels are for photons, but machine {machine.name!r} delivers {machine.modality}; "
            "give spot_spacing instead."
        )
    _check_lengths(spot_spacing, layer_spacing, layer_spacing_peak_widths)
    _check_margins(None, margin, setup_margin, range_margin_percent)
    if not (range_shifter in ("auto", None) or isinstance(range_shifter, RangeShifter)):
        raise unknown_name("range shifter", range_shifter, ("auto", "None", "RangeShifter(...)"))
    patient.structure(target)
    growth = _margin(patient, margin, spot_spacing) + setup_margin
    region = grown_target(patient, target, growth)
    centres = _isocentres(isocentre, region.centre, len(angles))

    bare = [
        Beam(g, c, centre, machine.sad, patient.ct.position)
        for (g, c), centre in zip(angles, centres, strict=True)
    ]
    rays = [_lattice(beam, region.corners, spot_spacing, lattice) for beam in bare]
    found = target_depths(patient, region, bare, rays, outside_body)
    plans = [
        _fit_depths(machine, beam, depths, range_shifter, target)
        for beam, depths in zip(bare, found, strict=True)
    ]
    if layer_spacing is None and layer_spacing_peak_widths is None:
        layer_spacing = DEFAULT_LAYER_SPACING
    parts: list[NDArray[np.void]] = []
    n_rays = 0
    for index, (plan, depths, spots) in enumerate(zip(plans, found, rays, strict=True)):
        wanted = _spots_on_rays(machine, plan, depths, range_margin_percent / 100.0)
        needed = np.logical_or.reduce(wanted, axis=0)
        layers = thin_layers(
            machine,
            needed,
            spacing=layer_spacing,
            peak_widths=layer_spacing_peak_widths,
        )
        part = _columns(machine, index, spots, wanted & layers, n_rays)
        if part.size == 0:
            raise TargetError(
                f"no spot of {machine.name!r} covers target {target!r} from gantry "
                f"{plan.beam.gantry:g}°; use a smaller spot or layer spacing, or a larger margin."
            )
        n_rays = int(part["ray"].max()) + 1
        parts.append(part)
    return Beams(machine, tuple(plan.beam for plan in plans), np.concatenate(parts))


def _steer_photons(
    patient: Patient,
    machine: PhotonMachine,
    target: str,
    angles: Sequence[tuple[float, float]],
    isocentre: Triple | Sequence[Triple] | None,
    width: float,
    *,
    growth: float,
) -> Beams:
    """Beams of bixels whose central rays cross the target grown by ``growth`` mm."""
    patient.structure(target)
    region = grown_target(patient, target, growth)
    centres = _isocentres(isocentre, region.centre, len(angles))
    fields = [
        Beam(g, c, centre, machine.sad, patient.ct.position)
        for (g, c), centre in zip(angles, centres, strict=True)
    ]
    shift = _row_shift(machine, width)
    lattices = [_lattice(beam, region.corners, width, "square", shift) for beam in fields]
    return bixels_on_target(
        machine, fields, lattices, region, patient.ct.grid, width=width, target=target
    )


@dataclass(frozen=True, slots=True, eq=False)
class _BeamPlan:
    """A beam with its range shifter, and what each ray loses before the skin (n_rays,), mm."""

    beam: Beam
    lost: Array


def _fit_depths(
    machine: ParticleMachine,
    beam: Beam,
    depths: TargetDepths,
    choice: Literal["auto"] | RangeShifter | None,
    target: str,
) -> _BeamPlan:
    """The beam with its range shifter, if the target is within the machine's reach."""
    if depths.grown.rays.size == 0:
        raise TargetError(
            f"no ray of the beam at gantry {beam.gantry:g}° meets target {target!r}; use a "
            "smaller spot spacing, or move the isocentre."
        )
    air = air_thickness(machine.nozzle_distance - depths.skin, machine.air_offset)
    region = depths.bare if depths.bare.rays.size else depths.grown
    lowest, highest = machine.peaks[[0, -1]]
    shallow = float((region.entries + air[region.rays]).min())
    shifter = choice if isinstance(choice, RangeShifter) else None
    if choice == "auto" and shallow < lowest:
        shifter = _standard_shifter(machine, float(depths.skin.max()), lowest - shallow)
    thickness = 0.0 if shifter is None else shifter.thickness
    deep = float((region.exits + air[region.rays]).max()) + thickness
    if deep > highest:
        behind = f" behind a range shifter of {thickness:.0f} mm" if shifter else ""
        raise TargetError(
            f"target {target!r} reaches {deep:.0f} mm water-equivalent depth{behind} from "
            f"gantry {beam.gantry:g}°, beyond the {highest:.0f} mm of machine {machine.name!r} "
            f"({machine.energies[0]:.1f} to {machine.energies[-1]:.1f} {machine.energy_unit}); add "
            "a field from the other side or choose another machine."
        )
    fitted = Beam(
        *(beam.gantry, beam.couch, beam.isocentre, beam.sad),
        position=beam.position,
        range_shifter=shifter,
    )
    return _BeamPlan(fitted, air + thickness)


def _standard_shifter(machine: ParticleMachine, skin: float, needed: float) -> RangeShifter:
    """The slab inserted where ``needed`` mm must be taken from the lowest energy."""
    thickness = STANDARD_RANGE_SHIFTER
    if needed > thickness:
        thickness = float(np.ceil(needed / 10.0) * 10.0)
    distance = float(np.ceil((skin + _RANGE_SHIFTER_GAP) / 10.0) * 10.0)
    return RangeShifter(thickness, max(min(distance, machine.nozzle_distance), skin))


def _spots_on_rays(
    machine: ParticleMachine, plan: _BeamPlan, depths: TargetDepths, range_margin: float
) -> NDArray[np.bool_]:
    """Which energies have their peak in the target on each ray, (n_rays, n_energies)."""
    peaks = machine.peaks
    grown = depths.grown
    lost = plan.lost[grown.rays]
    low = grown.entries * (1.0 - range_margin) + lost
    high = grown.exits * (1.0 + range_margin) + lost
    inside = (peaks >= low[:, None] - 1e-9) & (peaks <= high[:, None] + 1e-9)
    wanted = np.zeros((plan.lost.size, peaks.size), dtype=bool)
    np.logical_or.at(wanted, grown.rays, inside)
    return wanted


def _columns(
    machine: ParticleMachine,
    beam: int,
    spots: Array,
    wanted: NDArray[np.bool_],
    first_ray: int,
) -> NDArray[np.void]:
    """Columns of one beam, ray by ray with ascending energies; empty rays get no number."""
    ray, energy = np.nonzero(wanted)
    columns = np.zeros(ray.size, dtype=COLUMN_DTYPE)
    columns["beam"] = beam
    columns["ray"] = first_ray + np.unique(ray, return_inverse=True)[1].reshape(-1)
    columns["x"], columns["y"] = spots[ray].T
    columns["energy"] = machine.energies[energy]
    return columns


def _row_shift(machine: PhotonMachine, width: float) -> float:
    """By how much, mm, rows of bixels lie off the axis so that they meet the sides of leaves."""
    if machine.collimator is None:
        return 0.0
    sides = machine.collimator.boundaries
    nearest = float(sides[np.argmin(np.abs(sides))])
    return (nearest + 0.5 * width) % width


def _lattice(
    beam: Beam, corners: Points, spacing: float, lattice: Lattice, shift: float = 0.0
) -> Array:
    """Lattice points (n, 2), rows moved by ``shift``, that cover a box's projection, mm."""
    local = beam.to_gantry(corners)
    if beam.sad is not None:
        if local[:, 2].max() >= beam.sad:
            raise BeamError(
                f"the target reaches the source of the beam at gantry {beam.gantry:g}°, "
                f"{beam.sad:g} mm from the isocentre; move the isocentre to the target."
            )
        local = local * (beam.sad / (beam.sad - local[:, 2]))[:, None]
    moved = np.array([0.0, shift])
    low, high = local[:, :2].min(axis=0) - moved, local[:, :2].max(axis=0) - moved
    points: Array = lattice_points(low, high, spacing, lattice) + moved
    return points


def _angles(
    gantry: float | Sequence[float], couch: float | Sequence[float]
) -> list[tuple[float, float]]:
    try:
        turned = np.atleast_1d(np.asarray(gantry, dtype=float)).ravel()
        couches = np.atleast_1d(np.asarray(couch, dtype=float)).ravel()
    except (TypeError, ValueError):
        raise BeamError(
            f"gantry {gantry!r} and couch {couch!r} must be numbers in degree, such as [90, 270]."
        ) from None
    if turned.size == 0:
        raise BeamError("a plan needs at least one beam; give gantry angles, such as [90, 270].")
    if couches.size not in (1, turned.size):
        raise BeamError(
            f"{couches.size} couch angles do not fit {turned.size} gantry angles; give one couch "
            "angle for all beams or one for each."
        )
    return [
        (float(g), float(c)) for g, c in zip(*np.broadcast_arrays(turned, couches), strict=True)
    ]


def _margin(patient: Patient, margin: float | None, spot_spacing: float) -> float:
    """The margin asked for, or one spot spacing and one voxel, mm."""
    return spot_spacing + max(patient.ct.grid.spacing) if margin is None else margin


def _check_lengths(spacing: float, layers: float | None, widths: float | None) -> None:
    if layers is not None and widths is not None:
        raise SettingsError("give the layer spacing either in mm or in peak widths, not both.")
    named = {
        "spot spacing": (spacing, "mm"),
        "layer spacing": (layers, "mm"),
        "layer spacing in peak widths": (widths, "widths"),
    }
    for name, (value, unit) in named.items():
        if value is not None and not (np.isfinite(value) and value > 0):
            raise SettingsError(
                f"{name} {value:g} {unit} is not possible; give a positive number, such as "
                f"{5.0 if unit == 'mm' else 0.8:g}."
            )


def _check_photon_options(
    spots: float,
    layers: float | None,
    widths: float | None,
    lattice: Lattice,
    range_margin: float,
    shifter: object,
) -> None:
    """Photon beams have no spots and layers; options about them would be ignored in silence."""
    given = {
        "spot_spacing": spots != DEFAULT_SPOT_SPACING,
        "layer_spacing": layers is not None,
        "layer_spacing_peak_widths": widths is not None,
        "lattice": lattice != "square",
        "range_margin_percent": range_margin != 0.0,
        "range_shifter": shifter not in ("auto", None),
    }
    wrong = [name for name, is_given in given.items() if is_given]
    if wrong:
        raise SettingsError(
            f"{', '.join(wrong)} cannot be set for a photon machine, which has no spots and "
            "layers; leave it out, and give bixel and margin only."
        )


def _check_margins(
    bixel: float | None, margin: float | None, setup: float, range_percent: float
) -> None:
    is_number = isinstance(bixel, (int, float, np.number))
    if bixel is not None and not (is_number and LEAST_BIXEL <= bixel < np.inf):
        raise SettingsError(
            f"a bixel of {bixel!r} mm is not possible; give a width from {LEAST_BIXEL:g}, such "
            "as 5."
        )
    named = {"margin": margin, "set-up margin": setup, "range margin": range_percent}
    for name, value in named.items():
        if value is not None and not (np.isfinite(value) and value >= 0):
            raise SettingsError(f"{name} {value:g} is not possible; give zero or more.")


def _isocentres(
    given: Triple | Sequence[Triple] | None, centre: Triple, n_beams: int
) -> list[Triple]:
    """One isocentre for each beam: the target's centre, one point for all, or a point for each."""
    if given is None:
        return [centre] * n_beams
    points = np.asarray(given, dtype=float)
    if points.ndim == 1:
        return [_point(points)] * n_beams
    if points.shape != (n_beams, 3):
        raise BeamError(
            f"isocentres of shape {points.shape} do not fit {n_beams} beams; give one point "
            "(x, y, z), mm, for all beams or one for each."
        )
    return [_point(p) for p in points]


def _point(values: ArrayLike) -> Triple:
    point = np.asarray(values, dtype=float)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise BeamError(f"isocentre {point.tolist()} must be three finite numbers (x, y, z), mm.")
    return float(point[0]), float(point[1]), float(point[2])
