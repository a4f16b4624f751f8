"""From a fluence plan to apertures that jaws and leaves can deliver."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Final, Literal, TypeAlias

import numpy as np

from dosegrad.arrays import Array
from dosegrad.beams.apertures import Aperture, Apertures
from dosegrad.beams.beam import Beams
from dosegrad.errors import CapabilityError, PlanError, SettingsError, unknown_name
from dosegrad.machine.collimator import MultileafCollimator
from dosegrad.machine.photon import PhotonMachine
from dosegrad.optimisation.sequencing.fluence import (
    LeafRaster,
    leaf_raster,
    overlap_of_doses,
    quantise,
)
from dosegrad.optimisation.sequencing.shapes import (
    NEIGHBOURS,
    LeafRules,
    Sequencer,
    Shape,
    sum_of,
)
from dosegrad.plan import Plan
from dosegrad.progress import report

__all__ = ["Leakage", "TongueAndGroove", "sequence"]

#: Name -> "module:function".
_ALGORITHMS: Final = {
    "engel": "dosegrad.optimisation.sequencing.engel:engel",
    "siochi": "dosegrad.optimisation.sequencing.siochi:siochi",
    "xia-verhey": "dosegrad.optimisation.sequencing.xia_verhey:xia_verhey",
}

#: Whether shapes are chosen so that no tongue shadows what it need not.
TongueAndGroove: TypeAlias = Literal["ignore", "avoid"]
#: Whether the fluence is lowered by what closed leaves let through.
Leakage: TypeAlias = Literal["compensate", "ignore"]

#: Rounds in which leakage, which follows from the total MU, is made good.
_ROUNDS: Final = 3
#: How far behind a jaw closed pairs wait, mm.
_BEHIND: Final = 5.0


def sequence(
    plan: Plan,
    *,
    levels: int = 10,
    algorithm: str = "engel",
    interdigitation: bool | None = None,
    tongue_and_groove: TongueAndGroove = "ignore",
    leakage: Leakage = "compensate",
) -> Plan:
    """The plan whose fluence is delivered step and shoot by apertures.

    The fluence of each beam is replaced by whole levels under the leaf pairs, chosen so that the
    dose is nearest to that of the fluence; then shapes are found whose sum is exactly these levels.
    The jaws of a beam enclose all its shapes. Leaf tips stand so that radiation edges, which lie
    behind rounded ends, fall on the edges of bixels. The dose of the apertures is not that of the
    fluence: compute it, ``compute_dose(patient, plan)``.

    Parameters
    ----------
    plan
        A photon plan of bixels.
    levels
        Number of levels above none of each beam.
    algorithm
        ``"engel"``: least MU and few shapes; ``"siochi"``, ``"xia-verhey"``.
    interdigitation
        Whether leaves may pass opposing neighbours; by default what the machine can.
    tongue_and_groove
        ``"avoid"``: neighbouring rows are open together for as long as they can be.
    leakage
        ``"compensate"``: what passes closed leaves is taken off the fluence.

    Returns
    -------
        A plan with ``apertures``, whose ``weights`` are the fluence that they open, without a dose.

    Raises
    ------
    CapabilityError
        If the machine has no leaves.
    PlanError
        If the bixels of a beam lie on no lattice, beside the leaves, or the plan has no fluence.
    SettingsError, UnknownNameError
        If an option is out of its range.

    References
    ----------
    Xia and Verhey 1998 [Xia1998]_; Siochi 1999 [Siochi1999]_; Engel 2005 [Engel2005]_.
    """
    machine, collimator = _with_leaves(plan.beams)
    decompose = _algorithm(algorithm, levels)
    if tongue_and_groove not in ("ignore", "avoid"):
        raise unknown_name("choice of tongue_and_groove", tongue_and_groove, ("avoid", "ignore"))
    if leakage not in ("compensate", "ignore"):
        raise unknown_name("choice of leakage", leakage, ("compensate", "ignore"))
    may_pass = collimator.interdigitation if interdigitation is None else interdigitation
    rules = LeafRules(may_pass, tongue_and_groove == "avoid")
    if not plan.weights.any():
        raise PlanError("the plan has no fluence to deliver; optimise it first.")
    passing = collimator.transmission if leakage == "compensate" else 0.0

    fluence = plan.weights * (machine.mu_per_weight or 1.0)
    delivered = np.zeros_like(fluence)
    numbers: list[int] = []
    openings: list[Aperture] = []
    units: list[float] = []
    for index in range(len(plan.beams)):
        part = plan.beams.columns_of(index)
        if not fluence[part].any():
            continue
        raster = leaf_raster(plan.beams, index, collimator)
        step, shapes = _beam_shapes(
            machine, raster, fluence[part], decompose, rules, levels=levels, passing=passing
        )
        delivered[part] = step * raster.fluence_of(sum_of(shapes, raster.shape))
        openings += _apertures(collimator, raster, shapes, may_pass)
        units += [step * shape.weight for shape in shapes]
        numbers += [index] * len(shapes)
        report("sequencing", (index + 1) / len(plan.beams), f"{len(openings)} segments")
    options = {
        "levels": levels,
        "algorithm": algorithm,
        "interdigitation": may_pass,
        "tongue_and_groove": tongue_and_groove,
        "leakage": leakage,
    }
    return replace(
        plan,
        weights=delivered / (machine.mu_per_weight or 1.0),
        apertures=Apertures.of(numbers, openings, units),
        dose=None,
        objective=None,
        history=(),
        message=f"sequenced by {algorithm} at {levels} levels",
        provenance={**plan.provenance, "sequencing": options},
        scenario_doses=(),
    )


def _with_leaves(beams: Beams) -> tuple[PhotonMachine, MultileafCollimator]:
    machine = beams.machine
    if not isinstance(machine, PhotonMachine) or machine.collimator is None:
        raise CapabilityError(
            f"machine {machine.name!r} has no leaves to deliver apertures with; choose a photon "
            "machine that has, or give it some: replace(machine, collimator=...)."
        )
    return machine, machine.collimator


def _algorithm(name: str, levels: int) -> Sequencer:
    if name not in _ALGORITHMS:
        raise unknown_name("sequencing algorithm", name, _ALGORITHMS)
    if isinstance(levels, bool) or levels != int(levels) or levels < 1:
        raise SettingsError(f"{levels} levels are not possible; give a whole number, such as 10.")
    module, _, function = _ALGORITHMS[name].partition(":")
    found: Sequencer = getattr(import_module(module), function)
    return found


def _beam_shapes(
    machine: PhotonMachine,
    raster: LeafRaster,
    fluence: Array,
    decompose: Sequencer,
    rules: LeafRules,
    *,
    levels: int,
    passing: float,
) -> tuple[float, tuple[Shape, ...]]:
    """MU of a level, and the shapes of one beam; leakage ``passing`` is made good."""
    alike = overlap_of_doses(machine, raster.width, int(raster.places.max()))
    total, step = 0.0, 0.0
    shapes: tuple[Shape, ...] = ()
    for _ in range(_ROUNDS):
        # what leaves let through reaches every bixel; open ones get the rest of each unit
        wanted = (fluence - passing * total) / (1.0 - passing)
        found = quantise(raster, wanted, alike, levels)
        if not found.levels.any():
            break
        shapes = decompose(found.levels, rules)
        n_units = sum(shape.weight for shape in shapes)
        # what leaks follows the units of these shapes, not of those before; the sum stays
        open_ = (1.0 - passing) * float(raster.fluence_of(found.levels).sum())
        leaking = passing * fluence.size
        step = (found.step * open_ + leaking * total) / (open_ + leaking * n_units)
        total = step * n_units
        if passing == 0.0:
            break
    return step, shapes


def _apertures(
    collimator: MultileafCollimator,
    raster: LeafRaster,
    shapes: tuple[Shape, ...],
    may_pass: bool,
) -> list[Aperture]:
    """Jaws and tips of each shape; closed pairs wait behind a jaw where they may."""
    opened = sum_of(shapes, raster.shape) > 0
    rows, columns = np.flatnonzero(opened.any(axis=1)), np.flatnonzero(opened.any(axis=0))
    sides, half = collimator.boundaries, 0.5 * collimator.minimum_gap
    x1, x2 = float(raster.x_edges[columns[0]]), float(raster.x_edges[columns[-1] + 1])
    y1, y2 = float(sides[raster.pairs[rows[0]]]), float(sides[raster.pairs[rows[-1]] + 1])
    found = []
    for shape in shapes:
        left = np.full(collimator.pairs, x1 - _BEHIND - half)
        right = left + collimator.minimum_gap
        tips = _tips(collimator, raster.x_edges, shape, may_pass)
        moved = shape.is_open if may_pass else np.ones(shape.left.size, dtype=bool)
        left[raster.pairs[moved]], right[raster.pairs[moved]] = tips[0][moved], tips[1][moved]
        if not may_pass:  # pairs beyond the field stand as the outermost ones of it
            first, last = raster.pairs[0], raster.pairs[-1]
            left[:first], right[:first] = left[first], right[first]
            left[last + 1 :], right[last + 1 :] = left[last], right[last]
        found.append(Aperture((x1, x2, y1, y2), left, right))
    return found


def _tips(
    collimator: MultileafCollimator, x_edges: Array, shape: Shape, may_pass: bool
) -> tuple[Array, Array]:
    """Tips (rows,) of both banks whose radiation edges are those of the shape, mm.

    Where leaves may not pass each other and those of neighbouring pairs meet at one edge, tips
    stand at the edge itself: the opening is wider there by the offset of rounded ends.
    """
    inset = np.full((2, shape.left.size), collimator.leaf_end_offset)
    if not may_pass:
        for here, there in (NEIGHBOURS, NEIGHBOURS[::-1]):
            inset[0, here][shape.left[here] == shape.right[there]] = 0.0
            inset[1, here][shape.right[here] == shape.left[there]] = 0.0
    low, high = x_edges[shape.left], x_edges[shape.right]
    half = 0.5 * collimator.minimum_gap
    left = np.where(shape.is_open, low + inset[0], low - half)
    right = np.where(shape.is_open, high - inset[1], low + half)
    return left, right
