"""From a fluence plan to apertures that jaws and leaves can deliver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
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
from dosegrad.optimisation.sequencing.pieces import Piece, part_field, units_between_jaws
from dosegrad.optimisation.sequencing.shapes import LeafRules, Levels, Sequencer, sum_of
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

#: Leakage where less is wanted is told if it is more than this share of the fluence.
_MUCH_LEAKED: Final = 0.05
#: Rounds in which leakage, which follows from the total MU, is made good.
_ROUNDS: Final = 3


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
    The jaws of a beam enclose all its shapes. A field that is too wide for the limits of the leaves
    is parted into strips, each with jaws of its own; the message says so. Leaf tips stand so that
    radiation edges, which lie behind rounded ends, fall on the edges of bixels. The dose of the
    apertures is not that of the fluence: compute it, ``compute_dose(patient, plan)``.

    Parameters
    ----------
    plan
        A photon plan of bixels.
    levels
        Number of levels above none of each beam.
    algorithm
        ``"engel"``: least MU and few shapes; ``"siochi"``, ``"xia-verhey"``.
    interdigitation
        Whether leaves may pass opposing neighbours; by default what the machine can. It may not be
        more than that.
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
        If the bixels of a beam lie on no lattice, beside or beyond the reach of the leaves, or are
        narrower than their least gap, or the plan has no fluence.
    SettingsError, UnknownNameError
        If an option is out of its range, or the machine forbids what it asks for.

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
    if may_pass and not collimator.interdigitation:
        raise SettingsError(
            f"interdigitation=True is not possible: leaves of machine {machine.name!r} may not "
            "pass opposing neighbours. Leave it out."
        )
    rules = LeafRules(may_pass, tongue_and_groove == "avoid")
    if not plan.weights.any():
        raise PlanError("the plan has no fluence to deliver; optimise it first.")
    passing = collimator.transmission if leakage == "compensate" else 0.0

    fluence = plan.weights * (machine.mu_per_weight or 1.0)
    delivered = np.zeros_like(fluence)
    numbers: list[int] = []
    openings: list[Aperture] = []
    units: list[float] = []
    parted: list[str] = []
    leaked = 0.0
    for index in range(len(plan.beams)):
        part = plan.beams.columns_of(index)
        if not fluence[part].any():
            continue
        raster = leaf_raster(plan.beams, index, collimator)
        gantry = plan.beams[index].gantry
        divide = partial(part_field, collimator, raster, gantry, decompose, rules)
        step, pieces = _beam_pieces(
            machine, raster, fluence[part], divide, levels=levels, passing=passing
        )
        for piece in pieces:
            delivered[part] += step * raster.fluence_of(sum_of(piece.shapes, raster.shape))
            openings += piece.openings
            units += [step * shape.weight for shape in piece.shapes]
            numbers += [index] * len(piece.shapes)
        through = collimator.transmission * step * units_between_jaws(raster, pieces)
        leaked += float(np.maximum(through - fluence[part], 0.0).sum())
        if len(pieces) > 1:
            parted.append(f"the field at gantry {gantry:g}° in {len(pieces)} parts")
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
        message=_message(algorithm, levels, parted, leaked / float(fluence.sum())),
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
    whole = isinstance(levels, (int, float, np.number)) and not isinstance(levels, bool)
    if not whole or not 1 <= levels < np.inf or levels != int(levels):
        raise SettingsError(f"{levels!r} levels are not possible; give a whole number, such as 10.")
    module, _, function = _ALGORITHMS[name].partition(":")
    found: Sequencer = getattr(import_module(module), function)
    return found


def _message(algorithm: str, levels: int, parted: list[str], leaked: float) -> str:
    words = f"sequenced by {algorithm} at {levels} levels"
    if parted:
        words += f"; {', '.join(parted)}: wider than leaves can deliver at once"
    if leaked > _MUCH_LEAKED:
        words += (
            f"; closed leaves let through {100.0 * leaked:.0f} % of the fluence where less is "
            "wanted, which no levels make good: take fewer levels, or a smoother fluence"
        )
    return words


def _beam_pieces(
    machine: PhotonMachine,
    raster: LeafRaster,
    fluence: Array,
    part: Callable[[Levels], tuple[Piece, ...]],
    *,
    levels: int,
    passing: float,
) -> tuple[float, tuple[Piece, ...]]:
    """MU of a level, and the pieces of one beam; leakage ``passing`` is made good."""
    alike = overlap_of_doses(machine, raster.width, int(raster.places.max()))
    step = 0.0
    leaking = np.zeros(fluence.size)
    pieces: tuple[Piece, ...] = ()
    for _ in range(_ROUNDS):
        # what leaves let through reaches every bixel; open ones get the rest of each unit
        wanted = (fluence - passing * leaking) / (1.0 - passing)
        found = quantise(raster, wanted, alike, levels)
        if not found.levels.any():
            break
        pieces = part(found.levels)
        units = units_between_jaws(raster, pieces)
        # what leaks follows the units of these shapes, not of those before; the sum stays
        open_ = (1.0 - passing) * float(raster.fluence_of(found.levels).sum())
        step = (found.step * open_ + passing * leaking.sum()) / (open_ + passing * units.sum())
        leaking = step * units
        if passing == 0.0:
            break
    return step, pieces
