"""Spots that may move against a regular grid with more than twice as many, on the C-shape."""

import numpy as np
import pytest

from dosegrad import compute_dose, compute_influence, load_machine, optimise, optimise_spots
from dosegrad import objectives as obj
from dosegrad.beams.steering import steer
from dosegrad.patient.phantoms import phantom
from dosegrad.patient.structures import resolve_overlaps

GOALS = {
    "Target": [obj.SquaredDeviation(50.0, weight=100)],
    "Core": [obj.SquaredOverdose(20.0, weight=30)],
    "Body": [obj.MeanDose(weight=1)],
}


def score(patient, dose):
    """The objectives on one dose, each structure without those of higher priority."""
    masks = resolve_overlaps(patient.structures, dose.grid)
    total = 0.0
    for name, wishes in GOALS.items():
        values = dose.array[masks[name]]
        share = np.full(values.size, 1.0 / values.size)
        total += sum(w.weight * w.value_and_gradient(values, share)[0] for w in wishes)
    return total


@pytest.mark.slow
def test_moved_spots_are_as_good_as_a_fine_grid():
    patient, machine = phantom("c-shape"), load_machine("generic-protons")
    fine, coarse = (
        steer(patient, machine, target="Target", gantry=[45, 315], spot_spacing=spacing)
        for spacing in (5.0, 8.7)
    )
    moved = optimise_spots(patient, coarse, GOALS, max_shift=8.0)
    on_grid = optimise(compute_influence(patient, fine), GOALS, tolerance=1e-5, max_iterations=3000)
    scores = [score(patient, compute_dose(patient, plan)) for plan in (moved, on_grid)]
    assert scores[0] == pytest.approx(moved.objective, rel=1e-3)
    assert scores[0] <= scores[1]
    assert moved.n_spots < 0.65 * on_grid.n_spots
    assert moved.beams.n_columns < 0.45 * fine.n_columns
