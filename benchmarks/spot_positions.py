"""Moving spots on the C-shape: the objective with fewer spots, and the cost of one evaluation.

``python benchmarks/spot_positions.py`` prints a table of plans rescored by the standard engine, and
CPU time by spot of dose and gradient. Takes some minutes.
"""

from __future__ import annotations

import time

import numpy as np

from dosegrad import compute_influence, load_machine, optimise, optimise_spots, phantom, steer
from dosegrad import objectives as obj
from dosegrad.influence.build import choose_voxels
from dosegrad.influence.spot_map import SpotDoseMap
from dosegrad.patient.water import water_medium

GOALS = {
    "Target": [obj.SquaredDeviation(50.0, weight=100)],
    "Core": [obj.SquaredOverdose(20.0, weight=30)],
    "Body": [obj.MeanDose(weight=1)],
}


def cost_per_spot(patient, beams):
    """Milliseconds of CPU by spot for dose and gradient, and voxels by spot."""
    grid = patient.dose_grid()
    voxels = choose_voxels(patient, grid, "body")
    voxels = voxels[:: max(1, round(6200 / 2500))]
    spots = SpotDoseMap.of(water_medium(patient, grid), beams, voxels)
    at = spots.variables(beams, np.ones(beams.n_columns))
    n = spots.matrices(at)[0].nnz
    best = np.inf
    for _ in range(5):
        start = time.process_time()
        dose, pullback = spots.linearise(at)
        pullback(dose)
        best = min(best, time.process_time() - start)
    return 1e3 * best / beams.n_columns, n / beams.n_columns


def row(name, make):
    start, begun = time.process_time(), time.perf_counter()
    plan = make()
    print(
        f"{name:28} {plan.beams.n_columns:6} {plan.n_spots:6} {plan.objective:9.3f} "
        f"{time.process_time() - start:7.1f} {time.perf_counter() - begun:7.1f}",
        flush=True,
    )


def main():
    patient, machine = phantom("c-shape"), load_machine("generic-protons")
    fine, coarse = (
        steer(patient, machine, target="Target", gantry=[45, 315], spot_spacing=spacing)
        for spacing in (5.0, 8.7)
    )
    per_spot, n = cost_per_spot(patient, coarse)
    print(f"dose and gradient: {per_spot:.3f} ms of CPU a spot at {n:.0f} voxels a spot")
    print(f"{'plan':28} {'placed':>6} {'used':>6} {'objective':>9} {'CPU s':>7} {'wall s':>7}")
    converged = {"tolerance": 1e-5, "max_iterations": 3000}
    row("5.0 mm", lambda: optimise(compute_influence(patient, fine), GOALS, **converged))
    row("8.7 mm", lambda: optimise(compute_influence(patient, coarse), GOALS, **converged))
    for method in ("simultaneous", "alternating"):
        row(
            f"8.7 mm, {method}",
            lambda m=method: optimise_spots(patient, coarse, GOALS, max_shift=8.0, method=m),
        )


if __name__ == "__main__":
    main()
