"""What people should know of a record that tolerances do not tell."""

from __future__ import annotations

from typing import Final

import numpy as np

from dosegrad.beams.deliveries import nearest_energies
from dosegrad.checks.spot_deviations import (
    SpotDeviations,
    beam_numbers,
    not_in_plan,
    range_difference,
)
from dosegrad.plan import Plan

__all__ = ["record_notes"]

#: Recorded energies differ from the planned ones if by more, MeV or MeV/u.
_ENERGY: Final = 0.1


def record_notes(plan: Plan, spots: SpotDeviations) -> tuple[str, ...]:
    """Sentences on what the delivered dose lacks, on energies, and on layers.

    Parameters
    ----------
    plan
        What was planned.
    spots
        What was delivered, compared with it.
    """
    return (*_left_out(plan, spots), *_energies(plan, spots), *_layers(spots))


def _left_out(plan: Plan, spots: SpotDeviations) -> list[str]:
    lacking = not_in_plan(plan, spots)
    if not lacking.size:
        return []
    is_beam = np.isin(lacking["beam"], list(beam_numbers(plan)))
    reasons = []
    if (~is_beam).any():
        names = ", ".join(str(beam) for beam in np.unique(lacking["beam"][~is_beam]))
        reasons.append(f"no beam {names} in the plan")
    if is_beam.any():
        values = ", ".join(f"{energy:g}" for energy in np.unique(lacking["energy"][is_beam])[:5])
        reasons.append(f"no data of the machine at {values} MeV")
    return [
        f"{lacking.size} spots, {lacking['mu'].sum():.5g} MU, are not in the delivered dose "
        f"({'; '.join(reasons)}); gamma and doses of structures do not tell what they do"
    ]


def _energies(plan: Plan, spots: SpotDeviations) -> list[str]:
    planned = nearest_energies(spots.planned, spots.delivered)
    known = np.isfinite(planned)
    off = float(np.abs(spots.delivered["energy"] - planned)[known].max(initial=0.0))
    if not off > _ENERGY:
        return []
    return [
        f"recorded energies are up to {off:.2f} MeV from the planned ones (ranges "
        f"{range_difference(plan, spots):.2f} mm); the delivered dose is computed with the planned "
        "energies, so that it does not show this"
    ]


def _layers(spots: SpotDeviations) -> list[str]:
    """Layers of the record that hold spots of several planned energies."""
    energies = nearest_energies(spots.planned, spots.delivered)
    known = np.isfinite(energies)
    keys = np.column_stack([spots.delivered["beam"], spots.delivered["layer"], energies])[known]
    layers, counts = np.unique(np.unique(keys, axis=0)[:, :2], axis=0, return_counts=True)
    if not (counts > 1).any():
        return []
    beam, layer = layers[int(np.argmax(counts))]
    return [
        f"{np.count_nonzero(counts > 1)} layers of the record hold several energies (layer "
        f"{layer:g} of beam {beam:g}: {counts.max()}); spots are matched by energy, their layers "
        "are not used"
    ]
